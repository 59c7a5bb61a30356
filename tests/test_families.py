"""`python -m xkd teachers`: numbers that are known from elsewhere, memory counted by hand, and not one download."""

import json
import socket

import numpy as np
import pytest
import torch
from teacher_models import saved
from torch import nn

from xkd import families, files
from xkd.__main__ import main
from xkd.teachers import names
from xkd.teachers.base import Teacher


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refused(*_):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refused)


class Two(Teacher):
    """Two convolutions of stride 1: 3 -> 4 -> 2 channels."""

    def __init__(self):
        super().__init__()
        self.dim, self.stride = 2, 1
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 2, 1, bias=False))

    def look(self, images):
        return self.layers(images)


def test_memory_by_hand(monkeypatch):
    """For one of 10 x 20 pixels: the image 3, the first map 4, the second 2 channels; all three are there at once at the end."""
    monkeypatch.setattr(families, "SIZE", (10, 20))
    facts = families.measured(Two().to("meta"))
    assert facts["parameters"] == 3 * 4 + 4 * 2 and facts["weights"] == 4 * facts["parameters"]
    assert facts["alive"] == 4 * 200 * (3 + 4 + 2) and facts["cells"] == (10, 20)


def test_memory_that_is_given_back_is_not_counted():
    with families.Alive([]) as alive:
        for _ in range(5):
            x = torch.zeros(1000, device="meta")
            x = x + 1  # two at once
            x.view(10, 100).mul_(2)  # nothing new
            del x
    assert alive.most == 8000 and alive.now == 0


def test_attention_makes_no_matrix_of_all_by_all():
    query = torch.zeros(1, 2, 5000, 8, device="meta")
    with families.Fused(), families.Alive([query]) as alive:
        out = nn.functional.scaled_dot_product_attention(query, query, query)
    assert out.shape == query.shape and alive.most == query.nbytes


def vit(dim, layers, patch, image, extra=1, scale=0, pool=0):
    """Parameters of a ViT (Dosovitskiy et al., ICLR 2021): patches, tokens, positions, layers of 12 dim^2 + 13 dim, the last norm."""
    tokens = extra * dim + ((image // patch) ** 2 + 1) * dim
    return 3 * patch**2 * dim + dim + tokens + layers * (12 * dim**2 + (13 + scale) * dim) + 2 * dim + pool


@pytest.mark.parametrize(
    ("family", "dim", "stride", "parameters"),
    [
        # The poolers of transformers' models are counted, as they are in memory.
        ("ViT", 768, 16, vit(768, 12, 16, 224, pool=768**2 + 768)),
        ("DINOv2", 768, 14, vit(768, 12, 14, 518, scale=2) + 768),  # LayerScale twice a layer; a mask token
        ("ResNet", 2048, 32, 25_557_032 - 2_049_000),  # torchvision's resnet50 without its classifier
        ("ConvNeXt", 768, 32, 28_589_128 - 769_000),  # convnext_tiny
        ("Swin", 768, 32, 28_288_354 - 769_000),  # swin_t
    ],
)
def test_numbers_of_the_examples_are_the_published_ones(family, dim, stride, parameters):
    facts = families.measured(families.hollow(*families.FAMILIES[family][1:]))
    assert (facts["dim"], facts["stride"], facts["parameters"]) == (dim, stride, parameters)
    # 900 x 1600: 64.3 x 114.3 patches of 14, 56.25 x 100 of 16, 28.1 x 50 of 32.
    assert facts["cells"] == {14: (64, 114), 16: (56, 100), 32: (28, 50)}[stride]
    assert facts["alive"] > 4 * 3 * 900 * 1600


def test_the_listing_names_every_teacher_and_family(monkeypatch, capsys):
    few = {name: families.FAMILIES[name] for name in ("SegFormer", "SAM 2")}
    monkeypatch.setattr(families, "FAMILIES", few)
    assert main(["teachers"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()[: len(names())]] == names()
    assert "nvidia/segformer-b0-finetuned-cityscapes-1024-1024" in told and "facebook/sam2.1-hiera-tiny" in told
    assert "without weights" in told


def test_a_teacher_whose_imports_are_not_there_is_listed_all_the_same(monkeypatch, tmp_path, capsys):
    import xkd.teachers

    (tmp_path / "new.py").write_text('"""One more teacher.\n\nAt length."""\n\nimport a_library_that_nobody_has\n')
    monkeypatch.setattr(families, "FAMILIES", {})
    monkeypatch.setattr(xkd.teachers, "__path__", [*xkd.teachers.__path__, str(tmp_path)])
    assert main(["teachers"]) == 0
    assert "new           One more teacher." in capsys.readouterr().out.splitlines()


def test_what_takes_long_is_said_before(tmp_path, monkeypatch, capsys):
    """Two files, of 1 MiB and of half a MiB: said before anything of them is reported."""
    (tmp_path / "a.npy").write_bytes(bytes(2**20))
    (tmp_path / "b.npy").write_bytes(bytes(2**19))

    def report(*given):
        said.append(capsys.readouterr())
        return []

    monkeypatch.setattr(families, "report", report)
    # A relative path is from where one stands.
    monkeypatch.chdir(tmp_path)
    for given, words in (
        (["--source", "a.npy"], f"{tmp_path / 'a.npy'} whole for its SHA-256: 1 file, 1.0 MiB"),
        (["--source", str(tmp_path)], f"reads {tmp_path} whole for its SHA-256: 2 files, 1.5 MiB"),
        (["--verify", str(tmp_path)], f"reads {tmp_path} whole for its SHA-256: 2 files, 1.5 MiB"),
        (["--source", str(tmp_path / "a.npy")], "a.npy whole for its SHA-256: 1 file, 1.0 MiB"),
        ([], "counts one network of each family"),
    ):
        said = []
        assert main(["teachers", *given]) == 0
        assert words in said[0].err and not said[0].out


def test_what_is_assumed_of_a_model_without_its_image_processor(tmp_path, capsys):
    saved("Dinov2", tmp_path)

    def told(*options):
        assert main(["teachers", "--source", str(tmp_path), *options]) == 0
        return dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())

    one = told()
    assert one["assumes"] == (
        "ImageNet's mean and deviation, and no resizing: it was saved without its image processor"
    )
    assert one["resizes"] == "to an image's own size, then to whole cells; bilinear"
    assert one["normalises"] == "images of 0..1 by mean 0.485, 0.456, 0.406; deviation 0.229, 0.224, 0.225"
    assert "resizing" not in told("--option", "scale=2.0")["assumes"]
    facts = {"image_mean": 0.5, "image_std": 0.25, "size": {"shortest_edge": 224}, "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(facts))
    one = told()
    assert "assumes" not in one and one["resizes"] == "to shortest edge 224 pixels, then to whole cells; bicubic"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("Bert", "a bert takes input_ids and no images, so it cannot teach."),
        ("Vilt", "a vilt that cannot be shown images alone ("),
    ],
)
def test_a_model_that_takes_no_images_is_refused_in_one_sentence(kind, words, tmp_path, capsys):
    import transformers

    few = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    config = getattr(transformers, f"{kind}Config")(vocab_size=50, **few)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path)
    capsys.readouterr()
    assert main(["teachers", "--source", str(tmp_path)]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("xkd: ")]
    assert len(said) == 2 and f"{tmp_path}: {words}" in said[1]


