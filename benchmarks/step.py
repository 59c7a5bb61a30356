"""`python benchmarks/step.py`: what a training step of the default student costs, part by part, in fine-tuning and in distillation, alone
and shared by two processes, with spconv's and torch's own inner loops and with those of xkd/native.cpp, in float32 and with factors in
bfloat16 where the processor has it.

On the prepared default data (`dvc repro prepare teacher` first). Every step is made once with each kind of loops, in turn, on the same
frames. Medians and quartiles over steps after a warm-up. The second thread that makes batches ahead in a training is left out: the parts
before the forward pass cost as much there, but hide behind the network.
"""

import sys
import time
from contextlib import ExitStack
from unittest import mock

import numpy as np
import torch
from timing import QUICK, keep
from torch import nn

import xkd
from xkd import distill, finetune, native, parallel
from xkd import student as students
from xkd.losses import segmentation
from xkd.objectives import objective
from xkd.optim import Muon
from xkd.params import profile
from xkd.prepared import Prepared

STEPS, WARM_UP = (4, 1) if QUICK else (50, 8)
PARTS = ("load", "augment", "voxelise", "forward", "loss", "backward", "optimiser")
MADE = {"load", "augment", "voxelise"}
"""What a second thread does for the next steps meanwhile."""
LIBRARY, ROUNDS = native.library, native.rounds
OUT = xkd.ROOT / "out"


def use(loops):
    """From now on this process computes with loops `spconv` (without xkd/native.cpp), `float32` or `bfloat16`."""
    native.library = no_library if loops == "spconv" else LIBRARY
    native.rounds = ROUNDS if loops == "bfloat16" else never


def no_library():
    return None


def never(inputs, outputs):
    return False


class Clock:
    """Seconds of named parts; what a part within another takes is not the other's."""

    def __init__(self):
        self.spent, self.inner = dict.fromkeys(PARTS, 0.0), [0.0]

    def __call__(self, part, function):
        def timed(*given, **named):
            self.inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                taken = time.perf_counter() - start
                self.spent[part] += taken - self.inner.pop()
                self.inner[-1] += taken

        return timed


def tuning(params):
    """(network, make(step), forward(batch), loss(predicted, batch)) of fine-tuning, as `xkd.finetune` has them."""
    prepared, settings = Prepared(OUT / "prepared", params["data"]["train"]), params["finetune"]
    network = students.build(params["student"] | {"classes": prepared.classes}, 0)
    holders = finetune.classes_of(prepared, range(0, len(prepared), 8))

    def make(step):
        rng = np.random.default_rng(step)
        frames = parallel.share(rng.integers(len(prepared), size=settings["batch"]).tolist())
        return finetune.batch(prepared, frames, holders, params["student"], settings, rng)

    def loss(logits, batch):
        return segmentation(parallel.gather(logits), parallel.gather(batch[1]), settings["lovasz_points"])

    return network, make, lambda batch: network(batch[0])[1], loss


def distilling(params):
    """The same of distillation, as `xkd.distill` has them."""
    settings = params["distill"]
    pool = distill.Pool(params["data"] | {"unlabelled": []}, settings, OUT / "prepared", OUT / "teacher")
    both = nn.ModuleList(distill.beginner(pool, params["student"], settings, 0))
    loss_of = objective(settings["objective"])

    def make(step):
        rng = np.random.default_rng(step)
        frames = parallel.share(rng.integers(len(pool), size=settings["batch"]).tolist())
        return pool.batch(frames, params["student"], settings, rng)

    def loss(predicted, batch):
        return loss_of(*distill.of_all(predicted, batch[1]), settings)

    return both, make, lambda batch: both[1](both[0].features(batch[0])), loss


TRAININGS = {"finetune": tuning, "distill": distilling}


def steps(what, kinds):
    """{loops: (STEPS, parts) milliseconds} of this process' share, and the operations of a step: two a factor, forward and twice back."""
    params = profile()
    own = {loops: TRAININGS[what](params) for loops in kinds}
    settings = params["finetune" if what == "finetune" else "distill"]
    optimisers = {
        loops: Muon(network.parameters(), 0.006, settings["weight_decay"]) for loops, (network, *_) in own.items()
    }
    times, operations = {loops: [] for loops in kinds}, []
    for step in range(WARM_UP + STEPS):
        for loops, (network, make, forward, loss) in own.items():
            use(loops)
            clock, counted = Clock(), []
            network.train()
            with ExitStack() as patches:
                for module, name, part in (
                    (finetune, "augment", "augment"),
                    (distill, "augment", "augment"),
                    (students, "voxels", "voxelise"),
                ):
                    patches.enter_context(mock.patch.object(module, name, clock(part, getattr(module, name))))
                product = native.product
                if step == 0 and loops == "float32":
                    patches.enter_context(mock.patch.object(native, "product", counting(product, counted)))
                batch = clock("load", make)(step)
                predicted = clock("forward", forward)(batch)
                value = clock("loss", loss)(predicted, batch)
                optimisers[loops].zero_grad(set_to_none=True)
                clock("backward", backward)(value, network)
                clock("optimiser", optimisers[loops].step)()
            operations += counted
            if step >= WARM_UP:
                times[loops].append([1000 * clock.spent[part] for part in PARTS])
    use("bfloat16")
    return {loops: np.array(taken) for loops, taken in times.items()}, 3 * sum(operations)


def backward(value, network):
    value.backward()
    parallel.reduce(value, list(network.parameters()))


def counting(product, counted):
    """`native.product`, which notes how many operations it takes."""

    def noted(x, weight, pairs, count, rows, inverse, same, half=False):
        # Of a submanifold convolution the first half of the cells counts, for the other half too, and the central one is every row.
        lists = 2 * int(count.sum()) + rows if same else int(count.sum())
        counted.append(2 * lists * weight.shape[0] * weight.shape[-1])
        return product(x, weight, pairs, count, rows, inverse, same, half)

    return noted


def main():
    torch.set_num_threads(1)
    kinds = ["spconv", "float32", *["bfloat16"] * native.has_half()]
    rows = []
    print(" ".join(f"{name:>10}" for name in ("what", "processes", "loops", *PARTS, "step", "ratio")), " (ms)")
    for what in TRAININGS:
        for processes in (1, 2):
            found, operations = parallel.together(processes, steps, what, kinds)
            network = [part not in MADE for part in PARTS]
            base = found["spconv"][:, network].sum(1)
            for loops, taken in found.items():
                total = taken[:, network].sum(1)
                ratio = np.quantile(base / total, [0.25, 0.5, 0.75])
                low, middle, high = np.quantile(total, [0.25, 0.5, 0.75])
                row = {"what": what, "processes": processes, "loops": loops, "ms": middle, "low": low, "high": high}
                row |= dict(zip(PARTS, np.median(taken, 0), strict=True)) | {"steps": len(taken)}
                row |= {"ratio_low": ratio[0], "ratio": ratio[1], "ratio_high": ratio[2]}
                row = {k: round(float(v), 3) if isinstance(v, float) else v for k, v in row.items()}
                rows.append(row | ({"operations": operations} if processes == 1 else {}))
                cells = (what, processes, loops, *(f"{row[k]:.1f}" for k in (*PARTS, "ms")), f"{row['ratio']:.2f}")
                print(" ".join(f"{cell:>10}" for cell in cells), flush=True)
    keep("step", rows)


if __name__ == "__main__":
    try:
        main()
    except xkd.XkdError as error:
        sys.exit(f"xkd: step: not measured: {error}")
