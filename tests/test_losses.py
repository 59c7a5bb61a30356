"""Losses against values worked out by hand, and their gradients."""

import math

import pytest
import torch

from xkd import losses


def test_cosine_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    teacher = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    # The same direction, a right angle, the opposite direction, the same again, no direction: 0, 1, 2, 0 and 1.
    assert losses.cosine(student, teacher).item() == pytest.approx(0.8, abs=1e-6)


def test_lovasz_by_hand():
    # Class 1: one point of three, errors (0.6, 0.2, 0.1) from large to small with truth (1, 0, 0).
    # Jaccard loss after 1, 2, 3 points: 1 - 0/1 = 1, 1 - 0/2 = 1, 1 - 0/3 = 1 -> weights 1, 0, 0 -> 0.6.
    # Class 0: two points of three, the same errors with truth (0, 1, 1).
    # 1 - 2/3 = 1/3, 1 - 1/3 = 2/3, 1 - 0/3 = 1 -> weights 1/3 each -> 0.3.
    probabilities = torch.tensor([[0.6, 0.4], [0.8, 0.2], [0.9, 0.1]])
    assert losses.lovasz_softmax(probabilities, torch.tensor([1, 0, 0])).item() == pytest.approx(
        (0.6 + 0.3) / 2, abs=1e-6
    )


def test_lovasz_of_hard_predictions_is_one_minus_iou():
    labels = torch.tensor([0, 0, 0, 2, 2, 3])
    guess = torch.tensor([0, 0, 2, 2, 3, 3])
    # IoU of 0: 2/3; of 2: 1/3; of 3: 1/2. Classes 1 and 4 have no point and do not count.
    loss = losses.lovasz_softmax(torch.nn.functional.one_hot(guess, 5).double(), labels)
    assert loss.item() == pytest.approx(1 - (2 / 3 + 1 / 3 + 1 / 2) / 3, abs=1e-9)


P, Q = 1 / (1 + math.exp(2)), 1 / (1 + math.e)
"""The errors of points of two classes whose logits differ by 2 and by 1 in favour of the true one."""
LOVASZ = ((P + Q) / 2 + Q) / 2
"""Of these two, of classes 0 and 1. Class 1: its own point has the larger error, Q, which weighs 1. Class 0: its own has the smaller; the
Jaccard loss is 1 - 1/2 after the other one and 1 after both, so that both weigh 1/2."""


def test_segmentation_ignores_minus_one():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [50.0, -50.0]])
    expected = -(math.log(1 - P) + math.log(1 - Q)) / 2 + LOVASZ
    assert losses.segmentation(logits, torch.tensor([0, 1, -1]), 100).item() == pytest.approx(expected, abs=1e-6)
    assert losses.segmentation(logits, torch.full((3,), -1), 100).item() == 0


def test_lovasz_over_some_points_and_smoothing():
    """Three points, Lovasz over two at most: the one between them, which is wrong, counts in the cross-entropy alone. Smoothed by 0.2 a
    point's own class counts by 0.9, the other by 0.1."""
    logits, labels = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1, 1])
    expected = -(math.log(1 - P) + math.log(Q) + math.log(1 - Q)) / 3 + LOVASZ
    assert losses.segmentation(logits, labels, 2).item() == pytest.approx(expected, abs=1e-6)
    own, other = math.log(1 - P) + math.log(Q) + math.log(1 - Q), math.log(P) + math.log(1 - Q) + math.log(Q)
    expected = -(0.9 * own + 0.1 * other) / 3 + LOVASZ
    assert losses.segmentation(logits, labels, 2, smoothing=0.2).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["cosine", "segmentation"])
def test_gradients(name):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, 3, dtype=torch.double, generator=generator, requires_grad=grad) for grad in (True, False))
    functions = {
        "cosine": lambda x: losses.cosine(x, b),
        "segmentation": lambda x: losses.segmentation(x, torch.tensor([0, 1, 2, 2, -1, 0]), 100),
    }
    assert torch.autograd.gradcheck(functions[name], (a,))
