"""Images as a model's own preprocessor makes them: whole patches, a square, resized, normalised."""

import json

import pytest
import torch
from teacher_models import opened, saved

from xkd import XkdError
from xkd.teachers.base import resized

pytestmark = pytest.mark.usefixtures("one_thread", "no_hub")


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
