"""The writers and the build driver against numbers worked out by hand."""

import re

import numpy as np
import pytest
from PIL import Image

import xkd
from xkd.sim import write_cityscapes, write_kitti, write_nuscenes
from xkd.sim.records import Shot, Sweep

NAMES = ["flat.driveable_surface", "vehicle.car", "static.vegetation"]
K = np.array([[100.0, 0, 40], [0, 100, 20], [0, 0, 1]])
FORWARD = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Camera axes (x right, y down, z forward) in a frame with x forward, y left, z up."""


def shift(x=0.0, y=0.0, z=0.0):
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


def sweep(x=0.0, time=0, **changes):
    """Three points seen by a LiDAR 2 m above a rig that stands at `x`."""
    points = np.array([[10, 2, -2.0], [20, 0, 0.12345], [0, -5, 1]])
    values = dict(points=points, intensity=np.array([0, 0.2, 1]), ring=np.array([0, 7, 31], np.uint8))
    values |= dict(label=np.array([0, 1, 2], np.uint8), instance=np.array([0, 5, 0], np.uint16), timestamp=time)
    values |= dict(T_world_rig=shift(x), T_rig_lidar=shift(z=2), T_world_lidar=shift(x, z=2))
    return Sweep(**(values | changes))


def shot(name="CAM_FRONT", x=0.0, y=0.0, time=0, **changes):
    values = dict(name=name, image=np.full((40, 80, 3), 90, np.uint8), label=np.zeros((40, 80), np.uint8))
    values |= dict(depth=np.ones((40, 80), np.float32), K=K, T_rig_cam=shift(1, y, 1.5) @ FORWARD, T_world_rig=shift(x))
    return Shot(**(values | {"timestamp": time} | changes))


@pytest.fixture
def scene(tmp_path):
    """Two frames half a second and 4 m apart; the camera fires 40 ms after the sweep, 0.3 m further on."""
    frames = [(sweep(4 * i, 500_000 * i), [shot(x=4 * i + 0.3, time=500_000 * i + 40_000)]) for i in range(2)]
    return tmp_path, write_nuscenes.write_scene(tmp_path, "train", 2, frames, NAMES)


def test_lidar_is_written_with_x_right_y_forward(scene):
    root, rows = scene
    file = next(r["filename"] for r in rows["sample_data"] if "LIDAR_TOP" in r["filename"])
    expected = np.array([[-2, 10, -2, 0, 0], [0, 20, 0.123, 51, 7], [5, 0, 1, 255, 31]], np.float32)
    np.testing.assert_array_equal(np.fromfile(root / file, np.float32).reshape(-1, 5), expected)


def test_lidar_calibration_holds_the_turn(scene):
    _, rows = scene
    lidar = next(r for r in rows["calibrated_sensor"] if not r["camera_intrinsic"])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(lidar["rotation"], [half, 0, 0, -half], atol=1e-9)
    assert lidar["translation"] == [0, 0, 2]


def test_camera_rows(scene):
    _, rows = scene
    camera = next(r for r in rows["calibrated_sensor"] if r["camera_intrinsic"])
    np.testing.assert_allclose(camera["rotation"], [0.5, -0.5, 0.5, -0.5], atol=1e-9)
    assert camera["translation"] == [1, 0, 1.5] and camera["camera_intrinsic"] == K.tolist()
    data = [r for r in rows["sample_data"] if "CAM_FRONT" in r["filename"]]
    assert [(r["height"], r["width"], r["fileformat"]) for r in data] == [(40, 80, "jpg")] * 2


def test_every_file_has_its_own_ego_pose_and_time(scene):
    root, rows = scene
    poses = {r["token"]: r for r in rows["ego_pose"]}
    lidar, camera = (
        [poses[r["ego_pose_token"]] for r in rows["sample_data"] if channel in r["filename"]]
        for channel in ("LIDAR", "CAM")
    )
    np.testing.assert_allclose(
        np.subtract([p["translation"] for p in camera], [p["translation"] for p in lidar]), [[0.3, 0, 0]] * 2, atol=1e-9
    )
    np.testing.assert_allclose(np.subtract(lidar[1]["translation"], lidar[0]["translation"]), [4, 0, 0], atol=1e-9)
    assert [c["timestamp"] - s["timestamp"] for c, s in zip(camera, lidar, strict=True)] == [40_000] * 2
    pattern = r"samples/(\w+)/n\d{3}(-\d\d\d\d)(-\d\d){5}[+-]\d{4}__\1__(\d{16})\.(jpg|pcd\.bin)"
    for row in rows["sample_data"]:
        assert int(re.fullmatch(pattern, row["filename"])[4]) == row["timestamp"]
        assert (root / row["filename"]).is_file()


def test_rows_are_chained(scene):
    _, rows = scene
    first, second = rows["sample"]
    assert (first["prev"], first["next"]) == ("", second["token"])
    assert (second["prev"], second["next"]) == (first["token"], "")
    chains = [r for r in rows["sample_data"] if r["prev"] == ""]
    assert len(chains) == 2 and len(rows["sample_data"]) == 4
    assert rows["scene"][0]["nbr_samples"] == 2 and rows["scene"][0]["name"] == "scene-0002"


def test_tokens_are_32_hex_and_unique(scene):
    _, rows = scene
    tokens = [(table, r["token"]) for table, group in rows.items() for r in group]
    assert len(set(tokens)) == len(tokens) and all(re.fullmatch("[0-9a-f]{32}", t) for _, t in tokens)


def test_labels_are_official_numbers_and_the_test_split_has_none(scene, tmp_path):
    root, rows = scene
    file = root / rows["lidarseg"][0]["filename"]
    assert np.fromfile(file, np.uint8).tolist() == [24, 17, 30]
    assert file.name == f"{rows['lidarseg'][0]['sample_data_token']}_lidarseg.bin"
    other = write_nuscenes.write_scene(tmp_path / "test", "test", 77, [(sweep(), [])], NAMES)
    assert other["lidarseg"] == [] and not (tmp_path / "test" / "lidarseg").exists()


def test_map_marks_the_road_under_the_points(scene):
    root, rows = scene
    mask = np.array(Image.open(root / rows["map"][0]["filename"]))
    ego = np.array(rows["ego_pose"][0]["translation"])
    assert set(np.unique(mask)) == {0, 255}
    # The road point of frame 0 lies 10 m ahead of the car and 2 m to its left; 25 m ahead nothing was seen.
    for (x, y), value in {(10, 2): 255, (10, 6): 0}.items():
        column, row = np.round((ego[:2] + (x, y)) * 10).astype(int)
        assert mask[mask.shape[0] - row, column] == value


def test_unknown_category_is_named(tmp_path):
    with pytest.raises(xkd.XkdError, match="flat.lava"):
        write_nuscenes.write_scene(tmp_path, "train", 1, [(sweep(), [])], ["flat.lava"])


def stereo(x=0.0):
    return [shot("image_2", x, 0.06), shot("image_3", x, -0.48)]


def read_calibration(file):
    rows = (line.split(":") for line in file.read_text().splitlines())
    return {key: np.array(values.split(), float).reshape(3, 4) for key, values in rows}


def test_kitti_files_by_hand(tmp_path):
    frames = [(sweep(2.5 * i, 100_000 * i), stereo(2.5 * i)) for i in range(2)]
    write_kitti.write_sequence(tmp_path, "00", frames, [40, 252, 70])
    folder = tmp_path / "dataset/sequences/00"
    scan = np.fromfile(folder / "velodyne/000000.bin", np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(scan[1], np.array([20, 0, 0.123, 0.2], np.float32))
    assert np.fromfile(folder / "labels/000001.label", np.uint32).tolist() == [40, 5 << 16 | 252, 70]
    assert [float(t) for t in (folder / "times.txt").read_text().split()] == [0, 0.1]
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 3, 4)
    np.testing.assert_allclose(poses[0], np.eye(4)[:3], atol=1e-9)
    np.testing.assert_allclose(poses[1, :, 3], [0, 0, 2.5], atol=1e-9)  # forward is z for a camera
    calibration = read_calibration(folder / "calib.txt")
    # Camera 2 is 1 m before, 0.06 m left of and 0.5 m below the LiDAR: the point is 20 m ahead, 0.5 m left, 0.2 m up.
    u, v, w = calibration["P2"] @ np.vstack([calibration["Tr"], [0, 0, 0, 1]]) @ [21, 0.56, -0.3, 1]
    np.testing.assert_allclose([u / w, v / w, w], [40 - 100 * 0.5 / 20, 20 - 100 * 0.2 / 20, 20], atol=1e-6)
    # Stereo: camera 3 is 0.54 m to the right of camera 2.
    u3, _, w3 = calibration["P3"] @ np.vstack([calibration["Tr"], [0, 0, 0, 1]]) @ [21, 0.56, -0.3, 1]
    np.testing.assert_allclose(u / w - u3 / w3, 100 * 0.54 / 20, atol=1e-6)


def test_kitti_refuses_what_its_calibration_cannot_say(tmp_path):
    late = [(sweep(), stereo()), (sweep(1), stereo(1.5))]
    moved = [(sweep(), stereo()), (sweep(1, T_rig_lidar=shift(z=2.1)), stereo(1))]
    for frames, message in ((late, "time"), (moved, "frame 1")):
        with pytest.raises(xkd.XkdError, match=message):
            write_kitti.write_sequence(tmp_path, "00", frames, [40, 10, 70])
    turned = np.diag([0.0, 0, 1, 1])
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    cameras = [shot("image_2"), shot("image_3", T_rig_cam=turned @ FORWARD)]
    with pytest.raises(xkd.XkdError, match="image_3"):
        write_kitti.write_sequence(tmp_path, "01", [(sweep(), cameras)], [40, 10, 70])


def test_cityscapes_labels_and_names(tmp_path):
    label = np.array([[0, 1], [2, 255]], np.uint8)
    shots = [shot(label=label, image=np.arange(12, dtype=np.uint8).reshape(2, 2, 3))]
    assert write_cityscapes.write_images(tmp_path, "val", "simstadt", 3, shots, [7, 26, 21]) == 1
    ids = Image.open(tmp_path / "gtFine/val/simstadt/simstadt_000003_000019_gtFine_labelIds.png")
    assert np.array(ids).tolist() == [[7, 26], [21, 23]]
    image = Image.open(tmp_path / "leftImg8bit/val/simstadt/simstadt_000003_000019_leftImg8bit.png")
    np.testing.assert_array_equal(np.array(image), shots[0].image)
