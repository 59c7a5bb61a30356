"""Profiles of published protocols: the scenes and scans that the published code chooses, and a run that starts with their settings."""

import json
import re
from types import SimpleNamespace

import pytest
import torch

import xkd
from xkd import finetune, params, profiles
from xkd.datasets import reader
from xkd.distill import distill
from xkd.extract import extract, stage_teacher
from xkd.files import read_json
from xkd.prepare import prepare
from xkd.prepared import matching
from xkd.teachers import open_teacher

SLIDR, KITTI, SCALR = "slidr-nuscenes", "slidr-semantickitti", "scalr-nuscenes"
PAGE = xkd.ROOT / "docs" / "protocols.md"
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


# ---- the teachers


def test_the_layer_of_scalr_is_the_one_before_the_last_norm(tmp_path):
    """Its `x_pre_norm`; the network's own last norm makes the final output of it."""
    network = saved(tmp_path, "Dinov2")
    teacher = open_teacher(
        {"name": "transformers", "model": tmp_path, "layer": params.profile(SCALR)["teacher"]["layer"]}
    )
    images = torch.rand(1, 3, 28, 42, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normed = network.layernorm(teacher(images).movedim(1, -1)).movedim(-1, 1)
    final = open_teacher({"name": "transformers", "model": tmp_path})(images)
    assert torch.allclose(normed, final, atol=1e-5) and not torch.allclose(teacher(images), final, atol=0.1)


def test_images_are_as_large_as_the_page_says(tmp_path, monkeypatch):
    """900 x 1600 pixels in cells: of 16 pixels for SLidR's ResNet, whose stride is 32; of 18 x 32 patches for ScaLR's DINOv2."""
    sizes = {}
    for name, kind in ((SLIDR, "ResNet"), (SCALR, "Dinov2")):
        saved(tmp_path / kind, kind)
        given = {k: v for k, v in params.profile(name)["teacher"].items() if k in ("layer", "scale", "name")}
        teacher = open_teacher(given | {"model": tmp_path / kind})
        monkeypatch.setattr(teacher, "_map", lambda x, t=teacher: x[..., :: t.stride, :: t.stride])
        sizes[name] = tuple(teacher(torch.zeros(1, 3, 900, 1600)).shape[-2:])
    assert sizes == {SLIDR: (56, 100), SCALR: (18, 32)}


def test_moco_weights_as_the_page_renames_them(tmp_path, monkeypatch):
    """The block of docs/protocols.md, on a file with the names of MoCo's: all of a ResNet-50's weights find their place."""
    state, width = {}, 64
    shapes = {"conv1.weight": (64, 3, 7, 7), "fc.0.weight": (2048, 2048)} | norm("bn1", 64)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        for block in range(blocks):
            at = f"layer{stage + 1}.{block}"
            sizes = ((inner, width, 1, 1), (inner, inner, 3, 3), (4 * inner, inner, 1, 1))
            for k, size in enumerate(sizes, start=1):
                shapes |= {f"{at}.conv{k}.weight": size} | norm(f"{at}.bn{k}", size[0])
            if block == 0:
                shapes |= {f"{at}.downsample.0.weight": (4 * inner, width, 1, 1)} | norm(
                    f"{at}.downsample.1", 4 * inner
                )
            width = 4 * inner
    for name, shape in shapes.items():
        state[f"module.encoder_q.{name}"] = torch.full(shape, 0.5) if shape else torch.tensor(7)
    state["module.encoder_k.conv1.weight"] = torch.zeros(64, 3, 7, 7)
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": state}, tmp_path / "moco_v2_800ep_pretrain.pth.tar")
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)[1], {})
    teacher = open_teacher({"name": "transformers", "model": tmp_path / "moco-resnet50"})
    assert (teacher.dim, teacher.stride) == (2048, 32)
    assert all((value == (0.5 if value.ndim else 7)).all() for value in teacher.network.state_dict().values())


