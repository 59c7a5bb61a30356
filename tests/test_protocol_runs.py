"""Profiles of published protocols: their teachers as their pages say, and runs that start with their settings."""

import re

import pytest
import torch

import xkd
from xkd import finetune, params, profiles
from xkd.distill import distill
from xkd.extract import extract, stage_teacher
from xkd.files import read_json
from xkd.prepare import prepare
from xkd.teachers import open_teacher

SLIDR, KITTI, SCALR = "slidr-nuscenes", "slidr-semantickitti", "scalr-nuscenes"
PAGE = xkd.ROOT / "docs" / "protocols.md"


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
