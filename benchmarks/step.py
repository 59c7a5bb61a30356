"""`python benchmarks/step.py`: what a training step of the default student costs, part by part, alone and shared by two processes.

On the prepared default data (`dvc repro prepare` first). Medians over steps after a warm-up; other work on the machine shows.
"""

import time

import numpy as np
import torch

import xkd
from xkd import parallel
from xkd import student as students
from xkd.augment import augment, crop
from xkd.losses import segmentation
from xkd.params import profile
from xkd.prepared import Prepared
from xkd.sparse import collate

STEPS, WARM_UP = 60, 10


def steps():
    """Median milliseconds of load, forward, loss, backward and exchange, update; of this process' share of a batch."""
    params = profile()
    prepared, settings = Prepared(xkd.ROOT / "out" / "prepared", params["data"]["train"]), params["finetune"]
    network = students.build(params["student"] | {"classes": prepared.classes}, 0).train()
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    parameters, times = list(network.parameters()), []
    for step in range(STEPS):
        rng = np.random.default_rng(step)
        marks = [time.perf_counter()]
        scans, labels = [], []
        for i in parallel.share(rng.integers(len(prepared), size=settings["batch"]).tolist()):
            kept = crop(prepared.points(i), settings["crop"], rng)
            scans.append(augment(prepared.points(i)[kept], prepared.intensity(i)[kept], settings["augment"], rng))
            labels.append(prepared.labels(i)[kept])
        voxels = collate(scans, params["student"]["voxel"], len(params["student"]["widths"]))
        marks.append(time.perf_counter())
        logits = network(voxels)[1]
        marks.append(time.perf_counter())
        loss = segmentation(logits, torch.from_numpy(np.concatenate(labels)).long(), settings["lovasz_points"])
        marks.append(time.perf_counter())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parallel.average(loss, parameters)
        marks.append(time.perf_counter())
        optimiser.step()
        marks.append(time.perf_counter())
        times.append(1000 * np.diff(marks))
    return np.median(times[WARM_UP:], 0)


def main():
    print(
        f"{'processes':>9} {'load':>7} {'forward':>8} {'loss':>7} {'backward':>9} {'update':>7} {'without load':>13}  (ms)"
    )
    for processes in (1, 2):
        parts = parallel.together(processes, steps)
        load, forward, loss, backward, update = parts
        # A second thread loads while the network works on the batch before.
        print(
            f"{processes:9} {load:7.1f} {forward:8.1f} {loss:7.1f} {backward:9.1f} {update:7.1f} {parts[1:].sum():13.1f}"
        )


if __name__ == "__main__":
    main()
