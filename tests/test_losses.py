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


def test_info_nce_by_hand():
    # Two orthogonal pairs, temperature 0.5: logits are 2 on the diagonal and 0 off it.
    pairs = torch.eye(2)
    assert losses.info_nce(pairs, 7 * pairs, 0.5).item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


def test_superpixel_info_nce_pools_points_and_leaves_out_empty_superpixels():
    points = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 4.0]])
    keys = torch.tensor([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0]])
    # Superpixel 0 has no point; superpixel 1 has the first, superpixel 2 the mean of the others: orthogonal pairs again.
    loss = losses.superpixel_info_nce(points, torch.tensor([1, 2, 2]), keys, 0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


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


@pytest.mark.parametrize("name", ["cosine", "info_nce", "superpixel", "segmentation"])
def test_gradients(name):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, 3, dtype=torch.double, generator=generator, requires_grad=grad) for grad in (True, False))
    ids = torch.tensor([0, 0, 1, 3, 3, 3])
    functions = {
        "cosine": lambda x: losses.cosine(x, b),
        "info_nce": lambda x: losses.info_nce(x, b, 0.3),
        "superpixel": lambda x: losses.superpixel_info_nce(x, ids, b, 0.3),
        "segmentation": lambda x: losses.segmentation(x, torch.tensor([0, 1, 2, 2, -1, 0]), 100),
    }
    assert torch.autograd.gradcheck(functions[name], (a,))