def norm(name, width):
    sizes = {part: (width,) for part in ("weight", "bias", "running_mean", "running_var")} | {"num_batches_tracked": ()}
    return {f"{name}.{part}": size for part, size in sizes.items()}


SMALL = {
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"},
    "Dinov2": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 42, "patch_size": 14},
}


def saved(folder, kind):
    """A small network of that kind, with random weights, saved to a folder as a teacher is."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SMALL[kind])
    network = getattr(transformers, f"{kind}Model")(config)
    network.save_pretrained(folder)
    return network.eval()


# ---- runs that start


SCALED = [
    "student.widths=[8, 8, 8, 8, 8]",
    "distill.steps=3",
    "distill.batch=2",
    "distill.hidden=8",
    "finetune.batch=2",
]
SCALED += ["finetune.steps.most=4", "teacher.pairs_per_frame=256"]
"""What this machine demands; all else is the profile's."""


def scaled(name, *given):
    return profiles.overlaid(name, [*SCALED, *given])


@pytest.fixture(scope="module")
def started(made, tmp_path_factory):
    """{profile: the folder of its prepared data, teacher features and distilled student}; scene-0002, of three, is held out for SLidR."""
    folders = {}
    for name, kind, held in ((SLIDR, "ResNet", "[scene-0002]"), (SCALR, "Dinov2", "[]")):
        out = folders[name] = tmp_path_factory.mktemp(name)
        saved(out / "model", kind)
        root = [f"data.root={made / 'nuscenes'}", f"teacher.source={out / 'model'}", f"data.tuning={held}"]
        sections = scaled(name, *root)
        data = sections["data"]
        prepare(data, sections["prepare"], out / "prepared")
        teacher, _ = stage_teacher(sections["teacher"], out / "teacher")
        extract(teacher, data, out / "prepared", sections["teacher"], out / "teacher")
        arguments = (data, sections["student"], sections["distill"], sections["sweep"]["seeds"][0])
        losses = distill(*arguments, out / "prepared", out / "teacher", out / "init", out / "distill.json")
        assert len(losses) == 3
    return folders


def cell(sections, fraction, seed, prepared, init, out):
    given = (sections["data"], sections["student"], sections["finetune"], fraction, "distilled", seed, prepared, init)
    return finetune.cell(*given, out, out.with_suffix(".json"))


@pytest.mark.parametrize("name, frames, objective", [(SLIDR, 4, "superpixel"), (SCALR, 6, "cosine")])
def test_nuscenes_starts(made, started, tmp_path, name, frames, objective):
    """Labels are drawn from all scenes, the one that was held out of the images too: at a half, the second of three."""
    facts = read_json(started[name] / "init" / "network.json")
    assert facts["facts"]["frames"] == frames and facts["facts"]["objective"] == objective
    assert facts["config"]["voxel"] == [0.1, 1, 0.1] and facts["config"]["backbone"] == "spunet"
    sections = scaled(name, f"data.root={made / 'nuscenes'}", "data.tuning=[]")
    result, losses = cell(sections, 0.5, 99, started[name] / "prepared", started[name] / "init", tmp_path / "cell")
    dataset = xkd.open_dataset("nuscenes", made / "nuscenes", "train")
    assert result["labelled_frames"] == [
        dataset[i].id for i, scene in enumerate(dataset.scenes) if scene == "scene-0002"
    ]
    assert len(losses) == result["steps"] == 4 and result["frames"] == 2 and 0 <= result["miou"] <= 100


def test_semantickitti_starts_from_the_student_of_nuscenes(made, started, tmp_path):
    sections = scaled(KITTI, f"data.root={made / 'semantickitti'}")
    prepare(sections["data"], sections["prepare"], tmp_path / "prepared")
    result, losses = cell(sections, 0.5, 0, tmp_path / "prepared", started[SLIDR] / "init", tmp_path / "cell")
    dataset = xkd.open_dataset("semantickitti", made / "semantickitti", "train")
    assert result["labelled_frames"] == [dataset[i].id for i in (0, 2)] and result["lr"] == 0.05
    assert len(losses) == 4 and len(result["iou"]) == 19
