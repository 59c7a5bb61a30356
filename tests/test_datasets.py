"""Readers against layouts written by hand and the official tools' facts."""

import layouts
import numpy as np
import pytest

from xkd.datasets import kinds, open_dataset, reader
from xkd.files import read_json, write_json
from xkd.geometry import invert, project, transform
from xkd.nuscenes_index import rows


@pytest.mark.parametrize("kind", kinds())
def test_a_file_is_a_kind(kind):
    assert reader(kind).kind == kind and len(reader(kind).facts()["classes"]) > 1


def test_published_facts_have_their_published_sizes():
    facts, splits = reader("nuscenes").facts(), reader("nuscenes").splits()
    assert len(facts["classes"]) == 16 and len(facts["categories"]) == 32
    assert set(facts["categories"].values()) == set(facts["classes"]) | {None}
    assert {s: len(n) for s, n in splits.items()} == {
        "train": 700,
        "val": 150,
        "test": 150,
        "mini_train": 8,
        "mini_val": 2,
    }
    assert not splits["train"] & splits["val"] and not (splits["train"] | splits["val"]) & splits["test"]
    facts, splits = reader("semantickitti").facts(), reader("semantickitti").splits()
    assert len(facts["classes"]) == 19 and len(facts["labels"]) == 34
    assert {c for _, c in facts["labels"].values()} == set(facts["classes"]) | {None}
    assert splits == {"train": {*range(8), 9, 10}, "val": {8}, "test": {*range(11, 22)}}


def test_nuscenes_facts_are_the_devkits():
    pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    from nuscenes.eval.lidarseg.utils import LidarsegClassMapper
    from nuscenes.utils import splits
    from nuscenes.utils.color_map import get_colormap

    facts = reader("nuscenes").facts()
    for name, numbers in reader("nuscenes").splits().items():
        assert {f"scene-{n:04d}" for n in numbers} == set(getattr(splits, name))
    assert list(facts["categories"]) == list(get_colormap())
    mapper = LidarsegClassMapper.__new__(LidarsegClassMapper)
    mapper.ignore_class = LidarsegClassMapper.get_ignore_class()
    ids = {name: i - 1 for name, i in mapper.get_coarse2idx().items()}
    assert {c: list(facts["classes"]).index(c) for c in facts["classes"]} | {"ignore": -1} == ids
    assert {n: c or "ignore" for n, c in facts["categories"].items()} == mapper.get_fine2coarse()
    colours = {c: tuple(rgb) for c, rgb in facts["classes"].items()} | {"ignore": (0, 0, 0)}
    assert colours == mapper.get_coarse2color()


def test_nuscenes_points_and_extrinsics_are_turned_together(nuscenes):
    """On disk 1 m right, 10 m ahead: here (10, -1), from the rig (11, -1, 2), in the world (11, 31, 2)."""
    frame = open_dataset("nuscenes", nuscenes)[0]
    np.testing.assert_allclose(frame.points, [[10, -1, 0.2], [8, 2, -1], [-6, 0, 0.5], [12, -3, 1]], rtol=1e-6)
    assert frame.points.dtype == np.float32
    np.testing.assert_allclose(transform(frame.T_world_lidar, frame.points[:1]), [[11, 31, 2]], atol=1e-6)
    T_world_rig = np.array([[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 0], [0, 0, 0, 1]])
    T_rig_lidar = invert(T_world_rig) @ frame.T_world_lidar
    np.testing.assert_allclose(T_rig_lidar, [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1.8], [0, 0, 0, 1]], atol=1e-12)


def test_nuscenes_pixels_include_the_ego_motion(nuscenes):
    """The world's (11, 31, 2) is (10.5, -1, 2) from the car at the image's time, (9, -1, 0.5) from the front camera:

    col 80 + 100 / 9, row 45 - 50 / 9, depth 9. Without the half metre between sweep and image the depth would be 9.5.
    """
    frame = open_dataset("nuscenes", nuscenes)[0]
    front, back = frame.cameras
    pixels, depth, seen = project(frame.points, front)
    np.testing.assert_allclose(pixels[0], [45 - 50 / 9, 80 + 100 / 9], atol=1e-5)
    np.testing.assert_allclose(depth[0], 9, atol=1e-5)
    assert seen.tolist() == [True, True, False, True]
    assert project(frame.points, back)[2].tolist() == [False, False, True, False]
    assert (front.timestamp, frame.timestamp) == (1_040_000, 1_000_000)
    assert front.size == (90, 160) and front.model == "pinhole" and front.modality == "rgb"
    assert front.image().shape == (90, 160, 3) and front.image().dtype == np.uint8


