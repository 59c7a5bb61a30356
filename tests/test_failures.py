"""What goes wrong in real data and may not spoil a network: nothing paired, hidden superpixels, one class, half precision."""

import numpy as np
import pytest
import torch

from xkd import XkdError, contrast, distill, finetune, losses, params, xmodel
from xkd import student as students
from xkd.objectives import OBJECTIVES, superpixels
from xkd.prepared import Prepared
from xkd.train import fit, nothing


def bare(batch, kept):
    """A batch of a pool with its first `kept` pairs alone."""
    voxels, pairs = batch
    pairs = pairs | {name: pairs[name][:kept] for name in ("features", "superpixel")}
    return voxels.only(torch.arange(kept)), pairs


@pytest.mark.parametrize("name", OBJECTIVES)
def test_batches_without_pairs_are_counted_and_spoil_nothing(made, stages, tmp_path, monkeypatch, name):
    sections, whole = params.profile("smoke"), distill.Pool.batch
    batches = iter(range(100))
    kept = {1: 0, 2: 1}  # the second batch has no pair, the third has one
    monkeypatch.setattr(
        distill.Pool,
        "batch",
        lambda *given: bare(whole(*given), kept[n]) if (n := next(batches)) in kept else whole(*given),
    )
    settings = sections["distill"] | {"objective": name, "steps": 4}
    folders = stages / "prepared", stages / "teacher", tmp_path / "init", tmp_path / "aligned.json"
    with pytest.warns(UserWarning, match="test: 2 of 4 batches had nothing to learn from and were left out"):
        history = distill.distill(sections["data"], sections["student"], settings, 0, *folders, "test")
    assert history[1] == history[2] == 0 and history[0] > 0 < history[3]
    weights = students.load(tmp_path / "init").state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())


SETTINGS = {
    "steps": 4,
    "lr": 0.1,
    "warmup": 0.0,
    "optimiser": "muon",
    "weight_decay": 0.1,
    "clip": 1.0,
    "save_every": 100.0,
}


def test_a_loss_of_nothing_moves_nothing(tmp_path):
    """Not by the momentum of the batches before it, and not by weight decay."""
    network, seen = torch.nn.Conv3d(2, 3, 3), []

    def loss_of(step):
        seen.append(torch.cat([p.detach().reshape(-1) for p in network.parameters()]))
        return nothing(network) if step >= 2 else sum(p.square().sum() for p in network.parameters())

    with pytest.warns(UserWarning, match="t: 2 of 4 batches had nothing to learn from"):
        history = fit(network, lambda step: step, loss_of, SETTINGS, tmp_path / "r.pt", "t")
    assert history[2:] == [0, 0] and min(history[:2]) > 0
    assert not torch.equal(seen[0], seen[1]) and torch.equal(seen[2], seen[3])


def broken(network, step, last):
    """A finite loss whose gradient is none, in the last step."""
    kept = sum(p.square().sum() for p in network.parameters())
    return kept if step < last else kept + sum((p - p.detach()).abs().sqrt().sum() for p in network.parameters())


def test_a_gradient_that_is_none_is_refused_before_it_is_taken(tmp_path):
    network = torch.nn.Linear(3, 2)
    with pytest.raises(XkdError, match="t: the gradient's norm at step 3 is nan; a lower learning rate than 0.1"):
        fit(network, lambda step: step, lambda step: broken(network, step, 3), SETTINGS, tmp_path / "r.pt", "t")
    assert all(torch.isfinite(p).all() for p in network.parameters())


@pytest.mark.parametrize(("scale", "last"), [(2.0**16, 3), (2.0**-8, 1)])
def test_steps_that_overflow_in_half_precision_are_left_out_and_counted(tmp_path, monkeypatch, scale, last):
    """A loss scale as on a GPU; one that no halving helps is an error."""
    real, network = torch.amp.GradScaler, torch.nn.Linear(3, 2)
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *_, enabled: real("cpu", init_scale=scale, enabled=True))
    raises = pytest.raises(XkdError, match="t: the gradient in half precision at step 3 is inf")
    with pytest.warns(UserWarning, match="t: 1 of 4 batches overflowed in half precision") if last == 3 else raises:
        fit(network, lambda step: step, lambda step: broken(network, step, last), SETTINGS, tmp_path / "r.pt", "t")
    assert all(torch.isfinite(p).all() for p in network.parameters())


