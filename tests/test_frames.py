"""Readers and pairing on real and made frames, with the official tools' formulas as peers."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import xkd
from xkd.datasets import open_dataset
from xkd.files import read_json
from xkd.geometry import invert, pair, project

REAL = xkd.ROOT.parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no folder of real frames ({REAL.name}) beside the repository")


def chain(root, frame, camera, points):
    """map_pointcloud_to_image of the devkit, step by step from the raw tables: (N, 2) u, v and (N,) depth."""
    (folder,) = {path.parent for path in root.glob("v1.0-*/sample.json") if frame.id in path.read_text()}
    names = ("sample_data", "calibrated_sensor", "ego_pose", "sensor")
    tables = {name: {row["token"]: row for row in read_json(folder / f"{name}.json")} for name in names}
    chosen = {}
    for row in tables["sample_data"].values():
        mount = tables["calibrated_sensor"][row["calibrated_sensor_token"]]
        if row["is_key_frame"] and row["sample_token"] == frame.id:
            channel = tables["sensor"][mount["sensor_token"]]["channel"]
            chosen[channel] = (mount, tables["ego_pose"][row["ego_pose_token"]])
    cloud = points[:, :3].astype(np.float64)
    for record in chosen["LIDAR_TOP"]:
        cloud = turn(record).apply(cloud) + record["translation"]
    for record in reversed(chosen[camera]):
        cloud = turn(record).inv().apply(cloud - record["translation"])
    u, v, depth = np.array(chosen[camera][0]["camera_intrinsic"]) @ cloud.T
    return np.column_stack([u, v]) / depth[:, None], depth


def turn(record):
    w, x, y, z = record["rotation"]
    return Rotation.from_quat([x, y, z, w])


def agree_with_chain(data, root):
    frame = data[0]
    scan = np.fromfile(next((root / "samples" / "LIDAR_TOP").glob(f"*{frame.timestamp}*")), np.float32).reshape(-1, 5)
    for camera in frame.cameras:
        expected, depth = chain(root, frame, camera.name, scan)
        pixels, far, seen = project(frame.points, camera)
        assert seen.sum() > 100
        np.testing.assert_allclose(far, depth, atol=1e-5)
        assert np.abs(pixels[seen] - expected[seen, ::-1]).max() < 0.01


@real
def test_real_nuscenes_pixels_agree_with_the_official_chain():
    root = REAL / "nuscenes_one_sample"
    agree_with_chain(open_dataset("nuscenes", root), root)


@real
def test_real_nuscenes_sample():
    """The LiDAR looks forward in the rig (its calibration turns the axes); 58 % of the points are in some image."""
    data = open_dataset("nuscenes", REAL / "nuscenes_one_sample")
    assert len(data) == 1 and data.scenes == ["scene-0061"] and data.version == "v1.0-test"
    frame = data[0]
    assert frame.labels is None and frame.points.shape == (34688, 3)
    at_sweep = frame.cameras[4]  # CAM_BACK_LEFT is taken half a millisecond before the sweep
    T_rig_lidar = invert(at_sweep.T_world_rig) @ frame.T_world_lidar
    np.testing.assert_allclose(T_rig_lidar[:3, :3], np.eye(3), atol=0.03)
    np.testing.assert_allclose(T_rig_lidar[:3, 3], [0.94, 0, 1.84], atol=0.02)
    pairs = pair(frame, occlusion=False)
    assert round(len(np.unique(pairs.point)) / len(frame.points), 2) == 0.58
    assert set(pairs.camera) == set(range(6))
    front, points = frame.cameras[0], frame.points
    ahead = (points[:, 0] > 10) & (np.abs(points[:, 1]) < 3)
    assert data.camera_names[0] == front.name == "CAM_FRONT" and project(points[ahead], front)[2].mean() > 0.9
    assert front.image().shape == (900, 1600, 3)


@real
def test_real_semantickitti_pixels_are_p2_tr():
    data = open_dataset("semantickitti", REAL / "semantickitti")
    assert len(data) == 24 and len(open_dataset("semantickitti", REAL / "semantickitti", "val")) == 4
    for i in (0, 9, 17, 23):
        frame = data[i]
        (camera,) = frame.cameras
        folder = REAL / "semantickitti" / "dataset" / "sequences" / frame.scene
        lines = dict(line.split(":") for line in (folder / "calib.txt").read_text().splitlines() if line)
        P2, Tr = (np.array(lines[k].split(), float).reshape(3, 4) for k in ("P2", "Tr"))
        homogeneous = np.column_stack([frame.points, np.ones(len(frame.points))])
        u, v, w = P2 @ np.vstack([Tr, [0, 0, 0, 1]]) @ homogeneous.T
        pixels, depth, seen = project(frame.points, camera)
        np.testing.assert_allclose(depth, w, atol=1e-6)
        assert np.abs(pixels[seen] - np.column_stack([v, u])[seen] / w[seen, None]).max() < 0.01


@real
def test_real_semantickitti_shares_and_labels():
    """0.143 to 0.163 of a sequence lie in the image; every point has a label; image sizes differ by sequence."""
    data = open_dataset("semantickitti", REAL / "semantickitti")
    shares, sizes = {}, {}
    for frame in data:
        seen = project(frame.points, frame.cameras[0])[2]
        shares.setdefault(frame.scene, []).append(seen.mean())
        sizes[frame.scene] = frame.cameras[0].size
        assert len(frame.labels) == len(frame.points) == len(frame.instances)
        assert 0 <= frame.attributes["intensity"].min() and frame.attributes["intensity"].max() <= 1
    means = [np.mean(s) for s in shares.values()]
    assert 0.1425 < min(means) and max(means) < 0.1635
    assert sizes["00"] == (376, 1241) and sizes["03"] == (375, 1242) and sizes["08"] == (370, 1226)
    assert data[0].cameras[0].image().shape == (376, 1241, 3)
    road = data[0].points[data[0].labels == data.classes.index("road")]
    assert -2.0 < np.median(road[:, 2]) < -1.5  # the velodyne is 1.73 m above the road, z up


def test_made_nuscenes_frames(made):
    root = Path(made) / "nuscenes"
    train, val, test = (open_dataset("nuscenes", root, split) for split in ("train", "val", "test"))
    assert not set(train.scenes) & set(val.scenes) and not set(val.scenes) & set(test.scenes)
    assert test[0].labels is None and len(train.camera_names) == 6
    for data in (train, val):
        for frame in data:
            assert len(frame.labels) == len(frame.points) and -1 <= frame.labels.min() and frame.labels.max() < 16
    agree_with_chain(train, root)


def test_made_nuscenes_pixels_agree_with_the_devkit(made):
    """The devkit itself opens the tables; it leaves out a border of one pixel."""
    devkit = pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    official = devkit.NuScenes("v1.0-trainval", str(Path(made) / "nuscenes"), verbose=False)
    for frame in open_dataset("nuscenes", Path(made) / "nuscenes", "val"):
        tokens = official.get("sample", frame.id)["data"]
        for camera in frame.cameras:
            theirs, far, _ = official.explorer.map_pointcloud_to_image(tokens["LIDAR_TOP"], tokens[camera.name], 0.1)
            pixels, depth, seen = project(frame.points, camera)
            (height, width), (row, col) = camera.size, pixels.T
            inside = seen & (col > 1) & (col < width - 1) & (row > 1) & (row < height - 1)
            np.testing.assert_allclose(depth[inside], far, atol=1e-4)
            assert np.abs(pixels[inside, ::-1] - theirs[:2].T).max() < 0.01


def test_made_semantickitti_frames(made):
    data = open_dataset("semantickitti", Path(made) / "semantickitti")
    assert data.camera_names == ["image_2", "image_3"]
    for frame in data:
        assert len(frame.labels) == len(frame.points) and frame.labels.max() < 19
        assert len(pair(frame)) > 0
        assert frame.cameras[0].image().shape[:2] == frame.cameras[0].size
