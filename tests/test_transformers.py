"""Backbones of the transformers library as teachers: built small, saved, opened. No network: the hub is a folder like its cache."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from teacher_models import BACKBONES, check, even, misplaced, opened, saved

from xkd import XkdError
from xkd.pool import sample
from xkd.teachers.base import Pretrained

pytestmark = pytest.mark.usefixtures("one_thread", "no_hub")


@pytest.mark.parametrize("kind", BACKBONES)
def test_every_kind_of_backbone_keeps_the_contract(kind, tmp_path):
    saved(kind, tmp_path)
    _, last, first = BACKBONES[kind]
    teacher = opened(tmp_path)
    assert (teacher.dim, teacher.stride) == last
    check(teacher, *((128, 160) if kind.startswith("Swin") else (250, 416) if teacher.square else (90, 150)))
    early = opened(tmp_path, layer=1)
    assert (early.dim, early.stride) == first and early.fingerprint == teacher.fingerprint
    assert early(torch.rand(1, 3, 128, 160)).shape[1] == early.dim
    with pytest.raises(XkdError, match="layer = 99"):
        opened(tmp_path, layer=99)


@pytest.mark.parametrize("given", [{"layer": "last"}, {"scale": 0}, {"scale": "2"}])
def test_arguments_of_another_kind_are_named(given, tmp_path):
    saved("Dinov2", tmp_path)
    with pytest.raises(XkdError, match=f"a whole number and scale one above 0, not .*{next(iter(given.values()))!r}"):
        opened(tmp_path, **given)


@pytest.mark.parametrize("kind", BACKBONES)
def test_backbone_features_lie_where_the_pixels_are(kind, tmp_path):
    saved(kind, tmp_path)
    teacher = even(opened(tmp_path))
    right = misplaced(teacher)
    assert right.abs().max() < 0.1
    if teacher.shift:  # and would not, taken as they come: half a cell off, of SAM 2 two pixels of sixteen
        off, teacher.shift = teacher.shift / teacher.stride, 0
        assert (misplaced(teacher) - right - off).abs().max() < 0.1 < off


@pytest.mark.parametrize("size", [{"scale": 1.0}, {"shortest_edge": 320}, {"height": 448, "width": 448}])
@pytest.mark.parametrize("kind", ["Dinov2", "ResNet"])
def test_a_pattern_is_found_back_at_its_pixels_whatever_an_image_is_resized_to(kind, size, tmp_path):
    """Of a grid of pixels, features sampled by `xkd.pool` change most at the one around which 32 x 32 are lit; a cell is no wider."""
    saved(kind, tmp_path)
    teacher = even(opened(tmp_path))
    teacher.resize = teacher.resize | {"size": size}
    rows, columns = torch.arange(16, 288, 32), torch.arange(16, 416, 32)
    grid, grey = torch.cartesian_prod(rows, columns), torch.full((1, 3, 288, 416), 0.5)
    dark = sample(teacher(grey), grid, (288, 416))
    for row, column in ((80, 112), (144, 240), (208, 336)):
        lit = grey.clone()
        lit[..., row - 16 : row + 16, column - 16 : column + 16] = 1.0
        change = (sample(teacher(lit), grid, (288, 416)) - dark).square().sum(1)
        assert grid[change.argmax()].tolist() == [row, column]


@pytest.mark.parametrize(
    ("kind", "off", "early"),
    # Half a cell where each layer is centred on the first of its pixels: of 32 (cell 0 on pixel 0, its patch's middle at 15.5), of 4 or 8.
    # SAM 2: its first kernel alone, of 7 and stride 4, centred on pixel 0 of 4; then everything comes in pairs.
    [("ResNet", 15.5, 1.5), ("RegNet", 15.5, 1.5), ("Segformer", 15.5, 3.5), ("PvtV2", 15.5, 3.5)]
    + [(kind, 0, 0) for kind in ("ConvNext", "Swin", "DINOv3ConvNext", "Dinov2")]
    + [("Sam2Vision", 1.5, 1.5)],
)
def test_how_far_cells_lie_off_is_told_from_the_layers(kind, off, early, tmp_path):
    saved(kind, tmp_path)
    assert opened(tmp_path).shift == round(off) and opened(tmp_path, layer=1).shift == round(early)


def test_patch_tokens_are_the_model_s_own(tmp_path):
    """An image of whole patches: class and register tokens gone, order kept, the saved mean and deviation used."""
    network = saved("Dinov2WithRegisters", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}')
    teacher = opened(tmp_path)
    image = torch.rand(1, 3, 42, 56, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
    with torch.no_grad():
        tokens = network((image - mean) / std).last_hidden_state
    assert tokens.shape[1] == 1 + 4 + 3 * 4
    assert torch.allclose(teacher(image)[0, :, 1, 2], tokens[0, 5 + 1 * 4 + 2], atol=1e-5)
    assert opened(tmp_path, scale=2)(image).shape == (1, 32, 6, 8)


@pytest.mark.parametrize("registers", [0, 4])
def test_register_tokens_are_none_of_the_map(registers, tmp_path):
    """DINOv3 with and without: the map of 64 x 96 pixels is 4 x 6 patches of 16, cell (1, 2) the token 1 + registers + 1 * 6 + 2."""
    network = saved("DINOv3ViT", tmp_path, num_register_tokens=registers)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    teacher = opened(tmp_path)
    with torch.no_grad():
        tokens = network(teacher.prepare(image)).last_hidden_state
    assert tokens.shape[1] == 1 + registers + 4 * 6 and teacher(image).shape == (1, 32, 4, 6)
    assert torch.allclose(teacher(image)[0, :, 1, 2], tokens[0, 1 + registers + 8], atol=1e-5)


def hub(folder, kind, name, commit):
    """A model as the hub's cache holds it."""
    cached = folder / f"models--{name.replace('/', '--')}"
    network = saved(kind, cached / "snapshots" / commit)
    (cached / "snapshots" / commit / "preprocessor_config.json").write_text('{"image_mean": 0.5, "image_std": 0.5}')
    (cached / "refs").mkdir(exist_ok=True)
    (cached / "refs" / "main").write_text(commit)
    return network


