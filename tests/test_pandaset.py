"""PandaSet: a tiny layout whose numbers can be checked on paper, and real frames with the devkit's formula."""

import numpy as np
import pandas as pd
import pytest
from complaints import complains
from layout_pandaset import SENSOR, TIMES, dump, layout
from scipy.spatial.transform import Rotation

import xkd
from xkd.datasets import open_dataset, reader
from xkd.files import read_json
from xkd.geometry import invert, pair, project, transform


@pytest.fixture
def panda(tmp_path):
    return layout(tmp_path)


def test_facts():
    facts = reader("pandaset").facts()
    assert list(facts["labels"]) == list(range(1, 43)) and len(facts["classes"]) == 17
    assert {c for _, c in facts["labels"].values()} == set(facts["classes"]) | {None}
    assert len(facts["cameras"]) == 6 and list(reader("pandaset").splits()) == ["train", "val"]


def test_points_and_extrinsics_are_turned_together(panda):
    """Frame 2 is scan 02 of scene 002: the car is at (8, 20). 1 m right and 10 m ahead is (10, -1) here and (-2, 21) in the world."""
    data = open_dataset("pandaset", panda)
    frame = data[1]
    assert (frame.id, frame.scene, frame.split, frame.timestamp) == ("002/02", "002", "train", 1557539956700000)
    np.testing.assert_allclose(frame.points, [[10, -1, 0.2], [8, 2, -1], [-6, 0, 0.5], [12, -3, 1]], atol=1e-6)
    assert frame.points.dtype == np.float32
    np.testing.assert_allclose(transform(frame.T_world_lidar, frame.points[:1]), [[-2, 21, 0.2]], atol=1e-6)


