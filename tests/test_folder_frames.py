"""A folder of one's own against another reader, on published shares of real scans, and through the stages without labels."""

from pathlib import Path

import cloud_files
import layouts
import numpy as np
import own_files
import pytest
import yaml

import xkd
from xkd import XkdError, params
from xkd.datasets import open_dataset
from xkd.geometry import invert, pair, project

REAL = xkd.ROOT.parent / "shared" / "data"


def as_folder(root, source):
    """SemanticKITTI's layout below `source`, described as a folder of one's own in `root`."""
    facts = xkd.datasets.reader("semantickitti").facts()
    ids = {name: [raw for raw, (_, of) in facts["labels"].items() if of == name] for name in facts["classes"]}
    for sequence in sorted((source / "dataset" / "sequences").iterdir()):
        folder = root / sequence.name
        folder.mkdir(parents=True)
        for inner in sequence.iterdir():
            (folder / inner.name).symlink_to(inner)
        lines = dict(line.split(":") for line in (sequence / "calib.txt").read_text().splitlines() if line.strip())
        matrices = {name: np.array(text.split(), float).reshape(3, 4) for name, text in lines.items()}
        Tr, cameras = np.vstack([matrices["Tr"], [0, 0, 0, 1]]), {}
        for name, key in (("image_2", "P2"), ("image_3", "P3")):
            if (sequence / name).is_dir():
                K, offset = matrices[key][:, :3], np.eye(4)
                offset[:3, 3] = np.linalg.inv(K) @ matrices[key][:, 3]
                cameras[name] = {"images": f"{name}/*.png", "model": "pinhole", "K": K.tolist()}
                cameras[name] |= {"T_camera_lidar": (offset @ Tr).tolist(), "timestamps": {"from": "times.txt"}}
        (folder / "cameras.yaml").write_text(yaml.safe_dump(cameras))
    about = {
        "scenes": "*",
        "splits": {"train": ["00"], "val": ["08"], "unlabelled": ["01"]},
        "scans": {"files": "velodyne/*.bin", "intensity_max": 1, "timestamps": {"from": "times.txt"}},
        "cameras": "cameras.yaml",
        "labels": {"files": "labels/*.label", "missing": "allowed"},
        "classes": {name: {"ids": ids[name], "colour": facts["classes"][name]} for name in ids},
        "ignored": [raw for raw, (_, name) in facts["labels"].items() if name is None],
        "poses": {"file": "poses.txt", "T_body_lidar": Tr.tolist()},
    }
    (root / "xkd.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    return root


def agree(theirs, mine):
    """The same frames from both readers."""
    assert len(theirs) == len(mine) > 0 and theirs.classes == mine.classes
    np.testing.assert_array_equal(theirs.colours, mine.colours)
    for a, b in zip(theirs, mine, strict=True):
        assert (a.id, a.scene, a.timestamp) == (b.id, b.scene, b.timestamp)
        np.testing.assert_array_equal(a.points, b.points)
        np.testing.assert_array_equal(a.attributes["intensity"], b.attributes["intensity"])
        assert (a.labels is None) == (b.labels is None)
        if a.labels is not None:
            np.testing.assert_array_equal(a.labels, b.labels)
            np.testing.assert_array_equal(a.instances, b.instances)
        np.testing.assert_allclose(a.T_world_lidar, b.T_world_lidar, atol=1e-9)
        for one, other in zip(a.cameras, b.cameras, strict=True):
            np.testing.assert_allclose(one.T_cam_lidar, other.T_cam_lidar, atol=1e-9)
        first, second = pair(a), pair(b)
        for name in ("point", "camera", "pixel"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_semantickitti_by_hand_opened_as_a_folder(tmp_path):
    source = layouts.semantickitti(tmp_path / "kitti", sequences=("00", "01", "08"), cameras=("image_2", "image_3"))
    agree(open_dataset("semantickitti", source), open_dataset("folder", as_folder(tmp_path / "own", source)))


def test_made_semantickitti_opened_as_a_folder(made, tmp_path):
    source = Path(made) / "semantickitti"
    root = as_folder(tmp_path / "own", source)
    agree(open_dataset("semantickitti", source), open_dataset("folder", root))
    agree(open_dataset("semantickitti", source, "val"), open_dataset("folder", root, "val"))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no folder of real frames ({REAL.name}) beside the repository")
def test_real_scans_of_opencalib(tmp_path):
    """Scenes with their own calib.txt; 11 to 12 % of the points are in the image (shared/data/README.md)."""
    for name in "123":
        (tmp_path / name).mkdir()
        for file in (REAL / "opencalib" / name).glob("calib.*"):
            (tmp_path / name / file.name).symlink_to(file)
        lines = dict(line.split(":") for line in (tmp_path / name / "calib.txt").read_text().splitlines())
        front = {"images": "calib.*g", "model": "opencv", "K": lines["K"], "distortion": lines["D"]}
        front |= {"T_camera_lidar": lines["T"]}
        (tmp_path / name / "cameras.yaml").write_text(yaml.safe_dump({"front": front}))
    about = {"scenes": "?", "scans": {"files": "calib.bin", "intensity_max": 1}, "cameras": "cameras.yaml"}
    (tmp_path / "xkd.yaml").write_text(yaml.safe_dump(about))
    data = open_dataset("folder", tmp_path)
    shares = [project(frame.points, frame.cameras[0])[2].mean() for frame in data]
    assert np.round(shares, 2).tolist() == [0.12, 0.11, 0.12]
    for frame in data:
        (front,) = frame.cameras
        assert frame.labels is None and front.size == (1200, 1920) and front.image().shape == (1200, 1920, 3)
        # The camera is a little ahead of the LiDAR and below it, and looks forward.
        T_lidar_camera = invert(front.T_cam_lidar)
        assert 0 < T_lidar_camera[0, 3] < 1 and -0.5 < T_lidar_camera[2, 3] < 0
        np.testing.assert_allclose(T_lidar_camera[:3, 2], [1, 0, 0], atol=0.05)


def test_predicted_labels_are_of_all_returns(tmp_path):
    """Three of four returns are kept in training, and the label file has four labels."""
    from xkd import student
    from xkd.__main__ import main

    own = own_files.folder(tmp_path / "own", scans={"drop_zeros": True})
    table = cloud_files.rows("<")[[0, 1, 2, 2]]
    for name in "xyz":
        table[name][2] = 0
    (own / "lidar" / "8.pcd").write_bytes(cloud_files.pcd("ascii", table))
    student.save(
        student.build({"voxel": 0.5, "widths": [8, 8], "classes": ["a", "b"]}, 0), tmp_path / "net", kind="folder"
    )
    out = tmp_path / "labels"
    assert (
        main(["predict", "--checkpoint", str(tmp_path / "net"), "--out", str(out), str(own / "lidar" / "8.pcd")]) == 0
    )
    written = np.fromfile(out / "8.label", "<u4")
    network, points = student.load(tmp_path / "net"), [[10, -1, 0.25], [8, 2, -1], [0, 0, 0], [-6, 0, 0.5]]
    expected = network.segment(np.array(points, np.float32), np.array([0, 51, 0, 255], np.float32) / 255)
    assert written.tolist() == expected.tolist()


def test_stages_without_labels_go_on_until_these_are_needed(made, tmp_path):
    """Neither labels nor poses: prepared, seen by a teacher, distilled; fine-tuning says what is missing."""
    from xkd import distill, extract, finetune, prepare
    from xkd.teachers import open_teacher

    root = as_folder(tmp_path / "own", Path(made) / "semantickitti")
    about = yaml.safe_load((root / "xkd.yaml").read_text())
    for name in ("labels", "classes", "ignored", "poses"):
        del about[name]
    (root / "xkd.yaml").write_text(yaml.safe_dump(about))
    rng = np.random.default_rng(0)
    for image in root.glob("*/image_?/*.png"):
        file = tmp_path / "maps" / image.relative_to(root).with_suffix(".npy")
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, rng.standard_normal((6, 8, 24)).astype(np.float16))
    sections = params.profile("smoke")
    data = sections["data"] | {"kind": "folder", "root": str(root), "unlabelled": ["unlabelled"]}
    rows = prepare.prepare(data, sections["prepare"], tmp_path / "prepared")
    assert [(row["split"], row["labelled"]) for row in rows] == [
        ("train", False),
        ("unlabelled", False),
        ("val", False),
    ]
    teacher, settings = open_teacher({"name": "features", "root": tmp_path / "maps"}), sections["teacher"]
    extract.extract(teacher, data, tmp_path / "prepared", settings, tmp_path / "teacher")
    folders = tmp_path / "prepared", tmp_path / "teacher", tmp_path / "distilled-0", tmp_path / "aligned.json"
    losses = distill.distill(data, sections["student"], sections["distill"], 0, *folders)
    assert len(losses) == sections["distill"]["steps"] and np.isfinite(losses).all()
    with pytest.raises(XkdError, match=r"prepared/train: this split has no labels to train on\.$"):
        outs = tmp_path / "prepared", tmp_path / "distilled-0", tmp_path / "out", tmp_path / "metrics.json"
        finetune.cell(data, sections["student"], sections["finetune"], 0.5, "distilled", 0, *outs)
