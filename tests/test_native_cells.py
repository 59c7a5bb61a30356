"""The native cells and norm: neighbours and coarser cells by hand, the norm against batch norm and a rectifier."""

import pytest
import torch
from test_native import listed

from xkd import XkdError, native


def test_neighbours_by_hand():
    # Two voxels side by side along x, one above the first, and one far away in another scan at the place of the first.
    cells = torch.tensor([[0, 5, 5, 5], [0, 5, 5, 6], [0, 6, 5, 5], [1, 5, 5, 5]], dtype=torch.int32)
    pairs, count = native.neighbours(cells)
    found = {(k, pair) for k, rows in enumerate(listed(pairs, count)) for pair in rows}
    # Kernel cell (z, y, x) has the number 9 z + 3 y + x, the central one 13: (1, 1, 0) is 12, (0, 1, 1) is 4, (0, 1, 2) is 5.
    assert found == {(12, (0, 1)), (4, (0, 2)), (5, (1, 2))}
    mirrored = [pairs[:, k, : count[26 - k]].T.tolist() for k in (14, 22, 21)]
    assert mirrored == [[[1, 0]], [[2, 0]], [[2, 1]]] and pairs[:, 13].tolist() == [[0, 1, 2, 3]] * 2


def test_a_voxel_that_occurs_twice_is_refused():
    with pytest.raises(XkdError, match=r"Voxel \[0, 1, 2, 3\] .* occurs twice"):
        native.neighbours(torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 3]], dtype=torch.int32))


def test_coarser_by_hand():
    cells = torch.tensor([[0, 2, 3, 5], [0, 3, 2, 4], [0, 0, 0, 0], [1, 2, 2, 4]], dtype=torch.int32)
    coarse, pairs, count = native.coarser(cells)
    assert coarse.tolist() == [[0, 1, 1, 2], [0, 0, 0, 0], [1, 1, 1, 2]]
    # (z, y, x) within the coarse cell: (0, 1, 1) = 3, (1, 0, 0) = 4, (0, 0, 0) = 0 twice.
    assert listed(pairs, count) == [{(2, 1), (3, 2)}, set(), set(), {(0, 0)}, {(1, 0)}, set(), set(), set()]


@pytest.mark.parametrize("channels", [1, 13, 32])
def test_norm_is_batch_norm_and_rectifier(channels):
    generator = torch.Generator().manual_seed(channels)
    own, theirs = native.NormReLU(channels), torch.nn.Sequential(torch.nn.BatchNorm1d(channels), torch.nn.ReLU())
    with torch.no_grad():
        own.weight.uniform_(-1, 1, generator=generator)
        own.bias.uniform_(-1, 1, generator=generator)
    theirs[0].load_state_dict(own.state_dict())
    x, g = torch.randn(2, 700, channels, generator=generator)
    x = 3 * x + 5
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    results = [norm(one) for norm, one in zip((own, theirs), inputs, strict=True)]
    assert torch.allclose(*results, atol=1e-5)
    for result in results:
        result.backward(g)
    for a, b in zip([inputs[0], own.weight, own.bias], [inputs[1], theirs[0].weight, theirs[0].bias], strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-4)
    assert torch.allclose(own.running_mean, theirs[0].running_mean, atol=1e-6)
    assert torch.allclose(own.running_var, theirs[0].running_var, atol=1e-5)
    assert torch.allclose(own.eval()(x), theirs.eval()(x), atol=1e-5)


def test_norm_keeps_what_is_no_number():
    x = torch.ones(4, 2)
    x[1, 0] = float("nan")
    y = native.NormReLU(2)(x)
    assert y[:, 0].isnan().all() and not y[:, 1].isnan().any()
