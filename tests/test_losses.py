"""Losses against values worked out by hand, and their gradients."""

import math

import pytest
import torch

from xkd import losses


def test_cosine_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    teacher = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    # The same direction, a right angle, the opposite direction: 0, 1 and 2.
    assert losses.cosine(student, teacher).item() == pytest.approx(1.0, abs=1e-6)


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
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    guess = torch.tensor([0, 0, 1, 1, 2, 2])
    # IoU of 0: 2/3; of 1: 1/3; of 2: 1/2.
    loss = losses.lovasz_softmax(torch.nn.functional.one_hot(guess, 3).double(), labels)
    assert loss.item() == pytest.approx(1 - (2 / 3 + 1 / 3 + 1 / 2) / 3, abs=1e-9)


def test_segmentation_ignores_minus_one():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [50.0, -50.0]])
    labels = torch.tensor([0, 1, -1])
    expected = math.log(1 + math.exp(-2)) + 1 / (1 + math.exp(2))
    # Each class has one point with the error p = 1 / (1 + e^2), first in its order: Lovasz is p.
    assert losses.segmentation(logits, labels, 100).item() == pytest.approx(expected, abs=1e-6)
    assert losses.segmentation(logits, torch.full((3,), -1), 100).item() == 0


@pytest.mark.parametrize("name", ["cosine", "segmentation"])
def test_gradients(name):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, 3, dtype=torch.double, generator=generator, requires_grad=grad) for grad in (True, False))
    functions = {
        "cosine": lambda x: losses.cosine(x, b),
        "segmentation": lambda x: losses.segmentation(x, torch.tensor([0, 1, 2, 2, -1, 0]), 100),
    }
    assert torch.autograd.gradcheck(functions[name], (a,))
