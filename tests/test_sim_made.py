"""The made folders through other eyes: the official nuScenes devkit, KITTI's own equations, and a second build."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from xkd.files import digest
from xkd.sim import write
from xkd.sim.taxonomy import TAXONOMY


def captured(role, rig):
    """Sweep and shots of the first frame of the role's first street in the smoke build, from the simulator itself."""
    from xkd.sim import sensors, world

    street = next(s for s in write.plan("all", "smoke") if s.role == role)
    return sensors.capture(world.street(street.seed, street.profile), rig, 0, street.seed)


def agreement(u, v, depth, labels, shot, names):
    """Shares of points whose pixel bears their name, among those inside, 3 m or more away and not on a label's edge.

    u, v: (N,) columns and rows; depth: (N,) metres; labels: (N,) names; names: name of every taxonomy index. The shares
    are of all such points, and of those that the image sees (their depth is the image's).
    """
    column, row = np.floor(np.array([u, v]) + 0.5).astype(int)
    height, width = shot.label.shape
    keep = (row >= 2) & (row < height - 2) & (column >= 2) & (column < width - 2) & (depth > 3)
    row, column, depth, labels = row[keep], column[keep], depth[keep], np.array(labels)[keep]
    seen = np.append(names, ["sky"] * (256 - len(names)))[shot.label]
    calm = np.all([seen[row + i, column + j] == seen[row, column] for i in range(-2, 3) for j in range(-2, 3)], 0)
    visible = calm & (abs(shot.depth[row, column] / depth - 1) < 0.03)
    assert visible.sum() > 100
    same = seen[row, column] == labels
    return same[calm].mean(), same[visible].mean()


@pytest.fixture(scope="module")
def devkit(made):
    reason = "nuscenes-devkit and its imports are not installed (requirements of the test extra)"
    nuscenes = pytest.importorskip("nuscenes.nuscenes", reason=reason)
    return lambda version: nuscenes.NuScenes(version, str(made / "nuscenes"), verbose=False)


def test_devkit_opens_both_versions_with_the_official_splits(devkit):
    from nuscenes.utils.splits import create_splits_scenes

    official = create_splits_scenes()
    trainval, test = devkit("v1.0-trainval"), devkit("v1.0-test")
    scenes = {scene["name"] for scene in trainval.scene}
    assert (len(scenes & set(official["train"])), len(scenes & set(official["val"]))) == (3, 2)
    assert {scene["name"] for scene in test.scene} <= set(official["test"]) and len(test.scene) == 1
    assert not hasattr(test, "lidarseg") and not test.sample_annotation
    assert trainval.lidarseg_idx2name_mapping == dict(enumerate(trainval.colormap))


def test_devkit_walks_a_scene(devkit):
    nusc = devkit("v1.0-trainval")
    for scene in nusc.scene:
        token, samples = scene["first_sample_token"], []
        while token:
            samples.append(nusc.get("sample", token))
            token = samples[-1]["next"]
        assert len(samples) == scene["nbr_samples"] == 2 and samples[-1]["token"] == scene["last_sample_token"]
        for sample in samples:
            assert len(sample["data"]) == 7
            for channel, data in sample["data"].items():
                path, boxes, K = nusc.get_sample_data(data)
                assert boxes == [] and (K is None) == (channel == "LIDAR_TOP")
                if K is not None:
                    row = nusc.get("sample_data", data)
                    assert Image.open(path).size == (row["width"], row["height"])


def test_devkit_finds_one_label_a_point(devkit):
    from nuscenes.utils.data_classes import LidarPointCloud
    from nuscenes.utils.data_io import load_bin_file

    nusc = devkit("v1.0-trainval")
    assert len(nusc.lidarseg) == len(nusc.sample)
    for row in nusc.lidarseg:
        cloud = LidarPointCloud.from_file(nusc.get_sample_data_path(row["sample_data_token"]))
        assert len(load_bin_file(f"{nusc.dataroot}/{row['filename']}")) == cloud.nbr_points() > 500
        assert cloud.points[3].min() >= 0 and 10 < cloud.points[3].max() <= 255


def test_devkit_puts_the_car_on_the_road_of_its_map(devkit):
    nusc = devkit("v1.0-trainval")
    for scene in nusc.scene:
        sample = nusc.get("sample", scene["first_sample_token"])
        ego = nusc.get("ego_pose", sample["data"]["LIDAR_TOP"])["translation"]
        mask = nusc.get("map", nusc.get("log", scene["log_token"])["map_token"])["mask"]
        assert mask.is_on_mask(*ego[:2])[0] and not mask.is_on_mask(0.5, 0.5)[0]