@pytest.mark.parametrize("i", [0, 1])
def test_pixels_include_the_ego_motion(panda, i):
    """At the image the car is half a metre behind: from the front camera the point 10 m ahead is 10 + 0.5 - 1.5 = 9 m away, 1 m right and
    1.4 m down, so at column 960 + 1000 / 9 and row 540 + 1400 / 9. Row 0 has no sweep before it: the motion after it is carried back."""
    frame = open_dataset("pandaset", panda)[i]
    front, back = frame.cameras
    pixels, depth, seen = project(frame.points, front)
    np.testing.assert_allclose(depth[0], 9, atol=1e-5)
    np.testing.assert_allclose(pixels[0], [540 + 1400 / 9, 960 + 1000 / 9], atol=1e-3)
    assert seen.tolist() == [True, True, False, True] and project(frame.points, back)[2].tolist() == [
        False,
        False,
        True,
        False,
    ]
    assert (
        frame.timestamp - front.timestamp == 50_000
        and front.size == (1080, 1920)
        and front.image().shape == (1080, 1920, 3)
    )
    mount = [[0, 0, 1, 1.5], [-1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]]
    np.testing.assert_allclose(front.T_rig_cam, mount, atol=1e-5)
    np.testing.assert_allclose(front.T_world_rig[:3, 3], [10.5 - 2 * i, 20, 0], atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_between_two_poses_the_car_turns(panda, sign):
    """Row 1 heads 90 degrees from the world's x to its left, row 2 100, by either of its two quaternions: 95 at the image half way, where
    the car looks along (-sin 95, cos 95)."""
    path = panda / "002" / "lidar" / "poses.json"
    rows, half = read_json(path), np.radians(100) / 2
    rows[2]["heading"] = {"w": sign * np.cos(half), "x": 0, "y": 0, "z": sign * np.sin(half)}
    dump(path, rows)
    front = open_dataset("pandaset", panda)[1].cameras[0]
    np.testing.assert_allclose(
        front.T_world_rig[:3, 0], [-np.sin(np.radians(95)), np.cos(np.radians(95)), 0], atol=1e-5
    )
    T_world_cam = [[0, 0, -1, 7], [1, 0, 0, 20], [0, -1, 0, 1.6], [0, 0, 0, 1]]
    np.testing.assert_allclose(front.T_world_rig @ front.T_rig_cam, T_world_cam, atol=1e-6)


def test_a_quarter_of_the_way_is_a_quarter_of_the_turn(panda):
    """Row 1 heads 90 degrees, row 2 170; the image is a quarter of the way from one to the other: 110."""
    folder, half = panda / "002", np.radians(170) / 2
    rows = read_json(folder / "lidar" / "poses.json")
    rows[2]["heading"] = {"w": np.cos(half), "x": 0, "y": 0, "z": np.sin(half)}
    dump(folder / "lidar" / "poses.json", rows)
    times = read_json(folder / "lidar" / "timestamps.json")
    dump(folder / "camera" / "front_camera" / "timestamps.json", [time - 0.075 for time in times])
    front = open_dataset("pandaset", panda)[1].cameras[0]
    heading = np.radians(110)  # along the pose's y
    np.testing.assert_allclose(front.T_world_rig[:3, 0], [-np.sin(heading), np.cos(heading), 0], atol=1e-5)
    np.testing.assert_allclose(front.T_world_rig[:3, 3], [10 - 1.25, 20, 0], atol=1e-5)
    late = [time + 5 for time in times]
    dump(folder / "camera" / "front_camera" / "timestamps.json", late)
    with complains("002/lidar/timestamps.json: has no pose near the time", f"{late[2]:.6f} s", "over 1 s at most"):
        _ = open_dataset("pandaset", panda)[1].cameras


def test_attributes_labels_and_sensors(panda):
    """Ids 7 Road, 42 Other Static Object, 4 Reflection, 31 Pedestrian with Object are classes 0, 7, none and 3."""
    frame = open_dataset("pandaset", panda)[0]
    np.testing.assert_allclose(frame.attributes["intensity"], [0, 0.2, 0.4, 1], rtol=1e-6)
    np.testing.assert_allclose(frame.attributes["time"], TIMES, atol=1e-6)
    assert {n: a.dtype for n, a in frame.attributes.items()} == {"intensity": "f4", "time": "f4", "sensor": "u1"}
    assert frame.attributes["sensor"].tolist() == SENSOR
    assert frame.labels.tolist() == [0, 7, -1, 3] and frame.labels.dtype == np.int64 and frame.instances is None
    for sensor, rows in {"spinning": [0, 1], "solid": [2, 3], "both": [0, 1, 2, 3]}.items():
        one = open_dataset("pandaset", panda, sensor=sensor)[0]
        np.testing.assert_array_equal(one.points, frame.points[rows])
        assert one.labels.tolist() == frame.labels[rows].tolist()
        assert one.attributes["sensor"].tolist() == frame.attributes["sensor"][rows].tolist()


def test_scenes_splits_and_frames_without_labels(panda):
    data = open_dataset("pandaset", panda)
    assert data.scenes == ["002"] * 2 + ["004"] * 2 + ["101"] * 2
    assert [f.split for f in data] == ["train"] * 2 + [None] * 2 + ["val"] * 2
    assert data[2].labels is None and data[2].instances is None and len(data[2].points) == 4
    assert open_dataset("pandaset", panda, "train").scenes == ["002"] * 2
    assert open_dataset("pandaset", panda, "val").scenes == ["101"] * 2
    assert [f.id for f in data.neighbours(4, 2)] == ["101/02"] and data.camera_names == ["front_camera", "back_camera"]
    (panda / "002" / "annotations" / "semseg" / "02.pkl.gz").unlink()
    assert data[0].labels is not None and data[1].labels is None
    (panda / "101" / "meta" / "gps.json").unlink()
    assert open_dataset("pandaset", panda)[4].split is None
    with complains("101/meta/gps.json", "no such file"):
        open_dataset("pandaset", panda, "val")


def test_a_scan_by_itself(panda):
    points, attributes = reader("pandaset").scan_file(panda / "002" / "lidar" / "02.pkl.gz")
    frame = open_dataset("pandaset", panda)[1]
    np.testing.assert_array_equal(points, frame.points)
    assert all((attributes[name] == frame.attributes[name]).all() for name in ("intensity", "time", "sensor"))
    with complains("lidar/02.pkl", "no scan's name"):
        reader("pandaset").scan_file(panda / "002" / "lidar" / "02.pkl")


def test_opening_reads_no_scan_and_no_image(panda):
    for path in [*panda.glob("*/lidar/*.pkl.gz"), *panda.glob("*/camera/*/*.jpg"), *panda.glob("*/annotations/*/*.gz")]:
        path.unlink()
        path.touch()
    frame = open_dataset("pandaset", panda)[0]
    assert len(frame.cameras) == 2
    with complains("00.pkl.gz", "does not hold one whole pickled data frame"):
        _ = frame.points
    with complains("front_camera/00.jpg", "cannot be read as an image"):
        frame.cameras[0].image()


REAL = xkd.ROOT.parent / "shared" / "data" / "pandaset"
real = pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real PandaSet frames beside the repository")


def matrix(row):
    """The devkit's heading and position as (4, 4)."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat([row["heading"][k] for k in "xyzw"]).as_matrix()
    T[:3, 3] = [row["position"][k] for k in "xyz"]
    return T


def devkit(folder, camera, number, world):
    """The devkit's `geometry.projection` by its definition, without its border: world through inverse camera pose and K -> u, v; depth."""
    K = read_json(folder / "camera" / camera / "intrinsics.json")
    T_cam_world = np.linalg.inv(matrix(read_json(folder / "camera" / camera / "poses.json")[number]))
    x, y, z = T_cam_world[:3, :3] @ world.T + T_cam_world[:3, 3:]
    return np.column_stack([K["fx"] * x / z + K["cx"], K["fy"] * y / z + K["cy"]]), z


@real
def test_real_pixels_are_the_devkits():
    data = open_dataset("pandaset", REAL)
    assert len(data) == 12 and len(data.camera_names) == 6 and [f.id for f in data][:2] == ["002/31", "002/40"]
    for frame in data:
        number = int(frame.id[-2:])
        world = pd.read_pickle(REAL / "002" / "lidar" / f"{number}.pkl.gz")[list("xyz")].to_numpy()
        for camera in frame.cameras:
            expected, far = devkit(REAL / "002", camera.name, number, world)
            pixels, depth, seen = project(frame.points, camera)
            ahead = far > 0.1
            inside = ahead & (np.abs(expected - [959.5, 539.5]) < [960, 540]).all(axis=1)
            assert seen.sum() > 10_000 and (seen != inside).sum() <= 2  # float32 may move a point over the border
            np.testing.assert_allclose(depth[seen], far[seen], atol=1e-4)
            assert np.abs(pixels[seen, ::-1] - expected[seen]).max() < 0.01


@real
def test_real_shares_and_axes():
    """0.98 of the points lie in some image, 0.41 in the front one; x is where the front camera looks and the car drives; z is up."""
    data = open_dataset("pandaset", REAL)
    assert data.camera_names[0] == "front_camera"
    shares, front = [], []
    for frame in data:
        pairs = pair(frame, occlusion=False)
        shares.append(len(np.unique(pairs.point)) / len(frame.points))
        front.append((pairs.camera == 0).mean() * len(pairs) / len(frame.points))
        looks = np.array([camera.T_rig_cam[:3, 2] for camera in frame.cameras])
        np.testing.assert_allclose(np.abs(looks[:, 2]), 0, atol=0.03)
        azimuth = np.degrees(np.arctan2(looks[:, 1], looks[:, 0]))
        np.testing.assert_allclose(azimuth, [0, -58, -88.6, -178, 91.4, 57.8], atol=0.5)  # clockwise from the front
        road = frame.points[(frame.labels == 0) & (np.hypot(*frame.points[:, :2].T) < 20)]
        assert -0.5 < np.median(road[:, 2]) < -0.2
        solid = frame.points[frame.attributes["sensor"] == 1]
        assert (np.abs(np.degrees(np.arctan2(solid[:, 1], solid[:, 0]))) < 35).mean() > 0.99
    assert round(np.mean(shares), 2) == 0.98 and round(np.mean(front), 2) == 0.41
    drives = invert(data[10].T_world_lidar) @ data[11].T_world_lidar
    assert drives[0, 3] > 1 and np.abs(drives[1:3, 3]).max() < 0.1 * drives[0, 3]


@real
def test_real_mounts_stay_where_they_are():
    """The cameras are screwed on: their places in the rig are the same in every frame to a centimetre and a tenth of a degree."""
    mounts = np.array([[camera.T_rig_cam for camera in frame.cameras] for frame in open_dataset("pandaset", REAL)])
    assert np.ptp(mounts[..., :3, 3], axis=0).max() < 0.02
    angles = [Rotation.from_matrix(T[:, :3, :3] @ T[0, :3, :3].T).magnitude().max() for T in mounts.swapaxes(0, 1)]
    assert np.degrees(max(angles)) < 0.1


@real
def test_real_labels_are_in_the_order_of_the_points():
    """Both files number their rows alike, and labels are what the official names say; 21 of the 42 classes occur."""
    data = open_dataset("pandaset", REAL)
    labels = data.facts()["labels"]
    assert read_json(REAL / "002/annotations/semseg/classes.json") == {
        str(raw): name for raw, (name, _) in labels.items()
    }
    seen = set()
    for frame in data:
        file = f"{frame.id[-2:]}.pkl.gz"
        raw, points = pd.read_pickle(REAL / "002/annotations/semseg" / file), pd.read_pickle(REAL / "002/lidar" / file)
        assert (raw.index == points.index).all() and (raw.index == np.arange(len(raw))).all()
        expected = [labels[i][1] for i in raw["class"]]
        assert [data.classes[i] if i >= 0 else None for i in frame.labels] == expected
        np.testing.assert_allclose(frame.attributes["intensity"], points.i / 255, rtol=1e-6)
        np.testing.assert_array_equal(frame.attributes["sensor"], points.d)
        np.testing.assert_allclose(frame.attributes["time"], points.t - frame.timestamp / 1e6, atol=2e-6)
        seen |= set(raw["class"])
    assert len(seen) == 21
