"""Contrastive and relational objectives by hand-computed tables, gradcheck, and in blocks."""

from math import exp, log

import pytest
import torch

import xkd.objectives
from xkd import contrast
from xkd.objectives import OBJECTIVES, objective

# Lengths do not count: these are the unit vectors along x, y and the diagonal.
QUERIES = torch.tensor([[2.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
KEYS = torch.tensor([[5.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
DIAGONAL = 0.5**0.5


def test_info_nce_by_hand():
    """Cosines: [[1, d], [0, d]]."""
    first = -log(exp(1 / 0.5) / (exp(1 / 0.5) + exp(DIAGONAL / 0.5)))
    second = -log(exp(DIAGONAL / 0.5) / (exp(0) + exp(DIAGONAL / 0.5)))
    assert contrast.info_nce(QUERIES, KEYS, 0.5).item() == pytest.approx((first + second) / 2)
    weighted = contrast.info_nce(QUERIES, KEYS, 0.5, weight=torch.tensor([3.0, 1.0])).item()
    assert weighted == pytest.approx((3 * first + second) / 4)


def test_a_negative_that_looks_alike_counts_less():
    """The rows' tolerance features have a cosine of 0.6: the negative's logit counts by 0.4; opposite ones count whole."""
    tolerance = torch.tensor([[1.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    first = -log(exp(1 / 0.5) / (exp(1 / 0.5) + exp(0.4 * DIAGONAL / 0.5)))
    second = -log(exp(DIAGONAL / 0.5) / (exp(0) + exp(DIAGONAL / 0.5)))
    assert contrast.info_nce(QUERIES, KEYS, 0.5, tolerance).item() == pytest.approx((first + second) / 2)
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    plain = contrast.info_nce(QUERIES, KEYS, 0.5).item()
    assert contrast.info_nce(QUERIES, KEYS, 0.5, opposite).item() == pytest.approx(plain)


def test_rarity_by_hand():
    """Two alike, one apart: votes 2, 2, 1. With cosines below 0.8 left out, 0.6 is no vote."""
    features = torch.tensor([[1.0, 0.0], [4.0, 0.0], [0.0, 1.0]])
    assert contrast.rarity(features).tolist() == pytest.approx([0, 0, 1])
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [3.0, 4.0]])  # votes 2.6, 2.6, 2.2, or 2, 2, 1
    assert contrast.rarity(features).tolist() == pytest.approx([0, 0, 1], abs=1e-6)
    features = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 1.0]])  # votes 1.6, 2.4, 1.8, or 1, 1.8, 1.8
    assert contrast.rarity(features).tolist() == pytest.approx([1, 0, 0.75])
    assert contrast.rarity(features, 0.7).tolist() == pytest.approx([1, 0, 0])
    assert contrast.rarity(torch.eye(3)).tolist() == [1, 1, 1]


def test_relational_by_hand():
    """Cosines among the queries 0, among the keys d; the diagonals are alike: two of four pairs differ."""
    assert contrast.relational(QUERIES, KEYS).item() == pytest.approx(DIAGONAL**2 * 2 / 4)
    turned = QUERIES @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    assert contrast.relational(turned, QUERIES).item() == pytest.approx(0)


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(7, 3, generator=generator, dtype=torch.float64) for _ in range(3)]


def objectives(alike):
    weight = contrast.rarity(alike)
    return {
        "info_nce": lambda q, k: contrast.info_nce(q, k, 0.1),
        "tolerant": lambda q, k: contrast.info_nce(q, k, 0.1, alike, weight),
        "relational": contrast.relational,
    }


@pytest.mark.parametrize("name", ["info_nce", "tolerant", "relational"])
def test_blocks_give_what_the_whole_gives(drawn, monkeypatch, name):
    q, k, alike = drawn
    found = []
    for block in (100, 3):
        monkeypatch.setattr(contrast, "BLOCK", block)
        monkeypatch.setattr(contrast, "ROWS", block)
        points, keys = q.clone().requires_grad_(), k.clone().requires_grad_()
        loss = objectives(alike)[name](points, keys)
        loss.backward()
        found.append((loss.detach(), points.grad, keys.grad))
    torch.testing.assert_close(found[0], found[1])
    assert found[0][1].abs().max() > 0 and found[0][2].abs().max() > 0


def test_a_low_temperature_does_not_overflow_in_half_precision():
    """Cosines of -0.71 for partners and 0.71 for the others, a temperature of 0.001: the loss is 1414, and the largest half 65504."""
    queries = torch.eye(2, dtype=torch.float16)
    loss = contrast.info_nce(queries, queries.flip(0) - queries, 0.001)
    assert loss.item() == pytest.approx(1000 * 2**0.5, rel=1e-2)


def test_weights_may_be_of_another_type(drawn):
    q, k, alike = (part.float() for part in drawn)
    weight = contrast.rarity(alike)
    loss = contrast.info_nce(q.requires_grad_(), k.requires_grad_(), 0.1, alike, weight.double())
    loss.backward()
    assert loss.item() == contrast.info_nce(q, k, 0.1, alike, weight).item()


@pytest.mark.parametrize("name", ["info_nce", "tolerant", "relational"])
def test_gradients(drawn, name):
    q, k, alike = drawn
    assert torch.autograd.gradcheck(objectives(alike)[name], (q.requires_grad_(), k.requires_grad_()))


def test_the_order_of_rows_does_not_count(drawn):
    q, k, alike = drawn
    order = torch.randperm(len(q), generator=torch.Generator().manual_seed(1))
    for name, taught in objectives(alike).items():
        other = objectives(alike[order])[name]
        torch.testing.assert_close(taught(q, k), other(q[order], k[order]))


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
@pytest.mark.parametrize("count", [1, 40])
def test_every_objective_pulls_at_the_student_alone(name, count):
    """Also with a single pair, where a contrastive loss has no negatives and nothing to pull at."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(count, 8, generator=generator, requires_grad=True)
    pairs = {"features": torch.randn(count, 8, generator=generator)}
    pairs |= {
        "superpixel": torch.arange(count) // 4 * 2,
        "superpixel_features": torch.randn(20, 8, generator=generator),
    }
    loss = objective(name)(points, pairs, {"temperature": 0.07})
    loss.backward()
    assert loss.isfinite() and points.grad.isfinite().all()
    assert (points.grad.abs().max() > 1e-6) == (count > 1 or name == "cosine")
    assert not any(value.requires_grad for value in pairs.values())


def nce(partner, *others):
    """A row of InfoNCE of a cosine with the partner and cosines with all others, at a temperature of 0.5."""
    return log(sum(exp(cosine / 0.5) for cosine in (partner, *others))) - partner / 0.5


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_by_hand(name):
    """Directions: points (.6, .8), (.6, -.8), (0, 1), (-.6, .8), their pixels (1, 0), (0, -1), (0, 1), (.8, .6); the superpixels 0, 2, 3
    of the first two points, the third and the last (1, 0), (0, 1), (-.6, .8), their images (1, 0), (.6, .8), (0, 1). Superpixel 1 has
    no point. The images' cosines are .6, 0 and .8, their votes 1.6, 2.4 and 1.8, so that they weigh 1, 0 and .75."""
    points = torch.tensor([[3.0, 4.0], [3.0, -4.0], [0.0, 2.0], [-3.0, 4.0]], dtype=torch.float64)
    pairs = {
        "features": torch.tensor([[1.0, 0.0], [0.0, -2.0], [0.0, 5.0], [4.0, 3.0]], dtype=torch.float64),
        "superpixel": torch.tensor([0, 0, 2, 3]),
        "superpixel_features": torch.tensor([[2.0, 0.0], [4.0, 3.0], [3.0, 4.0], [0.0, 1.0]], dtype=torch.float64),
    }
    expected = {
        "cosine": 1 - (0.6 + 0.8 + 1 + 0) / 4,
        "ppkt": (nce(0.6, -0.8, 0.8, 0.96) + nce(0.8, 0.6, -0.8, 0) + nce(1, 0, -1, 0.6) + nce(0, -0.6, -0.8, 0.8)) / 4,
        "superpixel": (nce(1, 0.6, 0) + nce(0.8, 0, 1) + nce(0.8, -0.6, 0.28)) / 3,
        "tolerant": (1 * nce(1, (1 - 0.6) * 0.6, 0) + 0.75 * nce(0.8, -0.6, (1 - 0.8) * 0.28)) / 1.75,
        # Among the means: 0, -.6 and .8; two of the three pairs of superpixels differ from the images, by .6.
        "relational": 2 * (0.6**2 + 0.6**2 + 0) / 9,
    }
    assert OBJECTIVES[name](points, pairs, {"temperature": 0.5}).item() == pytest.approx(expected[name])


def test_ppkt_contrasts_a_bounded_number_of_pairs(monkeypatch):
    monkeypatch.setattr(xkd.objectives, "MATCHES", 4)
    points = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    objective("ppkt")(points, {"features": points.detach().flip(0)}, {"temperature": 0.07}).backward()
    assert points.grad.abs().sum(1).nonzero()[:, 0].tolist() == [0, 3, 6]
