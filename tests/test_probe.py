"""Probes of frozen features: by hand, and on prepared frames."""

import numpy as np
import pytest
import torch

from xkd import XkdError, probe
from xkd.metrics import iou
from xkd.params import profile
from xkd.prepared import Prepared


def test_linear_tells_what_a_line_tells():
    """Class 1 above x + y = 1, on a grid: the line runs between the points, and every one is on its side."""
    grid = torch.cartesian_prod(torch.linspace(0, 1, 11), torch.linspace(0, 1, 11))
    labels = (grid.sum(1) > 1.01).long()
    guess = probe.linear(grid, labels, 3, decay=1e-6)
    assert torch.equal(guess(grid), labels)
    assert guess(torch.tensor([[9.0, 9.0], [-9.0, -9.0]])).tolist() == [1, 0]  # class 2 has no point


def test_linear_guesses_what_is_commonest_where_nothing_tells():
    """One feature that is 0 or 1, and another that is always 5: the commonest class of each value, of all alike where it is unknown."""
    values = torch.tensor([[0.0, 5.0]] * 6 + [[1.0, 5.0]] * 6)
    labels = torch.tensor([0, 0, 0, 0, 1, 2] + [2, 2, 2, 2, 1, 0])
    guess = probe.linear(values, labels, 3)
    assert guess(torch.tensor([[0.0, 5.0], [1.0, 5.0]])).tolist() == [0, 2]
    assert (
        probe.linear(torch.zeros(10, 2), torch.tensor([0] * 6 + [1] * 3 + [2]), 3)(torch.zeros(4, 2)).tolist()
        == [0] * 4
    )


def test_linear_weighs_its_weights_by_half_the_decay():
    """Four points at 0, all of class 0; at 1 one of class 0 and two of class 1. Where class 1 gets just half of those at 1, the offset's
    gradient says that it gets an eighth of those at 0: 4 / 8 + 3 / 2 = 2. Standardised, the values lie 7 / 12 ** 0.5 apart, so that the
    difference u of the two weights is log(7) * 12 ** 0.5 / 7; its gradient, -0.5 / 12 ** 0.5 + decay * u / 2, is 0 at a decay of
    7 / (12 log 7), 0.2998. Above that the offset, which is free, has its way."""
    values, labels = torch.tensor([[0.0]] * 4 + [[1.0]] * 3), torch.tensor([0, 0, 0, 0, 0, 1, 1])
    asked = torch.tensor([[0.0], [1.0]])
    assert probe.linear(values, labels, 2, decay=0.295)(asked).tolist() == [0, 1]
    assert probe.linear(values, labels, 2, decay=0.305)(asked).tolist() == [0, 0]


@pytest.mark.parametrize("centre", [(0, 0), (10, -7)])
def test_nearest_votes_by_hand(centre):
    """Two of class 0 at right angles to the question, one of class 1 along it, as seen from the mean of all. With k = 1 the one decides;
    with k = 3 its vote is exp(1 / temperature) to 2, which is more below a temperature of 1 / log 2, 1.44."""
    bank = torch.tensor([[0.0, 1.0], [0.0, -1.0], [3.0, 0.0], [-3.0, 0.0]]) + torch.tensor(centre)
    labels = torch.tensor([0, 0, 1, 2])
    asked = torch.tensor([[2.0, 0.0]]) + torch.tensor(centre)
    assert probe.nearest(bank, labels, 3, k=1, temperature=100)(asked).tolist() == [1]
    assert probe.nearest(bank, labels, 3, k=3, temperature=1.5)(asked).tolist() == [0]
    assert probe.nearest(bank, labels, 3, k=3, temperature=1.4)(asked).tolist() == [1]
    assert probe.nearest(bank, labels, 3, k=50)(asked).tolist() == [1]
    assert probe.nearest(bank, labels, 3)(asked[:0]).tolist() == []


def test_blocks_of_questions_do_not_count(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    bank, asked = torch.randn(30, 4, generator=generator), torch.randn(11, 4, generator=generator)
    labels = torch.randint(0, 3, (30,), generator=generator)
    whole = probe.nearest(bank, labels, 3, k=5)(asked)
    monkeypatch.setattr(probe, "BLOCK", 4)
    assert torch.equal(probe.nearest(bank, labels, 3, k=5)(asked), whole)


@pytest.fixture
def prepared(stages):
    return Prepared(stages / "prepared", profile("smoke")["data"]["validation"])


def test_features_that_are_the_labels_are_scored_as_such(prepared):
    classes, frames = len(prepared.classes), list(range(len(prepared)))

    def embed(i):
        return torch.eye(classes + 1)[prepared.labels(i).astype(np.int64)]

    features, labels = probe.drawn(prepared, frames, embed, 10_000, seed=0)
    for guess in (probe.linear(features, labels, classes), probe.nearest(features, labels, classes, k=3)):
        total, streets = probe.score(prepared, frames, embed, guess)
        assert streets == sorted(set(prepared.scenes)) and total.shape == (len(streets), classes, classes)
        assert np.nanmin(iou(total.sum(0))) == 1
    assert total.sum() == sum((prepared.labels(i) >= 0).sum() for i in frames)


def test_draws_are_of_labelled_points_and_the_same_again(prepared):
    asked = []

    def embed(i):
        asked.append(i)
        return np.arange(len(prepared.labels(i)), dtype=np.float32)[:, None]

    features, labels = probe.drawn(prepared, [1, 0], embed, 7, seed=3)
    assert asked == [1, 0] and features.shape == (14, 1) and (labels >= 0).all()
    assert labels[:7].tolist() == prepared.labels(1)[features[:7, 0].long()].tolist()
    again = probe.drawn(prepared, [1, 0], embed, 7, seed=3)
    assert torch.equal(features, again[0]) and not torch.equal(features, probe.drawn(prepared, [1, 0], embed, 7, 4)[0])
    whole, _ = probe.drawn(prepared, [0], embed, 10**6, seed=3)
    assert sorted(whole[:, 0].tolist()) == np.flatnonzero(prepared.labels(0) >= 0).tolist()


def test_frames_without_labels_are_an_error(prepared, monkeypatch):
    monkeypatch.setattr(prepared, "labels", lambda i: np.full(5, -1, np.int16))
    with pytest.raises(XkdError, match="none of the 1 frames of the probe has a labelled point"):
        probe.drawn(prepared, [0], lambda i: np.zeros((5, 2)), 3, seed=0)
