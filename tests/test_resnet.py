"""ResNets with torchvision's names: the numbers of its definition, written out here, and checkpoints as people have them."""

import argparse

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from xkd import XkdError
from xkd.extract import stage_teacher
from xkd.teachers import open_teacher

pytestmark = pytest.mark.usefixtures("one_thread")


def convolution(weights, name, a, b, size, generator):
    weights[f"{name}.weight"] = torch.randn(b, a, size, size, generator=generator) / (a * size * size) ** 0.5


def batch_norm(weights, name, width, generator):
    weights[f"{name}.weight"] = 0.5 + torch.rand(width, generator=generator)
    weights[f"{name}.bias"] = torch.randn(width, generator=generator) / 4
    weights[f"{name}.running_mean"] = torch.randn(width, generator=generator) / 4
    weights[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=generator)
    weights[f"{name}.num_batches_tracked"] = torch.tensor(7)


def made(bottleneck, depths, width=4, classes=3):
    """A state dict with torchvision's names and shapes, of `width` instead of 64 channels after the stem."""
    weights, generator = {}, torch.Generator().manual_seed(0)
    convolution(weights, "conv1", 3, width, 7, generator)
    batch_norm(weights, "bn1", width, generator)
    a = width
    for stage, depth in enumerate(depths):
        inner = width * 2**stage
        b = 4 * inner if bottleneck else inner
        for block in range(depth):
            name = f"layer{stage + 1}.{block}"
            layers = [(a, inner, 1), (inner, inner, 3), (inner, b, 1)] if bottleneck else [(a, b, 3), (b, b, 3)]
            for k, (one, other, size) in enumerate(layers, 1):
                convolution(weights, f"{name}.conv{k}", one, other, size, generator)
                batch_norm(weights, f"{name}.bn{k}", other, generator)
            if block == 0 and (stage or a != b):
                convolution(weights, f"{name}.downsample.0", a, b, 1, generator)
                batch_norm(weights, f"{name}.downsample.1", b, generator)
            a = b
    weights |= {"fc.weight": torch.randn(classes, a, generator=generator), "fc.bias": torch.zeros(classes)}
    return weights


