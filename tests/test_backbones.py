"""The second student: Pointcept's names and shapes, against a dense network, weights there and back; any module of points."""

import io
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xkd import XkdError, backbones, pointcept, student
from xkd.backbones.base import Backbone
from xkd.files import read_json
from xkd.sparse import ConvAlgo, spconv

SMALL = {"backbone": "spunet", "voxel": 1.0, "widths": [4, 4, 6, 5, 8], "classes": ["road", "car", "tree"]}
WIDTHS = [32, 32, 64, 128, 256, 256, 128, 96, 96]


def scan(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-4, 4, (count, 3)).astype(np.float32), rng.random(count).astype(np.float32)


def test_names_and_shapes_are_pointcepts():
    """From its published structure: a 5x5x5 stem, four stages of 2, 3, 4 and 6 residual blocks, four of 2 on the way up."""
    state = pointcept.given(student.build(SMALL | {"widths": WIDTHS, "classes": [str(k) for k in range(16)]}, 0))
    shapes = {name.removeprefix("module.backbone."): tuple(value.shape) for name, value in state.items()}
    expected = {
        "conv_input.0.weight": (32, 5, 5, 5, 4),
        "conv_input.1.running_var": (32,),
        "down.0.0.weight": (32, 2, 2, 2, 32),
        "down.1.0.weight": (64, 2, 2, 2, 32),
        "down.3.0.weight": (256, 2, 2, 2, 128),
        "enc.0.block1.conv2.weight": (32, 3, 3, 3, 32),
        "enc.3.block5.bn2.bias": (256,),
        "up.0.0.weight": (96, 2, 2, 2, 96),
        "up.1.0.weight": (96, 2, 2, 2, 128),
        "up.2.0.weight": (128, 2, 2, 2, 256),
        "up.3.0.weight": (256, 2, 2, 2, 256),
        "dec.0.block0.proj.0.weight": (96, 1, 1, 1, 128),
        "dec.0.block0.conv1.weight": (96, 3, 3, 3, 128),
        "dec.1.block0.proj.0.weight": (96, 1, 1, 1, 128),
        "dec.2.block0.conv1.weight": (128, 3, 3, 3, 192),
        "dec.3.block0.conv1.weight": (256, 3, 3, 3, 384),
        "dec.3.block1.conv2.weight": (256, 3, 3, 3, 256),
        "final.weight": (16, 1, 1, 1, 96),
        "final.bias": (16,),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    blocks = {(s, k): name for name in shapes if name.startswith("enc.") for s, k in [name.split(".")[1:3]]}
    assert {s: sum(stage == s for stage, _ in blocks) for s in "0123"} == {"0": 2, "1": 3, "2": 4, "3": 6}
    assert not any("enc." in name and "proj" in name for name in shapes)  # an encoder's blocks keep their width
    trained = sum(
        int(np.prod(shape)) for name, shape in shapes.items() if "running" not in name and "num_batches" not in name
    )
    assert trained == pytest.approx(39.2e6, rel=0.005)  # as it is reported


def dense(network, grid):
    """The same network on a full grid (1, 4, x, y, z) all of whose cells are there."""

    def conv(module, x, **options):
        if module.conv1x1:  # spconv takes the numbers of the weight (out, 1, 1, 1, in) as those of (in, out)
            return torch.einsum("bixyz,io->boxyz", x, module.weight.reshape(x.shape[1], -1))
        return F.conv3d(x, module.weight.permute(0, 4, 1, 2, 3), **options)

    def norm(module, x):
        return F.batch_norm(x, module.running_mean, module.running_var, module.weight, module.bias, eps=1e-3)

    def block(module, x):
        y = norm(module.bn1, conv(module.conv1, x, padding=1)).relu()
        y = norm(module.bn2, conv(module.conv2, y, padding=1))
        skip = norm(module.proj[1], conv(module.proj[0], x)) if len(module.proj) else x
        return (y + skip).relu()

    x = norm(network.conv_input[1], conv(network.conv_input[0], grid, padding=2)).relu()
    skips = [x]
    for down, encode in zip(network.down, network.enc, strict=True):
        x = norm(down[1], conv(down[0], x, stride=2)).relu()
        for module in encode:
            x = block(module, x)
        skips.append(x)
    skips.pop()
    for up, decode in zip(network.up[::-1], network.dec[::-1], strict=True):
        x = F.conv_transpose3d(x, up[0].weight.permute(4, 0, 1, 2, 3), stride=2)
        x = torch.cat([norm(up[1], x).relu(), skips.pop()], 1)
        for module in decode:
            x = block(module, x)
    return x


def test_the_sparse_network_is_the_dense_one_where_every_cell_is_there():
    network = student.build(SMALL, 3)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    x, y, z = np.meshgrid(np.arange(8), np.arange(4), np.arange(4), indexing="ij")
    cells = np.stack([x, y, z], -1).reshape(-1, 3)
    points, intensity = cells.astype(np.float32) + 0.25, np.random.default_rng(0).random(len(cells)).astype(np.float32)
    network.eval()
    with torch.inference_mode():
        sparse = network.features(network.voxels([(points, intensity)]))
        grid = (
            torch.from_numpy(np.concatenate([points, intensity[:, None]], 1))
            .reshape(8, 4, 4, 4)
            .permute(3, 0, 1, 2)[None]
        )
        expected = dense(network, grid)[0].permute(1, 2, 3, 0).reshape(len(cells), -1)
    assert torch.allclose(sparse, expected, atol=1e-4)


def test_the_classifier_is_pointcepts_convolution():
    """Its `final` as spconv computes it, on the features of our network."""
    network = student.build(SMALL, 2).eval()
    state = pointcept.given(network)
    final = spconv.SubMConv3d(network.dim, 3, 1, bias=True, algo=ConvAlgo.Native)
    final.load_state_dict({name: state[f"module.backbone.final.{name}"] for name in ("weight", "bias")})
    with torch.inference_mode():
        features, logits = network(network.voxels([scan(50)]))
        cells = torch.cat([torch.zeros(50, 1), torch.arange(50)[:, None].expand(50, 3)], 1).int()
        expected = final(spconv.SparseConvTensor(features, cells, (64, 64, 64), 1)).features
    assert torch.allclose(logits, expected, atol=1e-6)


@pytest.mark.parametrize("config", [SMALL, SMALL | {"backbone": "unet", "widths": [4, 6]}], ids=["spunet", "unet"])
def test_a_point_has_the_same_feature_whatever_else_is_asked_for(config):
    network = student.build(config, 4).eval()
    voxels, asked = network.voxels([scan(300), scan(200, 1)]), torch.arange(0, 500, 7)
    with torch.inference_mode():
        assert torch.allclose(network.features(voxels)[asked], network.features(voxels.only(asked)), atol=1e-5)


@pytest.mark.parametrize("config", [SMALL, SMALL | {"backbone": "unet", "widths": [4, 6]}], ids=["spunet", "unet"])
def test_a_start_hangs_on_the_seed_and_not_on_the_classes(config):
    one, two = (student.build(config | {"classes": classes}, 0).state_dict() for classes in (["a"], ["a", "b", "c"]))
    for name, value in one.items():
        assert name.startswith("head.") or torch.equal(value, two[name]), name


def test_weights_go_there_and_back(tmp_path):
    network = student.build(SMALL, 1)
    student.save(network, tmp_path / "own")
    assert pointcept.main(["give", str(tmp_path / "own"), str(tmp_path / "theirs.pth")]) == 0
    state = torch.load(tmp_path / "theirs.pth", weights_only=True)["state_dict"]
    assert {name: tuple(v.shape) for name, v in state.items()} == {
        n: tuple(v.shape) for n, v in pointcept.given(network).items()
    }
    again = pointcept.take(tmp_path / "theirs.pth", 1.0, SMALL["classes"], tmp_path / "again")
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    points, intensity = scan(200)
    assert (student.load(tmp_path / "again").segment(points, intensity) == network.segment(points, intensity)).all()
    other, same = (pointcept.take(tmp_path / "theirs.pth", 1.0, ["a", "b"], tmp_path / "other") for _ in range(2))
    assert torch.equal(other.head.weight, same.head.weight)
    assert student.load(tmp_path / "other").facts["classifier"] == "new"
    assert torch.equal(other.enc[0].block0.conv1.weight, network.enc[0].block0.conv1.weight)


def test_nuscenes_scans_are_turned_for_pointcept(tmp_path):
    """There x is right and y forward: its network says of a scan turned so what ours says of the same scan, from equal weights."""
    network = student.build(SMALL, 1).eval()
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    for norm in norms:  # else it says next to nothing
        norm.running_var.fill_(1e-2)
    rng = np.random.default_rng(0)
    cells = np.concatenate([rng.integers(-4, 4, (400, 3)), [[-4, -4, -4], [3, 3, 3]]])  # the same grid, turned or not
    points, intensity = (cells + rng.uniform(0.1, 0.9, cells.shape)).astype(np.float32), rng.random(402, np.float32)
    there = np.stack([-points[:, 1], points[:, 0], points[:, 2]], 1)  # x there is -y here
    other = student.build(SMALL, 2).eval()
    found = {}
    for kind in ("nuscenes", "semantickitti"):
        state = pointcept.taken(pointcept.given(network, kind), "semantickitti")  # their numbers, as they are
        other.load_state_dict(state)
        with torch.inference_mode():
            ours, theirs = (net(net.voxels([(at, intensity)]))[1] for net, at in ((network, points), (other, there)))
        found[kind] = ((ours - theirs).abs().max() / ours.std()).item()
    assert found["nuscenes"] < 0.01 and found["semantickitti"] > 0.5
    weights = network.state_dict()
    for name, value in pointcept.taken(pointcept.given(network)).items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kind", "waymo"], "kind 'waymo' is none of Pointcept's networks here; there are nuscenes, semantickitti"),
        (["--voxel", "nan"], "voxel nan is no length in metres"),
        (["--voxel", "0"], "voxel 0 is no length in metres"),
        (["--voxel", "-1"], "voxel -1 is no length in metres"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, options, said):
    torch.save({"state_dict": pointcept.given(student.build(SMALL, 1))}, tmp_path / "theirs.pth")
    assert pointcept.main(["take", str(tmp_path / "theirs.pth"), str(tmp_path / "out"), *options]) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_weights_that_are_none_are_refused_and_a_new_classifier_is_told(tmp_path, capsys):
    state = pointcept.given(student.build(SMALL, 1))
    path, out = tmp_path / "theirs.pth", tmp_path / "out"
    stem = "module.backbone.conv_input.0.weight"
    for change, said in (
        ({stem: state[stem] * float("nan")}, f"theirs.pth: the weight {stem} holds values that are no finite numbers"),
        ({stem: torch.tensor(1.0)}, "theirs.pth: holds no weights of a SpUNet"),
        ({3: state[stem]}, "theirs.pth: holds no state dict"),
        ({stem: state[stem].to(torch.int8)}, f"theirs.pth: the weight {stem} is of torch.int8; it has to be of a fl"),
        ({stem: state[stem][:0]}, f"theirs.pth: the weight {stem} is no dense tensor with values"),
        ({stem: state[stem].flatten().to_sparse()}, f"theirs.pth: the weight {stem} is no dense tensor with values"),
    ):
        torch.save({"state_dict": state | change}, path)
        assert pointcept.main(["take", str(path), str(out)]) == 1
        assert said in capsys.readouterr().err and not out.exists()
    torch.save({"state_dict": state | {"module.backbone.final.weight": torch.zeros(5, 3, 3, 3, 8)}}, path)
    assert pointcept.main(["take", str(path), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: its classifier is new and knows nothing yet\n"
    assert len(student.load(out).config["classes"]) == 16


@pytest.mark.parametrize("numpy", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_a_checkpoint_as_pointcept_leaves_it_has_its_best_score_of_numpy_beside_the_weights(tmp_path, numpy):
    """Scores are numbers of numpy 2 or, in checkpoints of before 2024, of numpy 1, which has another name for them."""
    built = student.build(SMALL, 1)
    whole = io.BytesIO()
    torch.save({"epoch": 3, "state_dict": pointcept.given(built), "best_metric_value": np.mean([0.25, 0.75])}, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / "theirs.pth", "w") as new:
        for name in old.namelist():
            held = old.read(name)
            assert not name.endswith("data.pkl") or held.count(b"numpy._core.multiarray") == 1
            new.writestr(name, held.replace(b"numpy._core.multiarray", numpy))
    taken = pointcept.take(tmp_path / "theirs.pth", 0.05, SMALL["classes"], tmp_path / "out")
    assert all(torch.equal(value, built.state_dict()[name]) for name, value in taken.state_dict().items())


def test_a_checkpoint_with_more_than_numbers_is_refused_in_plain_words(tmp_path):
    torch.save({"state_dict": {}, "hook": print}, tmp_path / "theirs.pth")
    with pytest.raises(XkdError, match="theirs.pth: cannot be read as a torch checkpoint") as refused:
        pointcept.read(tmp_path / "theirs.pth")
    assert "\x1b" not in str(refused.value)
    with pytest.raises(XkdError, match="none.pth: no such file.$"):
        pointcept.read(tmp_path / "none.pth")
    whole = (tmp_path / "theirs.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(XkdError, match="cut.pth: cannot be read as a torch checkpoint") as refused:
        pointcept.read(tmp_path / "cut.pth")
    assert ". " not in str(refused.value)


def test_what_is_no_spunet_is_refused(tmp_path, capsys):
    (tmp_path / "text.pth").write_text("no checkpoint")
    assert pointcept.main(["take", str(tmp_path / "text.pth"), str(tmp_path / "out")]) == 1
    assert "text.pth: cannot be read as a torch checkpoint" in capsys.readouterr().err
    torch.save({"state_dict": {"a.weight": torch.zeros(2)}}, tmp_path / "else.pth")
    assert pointcept.main(["take", str(tmp_path / "else.pth"), str(tmp_path / "out")]) == 1
    assert "else.pth: holds no weights of a SpUNet" in capsys.readouterr().err and not (tmp_path / "out").exists()
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    assert pointcept.main(["take", str(tmp_path / "list.pth"), str(tmp_path / "out")]) == 1
    assert "list.pth: holds no state dict" in capsys.readouterr().err
    torch.save({"state_dict": [torch.zeros(2)], "epoch": 3}, tmp_path / "list.pth")
    assert pointcept.main(["take", str(tmp_path / "list.pth"), str(tmp_path / "out")]) == 1
    assert "list.pth: holds no state dict" in capsys.readouterr().err
    student.save(student.build({"voxel": 1.0, "widths": [4, 4], "classes": ["a"]}, 0), tmp_path / "unet")
    assert pointcept.main(["give", str(tmp_path / "unet"), str(tmp_path / "out.pth")]) == 1
    assert "its backbone is unet" in capsys.readouterr().err
    with pytest.raises(XkdError, match="student.widths is \\[4, 4\\]; spunet takes one for the stem"):
        student.build(SMALL | {"widths": [4, 4]}, 0)
    with pytest.raises(XkdError, match="student.backbone 'resnet' is unknown; there are spunet, unet"):
        student.build(SMALL | {"backbone": "resnet"}, 0)


class PerPoint(Backbone):
    """A module of points and nothing else, as anybody may bring one."""

    def __init__(self, voxel, widths, classes):
        self.begin("perpoint", voxel, widths, classes)
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, widths[0]), torch.nn.ReLU())
        self.finish(widths[0])

    @staticmethod
    def levels(widths):
        return 1

    def features(self, voxels):
        return self.layers(torch.cat([voxels.points, voxels.inputs[:, :1]], 1))


@pytest.mark.parametrize(
    "config", [SMALL, SMALL | {"backbone": "perpoint", "widths": [16]}], ids=["spunet", "any module"]
)
def test_any_module_of_points_is_distilled_and_fine_tuned(made, stages, tmp_path, monkeypatch, config):
    from xkd import finetune, params
    from xkd.distill import distill
    from xkd.prepared import Prepared

    (tmp_path / "perpoint.py").write_text("from tests.test_backbones import PerPoint as Network\n")
    monkeypatch.setattr(backbones, "__path__", [*backbones.__path__, str(tmp_path)])
    sections = params.profile("smoke")
    data = sections["data"] | {"root": str(made / "nuscenes")}
    section = {key: config[key] for key in ("backbone", "voxel", "widths")}
    folders = stages / "prepared", stages / "teacher", tmp_path / "distilled"
    losses = distill(data, section, sections["distill"], 0, *folders, tmp_path / "aligned.json")
    assert np.isfinite(losses).all() and 0 <= read_json(tmp_path / "aligned.json")["hit"] <= 1
    prepared = Prepared(stages / "prepared", "train")
    settings = sections["finetune"]
    network, losses, resume = finetune.train(
        prepared, [0, 1], tmp_path / "distilled", section, settings, 0.01, 0, "test"
    )
    resume.unlink()
    assert np.isfinite(losses).all() and len(network.segment(*scan(50))) == 50
    student.save(network, tmp_path / "tuned")
    points, intensity = scan(60)
    assert (student.load(tmp_path / "tuned").segment(points, intensity) == network.segment(points, intensity)).all()
