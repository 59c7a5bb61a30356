"""Damaged copies of RELLIS-3D's layouts: one sentence each, with the file and what is wrong with it."""

import numpy as np
import pytest
from complaints import complains, edit, shorten
from layout_rellis3d import MOUNT, SCANS
from PIL import Image

from xkd.datasets import open_dataset


def test_other_data_sets(kitti, nuscenes):
    for root in (kitti, nuscenes):
        with complains(root.name, "no scan", SCANS):
            open_dataset("rellis3d", root)


def test_broken_scans(either):
    root, files = either
    path, frame = files["scan"], open_dataset("rellis3d", root)[0]
    zeros = np.zeros((5, 4), np.float32)
    for damage, words in (
        (lambda: shorten(path, 6), ("74 bytes", "4 float32")),
        (lambda: np.array([1, np.nan, 0, 0], "<f4").tofile(path), ("1 points are not finite", "1, nan, 0, 0")),
        (lambda: np.array([1, 1, 1, 40], "<f4").tofile(path), ("intensity outside 0..1", "40")),
        (lambda: zeros.tofile(path), ("all 5 points are zero returns",)),
        (lambda: path.write_bytes(b""), ("0 bytes",)),
        (path.unlink, ("no such file",)),
    ):
        damage()
        with complains("000000.bin", *words):
            _ = frame.points
        with complains("000000.bin", *words):
            _ = frame.labels


def test_broken_labels(either):
    root, files = either
    path, frame = files["label"], open_dataset("rellis3d", root)[0]
    for damage, words in (
        (lambda: shorten(path, 4), ("4 labels for 5 points", "000000.bin")),
        (lambda: shorten(path, 1), ("3.75 labels for 5 points",)),
        (lambda: np.array([3, 0, 2, 0, 252], np.uint32).tofile(path), ("unknown label id 2, 252", "2 points")),
        (lambda: np.array([3, 0, 17 | 1 << 16, 0, 3], np.uint32).tofile(path), ("unknown label id 65553",)),
    ):
        damage()
        with complains("000000.label", *words):
            _ = frame.labels
    (path.parent / "000001.label").touch()
    path.unlink()
    with complains("000000.label", "no such file"):
        _ = open_dataset("rellis3d", root)[0].labels


def test_broken_images(either):
    root, files = either
    path, camera = files["image"], open_dataset("rellis3d", root)[0].cameras[0]
    Image.new("RGB", (80, 45)).save(path)
    with complains(path.name, "45 x 80", "1200 x 1920"):
        camera.image()
    Image.new("RGB", (1920, 1200)).save(path)
    shorten(path, 300)
    with complains(path.name, "cannot be read as an image"):
        camera.image()
    path.unlink()
    with complains(path.name, "no such image"):
        camera.image()
    path.with_name("frame000009-1581624690_149.jpg").touch()
    with complains("no image frame000000-*.jpg"):
        _ = open_dataset("rellis3d", root)[0].cameras


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("frame000001.jpg", "frame<number>-<seconds>_<milliseconds>.jpg"),
        ("frame000000-1581624601_000.jpg", "the number of frame000000-1581624600_149.jpg"),
        ("frame000009-1500000000_000.jpg", "earlier than frame"),
    ],
)
def test_images_by_other_names(either, name, word):
    root, files = either
    files["image"].with_name(name).touch()
    with complains(name, word):
        open_dataset("rellis3d", root)


def test_broken_calibrations(either):
    root, files = either
    for name, text, words in (
        ("camera_info.txt", "1000 1100 960", ("fx fy cx cy", "4 finite numbers", "3 are there")),
        ("camera_info.txt", "0 1100 960 600", ("fx 0",)),
        ("camera_info.txt", "1000 1100 nan 600", ("4 finite numbers",)),
        ("transforms.yaml", "q: [", ("is not YAML", "line 1")),
        ("transforms.yaml", "t: 2024-13-01", ("is not YAML", "month")),
        ("transforms.yaml", "", ("os1_cloud_node-pylon_camera_node",)),
        ("transforms.yaml", MOUNT.replace("z: 0.5", "v: 0.5"), ("'z'",)),
        ("transforms.yaml", MOUNT.replace("0.5", "0"), ("quaternion",)),
        ("transforms.yaml", MOUNT.replace("-0.1", ".nan"), ("nan", "translation")),
    ):
        whole = files[name].read_text()
        files[name].write_text(text)
        with complains(name, *words):
            open_dataset("rellis3d", root)
        files[name].unlink()
        with complains(name, "no such file"):
            open_dataset("rellis3d", root)
        files[name].write_text(whole)


def test_broken_poses(rellis):
    path = rellis / "Rellis-3D" / "00000" / "poses.txt"
    lines = path.read_text().splitlines()
    for text, words in (
        (lines[:3], ("3 lines", "000003")),
        ([*lines[:3], "nan"], ("finite numbers",)),
        ([*lines[:3], "0 0 0 0 0 0 0 0 0 0 0 0"], ("line 4", "no rotation")),
    ):
        path.write_text("\n".join(text))
        with complains("00000/poses.txt", *words):
            open_dataset("rellis3d", rellis)


def test_broken_lists(rellis):
    path = rellis / "Rellis-3D" / "pt_val.lst"
    whole = path.read_text()
    edit(path, "000003.bin", "000007.bin")
    with complains("pt_val.lst", f"00000/{SCANS}/000007.bin", "no such file"):
        open_dataset("rellis3d", rellis)
    path.write_text(whole + f"00000/{SCANS}/000001.bin x\n")
    with complains("pt_val.lst", "00000/000001", "train"):
        open_dataset("rellis3d", rellis, "val")
    path.write_text(whole + "00000/velodyne/000001.bin\n")
    with complains("pt_val.lst", "00000/velodyne/000001.bin", "names no"):
        open_dataset("rellis3d", rellis)
    (rellis / "Rellis-3D" / "00000" / SCANS / "scan.bin").touch()
    with complains("scan.bin", "a number"):
        open_dataset("rellis3d", rellis)
