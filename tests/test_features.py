"""Feature maps that were computed elsewhere: found by an image's path, of any sizes, plain about what is missing or damaged."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from teacher_models import ramp

import xkd
from xkd import XkdError
from xkd.pool import sample
from xkd.teachers import open_teacher
from xkd.teachers.features import Features

REAL = xkd.ROOT.parent / "shared" / "data"


def camera(path):
    return SimpleNamespace(path=path, size=(40, 60))


def test_features_are_found_by_the_longest_tail(tmp_path):
    for k, name in enumerate(["7.npy", "image_2/7.npy", "08/image_2/7.npy"]):
        path = tmp_path / "maps" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full((4, 2, 3), k, np.float16))
    teacher = open_teacher({"name": "features", "root": tmp_path / "maps"})
    tails = ("08/image_2/7.png", "09/image_2/7.png", "image_3/7.png")
    cameras = [camera(tmp_path / "sequences" / tail) for tail in tails]
    out = teacher.dense(cameras)
    assert teacher.dim == 4 and out.shape == (3, 4, 2, 3) and out.dtype == torch.float32
    assert out[:, 0, 0, 0].tolist() == [2, 1, 0]
    with pytest.raises(XkdError, match=r"8\.png: no feature map .* named like 08/image_2/7\.npy\."):
        teacher.dense([camera(tmp_path / "08/image_2/8.png")])
    with pytest.raises(XkdError, match="frozen"):
        teacher.train()
    with pytest.raises(XkdError, match=r"use dense\(cameras\)"):
        teacher(torch.zeros(1, 3, 8, 8))


def test_unusable_features_are_named(tmp_path):
    with pytest.raises(XkdError, match="no .npy"):
        Features(tmp_path)
    np.save(tmp_path / "1.npy", np.zeros((4, 2, 3), np.float32))
    teacher = Features(tmp_path)
    for values in (np.zeros((5, 2, 3)), np.zeros((4, 6)), np.zeros((4, 2, 3), int), np.full((4, 1, 1), np.nan)):
        np.save(tmp_path / "2.npy", values)
        with pytest.raises(XkdError, match="2.npy"):
            teacher.dense([camera("a/2.png")])
    whole = (tmp_path / "1.npy").read_bytes()
    for damaged in (b"no", whole[:-1], whole[:40], whole.replace(b"(4, 2, 3)", b"(4, 2,99)")):
        (tmp_path / "2.npy").write_bytes(damaged)
        with pytest.raises(XkdError, match="2.npy: (cannot be read as|is a damaged) .*npy file"):
            teacher.dense([camera("a/2.png")])


def test_maps_of_several_sizes_are_brought_to_the_largest(tmp_path):
    """A map of 1 x 2 cells with the columns 0 and 4 becomes one of 1 x 4: 0, 1, 3, 4 by hand; the same images alone stay as they are."""
    np.save(tmp_path / "wide.npy", np.full((1, 1, 4), 7, np.float16))
    np.save(tmp_path / "narrow.npy", np.array([[[0, 4]]], np.float16))
    teacher = Features(tmp_path)
    out = teacher.dense([camera("a/narrow.png"), camera("a/wide.png")])
    assert out.tolist() == [[[[0, 1, 3, 4]]], [[[7, 7, 7, 7]]]] and out.dtype == torch.float32
    assert teacher.dense([camera("a/narrow.png")]).tolist() == [[[[0, 4]]]]
    # A third of 1024 + 1 is kept as a file of half precision would hold it, where numbers beyond 1024 are whole.
    np.save(tmp_path / "narrow.npy", np.array([[[1024, 1026]]], np.float16))
    assert teacher.dense([camera("a/narrow.png"), camera("a/wide.png")])[0].tolist() == [[[1024, 1024, 1026, 1026]]]


def test_points_find_the_same_features_in_maps_of_several_sizes(tmp_path):
    """A ramp of 4 x 6 cells beside one of 2 x 3 of the same image: but for the outermost cells of the finer both are the place itself."""
    for name, size in (("fine", (4, 6)), ("coarse", (2, 3))):
        np.save(tmp_path / f"{name}.npy", ramp(*size).numpy())
    fine, coarse = Features(tmp_path).dense([camera("a/fine.png"), camera("a/coarse.png")])
    pixel = torch.tensor([[15, 15], [15, 33], [24, 44], [20, 30]])
    expected = (pixel + 0.5) / torch.tensor([40, 60])
    for values in (fine, coarse):
        assert torch.allclose(sample(values, pixel, (40, 60)), expected, atol=1e-5)


needs_real = pytest.mark.skipif(not (REAL / "features").is_dir(), reason="the real frames (shared/data) are not here")


@needs_real
def test_real_features_are_found_by_the_real_paths():
    teacher = open_teacher({"name": "features", "root": REAL / "features/espnetv2/semantickitti"})
    paths = sorted((REAL / "semantickitti/dataset/sequences").glob("*/image_2/*.png"))
    assert len(paths) == 24 and all(teacher.find(path).parts[-3:-1] == path.parts[-3:-1] for path in paths)
    panda = open_teacher({"name": "features", "root": REAL / "features/espnetv2/pandaset/002"})
    assert panda.dim == 32
    found = panda.find(REAL / "pandaset/002/camera/front_camera/31.jpg")
    assert found.parts[-3:] == ("002", "front_camera", "31.npy")


@needs_real
def test_real_features_tell_the_labels_of_the_points_that_they_are_sampled_at():
    """Nearest class mean over KITTI points, learnt on five frames and tried on five others, must do clearly worse when
    the pixels are moved 60 columns (a tenth of a second of driving): reader, projection, file and sampling agree."""
    from xkd.geometry import pair

    data = xkd.open_dataset("semantickitti", REAL / "semantickitti/dataset", "train")
    teacher = open_teacher({"name": "features", "root": REAL / "features/espnetv2/semantickitti"})
    right, moved, labels = [], [], []
    for i in range(0, len(data), 2):
        frame = data[i]
        pairs, camera = pair(frame), frame.cameras[0]
        features, here = teacher.dense([camera])[0], pairs.camera == 0
        pixel = torch.as_tensor(pairs.pixel[here].astype(np.int64))
        right.append(sample(features, pixel, camera.size).numpy())
        shifted = torch.stack([pixel[:, 0], (pixel[:, 1] + 60) % camera.size[1]], 1)
        moved.append(sample(features, shifted, camera.size).numpy())
        labels.append(frame.labels[pairs.point[here]])
    half = len(labels) // 2
    truth, hidden = np.concatenate(labels[:half]), np.concatenate(labels[half:])

    def accuracy(features):
        x = np.concatenate(features)
        x = (x - x.mean(0)) / (x.std(0) + 1e-6)
        known, new = x[: len(truth)], x[len(truth) :]
        classes = [c for c in np.unique(truth) if c >= 0 and (truth == c).sum() > 50]
        means = np.stack([known[truth == c].mean(0) for c in classes])
        guess = np.array(classes)[((means**2).sum(1) - 2 * new @ means.T).argmin(1)]
        return (guess == hidden)[np.isin(hidden, classes)].mean()

    assert accuracy(right) > 0.6 and accuracy(right) > accuracy(moved) + 0.05
