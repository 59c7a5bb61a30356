"""Backbones of the transformers library as teachers: built small, saved, opened. No network: the hub is a folder like its cache."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from teacher_models import BACKBONES, check, even, misplaced, saved

from xkd import XkdError
from xkd.pool import sample
from xkd.teachers import open_teacher
from xkd.teachers.base import Pretrained, resized


@pytest.fixture(autouse=True)
def one_thread_and_no_network(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def opened(folder, **params):
    return open_teacher({"name": "transformers", "model": str(folder), **params})


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


@pytest.mark.parametrize(
    ("kind", "scale", "cells"),
    # 900 x 1600 in patches of 14: 64.3 and 114.3; of 16: 56.25 and 100; of 32: 28.1 and 50. Half the size: 32.1 and 57.1, and so on.
    [("Dinov2", 1, (64, 114)), ("DINOv3ViT", 1, (56, 100)), ("ResNet", 1, (28, 50)), ("ConvNext", 1, (28, 50))]
    + [("Dinov2", 0.5, (32, 57)), ("DINOv3ViT", 0.5, (28, 50)), ("ResNet", 0.5, (14, 25))],
)
def test_images_come_in_whole_patches(kind, scale, cells, tmp_path):
    saved(kind, tmp_path)
    assert opened(tmp_path, scale=scale)(torch.zeros(1, 3, 900, 1600)).shape[2:] == cells


def test_a_sam_encoder_sees_its_square_as_its_own_processor_makes_it(tmp_path):
    """The longer side fills the square, the rest is zero after the normalisation; the map is that of the image alone."""
    from transformers import SamImageProcessor

    network = saved("Sam", tmp_path).vision_encoder
    processor = SamImageProcessor(size={"longest_edge": 416}, pad_size={"height": 416, "width": 416})
    processor.save_pretrained(tmp_path)
    teacher = opened(tmp_path)
    # The second is made twice as large, 416 x 208, where the processor rounds to bytes.
    for height, width, cells, near in ((288, 416, (18, 26), 1e-3), (208, 104, (26, 13), 0.1)):
        image = torch.randint(256, (height, width, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        pixels = processor(image.numpy(), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            expected = network(pixels).last_hidden_state[..., : cells[0], : cells[1]]
        seen = teacher(image.permute(2, 0, 1)[None] / 255)
        assert seen.shape[2:] == cells
        assert (seen - expected).abs().max() < near * expected.std()
    assert torch.equal(opened(tmp_path, scale=1)(image.permute(2, 0, 1)[None] / 255), seen)
    with pytest.raises(XkdError, match="scale = 2, and it takes images of 416 pixels alone"):
        opened(tmp_path, scale=2)


@pytest.mark.parametrize(
    ("size", "expected"),
    # Of 900 x 1600: the shorter side, 900, to 225 is a quarter; the longer, 1600, to 400 too; of two the smaller; a square is a square.
    [({"shortest_edge": 225}, (225, 400)), ({"longest_edge": 400}, (225, 400)), ({"scale": 0.5}, (450, 800))]
    + [({"shortest_edge": 450, "longest_edge": 400}, (225, 400)), ({"height": 224, "width": 448}, (224, 448))],
)
def test_sizes_by_hand(size, expected):
    assert resized(size, 900, 1600) == pytest.approx(expected)


@pytest.mark.parametrize("resample", [2, 3])
@pytest.mark.parametrize(
    ("kind", "size", "more"),
    # An image of 96 x 144 in patches of 8. ConvNeXt's edge of 48 is that of a crop of 3/4: the image comes to 64 x 96.
    [("ViT", {"height": 64, "width": 48}, {}), ("Bit", {"shortest_edge": 64}, {"do_center_crop": False})]
    + [("Segformer", {"height": 64, "width": 64}, {}), ("ConvNext", {"shortest_edge": 48}, {"crop_pct": 0.75})],
)
def test_images_are_resized_as_the_model_s_own_preprocessor_does_it(kind, size, more, resample, tmp_path):
    """Within the bytes that the processor rounds to, twice, and of an image that it does not clip in between; what it cuts off is kept."""
    import transformers

    processor = getattr(transformers, f"{kind}ImageProcessor")(size=size, resample=resample, **more)
    values = torch.randint(80, 176, (96, 144, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected = processor(values.numpy(), return_tensors="pt")["pixel_values"]
    saved("ViT", tmp_path)
    processor.save_pretrained(tmp_path)
    teacher, image = opened(tmp_path), values.permute(2, 0, 1)[None] / 255
    seen = teacher.prepare(image)
    if kind == "ConvNext":
        assert seen.shape[2:] == (64, 96)
        seen = seen[..., 8:56, 24:72]  # the middle 48 x 48
    assert seen.shape == expected.shape and ((seen - expected) * teacher.std).abs().max() < 1.6 / 255
    assert teacher(image).shape[2:] == tuple(side // 8 for side in teacher.prepare(image).shape[2:])
    assert opened(tmp_path, scale=1)(image).shape[2:] == (12, 18)  # its own size instead


@pytest.mark.parametrize("kind", ["ViT", "Bit", "ConvNext", "Segformer", "Sam", "CLIP", "Beit"])
@pytest.mark.parametrize("facts", [{}, {"do_rescale": False}, {"do_normalize": False}, {"rescale_factor": 0.01}])
def test_normalisation_is_that_of_the_model_s_own_preprocessor(kind, facts, tmp_path):
    import transformers

    given = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7], **facts}
    whole = {"do_resize": False, "do_center_crop": False, "do_pad": False}
    processor = getattr(transformers, f"{kind}ImageProcessor")(**given, **whole)
    image = torch.randint(256, (32, 32, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected = processor(image.numpy(), return_tensors="pt")["pixel_values"]
    saved("ViT", tmp_path)
    processor.save_pretrained(tmp_path)
    teacher = opened(tmp_path)
    seen = (image.permute(2, 0, 1)[None] / 255 - teacher.mean) / teacher.std
    torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-4)


def test_preprocessors_in_a_processor_s_file_and_such_as_are_not_understood(tmp_path):
    saved("ViT", tmp_path)
    facts = {"image_mean": 0.5, "image_std": 0.25, "rescale_factor": 1 / 127.5, "rescale_offset": True}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": facts}))
    teacher = opened(tmp_path)  # (2 x - 1 - 0.5) / 0.25 = (x - 0.75) / 0.125
    assert teacher.mean.flatten().tolist() == pytest.approx([0.75] * 3)
    assert teacher.std.flatten().tolist() == pytest.approx([0.125] * 3)
    (tmp_path / "processor_config.json").unlink()
    assert opened(tmp_path).mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    for text, words in (
        ('{"do_resize": true}', "names no image_mean"),
        ('{"image_mean": [0.5, 0.5], "image_std": [1, 1]}', "of three channels"),
        ('{"do_flip_channel_order": true}', "blue before red"),
        ('{"image_mean": 0.5, "image_std": 0.5, "resample": 1}', "PIL's filter 1; there are 2 and 3"),
        (
            '{"image_mean": 0.5, "image_std": 0.5, "size": {"height": 64}}',
            "resizes to {'height': 64}, which is not done",
        ),
        ('{"image_mean": 0.5, "image_std": 0.5, "size": {"shortest_edge": 0}}', "resizes to {'shortest_edge': 0}"),
        ("{", "preprocessor_config.json cannot be read"),
    ):
        (tmp_path / "preprocessor_config.json").write_text(text)
        with pytest.raises(XkdError, match=words):
            opened(tmp_path)


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