@pytest.mark.parametrize("backbone", ["unet", "spunet"])
def test_a_batch_of_a_single_cell_is_refused(tmp_path, backbone):
    config = {"backbone": backbone, "voxel": 1.0, "widths": [4, 4, 4], "classes": ["a", "b"]}
    network = students.build(config, 0)
    points = np.random.default_rng(0).uniform(0, 0.9, (5, 3)).astype(np.float32)
    voxels = network.voxels([(points, np.zeros(5, np.float32))])
    with pytest.raises(XkdError, match="t: the batch of step 0 is one cell at a level; larger crops"):
        fit(network, lambda step: voxels, lambda batch: network(batch)[1].mean(), SETTINGS, tmp_path / "r.pt", "t")


def test_xmodel_without_pairs(made, stages, gathered, monkeypatch):
    sections, whole = params.profile("smoke"), distill.Pool.asked

    def none(pool, scans, pairs, student, rng):
        return whole(
            pool, scans, {n: a if n == "superpixel_features" else a[:0] for n, a in pairs.items()}, student, rng
        )

    monkeypatch.setattr(distill.Pool, "asked", none)
    data = sections["data"] | {"root": str(made / "nuscenes")}
    arguments = (data, sections["student"], sections["distill"], 0, stages / "prepared", stages / "teacher", sections)
    with pytest.warns(UserWarning, match="4 of 4 batches"):
        network, _, history, resume = xmodel.pretrain(*arguments, gathered, "test-xmodel-none")
    resume.unlink()
    assert history == [0] * 4 and all(torch.isfinite(p).all() for p in network.parameters())


def test_a_superpixel_whose_points_are_all_hidden_does_not_count():
    points, features = torch.randn(5, 3, requires_grad=True), torch.randn(4, 3)
    pairs = {"superpixel": torch.tensor([0, 0, 2, 3, 3]), "superpixel_features": features}
    means, keys = superpixels(points, pairs)
    assert torch.equal(keys, features[[0, 2, 3]])
    assert torch.allclose(means, torch.stack([points[:2].mean(0), points[2], points[3:].mean(0)]))
    for objective in OBJECTIVES.values():
        loss = objective(points, pairs | {"features": torch.randn(5, 3)}, {"temperature": 0.07})
        (gradient,) = torch.autograd.grad(loss, points)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_a_batch_of_one_class_and_one_of_alike_superpixels():
    logits = torch.randn(40, 4, requires_grad=True)
    loss = losses.segmentation(logits, torch.full((40,), 2), 16)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss > 0 and torch.isfinite(gradient).all()
    for count in (1, 6):  # superpixels of the batch, all of which look the same
        points = torch.randn(12, 3, requires_grad=True)
        pairs = {"superpixel": torch.arange(12) % count, "superpixel_features": torch.ones(count, 3)}
        for objective in OBJECTIVES.values():
            loss = objective(points, pairs | {"features": torch.ones(12, 3)}, {"temperature": 0.07})
            (gradient,) = torch.autograd.grad(loss, points)
            assert torch.isfinite(loss) and torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_low_temperatures_do_not_overflow_in_half_precision(kind):
    queries, keys = torch.randn(8, 4, requires_grad=True), torch.randn(8, 4)
    for tolerance in (None, keys):
        with torch.autocast("cpu", kind):
            loss = contrast.info_nce(queries, keys, 1e-6, tolerance)
        (gradient,) = torch.autograd.grad(loss, queries)
        assert loss.dtype == torch.float32 and torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_frames_whose_crops_hold_no_label_are_trained_on(stages):
    sections = params.profile("smoke")
    prepared = Prepared(stages / "prepared", "train")
    prepared.labels = lambda i: np.full(len(prepared.points(i)), -1)
    voxels, labels = finetune.batch(
        prepared, [0, 1], {}, sections["student"], sections["finetune"], np.random.default_rng(0)
    )
    network = students.build(sections["student"] | {"classes": prepared.classes}, 0).train()
    loss = losses.segmentation(network(voxels)[1], labels, 64)
    loss.backward()
    assert loss == 0 and (labels == -1).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())
