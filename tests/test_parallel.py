"""Processes that share a step: gradients are the mean over all, and one that fails is not waited for."""

import os

import pytest
import torch
import torch.distributed as dist

from xkd import XkdError, parallel


def step(fails):
    """Each process has its own loss, (rank + 1) * w; returns what this process sees."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    if fails and rank == 1:
        os._exit(3)
    weight = torch.nn.Parameter(torch.ones(2))
    unused = torch.nn.Parameter(torch.ones(1))
    loss = (rank + 1) * weight.sum()
    loss.backward()
    value = parallel.average(loss, [weight, unused])
    return value, weight.grad.tolist(), parallel.share([10, 11, 12, 13]), parallel.first()


def test_two_processes_average_their_gradients():
    value, gradient, mine, first = parallel.together(2, step, False)
    # Losses 2 and 4, gradients 1 and 2.
    assert value == 3 and gradient == [1.5, 1.5]
    assert mine == [10, 12] and first
    assert not dist.is_initialized()


def test_one_process_is_alone():
    assert parallel.together(1, step, False) == (2, [1, 1], [10, 11, 12, 13], True)


def test_a_process_that_dies_is_an_error():
    with pytest.raises(XkdError, match="exit status 3"):
        parallel.together(2, step, True)
    assert not dist.is_initialized()
