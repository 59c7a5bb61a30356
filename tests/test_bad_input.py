"""Damaged copies of small data sets: each is told in one sentence that names the file and the value."""

import json
import re

import layouts
import numpy as np
import pytest
from PIL import Image

from xkd import XkdError
from xkd.datasets import open_dataset
from xkd.geometry import pair

SCAN = "samples/LIDAR_TOP/scene-0061-0-lidar-1000000.pcd.bin"
LABEL = "lidarseg/v1.0-mini/scene-0061-0_lidarseg.bin"
FRONT = "samples/CAM_FRONT/scene-0061-0-front-1040000.jpg"
SEQUENCE = "dataset/sequences/00"


def complains(*words):
    """XkdError with one sentence that has these words in it."""
    return pytest.raises(XkdError, match=".*".join(map(re.escape, words)) + r".*\.$")


def shorten(path, bytes):
    path.write_bytes(path.read_bytes()[:-bytes])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_folders_kinds_splits_options(tmp_path, nuscenes, kitti):
    with complains("nowhere", "no such folder"):
        open_dataset("nuscenes", tmp_path / "nowhere")
    with complains("'waymo'", "nuscenes", "semantickitti"):
        open_dataset("waymo", nuscenes)
    with complains("nuscenes", "'valid'", "train, val, test, mini_train, mini_val"):
        open_dataset("nuscenes", nuscenes, "valid")
    with complains("semantickitti", "'mini_train'", "train, val, test"):
        open_dataset("semantickitti", kitti, "mini_train")
    with complains("semantickitti", "version", "none"):
        open_dataset("semantickitti", kitti, version="v1.0-mini")
    with complains("kitti", "no version"):
        open_dataset("nuscenes", kitti)
    with complains("nuscenes", "dataset/sequences"):
        open_dataset("semantickitti", nuscenes)
    with complains("v1.0-trainval", "no such folder"):
        open_dataset("nuscenes", nuscenes, "train")
    with complains("v1.0-mini", "no sample", "test"):
        open_dataset("nuscenes", nuscenes, "test", version="v1.0-mini")
    layouts.nuscenes(nuscenes, version="v1.0-test")
    with complains("v1.0-mini, v1.0-test", "version="):
        open_dataset("nuscenes", nuscenes)


@pytest.mark.parametrize("bytes", [1, 4, 16])
def test_a_scan_that_is_cut_off(nuscenes, kitti, bytes):
    shorten(nuscenes / SCAN, bytes)
    with complains(SCAN, f"{80 - bytes} bytes", "5 float32"):
        _ = open_dataset("nuscenes", nuscenes)[0].points
    path = kitti / SEQUENCE / "velodyne" / "000001.bin"
    shorten(path, min(bytes, 12))
    with complains("00/velodyne/000001.bin", f"{48 - min(bytes, 12)} bytes", "4 float32"):
        _ = open_dataset("semantickitti", kitti)[1].points


def test_an_empty_or_absent_scan(nuscenes):
    (nuscenes / SCAN).write_bytes(b"")
    with complains(SCAN, "0 bytes"):
        _ = open_dataset("nuscenes", nuscenes)[0].points
    (nuscenes / SCAN).unlink()
    with complains(SCAN, "no such file"):
        _ = open_dataset("nuscenes", nuscenes)[0].points


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite(nuscenes, kitti, value):
    scan = np.fromfile(nuscenes / SCAN, np.float32)
    scan[[6, 12]] = value
    scan.tofile(nuscenes / SCAN)
    with complains(SCAN, "2 points are not finite", "point 1", str(value)):
        _ = open_dataset("nuscenes", nuscenes)[0].points
    path = kitti / SEQUENCE / "velodyne" / "000000.bin"
    scan = np.fromfile(path, np.float32)
    scan[3] = value
    scan.tofile(path)
    with complains("000000.bin", "1 points are not finite", "point 0"):
        _ = open_dataset("semantickitti", kitti)[0].attributes


@pytest.mark.parametrize("value", [1e30, -10_001])
def test_points_that_are_too_far_away(nuscenes, kitti, value):
    scan = np.fromfile(nuscenes / SCAN, np.float32)
    scan[[0, 2, 6]] = [10_000, -10_000, value]
    scan.tofile(nuscenes / SCAN)
    with complains(SCAN, "1 points are more than 10000 m away", "point 1", f"-2, {value:g}, -1"):
        _ = open_dataset("nuscenes", nuscenes)[0].points
    path = kitti / SEQUENCE / "velodyne" / "000000.bin"
    scan = np.fromfile(path, np.float32)
    scan[[2, 4]] = value
    scan.tofile(path)
    with complains("000000.bin", "2 points are more than 10000 m away", "point 0", f"10, 1, {value:g}"):
        _ = open_dataset("semantickitti", kitti)[0].points