def test_a_teacher_on_the_disk_is_opened_and_tells_of_itself(tmp_path, capsys):
    saved("Dinov2", tmp_path / "dino")
    assert main(["teachers", "--source", str(tmp_path / "dino"), "--option", "layer=1", "--option", "scale=2.0"]) == 0
    told = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert told["teacher"] == "transformers" and told["dim"] == "32" and told["stride"] == "14"
    assert told["family"] == "dinov2" and len(told["fingerprint"]) == 64
    assert told["1600"].startswith("x 900   229 x 129 cells")  # twice 114.3 and 64.3
    np.save(tmp_path / "1.npy", np.zeros((4, 2, 3), np.float32))
    (tmp_path / "maps").mkdir()
    (tmp_path / "1.npy").rename(tmp_path / "maps" / "1.npy")
    assert main(["teachers", "--source", str(tmp_path / "maps")]) == 0
    told = capsys.readouterr().out
    assert "features" in told and files.digest(tmp_path / "maps") in told


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["--source", "facebook/dinov2-base"],
            "dinov2-base: no such folder or file; this command .* downloads nothing",
        ),
        (["--source", "nowhere", "--option", "layer"], "no such folder or file"),
        (["--verify", "nowhere"], "nowhere: holds no features"),
    ],
)
def test_what_is_not_there_is_one_sentence(given, words, capsys):
    import re

    assert main(["teachers", *given]) == 1
    assert re.search(words, capsys.readouterr().err)


def test_features_are_verified_from_the_command_line(stages, tmp_path, capsys):
    import shutil

    shutil.copytree(stages / "teacher", tmp_path / "teacher")
    assert main(["teachers", "--verify", str(tmp_path / "teacher")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and all("whole" in line for line in told)
    path = tmp_path / "teacher" / "train" / "features.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert main(["teachers", "--verify", str(tmp_path / "teacher")]) == 1
    assert "its files have the SHA-256" in capsys.readouterr().err
