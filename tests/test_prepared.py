"""What stages 1 and 2 leave, checked on paper: whose superpixel a point is of, and by which split features are scaled."""

import numpy as np
import pytest

from xkd import prepare
from xkd.files import write_json
from xkd.prepared import Prepared, TeacherFeatures


def halves(camera):
    """(H, W) ids: the front image is cut in the middle, the other one is whole."""
    segments = np.zeros(camera.size, np.int32)
    if camera.name == "CAM_FRONT":
        segments[:, camera.size[1] // 2 :] = 1
    return segments


def test_superpixels_are_counted_over_the_images_of_a_split(nuscenes, tmp_path, monkeypatch):
    """Frames of three points in front, to the right, left and right, and one behind: superpixels 0 and 1 of the front image, 2 of the
    other, and so on with 3 in the next frame."""
    monkeypatch.setattr(prepare, "open_method", lambda settings: halves)
    data = {"kind": "nuscenes", "root": str(nuscenes), "train": "mini_train", "validation": None}
    prepare.prepare(data | {"unlabelled": [], "tuning": []}, {"occlusion": False}, tmp_path)
    split = Prepared(tmp_path, "mini_train")
    for i in range(3):
        pairs = split.pairs(i)
        assert pairs.point.tolist() == [0, 1, 3, 2] and pairs.camera.tolist() == [0, 0, 0, 1]
        assert pairs.superpixel.tolist() == [3 * i + k for k in (1, 0, 1, 2)]
        assert split.superpixels(i) == (3 * i, 3 * i + 3)
        assert split.segments(i, 0).max() == 1 and split.segments(i, 1).max() == 0


def features(folder, values, mean, std, correlation):
    """A split of out/teacher: one frame, a point for each of the features (P, C), all in one superpixel."""
    folder.mkdir()
    values = np.array(values, np.float16)
    arrays = {"point": np.arange(len(values)), "superpixel": np.zeros(len(values), np.int64), "features": values}
    arrays |= {"superpixel_features": values.mean(0, keepdims=True), "offsets": [0, len(values)]}
    arrays |= {"superpixel_offsets": [0, 1], "correlation": np.array(correlation, float)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    write_json(folder / "features.json", {"dim": values.shape[1], "digest": folder.name, "mean": mean, "std": std})


def test_a_split_is_scaled_by_another_ones_statistics(tmp_path):
    features(tmp_path / "train", [[0, 0], [2, 8]], [1, 4], [2, 4], [[1, 0], [0, 1]])
    features(tmp_path / "more", [[5, 0], [3, 8]], [4, 0], [1, 1], [[9, 0], [0, 9]])
    shared = TeacherFeatures(tmp_path, "more", "train")
    # (5 - 1) / 2, (0 - 4) / 4; (3 - 1) / 2, (8 - 4) / 4
    assert shared.pairs(0)[2].tolist() == [[2, -1], [1, 1]] and shared.superpixels(0).tolist() == [[1.5, 0]]
    assert shared.whitening(0.0) == pytest.approx(np.eye(2)) and shared.digest == "moretrain"
    own = TeacherFeatures(tmp_path, "more")
    assert own.pairs(0)[2].tolist() == [[1, 0], [-1, 8]] and own.whitening(0.0) == pytest.approx(np.eye(2) / 3)
