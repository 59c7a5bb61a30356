"""On a GPU, where there is one: what the CPU gives, by the same code; training in half precision, its end and its going on."""

import numpy as np
import pytest
import torch

from xkd import contrast, losses, objectives, optim, parallel, train
from xkd import student as students
from xkd.sparse import choose_algorithm, spconv

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
STUDENTS = {
    "unet": {"backbone": "unet", "voxel": 0.5, "widths": [8, 16, 16]},
    "spunet": {"backbone": "spunet", "voxel": 0.5, "widths": [8, 16, 16, 16, 8]},
}
CLASSES = ["road", "car", "tree"]
SETTINGS = {
    "optimiser": "muon",
    "lr": 0.01,
    "steps": 12,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "clip": 5.0,
    "save_every": 1e9,
}


def scan(count, seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-8, 8, (count, 3)).astype(np.float32)
    return points, rng.random(count).astype(np.float32)


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_is_the_same_network_on_both_devices(name):
    """Where no rounding is asked for: float32 on the GPU (spconv has no such kernels for all of spunet), inference mode on the CPU."""
    network = students.build(STUDENTS[name] | {"classes": CLASSES}, 0).eval()
    voxels = students.voxels([scan(3000, 0), scan(2000, 1)], STUDENTS[name])
    with torch.inference_mode():
        here = network(voxels)[1]
        network.cuda()
        if name == "unet":
            there = network(voxels.to("cuda"))[1].cpu()
            assert (there - here).abs().max() < 2e-3 * here.abs().max()
        with torch.autocast("cuda", torch.float16):
            half = network(voxels.to("cuda"))[1].float().cpu()
    assert here.shape == (5000, 3) and torch.isfinite(here).all()
    assert (half - here).abs().max() < 0.02 * here.abs().max()


@pytest.mark.parametrize("name", STUDENTS)
def test_a_scan_is_segmented_as_on_the_cpu(name):
    network, (points, intensity) = students.build(STUDENTS[name] | {"classes": CLASSES}, 0), scan(3000, 0)
    here = network.segment(points, intensity)
    assert (network.cuda().segment(points, intensity) == here).mean() > 0.98


def test_a_wide_first_convolution_is_spconvs_and_so_is_its_gradient():
    network = students.build(STUDENTS["spunet"] | {"classes": CLASSES}, 0).cuda()
    voxels = students.voxels([scan(3000, 0), scan(2000, 1)], STUDENTS["spunet"]).to("cuda")
    stem, cells = network.conv_input[0], voxels.coordinates[:, [0, 3, 2, 1]].contiguous()
    choose_algorithm(network, True)
    found = []
    for own in (stem.product, lambda x: spconv.SubMConv3d.forward(stem, x).features):
        stem.weight.grad = None
        with torch.autocast("cuda", torch.float16):
            y = own(spconv.SparseConvTensor(voxels.places.repeat(1, 2)[:, :4], cells, voxels.shape[::-1], 2))
        y.float().square().sum().backward()
        found.append((y.float(), stem.weight.grad.clone()))
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).abs().max() < 0.01 * theirs.abs().max() > 0


def test_batches_come_from_pinned_memory():
    assert all(batch.is_pinned() for _, batch in train.ahead(lambda step: torch.ones(2) * step, 0, 3))


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_optimisers_move_as_on_the_cpu_after_a_step_that_overflowed(name):
    found = []
    for where in ("cpu", "cuda"):
        layer, scaler = torch.nn.Linear(3, 2, bias=False).to(where), torch.amp.GradScaler(where, init_scale=1.0)
        torch.nn.init.constant_(layer.weight, 0.5)
        [(optimiser, _)] = optim.optimisers(name, layer, 0.1, 0.01)
        for step in (float("inf"), 0.0, 1.0, 2.0):
            scaler.scale(torch.zeros(1, device=where))
            layer.weight.grad = torch.full_like(layer.weight, 1.0 + step) * scaler.get_scale()
            scaler.unscale_(optimiser)
            scaler.step(optimiser)
            scaler.update()
        found.append(layer.weight.detach().cpu())
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_objectives_and_their_gradients_are_the_same_on_both_devices(name):
    generator = torch.Generator().manual_seed(0)
    points, features = torch.randn(300, 16, generator=generator), torch.randn(300, 16, generator=generator)
    pairs = {"features": features, "superpixel": torch.randint(40, (300,), generator=generator)}
    pairs["superpixel_features"] = torch.randn(40, 16, generator=generator)
    found = []
    for device in ("cpu", "cuda"):
        own = points.to(device).detach().clone().requires_grad_()
        loss = objectives.objective(name)(own, {k: v.to(device) for k, v in pairs.items()}, {"temperature": 0.07})
        loss.backward()
        found.append((loss.item(), own.grad.cpu()))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-3)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=2e-2, atol=1e-5)


def test_segmentation_loss_is_the_same_on_both_devices():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(500, 5, generator=generator), torch.randint(5, (500,), generator=generator)
    here, there = (losses.segmentation(logits.to(d), labels.to(d), 400).item() for d in ("cpu", "cuda"))
    assert there == pytest.approx(here, rel=1e-4)


def fitted(name, resume, stop=None):
    """Losses and weights of a short training in half precision on one scan; `stop`: killed before that step."""
    network = students.build(STUDENTS[name] | {"classes": CLASSES}, 0).to(parallel.device())
    points, intensity = scan(3000, 0)
    labels = torch.from_numpy((np.abs(points[:, 2]) // 3).astype(np.int64))

    def make(step):
        if stop is not None and step >= stop:
            raise KeyboardInterrupt
        return students.voxels([(points, intensity)], STUDENTS[name])

    def loss_of(voxels):
        return losses.segmentation(network(voxels.to(parallel.device()))[1].float(), labels.cuda(), 2048)

    settings = SETTINGS | ({"save_every": 0.0} if stop else {})
    return train.fit(network, make, loss_of, settings, resume, f"cuda-{name}"), network.state_dict()


@pytest.mark.parametrize("name", STUDENTS)
def test_training_in_half_precision_learns(name, tmp_path):
    found, weights = fitted(name, tmp_path / "state.pt")
    assert found[-1] < 0.7 * found[0]
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_killed_training_goes_on_from_its_state(tmp_path):
    """The state holds the scaler of half precision too; GPU sums are not bit for bit the same, so that the losses are compared."""
    whole, _ = fitted("unet", tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        fitted("unet", tmp_path / "state.pt", stop=6)
    kept = torch.load(tmp_path / "state.pt", map_location="cpu", weights_only=True)
    assert 1 <= len(kept["losses"]) < 12 and kept["scaler"]["scale"] > 0
    again, _ = fitted("unet", tmp_path / "state.pt")
    assert len(again) == 12 and again == pytest.approx(whole, rel=0.05)


def test_a_low_temperature_does_not_overflow_in_half_precision():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(64, 16, generator=generator).cuda().half().requires_grad_() for _ in range(2))
    with torch.autocast("cuda", torch.float16):
        loss = contrast.info_nce(one, other, 0.001)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(one.grad).all()
