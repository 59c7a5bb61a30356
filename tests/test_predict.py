"""`python -m xkd predict`: labels for a scan, from a checkpoint."""

import numpy as np
import pytest

from xkd import student
from xkd.__main__ import main
from xkd.datasets.frame import facts

KITTI = list(facts("semantickitti")["classes"])


@pytest.fixture
def scan(tmp_path):
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-20, 20, (300, 3)), rng.random((300, 1))], 1).astype("<f4")
    path = tmp_path / "000000.bin"
    points.tofile(path)
    return path, points


def test_labels_are_the_benchmarks_raw_ids(tmp_path, scan):
    path, points = scan
    network = student.build({"voxel": 0.5, "widths": [8, 8], "classes": KITTI}, 0)
    student.save(network, tmp_path / "net")
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), str(path), "--out", str(tmp_path / "labels")]) == 0
    written = np.fromfile(tmp_path / "labels" / "000000.label", "<u4")
    # The plain raw ids of car, ... traffic-sign, by SemanticKITTI's own table.
    raw = [10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81]
    raw[KITTI.index("other-vehicle")] = 13  # bus: the first of that class
    assert written.tolist() == np.array(raw)[network.segment(points[:, :3], points[:, 3])].tolist()


def test_other_classes_keep_their_places(tmp_path, scan):
    path, points = scan
    network = student.build({"voxel": 0.5, "widths": [8, 8], "classes": ["a", "b"]}, 0)
    student.save(network, tmp_path / "net")
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), str(path)]) == 0
    written = np.fromfile(tmp_path / "000000.label", "<u4")
    assert (written == network.segment(points[:, :3], points[:, 3])).all()


def test_a_scan_of_another_layout_is_told_with_the_one_it_was_read_as(tmp_path, scan, capsys):
    path, points = scan
    network = student.build({"voxel": 0.5, "widths": [8, 8], "classes": ["a", "b"]}, 0)
    student.save(network, tmp_path / "net", init="scratch", fraction=1, kind="nuscenes")
    points[: len(points) // 5 * 5 - 1].tofile(path)  # four numbers a point, and not a multiple of nuScenes' five
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), str(path)]) == 1
    assert "It was read as a scan of nuscenes; --kind names another layout." in capsys.readouterr().err
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), "--kind", "nuscenes", str(path)]) == 1
    assert "It was read as" not in capsys.readouterr().err


def test_a_start_for_fine_tuning_labels_nothing(tmp_path, scan, capsys):
    path, _ = scan
    network = student.build({"voxel": 0.5, "widths": [8, 8], "classes": ["a", "b"]}, 0)
    student.save(network, tmp_path / "net", init="distilled", seed=0)
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), str(path)]) == 1
    assert "is a start for fine-tuning" in capsys.readouterr().err and not path.with_suffix(".label").exists()
    student.save(network, tmp_path / "net", init="distilled", fraction=0.5, kind="radar")
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), str(path)]) == 1
    assert "kind 'radar'" in capsys.readouterr().err


def test_no_labels_are_written_over_others(tmp_path, scan, capsys):
    path, _ = scan
    student.save(student.build({"voxel": 0.5, "widths": [8, 8], "classes": ["a"]}, 0), tmp_path / "net")
    (tmp_path / "b").mkdir()
    twin = tmp_path / "b" / path.name
    twin.write_bytes(path.read_bytes())
    out = tmp_path / "labels"
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), "--out", str(out), str(path), str(twin)]) == 1
    error = capsys.readouterr().err
    assert "would be written twice" in error and str(twin) in error and not out.exists()
    truth = path.with_suffix(".label")
    truth.write_bytes(b"truth")
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), str(twin), str(path)]) == 1
    assert capsys.readouterr().err == f"xkd: {truth}: is there already; --out FOLDER keeps it.\n"
    assert truth.read_bytes() == b"truth" and not twin.with_suffix(".label").exists()


@pytest.mark.parametrize("damage, words", [("scan", "whole number of points"), ("checkpoint", "no such file")])
def test_what_cannot_be_used_is_one_sentence(tmp_path, scan, capsys, damage, words):
    path, _ = scan
    student.save(student.build({"voxel": 0.5, "widths": [8, 8], "classes": ["a"]}, 0), tmp_path / "net")
    if damage == "scan":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        (tmp_path / "net" / "network.json").unlink()
    assert main(["predict", "--checkpoint", str(tmp_path / "net"), str(path)]) == 1
    error = capsys.readouterr().err.strip()
    assert words in error and len(error.splitlines()) == 1
    assert not path.with_suffix(".label").exists()