def test_nuscenes_cameras_share_no_matrix(nuscenes):
    """What one mounting's images have alike is made once, and given to each as its own."""
    data = open_dataset("nuscenes", nuscenes)
    first, second = data[0].cameras, data[0].cameras
    for one, other in zip(first, second, strict=True):
        K, T = other.K.copy(), other.T_rig_cam.copy()
        one.K[:], one.T_rig_cam[:] = 7, 7
        assert (other.K == K).all() and (other.T_rig_cam == T).all()
    assert (data[0].cameras[0].K == second[0].K).all()


def test_nuscenes_attributes_and_labels(nuscenes):
    """lidarseg numbers are category.json's own index: 2 driveable (class 10), 1 car (3), 0 noise (-1), 3 child (6)."""
    data = open_dataset("nuscenes", nuscenes)
    frame = data[0]
    np.testing.assert_allclose(frame.attributes["intensity"], [0, 0.2, 0.4, 1], rtol=1e-6)
    assert frame.attributes["intensity"].dtype == np.float32
    assert frame.attributes["ring"].tolist() == [0, 1, 30, 31]
    assert frame.labels.tolist() == [10, 3, -1, 6] and frame.labels.dtype == np.int64
    assert [data.classes[i] for i in (10, 3, 6)] == ["driveable_surface", "car", "pedestrian"]
    assert data.colours[3].tolist() == [255, 158, 0] and data.colours.dtype == np.uint8
    assert frame.instances is None and data.ignore_index == -1


def test_nuscenes_without_lidarseg_has_no_labels(tmp_path):
    frame = open_dataset("nuscenes", layouts.nuscenes(tmp_path, lidarseg=False))[0]
    assert frame.labels is None and frame.instances is None


def test_nuscenes_panoptic_instances(nuscenes):
    """category * 1000 + instance; instance 0 is none."""
    rows = [{"sample_data_token": "scene-0061-0-lidar-1000000", "filename": "panoptic/p.npz"}]
    write_json(nuscenes / "v1.0-mini" / "panoptic.json", rows)
    (nuscenes / "panoptic").mkdir()
    np.savez(nuscenes / "panoptic" / "p.npz", data=np.array([24000, 17001, 17002, 0], np.uint16))
    data = open_dataset("nuscenes", nuscenes)
    assert data[0].instances.tolist() == [0, 17001, 17002, 0]
    assert data[1].instances is None


def test_nuscenes_frames_are_key_frames_in_scene_and_time_order(nuscenes):
    data = open_dataset("nuscenes", nuscenes)
    assert data.scenes == ["scene-0061"] * 3 + ["scene-0103"] * 2
    assert [f.id for f in data] == ["scene-0061-0", "scene-0061-1", "scene-0061-2", "scene-0103-0", "scene-0103-1"]
    assert [f.split for f in data] == ["mini_train"] * 3 + ["mini_val"] * 2
    assert [f.index for f in data] == list(range(5)) and len({f.id for f in data}) == 5
    assert data.camera_names == ["CAM_FRONT", "CAM_BACK"] == [c.name for c in data[0].cameras]
    assert data[-1].id == "scene-0103-1" and [f.id for f in data[3:]] == ["scene-0103-0", "scene-0103-1"]
    with pytest.raises(IndexError):
        data[5]


def test_neighbours_stay_in_the_scene_and_leave_the_frame_out(nuscenes):
    data = open_dataset("nuscenes", nuscenes)

    def ids(i, k):
        return [f.index for f in data.neighbours(i, k)]

    assert ids(1, 1) == [0, 2] and ids(0, 2) == [1, 2] and ids(2, 1) == [1]
    assert ids(3, 5) == [4] and ids(-1, 5) == [3] and ids(0, 0) == []


