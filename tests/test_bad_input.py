"""Damaged copies of small data sets: each is told in one sentence that names the file and the value."""

import layouts
import numpy as np
import pytest
from complaints import LABEL, SCAN, SEQUENCE, complains, edit, shorten

from xkd.datasets import open_dataset
from xkd.geometry import pair


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


def test_no_scans_of_a_split(tmp_path):
    root = layouts.semantickitti(tmp_path, sequences=("00",))
    with complains("no velodyne scan", "val"):
        open_dataset("semantickitti", root, "val")


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
    scan[[3, 13]] = 0
    for wrong in (256, -1):
        scan[9] = wrong
        scan.tofile(nuscenes / SCAN)
        with complains(SCAN, "1 points have a ring outside 0..255", f"point 1 with {wrong}"):
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
