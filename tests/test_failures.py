"""What goes wrong in real data and may not spoil a network: nothing paired, hidden superpixels, one class, half precision."""

import numpy as np
import pytest
import torch

from xkd import contrast, distill, finetune, losses, params, xmodel
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
    with pytest.warns(UserWarning, match="test: 2 of 4 batches had nothing to learn from"):
        history = distill.distill(sections["data"], sections["student"], settings, 0, *folders, "test")
    assert history[1] == history[2] == 0 and history[0] > 0 < history[3]
    weights = students.load(tmp_path / "init").state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_loss_of_nothing_moves_nothing(tmp_path):
    network = torch.nn.Linear(3, 2)
    before = [p.clone() for p in network.parameters()]
    settings = {"steps": 2, "lr": 0.1, "warmup": 0.1, "weight_decay": 0.0, "clip": 1.0, "save_every": 100.0}
    with pytest.warns(UserWarning, match="2 of 2 batches"):
        assert fit(network, lambda step: None, lambda batch: nothing(network), settings, tmp_path / "r.pt", "t") == [
            0,
            0,
        ]
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


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
