"""The optimiser against torch's own, part by part."""

import pytest
import torch

from xkd import XkdError
from xkd.optim import Muon, optimisers, orthogonal


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_orthogonal_by_the_singular_value_decomposition(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / s.norm()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    other, wider = torch.randn(8, 24, dtype=torch.float64), torch.randn(16, 50, dtype=torch.float64)
    found = orthogonal([other, matrix, wider])
    torch.testing.assert_close(found[1], u @ torch.diag(s) @ v)
    torch.testing.assert_close(found[0], orthogonal([other])[0])
    assert 0.5 < s.min() and s.max() < 1.5


def steps(optimiser, parameters, count=4):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        for p in parameters:
            p.grad = torch.randn(p.numel(), generator=generator).reshape(p.shape)
        optimiser.step()


def test_kernels_move_as_matrices_under_torch_muon():
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.randn(8, 3, 3, 3, 6))
    matrix = torch.nn.Parameter(kernel.detach().reshape(8, -1).clone())
    steps(Muon([kernel], 0.01, 0.1), [kernel])
    steps(torch.optim.Muon([matrix], 0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), [matrix])
    # torch orthogonalises in bfloat16, of three digits; a step is 0.01 * 0.2 * sqrt(162) = 0.025 times an orthogonal matrix.
    assert (kernel.detach().reshape(8, -1) - matrix.detach()).abs().max() < 4 * 0.025 * 0.02


def test_the_others_move_under_adamw():
    torch.manual_seed(0)
    # a linear layer's weight, a norm's, a depthwise kernel, and a classifier's kernel that is set apart
    mine = [torch.nn.Parameter(torch.randn(shape)) for shape in ((4, 6), (5,), (6, 1, 3, 3), (3, 64, 1, 1))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in mine]
    steps(Muon(mine, 0.01, 0.1, apart=mine[3:]), mine)
    steps(torch.optim.AdamW(theirs, 0.01, betas=(0.9, 0.99), weight_decay=0.1), theirs)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)
    assert len(Muon(mine, 0.01, 0.1).param_groups[0]["params"]) == 1  # not apart: a kernel
    mine[3].apart = True
    assert "momentum" not in Muon(mine, 0.01, 0.1).param_groups[0]  # no kernel left


def test_goes_on_from_its_state():
    torch.manual_seed(0)
    start = [torch.randn(8, 3, 3, 3, 6), torch.randn(4)]
    whole, halves = ([torch.nn.Parameter(t.clone()) for t in start] for _ in range(2))
    steps(Muon(whole, 0.01, 0.1), whole)
    optimiser = Muon(halves, 0.01, 0.1)
    generator = torch.Generator().manual_seed(1)
    for k in range(4):
        if k == 2:
            state = optimiser.state_dict()
            optimiser = Muon(halves, 0.02, 0.0)
            optimiser.load_state_dict(state)
        for p in halves:
            p.grad = torch.randn(p.numel(), generator=generator).reshape(p.shape)
        optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


class Headed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 1, bias=False)


def test_published_optimisers_by_hand():
    """One step of SGD from rest is lr * gradient; AdamW's first is lr, whatever the gradient; the classifier's ten times that."""
    for name, moved in (("sgd", 0.1 * 0.5), ("adamw", 0.1)):
        network = Headed()
        before = [p.detach().clone() for p in network.parameters()]
        pairs = optimisers(name, network, 0.1, 0.0, 10.0)
        assert [factor for _, factor in pairs] == [1.0, 10.0]
        for optimiser, factor in pairs:
            for group in optimiser.param_groups:
                group["lr"] = 0.1 * factor
        for p in network.parameters():
            p.grad = torch.full_like(p, 0.5)
        for optimiser, _ in pairs:
            optimiser.step()
        for p, old, factor in zip(network.parameters(), before, (1, 10), strict=True):
            assert torch.allclose(old - p, torch.full_like(p, factor * moved), atol=1e-5)
    with pytest.raises(XkdError, match="optimiser 'lion' is unknown; there are muon, adamw, sgd"):
        optimisers("lion", Headed(), 0.1, 0.0)
