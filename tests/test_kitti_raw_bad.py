"""Damaged copies of KITTI raw's layout: one sentence each, with the file and what is wrong with it."""

import shutil

import numpy as np
import pytest
from complaints import complains, edit, shorten
from layout_kitti_raw import CAMERA, DATE, DRIVE, LATE, OXTS, SCAN, SECOND, moved, packet
from PIL import Image

from xkd.datasets import open_dataset


def test_folders_that_are_something_else(raw, kitti):
    with complains("kitti", "no <date>/<date>_drive_<number>_sync"):
        open_dataset("kitti_raw", kitti)
    with complains("no velodyne scan of split val", "option val"):
        open_dataset("kitti_raw", raw, "val")
    with complains("no drive *_0003_*", "option val"):
        open_dataset("kitti_raw", raw, val=["*_0003_*"])
    shutil.rmtree(raw / DATE / DRIVE / "velodyne_points")
    assert open_dataset("kitti_raw", raw).scenes == [SECOND] * 3
    (raw / DATE / SECOND / "velodyne_points" / "data" / "scan.bin").touch()
    with complains("velodyne_points/data/scan.bin", "a number"):
        open_dataset("kitti_raw", raw)


def test_broken_scans(raw):
    path = raw / DATE / SCAN
    frame = open_dataset("kitti_raw", raw)[1]
    for damage, words in (
        (lambda: shorten(path, 3), ("45 bytes", "4 float32")),
        (lambda: np.array([1, np.nan, 0, 0], "<f4").tofile(path), ("1 points are not finite", "1, nan, 0, 0")),
        (lambda: np.array([1, 1, 1, 40], "<f4").tofile(path), ("intensity outside 0..1", "40")),
        (lambda: path.write_bytes(b""), ("0 bytes",)),
        (path.unlink, ("no such file",)),
    ):
        damage()
        with complains(SCAN, *words):
            _ = frame.points


def test_broken_images(raw):
    image = raw / DATE / DRIVE / "image_02" / "data" / "0000000001.png"
    camera = open_dataset("kitti_raw", raw)[1].cameras[0]
    Image.new("RGB", (80, 45)).save(image)
    with complains("image_02/data/0000000001.png", "45 x 80", "90 x 160"):
        camera.image()
    Image.new("RGB", (160, 90)).save(image)
    shorten(image, 40)
    with complains("image_02/data/0000000001.png", "cannot be read as an image"):
        camera.image()
    image.unlink()
    with complains("image_02/data/0000000001.png", "no such image"):
        open_dataset("kitti_raw", raw)[1].cameras[0].image()


FILES = {"calib_cam_to_cam.txt": "P_rect_02", "calib_velo_to_cam.txt": "T", "calib_imu_to_velo.txt": "T"}


@pytest.mark.parametrize(("file", "line"), FILES.items())
def test_broken_calibrations(raw, file, line):
    path = raw / DATE / file
    whole = path.read_text()
    edit(path, f"{line}:", f"{line}x:")
    with complains(file, f"no line {line}"):
        open_dataset("kitti_raw", raw)
    path.write_text(whole.replace(f"{line}: ", f"{line}: 7 "))
    with complains(file, f"line {line}", "finite numbers were expected"):
        open_dataset("kitti_raw", raw)
    path.write_text(whole.replace(f"{line}: ", f"{line}: nan"))
    with complains(file, f"line {line}"):
        open_dataset("kitti_raw", raw)
    path.write_bytes(b"\xff")
    with complains(file, "is not text"):
        open_dataset("kitti_raw", raw)
    path.unlink()
    with complains(file, "no such file"):
        open_dataset("kitti_raw", raw)


@pytest.mark.parametrize(("file", "line"), [("cam_to_cam", "R_rect_00"), ("velo_to_cam", "R"), ("imu_to_velo", "R")])
@pytest.mark.parametrize("wrong", ["0 0 0 0 0 0 0 0 0", "2 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 0 -1"])
def test_rotations_that_are_none(raw, file, line, wrong):
    path = raw / DATE / f"calib_{file}.txt"
    text = path.read_text()
    (old,) = [row for row in text.splitlines() if row.startswith(f"{line}:")]
    path.write_text(text.replace(old, f"{line}: {wrong}"))
    with complains(f"calib_{file}.txt", f"line {line}: its 3 x 3 part", "no rotation"):
        open_dataset("kitti_raw", raw)