def test_labels_of_another_length(nuscenes, kitti):
    shorten(nuscenes / LABEL, 1)
    with complains(LABEL, "3 labels for 4 points", SCAN):
        _ = open_dataset("nuscenes", nuscenes)[0].labels
    shorten(kitti / SEQUENCE / "labels" / "000000.label", 4)
    with complains("000000.label", "2 labels for 3 points"):
        _ = open_dataset("semantickitti", kitti)[0].labels
    shorten(kitti / SEQUENCE / "labels" / "000001.label", 1)
    with complains("000001.label", "2.75 labels for 3 points"):
        _ = open_dataset("semantickitti", kitti)[1].labels


def test_absent_label_files(nuscenes, kitti):
    (nuscenes / LABEL).unlink()
    with complains(LABEL, "no such file"):
        _ = open_dataset("nuscenes", nuscenes)[0].labels
    (kitti / SEQUENCE / "labels" / "000000.label").unlink()
    with complains("000000.label", "no such file"):
        _ = open_dataset("semantickitti", kitti)[0].labels


def test_unknown_label_ids(nuscenes, kitti):
    np.array([2, 200, 0, 5], np.uint8).tofile(nuscenes / LABEL)
    with complains(LABEL, "unknown label id 5, 200", "2 points"):
        _ = open_dataset("nuscenes", nuscenes)[0].labels
    np.array([40, 12, 65535], np.uint32).tofile(kitti / SEQUENCE / "labels" / "000000.label")
    with complains("000000.label", "unknown label id 12, 65535", "2 points"):
        _ = open_dataset("semantickitti", kitti)[0].labels


def test_unknown_or_unnumbered_categories(nuscenes):
    path = nuscenes / "v1.0-mini" / "category.json"
    edit(path, '"name": "vehicle.car"', '"name": "vehicle.hovercraft"')
    with complains("category.json", "vehicle.hovercraft"):
        open_dataset("nuscenes", nuscenes)
    edit(path, "index", "number")
    with complains("category.json", "'index'"):
        open_dataset("nuscenes", nuscenes)


def test_images_absent_unreadable_of_another_size(nuscenes, kitti):
    front = open_dataset("nuscenes", nuscenes)[0].cameras[0]
    Image.new("RGB", (80, 45)).save(nuscenes / FRONT)
    with complains(FRONT, "45 x 80", "90 x 160"):
        front.image()
    (nuscenes / FRONT).write_bytes((nuscenes / "samples/CAM_BACK/scene-0061-0-back-1040000.jpg").read_bytes()[:300])
    with complains(FRONT, "cannot be read as an image"):
        front.image()
    (nuscenes / FRONT).unlink()
    with complains(FRONT, "no such image", "CAM_FRONT"):
        front.image()
    images = kitti / SEQUENCE / "image_2"
    Image.new("RGB", (80, 45)).save(images / "000001.png")
    (images / "000002.png").unlink()
    data = open_dataset("semantickitti", kitti)
    with complains("000001.png", "45 x 80", "90 x 160"):
        data[1].cameras[0].image()
    with complains("000002.png", "no such image"):
        data[2].cameras[0].image()
    (images / "000000.png").write_bytes(b"PNG?")
    with complains("000000.png", "cannot be read as an image"):
        _ = open_dataset("semantickitti", kitti)[0].cameras


@pytest.mark.parametrize("line", ["P2", "Tr"])
def test_calibration_lines(kitti, line):
    path = kitti / SEQUENCE / "calib.txt"
    edit(path, f"{line}:", f"{line}x:")
    with complains("00/calib.txt", f"no line {line}"):
        open_dataset("semantickitti", kitti)
    edit(path, f"{line}x:", f"{line}: 7")
    with complains("00/calib.txt", f"line {line}", "12 finite numbers", "13"):
        open_dataset("semantickitti", kitti)
    edit(path, f"{line}: 7", f"{line}: x")
    with complains("00/calib.txt", f"line {line}", "'x'"):
        open_dataset("semantickitti", kitti)
    path.unlink()
    with complains("00/calib.txt", "no such file"):
        open_dataset("semantickitti", kitti)


