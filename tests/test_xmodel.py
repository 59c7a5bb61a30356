"""Our pretraining: its terms by hand, what takes a gradient from what, views that are held back, and a training that goes on."""

import math

import numpy as np
import pytest
import torch

from xkd import params, xmodel
from xkd.distill import Pool
from xkd.gathered import Gathered, Seen
from xkd.xmodel import Batch, Heads, terms

ALL = {"pixel": 1.0, "superpixel": 1.0, "view": 1.0, "unified": 1.0}


@pytest.fixture
def parts():
    """Three points: the first has two views, of which the second is held back, the second has one view, the last none."""
    torch.manual_seed(0)
    seen = Seen(torch.tensor([0, 0, 1]), torch.randn(3, 5), torch.randn(3, 4))
    pairs = {
        "features": torch.randn(3, 7),
        "superpixel": torch.tensor([0, 0, 1]),
        "superpixel_features": torch.randn(2, 7),
    }
    heads = Heads(inputs=6, hidden=8, outputs=7, channels=5, width=8, heads=2).eval()
    return torch.randn(3, 6, requires_grad=True), heads, Batch(None, pairs, seen, torch.tensor([False, True, False]))


def test_each_term_can_be_switched_off(parts):
    assert set(terms(*parts, 0.1, ALL)) == set(ALL)
    for name in ALL:
        assert set(terms(*parts, 0.1, ALL | {name: 0.0})) == set(ALL) - {name}


def test_the_held_out_view_is_not_seen(parts):
    features, heads, batch = parts
    before = terms(features, heads, batch, 0.1, ALL)["view"]
    assert before.item() == pytest.approx(0, abs=1e-6)  # one held view alone has no negatives
    batch.held[0] = True
    two = terms(features, heads, batch, 0.1, ALL)["view"].item()
    assert two > 0
    unified = heads.fusion(features, batch.seen.values[2:], batch.seen.point[2:], batch.seen.facts[2:])
    told = (
        torch.nn.functional.normalize(heads.view(unified[:1]), dim=1)
        @ torch.nn.functional.normalize(batch.seen.values[:2], dim=1).T
    )
    # Both held views are the first point's, which is left without any: -log softmax, once for each of the two keys.
    expected = -torch.log_softmax(told / 0.1, 1).mean()
    assert two == pytest.approx(expected.item(), rel=1e-5)


def test_the_unified_feature_is_a_target(parts):
    features, heads, batch = parts
    terms(features, heads, batch, 0.1, dict.fromkeys(ALL, 0.0) | {"unified": 1.0})["unified"].backward()
    assert all(p.grad is None for p in heads.fusion.parameters())
    assert any(p.grad is not None for p in heads.unify.parameters()) and features.grad.abs().sum() > 0


def test_no_view_at_all(parts):
    features, heads, batch = parts
    nothing = Seen(batch.seen.point[:0], batch.seen.values[:0], batch.seen.facts[:0])
    found = terms(features, heads, Batch(None, batch.pairs, nothing, batch.held[:0]), 0.1, ALL)
    assert set(found) == set(ALL) - {"view"} and all(math.isfinite(value.item()) for value in found.values())


def test_batches_and_training(made, stages, gathered):
    sections = params.profile("smoke")
    data = sections["data"] | {"root": str(made / "nuscenes")}
    student, settings = sections["student"], sections["distill"]
    pool = Pool(data, settings, stages / "prepared", stages / "teacher")
    splits = [Gathered(gathered, name) for name in (data["train"], *data["unlabelled"])]
    for hold, expected in ((0.0, 0), (1.0, 1)):
        found = xmodel.batch(pool, splits, [0, 1], student, settings, hold, 1, np.random.default_rng(0))
        assert found.held.float().mean() == expected
        count = len(found.voxels.inverse)
        assert len(found.pairs["features"]) == count and found.seen.point.max() < count
    found = xmodel.batch(pool, splits, [0, 1], student, settings, 0.5, 1, np.random.default_rng(0), twice=True)
    assert len(found.again.inverse) == len(found.voxels.inverse)
    assert not torch.equal(found.again.points, found.voxels.points)
    sections["study"]["xmodel"]["look"] = 0.1
    arguments = (data, student, settings, 0, stages / "prepared", stages / "teacher", sections, gathered)
    network, _, history, resume = xmodel.pretrain(*arguments, "test-xmodel")
    assert len(history) == settings["steps"] and np.isfinite(history).all()
    again, _, _, _ = xmodel.pretrain(*arguments, "test-xmodel")
    assert torch.equal(network.stem[0].weight, again.stem[0].weight)
    resume.unlink()
