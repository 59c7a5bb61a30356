"""Images, calibrations, poses and tables that cannot be used: one sentence each, with the file and the value."""

import numpy as np
import pytest
from complaints import FRONT, SEQUENCE, change, complains, edit
from PIL import Image

from xkd.datasets import open_dataset


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