@pytest.mark.parametrize("file", ["poses.txt", "times.txt"])
def test_pose_and_time_lines(kitti, file):
    path = kitti / SEQUENCE / file
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:2]))
    with complains(f"00/{file}", "2 lines", "000002"):
        open_dataset("semantickitti", kitti)
    path.write_text("\n".join([*lines[:2], "nan"]))
    with complains(f"00/{file}", "finite numbers"):
        open_dataset("semantickitti", kitti)


def test_times_of_a_sequence_rise(kitti):
    path = kitti / SEQUENCE / "times.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1]]) + "\n")
    with complains("00/times.txt", f"{float(lines[1]):g} s in line 3", "earlier"):
        open_dataset("semantickitti", kitti)


def test_no_scans_of_a_split(tmp_path):
    root = layouts.semantickitti(tmp_path, sequences=("00",))
    with complains("no velodyne scan", "val"):
        open_dataset("semantickitti", root, "val")


TABLES = ["scene", "sample", "sample_data", "sensor", "calibrated_sensor", "ego_pose", "category"]


@pytest.mark.parametrize("table", TABLES)
def test_absent_and_broken_tables(nuscenes, table):
    path = nuscenes / "v1.0-mini" / f"{table}.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with complains(f"{table}.json", "not a whole JSON array"):
        open_dataset("nuscenes", nuscenes)
    path.unlink()
    with complains(f"{table}.json", "no such table"):
        open_dataset("nuscenes", nuscenes)


def change(nuscenes, table, alter):
    path = nuscenes / "v1.0-mini" / f"{table}.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(alter(rows)))


def test_tables_that_do_not_fit_together(nuscenes):
    tokens = "scene-0061-0-front-1040000"
    change(nuscenes, "ego_pose", lambda rows: [row for row in rows if row["token"] != tokens])
    with complains("ego_pose.json", tokens):
        open_dataset("nuscenes", nuscenes)
    change(nuscenes, "ego_pose", lambda rows: [*rows, {"token": tokens, "translation": [0, 0, 0]}])
    with complains("ego_pose.json", "'rotation'"):
        open_dataset("nuscenes", nuscenes)
    change(nuscenes, "sample_data", lambda rows: [r for r in rows if "scene-0103-1-lidar" not in r["token"]])
    change(nuscenes, "ego_pose", lambda rows: [r | {"rotation": [1, 0, 0, 0]} for r in rows])
    with complains("sample_data.json", "scene-0103-1", "LIDAR_TOP"):
        open_dataset("nuscenes", nuscenes)


@pytest.mark.parametrize(
    ("table", "token", "by"), [("calibrated_sensor", "c-front", "sample_data"), ("sensor", "front", "calibrated")]
)
def test_a_camera_without_calibration(nuscenes, table, token, by):
    change(nuscenes, table, lambda rows: [row for row in rows if token not in row["token"]])
    with complains(f"{table}.json: has no row", token, by):
        open_dataset("nuscenes", nuscenes)


def test_a_camera_without_intrinsics_or_size(nuscenes):
    change(nuscenes, "sample_data", lambda rows: [r | {"width": None} for r in rows])
    with complains("sample_data.json", "row scene-0061-0-front-1040000", "height 90 and width None"):
        _ = open_dataset("nuscenes", nuscenes)[0].cameras
    for wrong in ([], [[1, 0, 0], [0, 1]], [[None, 0, 80], [0, 100, 45], [0, 0, 1]]):
        alter = {"camera_intrinsic": wrong}
        change(nuscenes, "calibrated_sensor", lambda rows, alter=alter: [r | alter for r in rows])
        with complains("calibrated_sensor.json", "row c-front", f"{wrong} is no camera_intrinsic"):
            _ = open_dataset("nuscenes", nuscenes)[0].cameras


INTRINSICS = {
    "focal lengths 0 and 100": [[0, 0, 80], [0, 100, 45], [0, 0, 1]],
    "focal lengths -100 and -100": [[-100, 0, 80], [0, -100, 45], [0, 0, 1]],
    "[0.0, 0.0, 0.0] below its diagonal": np.zeros((3, 3), int).tolist(),
    "[0.0, 0.0, 2.0] below its diagonal": [[100, 0, 80], [0, 100, 45], [0, 0, 2]],
    "[0.0, 1.0, 1.0] below its diagonal": [[100, 0, 80], [0, 100, 45], [0, 1, 1]],
}


