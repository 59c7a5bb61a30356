"""Processes that share a step: together they are one with the whole batch, and one that fails is not waited for."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist

import xkd
from xkd import XkdError, distill, finetune, native, parallel, params
from xkd.backbones import spunet
from xkd.objectives import OBJECTIVES
from xkd.prepared import Prepared
from xkd.student import load
from xkd.train import evaluate


def step(fails):
    """Each process has a row of its own, (rank + 1) * w, and the loss is the sum of all; returns what this process sees."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    if fails and rank == 1:
        os._exit(3)
    weight = torch.nn.Parameter(torch.ones(2))
    unused = torch.nn.Parameter(torch.ones(1))
    factors = parallel.gather((rank + 1) * weight[None])  # (1, 2) of each
    loss = factors.sum()
    loss.backward()
    value = parallel.reduce(loss, [weight, unused])
    return value, weight.grad.tolist(), parallel.share([10, 11, 12, 13]), parallel.first()


def test_two_processes_sum_their_gradients():
    value, gradient, mine, first = parallel.together(2, step, False)
    # Rows (1, 1) and (2, 2): the loss is 6, its gradient 1 + 2.
    assert value == 6 and gradient == [3, 3]
    assert mine == [10, 12] and first
    assert not dist.is_initialized()


def test_one_process_is_alone():
    assert parallel.together(1, step, False) == (2, [1, 1], [10, 11, 12, 13], True)


def test_a_process_that_dies_is_an_error():
    with pytest.raises(XkdError, match="exit status 3"):
        parallel.together(2, step, True)
    assert not dist.is_initialized()


ROWS = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25], [-2.0, 4.0], [1.5, 0.0]], dtype=torch.float64)
"""Three rows of the first process and two of the second."""


def normed(kind):
    """Loss, gradient of the rows and of the weights, running moments: of a norm whose rows lie in one process or in two."""
    torch.manual_seed(0)
    layer = kind(2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([2.0, 0.5]))
        layer.bias.copy_(torch.tensor([0.1, -0.2]))
    rank = dist.get_rank() if dist.is_initialized() else None
    rows = ROWS if rank is None else ROWS[:3] if rank == 0 else ROWS[3:]
    rows = rows.clone().requires_grad_()
    out = parallel.gather(layer(rows))
    loss = (out**2 * torch.arange(10.0, dtype=torch.float64).view(5, 2)).sum()
    loss.backward()
    value = parallel.reduce(loss, list(layer.parameters()))
    gradient = parallel.gather(rows.grad)
    return [
        value,
        *(t.tolist() for t in (gradient, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var)),
    ]


@pytest.mark.parametrize("kind", [spunet.Norm, native.NormReLU])
def test_a_norm_over_two_processes_is_one_over_all_rows(kind):
    for own, whole in zip(parallel.together(2, normed, kind), normed(kind), strict=True):
        assert np.allclose(own, whole, rtol=1e-5)


LR = 1e-4
"""Low: Muon takes what is nearly nothing in a gradient, and rounding with it, for as much as the rest."""


def trained(out, data, stages, processes):
    """Losses of ten steps of distillation and of fine-tuning, nothing random in them, the batch shared by so many processes."""
    sections = params.profile("smoke")
    still = {"turn": 0.0, "flip": 0.0, "scale": 0.0, "jitter": 0.0, "gain": 0.0}
    same = {
        "processes": processes,
        "batch": 2,
        "steps": 10,
        "crop": 10**6,
        "augment": still,
        "save_every": 1e9,
        "lr": LR,
    }
    # Voxels of a centimetre hold one point each, so that none is drawn.
    student = sections["student"] | {"voxel": 0.01}
    settings = sections["distill"] | same
    losses = distill.distill(
        data, student, settings, 0, stages / "prepared", stages / "teacher", out / "start", out / "aligned.json"
    )
    prepared = Prepared(stages / "prepared", "train")
    settings = sections["finetune"] | same | {"balanced": 0.0, "lovasz_points": 10**6}
    settings["steps"] = {"base": 10, "per_frame": 0, "most": 10}
    network, more, resume = finetune.train(prepared, [0, 1], out / "start", student, settings, LR, 0, "test")
    if parallel.first():
        resume.unlink()
    return np.array([losses, more])