def test_nuscenes_splits_and_versions(nuscenes):
    assert open_dataset("nuscenes", nuscenes, "mini_val").scenes == ["scene-0103"] * 2
    assert open_dataset("nuscenes", nuscenes, "mini_train").split == "mini_train"
    layouts.nuscenes(nuscenes, version="v1.0-trainval")
    assert open_dataset("nuscenes", nuscenes, "train").scenes == ["scene-0061"] * 3
    assert open_dataset("nuscenes", nuscenes, "val").scenes == ["scene-0103"] * 2
    assert [f.split for f in open_dataset("nuscenes", nuscenes, version="v1.0-trainval")] == ["train"] * 3 + ["val"] * 2


def test_a_long_table_is_read_in_pieces(nuscenes):
    path = nuscenes / "v1.0-mini" / "sample_data.json"
    whole = read_json(path)
    for chunk in (1, 7, 100):
        assert list(rows(path, chunk)) == whole


def test_semantickitti_on_paper(kitti):
    """Velodyne (10, 1, 0.5) is (-1, -0.5, 10) + (0.1, -0.2, -0.3) = (-0.9, -0.7, 9.7) in camera 0's frame.

    P2 gives u = 100 * -0.9 + 80 * 9.7 + 20 = 706, v = 100 * -0.7 + 45 * 9.7 + 10 = 376.5, w = 9.7 + 0.5 = 10.2.
    """
    data = open_dataset("semantickitti", kitti)
    frame = data[1]
    assert frame.id == "00/000001" and frame.scene == "00" and frame.split == "train"
    np.testing.assert_array_equal(frame.points, layouts.KITTI_POINTS[:, :3])
    np.testing.assert_array_equal(frame.attributes["intensity"], [0.25, 1, 0])
    assert frame.labels.tolist() == [8, 0, -1] and frame.instances.tolist() == [7, 0, 0]
    assert data.classes[8] == "road" and data.classes[0] == "car"
    assert data.colours[0].tolist() == [100, 150, 245]
    (camera,) = frame.cameras
    pixels, depth, seen = project(frame.points, camera)
    np.testing.assert_allclose(pixels[0], [376.5 / 10.2, 706 / 10.2], atol=1e-9)
    np.testing.assert_allclose(depth[0], 10.2, atol=1e-9)
    assert seen.tolist() == [True, True, False] and camera.size == (90, 160)
    assert frame.timestamp == camera.timestamp == 100_000


def test_semantickitti_world_is_camera_0s_first_frame(kitti):
    """Tr, then 2 m along camera 0's z for the second frame."""
    frame = open_dataset("semantickitti", kitti)[1]
    np.testing.assert_allclose(transform(frame.T_world_lidar, [[10, 1, 0.5]]), [[-0.9, -0.7, 11.7]], atol=1e-12)


def test_semantickitti_splits_use_the_sequences_that_are_there(kitti):
    assert open_dataset("semantickitti", kitti).scenes == ["00"] * 3 + ["08"] * 3 + ["11"] * 3
    assert open_dataset("semantickitti", kitti, "train").scenes == ["00"] * 3
    assert open_dataset("semantickitti", kitti, "val").scenes == ["08"] * 3
    test = open_dataset("semantickitti", kitti / "dataset", "test")
    assert test.scenes == ["11"] * 3 and test[0].labels is None and test[0].instances is None
    assert [f.id for f in test.neighbours(1, 1)] == ["11/000000", "11/000002"]


def test_semantickitti_cameras_are_those_with_images(tmp_path):
    both = layouts.semantickitti(tmp_path / "both", cameras=("image_2", "image_3"))
    data = open_dataset("semantickitti", both)
    assert data.camera_names == ["image_2", "image_3"] == [c.name for c in data[0].cameras]
    left, right = data[0].cameras
    # P2 and P3 put the cameras 0.2 - 0.4 - (-0.3) m apart along x: t = ((20 - 40) / 100, ...) and (-30 / 100, 0, 0)
    offset = invert(left.T_rig_cam) @ right.T_rig_cam
    np.testing.assert_allclose(offset[0, 3], (20 - 80 * 0.5) / 100 + 0.3, atol=1e-12)
    without = layouts.semantickitti(tmp_path / "without", cameras=())
    data = open_dataset("semantickitti", without)
    assert data.camera_names == [] and data[0].cameras == [] and len(data[0].points) == 3