def defined(weights, x):
    """torchvision's ResNet without its head: outputs of the stem and of each stage. The stride of a bottleneck is its 3 x 3's (v1.5)."""

    def normal(x, name):
        mean, var, weight, bias = (weights[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias)

    x = F.relu(normal(F.conv2d(x, weights["conv1.weight"], stride=2, padding=3), "bn1"))
    seen = [F.max_pool2d(x, 3, 2, 1)]
    for stage in (1, 2, 3, 4):
        block, x = 0, seen[-1]
        while f"layer{stage}.{block}.conv1.weight" in weights:
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y, last = x, 3 if f"{name}.conv3.weight" in weights else 2
            for k in range(1, last + 1):
                weight = weights[f"{name}.conv{k}.weight"]
                strided = stride if k == last - 1 else 1
                y = normal(F.conv2d(y, weight, stride=strided, padding=weight.shape[-1] // 2), f"{name}.bn{k}")
                y = F.relu(y) if k < last else y
            if f"{name}.downsample.0.weight" in weights:
                x = normal(F.conv2d(x, weights[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            x, block = F.relu(x + y), block + 1
        seen.append(x)
    return seen


KINDS = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
}


def opened(path, **params):
    return open_teacher({"name": "resnet", "path": str(path), **params})


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_those_of_torchvision_s_definition(kind, tmp_path):
    weights, (bottleneck, depths) = made(*KINDS[kind]), KINDS[kind]
    torch.save(weights, tmp_path / "it.pth")
    teacher = opened(tmp_path / "it.pth")
    assert teacher.network.config.depths == list(depths)
    assert (teacher.dim, teacher.stride) == (32 * (4 if bottleneck else 1), 32)
    images = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        seen = teacher.network(images, output_hidden_states=True).hidden_states
    for found, expected in zip(seen, defined(weights, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    # The teacher's cells are those of an image that is moved by half a cell: the map of 96 x 128 is 3 x 4.
    assert teacher(images).shape == (2, teacher.dim, 3, 4)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    moved = F.pad((images - mean) / std, (16, 16, 16, 16), mode="replicate")
    torch.testing.assert_close(teacher(images), defined(weights, moved)[-1][..., 1:, 1:], rtol=1e-3, atol=1e-3)
    assert (opened(tmp_path / "it.pth", layer=2).dim, opened(tmp_path / "it.pth", layer=2).stride) == (
        8 * (4 if bottleneck else 1),
        8,
    )


def test_the_stage_opens_it_as_its_source(tmp_path):
    torch.save(made(False, (1, 1, 1, 1)), tmp_path / "it.pth")
    own = {"seed": 0, "pairs_per_frame": 9, "reach": 0, "mini": {}}
    teacher, training = stage_teacher({"name": "resnet", "source": str(tmp_path / "it.pth"), "layer": -2, **own}, None)
    assert (teacher.dim, teacher.stride, training) == (16, 16, None)
    with pytest.raises(XkdError, match="teacher 'mini' has no parameter 'compile'; it has source, seed"):
        stage_teacher({"name": "mini", "source": "none", "compile": True, **own}, None)


def test_a_compiled_one_sees_the_same(tmp_path, monkeypatch):
    """By the part of torch's compiler that needs no other compiler: what is kept is the graph, and its kernels are torch's."""
    torch.save(made(False, (1, 1, 1, 1)), tmp_path / "it.pth")
    plain, compiles = opened(tmp_path / "it.pth"), torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiles(self, backend="eager"))
    compiled = opened(tmp_path / "it.pth", compile=True)
    for images in (torch.rand(2, 3, 64, 96), torch.rand(1, 3, 64, 64)):
        torch.testing.assert_close(compiled(images), plain(images), rtol=0, atol=1e-6)
    assert compiled.network._compiled_call_impl is not None and compiled.fingerprint == plain.fingerprint
    with pytest.raises(XkdError, match="it.pth: compile is true or false, not 'maybe'"):
        opened(tmp_path / "it.pth", compile="maybe")


def test_one_that_cannot_be_compiled_is_said(tmp_path, monkeypatch):
    torch.save(made(False, (1, 1, 1, 1)), tmp_path / "it.pth")
    compiles = torch.nn.Module.compile

    def none(graph, inputs):
        raise ValueError("No compiler.\nLooked everywhere.")

    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiles(self, backend=none))
    teacher = opened(tmp_path / "it.pth", compile=True)
    with pytest.raises(
        XkdError, match=r"it.pth: compile is true, and it cannot be compiled here \(.*No compiler.\)\.$"
    ):
        teacher(torch.rand(1, 3, 64, 64))


def under(prefix, weights):
    return {f"{prefix}{key}": value for key, value in weights.items()}


def moco(weights):
    other = {key: value + 1 for key, value in weights.items()}
    heads = {"fc.0.weight": torch.zeros(4, 4), "fc.0.bias": torch.zeros(4), "fc.2.weight": torch.zeros(4, 4)}
    both = under("module.encoder_q.", weights | heads) | under("module.encoder_k.", other | heads)
    return {"epoch": 200, "arch": "resnet50", "state_dict": both | {"module.queue": torch.zeros(4, 8)}}


def dino(weights):
    """As it leaves its own: with the command line, the optimiser, and a student beside the teacher."""
    kept = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    other = {key: value + 1 for key, value in kept.items()}
    return {
        "student": under("module.backbone.", other) | {"module.head.mlp.0.weight": torch.zeros(2, 2)},
        "teacher": under("backbone.", kept) | {"head.mlp.0.weight": torch.zeros(2, 2)},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
        "args": argparse.Namespace(arch="resnet50", out_dim=65536),
    }


CHECKPOINTS = {
    "plain": lambda weights: weights,
    "supervised": lambda weights: {"state_dict": under("module.", weights), "best_acc1": torch.tensor(76.1)},
    "moco": moco,
    "dino": dino,
    "backbone": lambda weights: under("backbone.", weights) | {"projector.0.weight": torch.zeros(2, 2)},
    "swav": lambda weights: under("module.", weights | {"projection_head.0.weight": torch.zeros(2, 2)}),
    "old": lambda weights: {key: value for key, value in weights.items() if "num_batches" not in key},
    "half": lambda weights: {key: value.half() for key, value in weights.items()},
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints_as_people_have_them(kind, tmp_path):
    weights, images = made(True, (1, 2, 1, 1)), torch.rand(1, 3, 64, 64)
    torch.save(weights, tmp_path / "plain.pth")
    torch.save(CHECKPOINTS[kind](weights), tmp_path / f"{kind}.pth.tar")
    expected, seen = opened(tmp_path / "plain.pth"), opened(tmp_path / f"{kind}.pth.tar")
    torch.testing.assert_close(seen(images), expected(images), rtol=0, atol=0.02 if kind == "half" else 0)
    assert (seen.fingerprint == expected.fingerprint) == (kind not in ("half", "old"))


def test_one_of_several_networks_is_chosen_by_its_prefix(tmp_path):
    weights = made(False, (1, 1, 1, 1))
    other = {key: value * 2 for key, value in weights.items()}
    save_file(under("a.", weights) | under("b.", other), tmp_path / "two.safetensors")
    with pytest.raises(XkdError, match="prefix None is that of 2 of its networks, which begin with 'a.' and 'b.'"):
        opened(tmp_path / "two.safetensors")
    with pytest.raises(XkdError, match="prefix 'c.' is that of 0 of its networks"):
        opened(tmp_path / "two.safetensors", prefix="c.")
    for prefix, expected in (("a.", weights), ("b.", other)):
        network = opened(tmp_path / "two.safetensors", prefix=prefix).network
        assert torch.equal(network.embedder.embedder.convolution.weight, expected["conv1.weight"])
    torch.save(moco(weights), tmp_path / "moco.pth")
    network = opened(tmp_path / "moco.pth", prefix="encoder_k.").network
    assert torch.equal(network.embedder.embedder.convolution.weight, weights["conv1.weight"] + 1)


def changed(**changes):
    """A small ResNet's weights with some keys replaced; None: taken away. `__` stands for a dot."""
    given = made(True, (1, 1, 1, 1)) | {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (changed(layer2__0__bn2__weight=None), "1 keys are missing, layer2.0.bn2.weight for one"),
        (changed(layer3__0__conv3__weight=None), "1 keys are missing, layer3.0.conv3.weight for one"),
        (changed(layer4__0__downsample__1__bias=None), "1 keys are missing, layer4.0.downsample.1.bias for one"),
        (changed(layer1__0__se__fc=torch.zeros(2)), "1 keys are not a ResNet's, layer1.0.se.fc for one"),
        (changed(layer1__2__bn1__bias=torch.zeros(4)), "keys are missing, layer1.1.conv1.weight for one"),
        (changed(conv1__weight=torch.zeros(4, 3, 3, 3)), r"conv1.weight is \(4, 3, 3, 3\), and a ResNet's"),
        (changed(layer1__0__conv2__weight=torch.zeros(4, 1, 3, 3)), r"layer1.0.conv2.weight is \(4, 1, 3, 3\)"),
        ({"features.0.weight": torch.zeros(2)}, "no keys conv1.weight and layer1.0.conv1.weight"),
        ([1, 2], "no keys conv1.weight"),
    ],
)
def test_what_is_no_such_resnet_is_named(weights, words, tmp_path):
    torch.save(weights, tmp_path / "it.pth")
    with pytest.raises(XkdError, match=f"it.pth: .*{words}") as error:
        opened(tmp_path / "it.pth")
    assert len(str(error.value).splitlines()) == 1


class Harmful:
    def __reduce__(self):
        return print, ("run",)


def test_files_that_cannot_be_read_and_code_that_is_not_run(tmp_path, capsys):
    with pytest.raises(XkdError, match="none.pth: no such file"):
        opened(tmp_path / "none.pth")
    torch.save({"state_dict": made(False, (1, 1, 1, 1)), "more": Harmful()}, tmp_path / "code.pth")
    torch.save(made(False, (1, 1, 1, 1)), tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name in ("code.pth", "cut.pth", "text.pth", "text.safetensors"):
        with pytest.raises(XkdError, match=f"{name}: (is no checkpoint of weights alone|cannot be read)") as error:
            opened(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1
    assert capsys.readouterr().out == ""