@pytest.fixture
def unrounded(monkeypatch):
    """Factors of products in float32, in processes that are started from here too: a sum of two parts rounds to another bfloat16 than the
    whole, and Muon makes that as large as the rest."""
    monkeypatch.setenv("XKD_FLOAT32", "1")


def test_two_processes_train_as_one_with_the_whole_batch(made, stages, tmp_path, unrounded):
    data = params.profile("smoke")["data"] | {"root": str(made / "nuscenes")}
    one, two = (trained(tmp_path / str(n), data, stages, n) for n in (1, 2))
    assert two == pytest.approx(one, abs=1e-5) and (one[:, -1] < one[:, 0]).all()


LAUNCHED = """
import sys
from pathlib import Path
import numpy as np
import torch.distributed as dist
from tests.test_parallel import trained
from xkd import parallel, params
from xkd.prepared import Prepared
from xkd.student import load
from xkd.train import evaluate
out, made, stages = map(Path, sys.argv[1:])
losses = trained(out, params.profile("smoke")["data"] | {"root": str(made)}, stages, 1)
total, streets, guesses = evaluate(load(out / "start"), Prepared(stages / "prepared", "val"))
assert parallel.several() and len(guesses) == len(Prepared(stages / "prepared", "val"))
np.save(out / f"total-{dist.get_rank()}.npy", total)
np.save(out / f"losses-{dist.get_rank()}.npy", losses)
"""


def test_the_processes_of_torchrun_are_taken_as_they_are(made, stages, tmp_path, unrounded):
    """Whatever `processes` says; one writes, all evaluate."""
    (tmp_path / "launched.py").write_text(LAUNCHED)
    data = params.profile("smoke")["data"] | {"root": str(made / "nuscenes")}
    alone = trained(tmp_path / "alone", data, stages, 1)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = [*command, tmp_path / "launched.py", tmp_path / "two", made / "nuscenes", stages]
    environment = os.environ | {"PYTHONPATH": str(xkd.ROOT)}
    (tmp_path / "two").mkdir()
    subprocess.run(run, check=True, env=environment, cwd=xkd.ROOT, capture_output=True)
    for rank in (0, 1):
        assert np.load(tmp_path / "two" / f"losses-{rank}.npy") == pytest.approx(alone, abs=1e-5)
    total, _, _ = evaluate(load(tmp_path / "alone" / "start"), Prepared(stages / "prepared", "val"))
    first, second = (np.load(tmp_path / "two" / f"total-{rank}.npy") for rank in (0, 1))
    assert (first == second).all() and first.sum() == total.sum() and np.abs(first - total).sum() <= 0.01 * total.sum()


def paired(name):
    """Loss and gradient of an objective on seven pairs of three superpixels, five pairs and two superpixels of them the first process'."""
    generator = torch.Generator().manual_seed(0)
    points, features, means = (torch.randn(n, 4, generator=generator) for n in (7, 7, 3))
    superpixel = torch.tensor([0, 1, 1, 0, 1, 2, 2])
    if dist.is_initialized():
        own, few = (slice(0, 5), slice(0, 2)) if dist.get_rank() == 0 else (slice(5, 7), slice(2, 3))
        points, features, means, superpixel = points[own], features[own], means[few], superpixel[own]
        superpixel = superpixel - superpixel.min()
    points.requires_grad_()
    pairs = {"features": features, "superpixel": superpixel, "superpixel_features": means}
    loss = OBJECTIVES[name](*distill.of_all(points, pairs), {"temperature": 0.1})
    loss.backward()
    return loss.item(), parallel.gather(points.grad).tolist()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_over_two_processes_is_one_over_all_pairs(name):
    (two, gradient), (one, whole) = parallel.together(2, paired, name), paired(name)
    assert two == pytest.approx(one, abs=1e-6) and np.allclose(gradient, whole, atol=1e-6)
