"""The network that sees images beside the scan: what its losses and its early means are by hand."""

import math

import numpy as np
import pytest
import torch

from xkd import fused, gather, losses, mixed
from xkd.sparse import INPUTS, collate


def test_the_reduction_is_white_and_its_signs_are_fixed(stages):
    mean, matrix = gather.reduction(stages / "teacher" / "train", 4, 1e-9)
    features = np.concatenate([np.load(stages / "teacher" / "train" / "features.npy")]).astype(np.float64)
    values = (features - mean) @ matrix
    np.testing.assert_allclose(np.cov(values.T), np.eye(4), atol=0.05)
    assert gather.reduction(stages / "teacher" / "train", 4000, 0.2)[1].shape == (len(mean), len(mean))


def test_early_means_by_hand():
    """Two voxels of 1 m: points 0 and 1 lie in the first, point 2 in the second, which no image shows."""
    points = np.array([[0.2, 0.2, 0.2], [0.7, 0.7, 0.7], [5.5, 0.5, 0.5]], np.float32)
    voxels = collate([(points, np.zeros(3, np.float32))], 1.0, 1)
    values = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]])
    found = fused.early(voxels, torch.tensor([0, 0, 1]), values).features[:, len(INPUTS) :]
    assert found.tolist() == [[3.0, 2.0, 1.0], [0.0, 0.0, 0.0]]


def test_the_loss_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 9.0]])
    targets = torch.tensor([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    weight = torch.tensor([1.0, 0.5, 0.0])
    first, second = math.log(1 + math.exp(-2)), math.log(2)
    # Both known points count as class 0: errors 1/2 and p = 1 / (1 + e^2); Jaccard loss after one 1/2, after two 1.
    p = 1 / (1 + math.exp(2))
    expected = (first + 0.5 * second) / 1.5 + 0.5 * 0.5 + 0.5 * p
    assert mixed.loss(logits, targets, weight, 100).item() == pytest.approx(expected, abs=1e-6)
    assert mixed.loss(logits, targets, weight * 0, 100).item() == 0


def test_on_labels_the_loss_is_that_of_fine_tuning():
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 4), torch.randint(-1, 4, (50,))
    targets = torch.nn.functional.one_hot(labels.clamp(min=0), 4).float() * (labels >= 0)[:, None]
    found = mixed.loss(logits, targets, (labels >= 0).float(), 20)
    torch.testing.assert_close(found, losses.segmentation(logits, labels, 20))


def test_unsure_predictions_stay_out_of_lovasz():
    logits, targets = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.6, 0.4], [0.3, 0.7]])
    found = mixed.loss(logits, targets, torch.tensor([0.4, 0.45]), 100)
    entropy = -(targets * logits.log_softmax(1)).sum(1)
    assert found.item() == pytest.approx(((0.4 * entropy[0] + 0.45 * entropy[1]) / 0.85).item())