def test_a_calibration_of_other_images(raw):
    path = raw / DATE / "calib_cam_to_cam.txt"
    edit(path, "S_rect_02: 1.6e+02 9e+01", "S_rect_02: 40 30")
    with complains("calib_cam_to_cam.txt", "P_rect_02", "column 80, row 45", "40 x 30"):
        open_dataset("kitti_raw", raw)
    path.write_text(CAMERA.replace("0 0 1 0.5", "0 0 0 0.5"))
    with complains("calib_cam_to_cam.txt", "P_rect_02"):
        open_dataset("kitti_raw", raw)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("100 0 80 20 0 100 45 10 0 0 0 0", "[0.0, 0.0, 0.0] below its diagonal"),
        ("0 0 80 20 0 100 45 10 0 0 1 0.5", "focal lengths 0 and 100"),
        ("100 0 80 20 0 -100 45 10 0 0 1 0.5", "focal lengths 100 and -100"),
    ],
)
def test_a_projection_that_is_none(raw, row, words):
    edit(raw / DATE / "calib_cam_to_cam.txt", "100 0 80 20 0 100 45 10 0 0 1 0.5", row)
    with complains("calib_cam_to_cam.txt: P_rect_02", words):
        open_dataset("kitti_raw", raw)


@pytest.mark.parametrize(("file", "line"), FILES.items())
def test_a_calibration_line_that_is_there_twice(raw, file, line):
    path = raw / DATE / file
    (row,) = [row for row in path.read_text().splitlines() if row.startswith(f"{line}:")]
    path.write_text(path.read_text() + f"{row}\n")
    with complains(file, f"two lines {line}"):
        open_dataset("kitti_raw", raw)


@pytest.mark.parametrize("stream", LATE)
def test_broken_timestamps(raw, stream):
    path, name = raw / DATE / DRIVE / stream / "timestamps.txt", f"{DRIVE}/{stream}/timestamps.txt"
    lines = path.read_text().splitlines()
    for text, words in (
        (lines[:2], ("line 3", "0000000002")),
        ([lines[0], "", lines[2]], ("line 2", "0000000001")),
        ([lines[0], lines[2], lines[1]], (lines[1], "line 3", "earlier")),
        ([lines[0], "noon", lines[2]], ("noon",)),
    ):
        path.write_text("\n".join(text) + "\n")
        with complains(name, *words):
            open_dataset("kitti_raw", raw)
    path.unlink()
    with complains(name, "no such file"):
        open_dataset("kitti_raw", raw)


def test_broken_packets(raw):
    path = raw / DATE / OXTS
    data = open_dataset("kitti_raw", raw)
    for text, words in (
        ("1 2 3", ("30 finite numbers", "3 are there")),
        (packet(latitude=float("nan")), ("30 finite numbers", "29 are there")),
        (packet(latitude=90.0), ("latitude 90",)),
        (packet(longitude=500.0), ("longitude 500",)),
    ):
        path.write_text(text)
        with complains(OXTS, *words):
            data[0]
    path.unlink()
    data = open_dataset("kitti_raw", raw)
    np.testing.assert_allclose(data[1].T_world_lidar, moved(2.2, 0, 1), atol=1e-7)  # from packets 0 and 2
    (raw / DATE / DRIVE / "oxts" / "data" / "0000000002.txt").unlink()
    with complains(f"{DRIVE}/oxts", "packets of 1 times"):
        open_dataset("kitti_raw", raw)


def test_a_time_without_packets(raw):
    """The scan is two seconds after the last packet; then, the packets have a gap of two seconds around it."""
    scans = raw / DATE / DRIVE / "velodyne_points" / "timestamps.txt"
    edit(scans, "25.220", "27.220")
    data = open_dataset("kitti_raw", raw)
    with complains(f"{DRIVE}/oxts/timestamps.txt: has no pose near the time 2011-09-26T13:02:27.220000"):
        data[2]
    edit(raw / DATE / DRIVE / "oxts" / "timestamps.txt", "25.200", "28.200")
    with complains(f"{DRIVE}/oxts/timestamps.txt", "13:02:27.220000", "13:02:28.200000", "over 1 s at most"):
        open_dataset("kitti_raw", raw)[2]