def test_devkit_lands_points_on_the_right_objects(devkit):
    nusc = devkit("v1.0-trainval")
    sample = nusc.get("sample", nusc.scene[0]["first_sample_token"])
    names = np.array([row["nuscenes"] for row in TAXONOMY])
    colours = {tuple(np.array(colour)): name for name, colour in nusc.colormap.items()}
    _, shots = captured("train", "nuscenes")
    for shot in shots:
        pair = sample["data"]["LIDAR_TOP"], sample["data"][shot.name]
        points, depth, image = nusc.explorer.map_pointcloud_to_image(*pair)
        _, painted, _ = nusc.explorer.map_pointcloud_to_image(*pair, show_lidarseg=True)
        labels = [colours[tuple(c)] for c in np.rint(painted[:, :3] * 255).astype(int)]
        every, visible = agreement(points[0], points[1], depth, labels, shot, names)
        assert every > 0.85 and visible > 0.98, shot.name
        # JPEG keeps the picture: mean error of a few grey levels.
        assert np.abs(np.array(image, float) - shot.image).mean() < 12


def test_kitti_points_land_on_the_right_objects(made):
    folder = made / "semantickitti/dataset/sequences/00"
    lines = (line.split(":") for line in (folder / "calib.txt").read_text().splitlines())
    calibration = {key: np.array(values.split(), float).reshape(3, 4) for key, values in lines}
    points = np.fromfile(folder / "velodyne/000000.bin", np.float32).reshape(-1, 4)
    labels = np.fromfile(folder / "labels/000000.label", np.uint32) & 0xFFFF
    assert len(points) == len(labels) and points[:, 3].min() >= 0 and points[:, 3].max() <= 1
    sweep, shots = captured("kitti", "kitti")
    names = np.array([str(row["semantickitti"]) for row in TAXONOMY])
    camera = np.vstack([calibration["Tr"], [0, 0, 0, 1]]) @ np.column_stack([points[:, :3], np.ones(len(points))]).T
    for shot in shots:
        u, v, w = calibration[f"P{shot.name[-1]}"] @ camera
        front = w > 1
        uv = (u[front] / w[front], v[front] / w[front])
        every, visible = agreement(*uv, w[front], labels[front].astype(str), shot, names)
        assert every > 0.85 and visible > 0.98, shot.name
        np.testing.assert_array_equal(np.array(Image.open(folder / shot.name / "000000.png")), shot.image)


def test_kitti_poses_are_the_cars_way(made):
    for folder in sorted((made / "semantickitti/dataset/sequences").iterdir()):
        poses = np.loadtxt(folder / "poses.txt").reshape(-1, 3, 4)
        np.testing.assert_allclose(poses[0], np.eye(4)[:3], atol=1e-8)
        assert 0.1 < poses[1, 2, 3] < 30 and abs(poses[1, 1, 3]) < 1  # forward along z, hardly up or down
        times = np.loadtxt(folder / "times.txt")
        assert times[0] == 0 and (np.diff(times) > 0).all()


def test_cityscapes_pairs(made):
    images = sorted((made / "cityscapes/leftImg8bit").rglob("*.png"))
    assert len(images) == 8
    for image in images:
        label = str(image).replace("leftImg8bit.png", "gtFine_labelIds.png").replace("/leftImg8bit/", "/gtFine/")
        assert re.fullmatch(r"[a-z]+_\d{6}_\d{6}_leftImg8bit\.png", image.name)
        pixels = np.array(Image.open(label))
        assert Image.open(image).size == pixels.shape[::-1] and pixels.max() <= 33
        assert {7, 23} & set(np.unique(pixels))  # road or sky is in every picture


def test_no_two_streets_are_alike(made):
    scans = [p.read_bytes() for p in made.rglob("*.bin") if "lidarseg" not in str(p)]
    assert len(scans) == len(set(scans)) == 18


def test_a_second_build_has_the_same_bytes(made, tmp_path):
    write.build(tmp_path / "data", profile="smoke", processes=2, say=lambda _: None)
    assert digest(tmp_path / "data") == digest(made)


def test_tables_have_no_place_of_this_machine(made):
    text = "".join(p.read_text() for p in made.rglob("*.json"))
    assert str(made) not in text and json.loads((made / "xkd-sim.json").read_text())["profile"] == "smoke"
