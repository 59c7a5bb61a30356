"""`python benchmarks/step.py`: what a training step of the default student costs, part by part, alone and shared by two processes,
with spconv's and torch's own inner loops on the CPU and with those of xkd/native.cpp, in float32 and with factors in bfloat16.

On the prepared default data (`dvc repro prepare` first). Medians over steps after a warm-up; other work on the machine shows.
"""

import time

import numpy as np

import xkd
from xkd import native, parallel
from xkd import student as students
from xkd.finetune import batch
from xkd.losses import segmentation
from xkd.optim import Muon
from xkd.params import profile
from xkd.prepared import Prepared

STEPS, WARM_UP = 60, 10
LIBRARY, ROUNDS = native.library, native.rounds


def steps(loops):
    """Median milliseconds of load, forward, loss and exchange, backward and exchange, update; of this process' share of a batch.

    `loops`: spconv (without xkd/native.cpp), float32 or bfloat16.
    """
    native.library = no_library if loops == "spconv" else LIBRARY
    native.rounds = ROUNDS if loops == "bfloat16" else never
    params = profile()
    prepared, settings = Prepared(xkd.ROOT / "out" / "prepared", params["data"]["train"]), params["finetune"]
    network = students.build(params["student"] | {"classes": prepared.classes}, 0).train()
    optimiser = Muon(network.parameters(), 0.006, 0.01)
    parameters, times = list(network.parameters()), []
    for step in range(STEPS):
        rng = np.random.default_rng(step)
        marks = [time.perf_counter()]
        frames = parallel.share(rng.integers(len(prepared), size=settings["batch"]).tolist())
        voxels, labels = batch(prepared, frames, {}, params["student"], settings, rng)
        marks.append(time.perf_counter())
        logits = network(voxels)[1]
        marks.append(time.perf_counter())
        loss = segmentation(parallel.gather(logits), parallel.gather(labels), settings["lovasz_points"])
        marks.append(time.perf_counter())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parallel.reduce(loss, parameters)
        marks.append(time.perf_counter())
        optimiser.step()
        marks.append(time.perf_counter())
        times.append(1000 * np.diff(marks))
    return np.median(times[WARM_UP:], 0)


def no_library():
    return None


def never(inputs, outputs):
    return False


def main():
    names = ("loops", "processes", "load", "forward", "loss", "backward", "update", "without load", "ratio")
    print(" ".join(f"{name:>12}" for name in names), " (ms)")
    reference = None
    for processes in (1, 2):
        for loops in ("spconv", "float32", "bfloat16"):
            parts = parallel.together(processes, steps, loops)
            # A second thread loads while the network works on the batch before.
            total = parts[1:].sum()
            reference = total if loops == "spconv" else reference
            row = [f"{value:.1f}" for value in (*parts, total)] + [f"{reference / total:.2f}"]
            print(" ".join(f"{cell:>12}" for cell in (loops, processes, *row)))


if __name__ == "__main__":
    main()
