"""Profiles of published protocols: the scenes and scans that the published code chooses, and its epochs as steps."""

import json
from types import SimpleNamespace

import pytest

import xkd
from xkd import finetune, params
from xkd.datasets import reader
from xkd.prepared import matching

SLIDR, KITTI, SCALR = "slidr-nuscenes", "slidr-semantickitti", "scalr-nuscenes"


SCANS = {
    "00": 4541,
    "01": 1101,
    "02": 4661,
    "03": 801,
    "04": 271,
    "05": 2761,
    "06": 1101,
    "07": 1101,
    "09": 1591,
    "10": 1201,
}
"""Scans of SemanticKITTI's training sequences."""


# ---- which scenes and scans


@pytest.fixture(scope="module")
def nuscenes(tmp_path_factory):
    """The tables of all 850 official scenes, two key frames each, and no scan."""
    root = tmp_path_factory.mktemp("tables")
    official = reader("nuscenes").splits()
    scenes = [f"scene-{number:04d}" for number in sorted(official["train"] | official["val"])]
    samples = [(scene, f"{scene}-{k}", 500_000 * k) for scene in scenes for k in range(2)]
    mount = {"translation": [0, 0, 0], "rotation": [1, 0, 0, 0]}
    tables = {
        "scene": [{"token": scene, "name": scene} for scene in scenes],
        "sample": [{"token": token, "timestamp": time, "scene_token": scene} for scene, token, time in samples],
        "sensor": [{"token": "lidar", "channel": "LIDAR_TOP", "modality": "lidar"}],
        "calibrated_sensor": [{"token": "mount", "sensor_token": "lidar", "camera_intrinsic": [], **mount}],
        "ego_pose": [{"token": token, **mount} for _, token, _ in samples],
        "sample_data": [
            {
                "token": token, "sample_token": token, "ego_pose_token": token, "calibrated_sensor_token": "mount",
                "timestamp": time, "is_key_frame": True, "filename": f"samples/LIDAR_TOP/{token}.pcd.bin",
            }
            for _, token, time in samples
        ],
    }  # fmt: skip
    (root / "v1.0-trainval").mkdir()
    for name, rows in tables.items():
        (root / "v1.0-trainval" / f"{name}.json").write_text(json.dumps(rows))
    return root


def chosen(dataset, sections, fraction, tuning):
    """The labelled frames of a cell, as `finetune.cell` chooses them of a prepared split with these frames."""
    split = SimpleNamespace(labelled=True, scenes=dataset.scenes, frames=[{"labelled": True}] * len(dataset), path="")
    own = finetune.labelled(split, tuning)
    return finetune.chosen(split, own, fraction, sections["sweep"]["seeds"][0], sections["finetune"]["subset"])


def counted(scenes, n):
    """The scenes that SLidR's `downstream/dataloader_nuscenes.py` keeps: a counter that is a multiple of n."""
    return [scene for counter, scene in enumerate(scenes, start=1) if counter % n == 0]


def test_slidr_holds_out_a_hundred_scenes_of_seven():
    held = params.profile(SLIDR)["data"]["tuning"]
    official = {f"scene-{number:04d}" for number in reader("nuscenes").splits()["train"]}
    assert len(held) == len(set(held)) == 100 and set(held) <= official
    assert len(official.difference(held)) == 600


@pytest.mark.parametrize("name", [SLIDR, SCALR])
@pytest.mark.parametrize(
    "fraction, n, count", [(0.01, 100, 7), (0.05, 20, 35), (0.1, 10, 70), (0.25, 4, 175), (1, 1, 700)]
)
def test_a_share_of_nuscenes_is_every_nth_scene_that_slidr_counts(nuscenes, name, fraction, n, count):
    dataset, sections = xkd.open_dataset("nuscenes", nuscenes, "train"), params.profile(name)
    frames = chosen(dataset, sections, fraction, [])
    scenes = sorted({dataset.scenes[i] for i in frames})
    assert scenes == counted(sorted(set(dataset.scenes)), n) and len(scenes) == count
    assert len(frames) == 2 * count


def test_one_per_cent_of_nuscenes_by_name(nuscenes):
    dataset, sections = xkd.open_dataset("nuscenes", nuscenes, "train"), params.profile(SLIDR)
    names = [
        {dataset.scenes[i] for i in chosen(dataset, sections, 0.01, held)} for held in ([], sections["data"]["tuning"])
    ]
    # Places 100, 200 .. 700 of the official training scenes, of which 589 is held out; places 100 .. 600 of the 600 others.
    assert names[0] == {f"scene-{number:04d}" for number in (171, 300, 435, 589, 747, 959, 1110)}
    assert names[1] == {f"scene-{number:04d}" for number in (193, 373, 515, 707, 900, 1110)}
    assert matching(sorted(names[0]), sections["data"]["tuning"]).count(True) == 1


def test_several_seeds_of_weights_share_the_published_scenes(nuscenes):
    dataset = xkd.open_dataset("nuscenes", nuscenes, "train")
    for fraction in (0.01, 0.05, 0.1, 0.25):
        one, *others = (
            [dataset.scenes[i] for i in finetune.subset(dataset.scenes, fraction, s, "scenes")] for s in (99, 199, 299)
        )
        assert all(other == one for other in others)


def test_one_per_cent_of_semantickitti_is_every_hundredth_file(tmp_path):
    for name, count in SCANS.items():
        folder = tmp_path / "sequences" / name
        (folder / "velodyne").mkdir(parents=True)
        (folder / "calib.txt").write_text("P2: 1 0 0 0 0 1 0 0 0 0 1 0\nTr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
        (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * count)
        for i in range(count):
            (folder / "velodyne" / f"{i:06d}.bin").touch()
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.bin"))
    dataset = xkd.open_dataset("semantickitti", tmp_path, "train")
    frames = chosen(dataset, params.profile(KITTI), 0.01, [])
    assert len(files) == len(dataset) == 19130 and len(frames) == 192
    ids = [dataset[i].id.split("/") for i in frames]
    assert [f"sequences/{sequence}/velodyne/{scan}.bin" for sequence, scan in ids] == files[::100]


# ---- the arithmetic


def test_epochs_as_steps():
    """Steps = epochs * frames / batch, in pretraining without an epoch's last, smaller batch; nuScenes trains on 28130 key frames."""
    slidr, kitti, scalr = (params.profile(name) for name in (SLIDR, KITTI, SCALR))
    assert slidr["distill"]["steps"] == 50 * (28130 * 600 // 700 // slidr["distill"]["batch"])
    assert scalr["distill"]["steps"] == 25 * (28130 // scalr["distill"]["batch"])
    assert scalr["distill"]["warmup"] * scalr["distill"]["steps"] == pytest.approx(3500, rel=0.001)
    assert scalr["finetune"]["warmup"] * 45 == pytest.approx(4, rel=0.001)
    for sections, epochs, frames in ((slidr, 100, 280), (kitti, 100, 192), (scalr, 45, 280)):
        assert finetune.steps(frames, sections["finetune"]) == round(epochs * frames / sections["finetune"]["batch"])
    for sections, rate in ((slidr, 2.0), (kitti, 2.0), (scalr, 0.002)):
        assert sections["finetune"]["head"] * sections["finetune"]["lr"]["distilled"] == pytest.approx(rate)
