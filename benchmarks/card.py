"""`python benchmarks/card.py`: frames a second that one GPU trains on, with a student of Pointcept's size, and where its time goes.

Made frames, as large as nuScenes': 32 beams, about 30,000 points, 0.1 m voxels, 4096 pairs with cached features of 384 channels, 150
superpixels an image. Training is the pipeline's own, its loader and its optimiser included, fed from files as stages 1 and 2 leave them.
"""

import argparse
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from made import CLASSES, written
from timing import keep

from xkd import distill, finetune, train
from xkd import student as students
from xkd.params import profile
from xkd.prepared import Prepared

FRAMES, STEPS, WARM_UP = 64, 50, 15
STUDENTS = {
    "spunet, 39 M": {"backbone": "spunet", "voxel": 0.1, "widths": [32, 32, 64, 128, 256, 256, 128, 96, 96]},
    "unet of the gpu profile": {"backbone": "unet", "voxel": 0.1, "widths": [32, 64, 128, 256, 256]},
}


def measured(run, batch, made=False, profiled=None):
    """Frames a second of the training that `run` starts, after a warm-up; milliseconds that a batch takes to make, in one thread.

    made: the batches are there before they are asked for, which leaves the network's own time; profiled: a file for the kernels' table."""
    marks, making, fit = [], [], train.fit

    def timed(network, make, loss_of, settings, resume, label):
        ready = [make(step) for step in range(4)] if made else None
        profiler = None

        def own(step):
            if ready:
                return ready[step % 4]
            start = time.perf_counter()
            value = make(step)
            making.append(time.perf_counter() - start)
            return value

        def loss(batch):
            nonlocal profiler
            marks.append(time.perf_counter())
            if profiled and len(marks) == WARM_UP:
                profiler = torch.profiler.profile(
                    activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
                )
                profiler.__enter__()
            if profiled and len(marks) == WARM_UP + 10:
                torch.cuda.synchronize()
                profiler.__exit__(None, None, None)
                profiled.write_text(
                    profiler.key_averages().table(
                        sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=70
                    )
                )
            return loss_of(batch)

        return fit(network, own, loss, settings, resume, label)

    torch.cuda.reset_peak_memory_stats()
    with mock.patch.object(distill, "fit", timed), mock.patch.object(finetune, "fit", timed):
        resume = run()[-1]
    resume.unlink(missing_ok=True)
    seconds = np.diff(marks[WARM_UP + 11 * bool(profiled) :])
    return {
        "frames/s": batch / np.median(seconds),
        "ms a step": 1000 * np.median(seconds),
        "ms to make a batch": 1000 * np.median(making) if making else None,
        "GB of the card": torch.cuda.max_memory_allocated() / 1e9,
    }


def main():
    parser = argparse.ArgumentParser(description="Frames a second on one GPU.")
    parser.add_argument("--profile", type=Path, help="a folder for tables of the kernels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--student", choices=STUDENTS, nargs="+", default=STUDENTS)
    options = parser.parse_args()
    torch.set_num_threads(1)  # as every training of the pipeline
    params = profile("gpu")
    common = {"batch": options.batch, "processes": 1, "crop": 65536, "optimiser": "muon"}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = written(folder, FRAMES)
        data = params["data"] | {"unlabelled": [], "tuning": []}
        places = (folder / "prepared", folder / "teacher")
        split = Prepared(places[0], "train")
        for label, student in ((label, STUDENTS[label]) for label in options.student):
            network = students.build(student | {"classes": CLASSES}, 0)
            count = sum(p.numel() for p in network.parameters()) / 1e6
            scratch = folder / label.split(",")[0].replace(" ", "-")
            finetune.scratch(student, CLASSES, 0, scratch)
            scans = [(split.points(i), split.intensity(i)) for i in range(4)]
            cells = len(students.voxels(scans, student).coordinates) / 4

            def tuned(optimiser, student=student, scratch=scratch):
                steps = {"base": STEPS, "per_frame": 0, "most": STEPS}
                own = params["finetune"] | common | {"steps": steps, "optimiser": optimiser}
                return finetune._train(split.path, list(range(FRAMES)), scratch, student, own, 0.001, 0, "finetune")

            def distilled(objective, optimiser, student=student):
                own = params["distill"] | common | {"steps": STEPS, "objective": objective, "optimiser": optimiser}
                return distill._train(data, student, own, 0, *places, "distill")

            about = {"card": torch.cuda.get_device_name(), "student": label, "parameters, M": round(count, 1)}
            about |= {"points a frame": round(size), "voxels a frame": round(cells)}
            for what, run, made in (
                ("fine-tuning", lambda run=tuned: run("muon"), False),
                ("fine-tuning", lambda run=tuned: run("muon"), True),
                ("fine-tuning, adamw", lambda run=tuned: run("adamw"), True),
                ("cosine", lambda run=distilled: run("cosine", "muon"), False),
                ("cosine", lambda run=distilled: run("cosine", "muon"), True),
                ("superpixel", lambda run=distilled: run("superpixel", "muon"), False),
                ("superpixel", lambda run=distilled: run("superpixel", "muon"), True),
            ):
                name = f"{what}-{label.split(',')[0]}.txt".replace(" ", "-")
                table = options.profile / name if options.profile and made else None
                row = measured(run, options.batch, made, table)
                row = {k: v if v is None else round(float(v), 2) for k, v in row.items()}
                rows.append(about | {"what": what, "batches": "ready" if made else "from files"} | row)
                print(*(f"{value}" for value in rows[-1].values()), sep="; ", flush=True)
    keep("card", rows)


if __name__ == "__main__":
    main()
