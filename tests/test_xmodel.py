"""Our pretraining: its terms by hand, what takes a gradient from what, views that are held back, and a training that goes on."""

import math

import numpy as np
import pytest
import torch

from xkd import params, xmodel
from xkd.distill import Pool
from xkd.gathered import Gathered, Seen
from xkd.retrieval import STILL
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


def cosines(a, b):
    """Of all rows of one with all rows of the other."""
    a, b = (part.detach().numpy() for part in (a, b))
    return a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)


def nce(logits):
    """The mean over rows of -log of the partner's share, the partners on the diagonal."""
    return np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))


def test_pixel_superpixel_and_unified_by_hand(parts):
    """The first two points are of superpixel 0, the third is superpixel 1; nothing is held back from what `unified` is to predict."""
    features, heads, batch = parts
    found = terms(features, heads, batch, 0.5, ALL)
    said, pairs, seen = heads.pixel(features), batch.pairs, batch.seen
    assert found["pixel"].item() == pytest.approx(1 - np.diag(cosines(said, pairs["features"])).mean(), rel=1e-5)
    means = torch.stack([(said[0] + said[1]) / 2, said[2]])
    assert found["superpixel"].item() == pytest.approx(
        nce(cosines(means, pairs["superpixel_features"]) / 0.5), rel=1e-5
    )
    unified = heads.fusion(features, seen.values, seen.point, seen.facts)
    expected = 1 - np.diag(cosines(heads.unify(features), unified)).mean()
    assert found["unified"].item() == pytest.approx(expected, rel=1e-5)


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


class Places:
    """In the place of `Gathered`: every point has 1 + reach views, which show where it lies."""

    def __init__(self, prepared):
        self.prepared = prepared

    def views(self, i, reach):
        places = self.prepared.points(i)
        point = np.tile(np.arange(len(places)), 1 + reach)
        return point, places[point], np.pad(places[point], ((0, 0), (0, 1)))


def test_views_are_of_their_points_and_both_looks_are_of_the_same(stages):
    """Nothing is turned or jittered, so that a point lies where its views and its second look say. One frame of each split."""
    sections = params.profile("smoke")
    settings = sections["distill"] | {"augment": STILL}
    pool = Pool(sections["data"], settings, stages / "prepared", stages / "teacher")
    splits, frames = [Places(prepared) for prepared, _ in pool.splits], [0, len(pool) - 1]
    for reach in (0, 2):
        rng = np.random.default_rng(0)
        found = xmodel.batch(pool, splits, frames, sections["student"], settings, 0.5, reach, rng, twice=True)
        points, seen = found.voxels.points, found.seen
        assert torch.equal(seen.values, points[seen.point]) and torch.equal(seen.facts[:, :3], seen.values)
        assert seen.point.bincount().tolist() == [1 + reach] * len(points)
        assert torch.equal(found.again.points, points)


def test_the_loss_is_the_weighted_sum_of_its_terms(stages, gathered, monkeypatch):
    sections = params.profile("smoke")
    settings = sections["distill"] | {"temperature": 0.5}
    weights = {"pixel": 2.0, "superpixel": 3.0, "view": 5.0, "unified": 7.0, "look": 11.0}
    sections["study"]["xmodel"] = weights | {"hold": 0.5}

    def fit(both, make, loss_of, *others):
        (network, heads), made = both.eval(), make(0)
        features = network.features(made.voxels)
        found = {name: term.item() for name, term in terms(features, heads, made, 0.5, weights).items()}
        looks = cosines(heads.look(features), heads.look(network.features(made.again))) / 0.5
        found["look"] = (nce(looks) + nce(looks.T)) / 2
        return loss_of(made).item(), sum(weights[name] * found[name] for name in weights)

    monkeypatch.setattr(xmodel, "fit", fit)
    folders = stages / "prepared", stages / "teacher", sections, gathered
    loss, expected = xmodel.pretrain(sections["data"], sections["student"], settings, 0, *folders, "test-xmodel")[2]
    assert loss == pytest.approx(expected, rel=1e-5)


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