@pytest.mark.parametrize(("words", "K"), INTRINSICS.items())
def test_intrinsics_that_project_nothing(nuscenes, kitti, words, K):
    change(nuscenes, "calibrated_sensor", lambda rows: [r | {"camera_intrinsic": K} for r in rows])
    with complains("calibrated_sensor.json: row c-front: camera_intrinsic", words):
        _ = open_dataset("nuscenes", nuscenes)[0].cameras
    P = " ".join(f"{a} {b} {c} 0" for a, b, c in K)
    edit(kitti / SEQUENCE / "calib.txt", "P2: 100 0 80 20 0 100 45 10 0 0 1 0.5", f"P2: {P}")
    with complains("00/calib.txt: P2", words):
        _ = open_dataset("semantickitti", kitti)[0].cameras


def test_a_calibration_line_that_is_there_twice(kitti):
    path = kitti / SEQUENCE / "calib.txt"
    path.write_text(path.read_text() + "P2: 90 0 80 20 0 90 45 10 0 0 1 0.5\n")
    with complains("00/calib.txt", "two lines P2"):
        open_dataset("semantickitti", kitti)


def test_labels_of_a_scan_that_is_a_dangling_link(kitti):
    scan = kitti / SEQUENCE / "velodyne" / "000000.bin"
    scan.unlink()
    scan.symlink_to(kitti / "elsewhere.bin")
    with complains("velodyne/000000.bin", "no such file"):
        _ = open_dataset("semantickitti", kitti)[0].labels


def test_no_point_in_any_image(nuscenes):
    scan = np.fromfile(nuscenes / SCAN, np.float32).reshape(-1, 5)
    scan[:, :3] = [0, 0, 50]
    scan.tofile(nuscenes / SCAN)
    with complains("Frame scene-0061-0", "none of its 4 points"):
        pair(open_dataset("nuscenes", nuscenes)[0])


def test_a_scan_of_another_layout(nuscenes, kitti):
    scan = np.fromfile(nuscenes / SCAN, np.float32)
    scan[[3, 13]] = [256, -1]
    scan.tofile(nuscenes / SCAN)
    with complains(SCAN, "2 points have an intensity outside 0..255", "point 0 with 256"):
        _ = open_dataset("nuscenes", nuscenes)[0].points
    path = kitti / SEQUENCE / "velodyne" / "000000.bin"
    scan = np.fromfile(path, np.float32)
    scan[7] = 37
    scan.tofile(path)
    with complains("000000.bin", "1 points have an intensity outside 0..1", "point 1 with 37"):
        _ = open_dataset("semantickitti", kitti)[0].points


def test_a_file_that_is_no_scan(kitti):
    (kitti / SEQUENCE / "velodyne" / "._000000.bin").touch()
    with complains("velodyne/._000000.bin", "no scan's name"):
        open_dataset("semantickitti", kitti)


def test_images_that_the_calibration_is_not_of(kitti):
    for path in (kitti / SEQUENCE / "image_2").glob("*.png"):
        Image.new("RGB", (40, 20)).save(path)
    with complains("00/calib.txt", "P2", "40 x 20"):
        _ = open_dataset("semantickitti", kitti)[0].cameras
    (kitti / SEQUENCE / "calib.txt").write_bytes(b"P2: \xff")
    with complains("00/calib.txt", "is not text", "byte 4"):
        open_dataset("semantickitti", kitti)


@pytest.mark.parametrize("field", ["rotation", "translation"])
@pytest.mark.parametrize("wrong", [[0, None, 0], [0, 0, 0, 0], [1, "x", 0], [1, [0], 0], 7, {"w": 1}])
def test_poses_that_are_none(nuscenes, field, wrong):
    what = {"rotation": "not a quaternion (w, x, y, z)", "translation": "not a translation of three finite numbers"}
    only = {"c-front": {field: wrong}}
    change(nuscenes, "calibrated_sensor", lambda rows: [r | only.get(r["token"], {}) for r in rows])
    with complains("calibrated_sensor.json: row c-front", f"{wrong} is {what[field]}"):
        _ = open_dataset("nuscenes", nuscenes)[0].cameras
    change(nuscenes, "ego_pose", lambda rows: [r | {field: wrong} for r in rows])
    with complains("ego_pose.json: row scene-0061-0-lidar-1000000", f"{wrong} is {what[field]}"):
        open_dataset("nuscenes", nuscenes)[0]