def test_a_hub_id_is_taken_at_its_revision(tmp_path, monkeypatch):
    """Out of the cache here; two commits of one model are two teachers, and a branch or tag, which moves, is none."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    first, second = "a" * 40, "b" * 40
    hub(tmp_path, "Dinov2WithRegisters", "some/dinov2", second)
    network = hub(tmp_path, "Dinov2", "some/dinov2", first)
    teacher = opened("some/dinov2", revision=first)
    assert type(teacher.network) is type(network) and teacher.mean.flatten().tolist() == [0.5] * 3
    assert opened("some/dinov2", revision=first).fingerprint == teacher.fingerprint
    assert opened("some/dinov2", revision=second).fingerprint != teacher.fingerprint
    for moves in (None, "main", "v1", "aaaaaaa"):
        with pytest.raises(XkdError, match=f"some/dinov2: no such folder, and a hub id needs .*; {moves!r} is none"):
            opened("some/dinov2", revision=moves)
    with pytest.raises(XkdError, match="some/dinov2: neither a saved model's folder nor"):
        opened("some/dinov2", revision="c" * 40)


def test_fingerprints_are_of_the_weights(tmp_path):
    network = saved("Dinov2", tmp_path / "a")
    first = opened(tmp_path / "a").fingerprint
    network.save_pretrained(tmp_path / "b", max_shard_size="20kB")  # the same in several files
    assert len(list((tmp_path / "b").glob("*.safetensors"))) > 1
    assert opened(tmp_path / "b").fingerprint == first and len(first) == 64
    with torch.no_grad():
        network.encoder.layer[0].norm1.weight[3] += 1e-6
    network.save_pretrained(tmp_path / "b")
    assert opened(tmp_path / "b").fingerprint != first


def test_weights_in_half_precision_meet_images_in_single(tmp_path):
    saved("Dinov2", tmp_path).half().save_pretrained(tmp_path)
    assert opened(tmp_path)(torch.rand(1, 3, 42, 56)).dtype == torch.float32


def test_models_that_cannot_be_had_are_one_sentence(tmp_path):
    for model in (str(tmp_path / "nowhere"), "no-one/no-such-model"):
        with pytest.raises(XkdError, match=model) as error:
            opened(model, revision="a" * 40)
        assert len(str(error.value).splitlines()) == 1
    network = saved("ViT", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    gone = next(key for key in weights if "layer" in key)
    for changed, words in (
        ({key: value for key, value in weights.items() if key != gone}, "would stay random"),
        (weights | {gone: torch.zeros(3)}, "neither a saved model's folder"),
    ):
        save_file(changed, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(XkdError, match=words) as error:
            opened(tmp_path)
        assert len(str(error.value).splitlines()) == 1
    whole = (tmp_path / "model.safetensors").read_bytes()
    for damaged in (whole[:1000], b"no weights at all"):
        (tmp_path / "model.safetensors").write_bytes(damaged)
        with pytest.raises(XkdError, match=f"{tmp_path}: neither a saved model's folder"):
            opened(tmp_path)
    network.config.model_type = "vit_mae"
    with pytest.raises(XkdError, match="vit_mae does not give its patches"):
        Pretrained("it", network)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-type"}')
    with pytest.raises(XkdError, match=f"{tmp_path}: neither a saved model's folder"):
        opened(tmp_path)


def test_a_network_that_pads_outside_its_layers_is_refused(tmp_path):
    from transformers import MobileNetV2Config, MobileNetV2Model

    MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.25)).save_pretrained(tmp_path)
    with pytest.raises(XkdError, match="where its cells lie is not known"):
        opened(tmp_path)
