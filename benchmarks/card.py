"""`python benchmarks/card.py`: frames a second that one GPU trains on, with a student of Pointcept's size, and where its time goes.

Made frames, as large as nuScenes': 32 beams, about 30,000 points, 0.1 m voxels, 4096 pairs with cached features of 384 channels, 150
superpixels an image. Training is the pipeline's own, its loader and its optimiser included, fed from files as stages 1 and 2 leave them.
`python benchmarks/card_page.py` writes what it keeps into docs/gpu.md.
"""

import argparse
import tempfile
import time
from functools import partial
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
SCALE = 0.5
"""What of its size an image is shown to a teacher at."""
STUDENTS = {
    "spunet, 39 M": {"backbone": "spunet", "voxel": 0.1, "widths": [32, 32, 64, 128, 256, 256, 128, 96, 96]},
    "unet of the gpu profile": {"backbone": "unet", "voxel": 0.1, "widths": [32, 64, 128, 256, 256]},
}


def measured(run, batch, made=False, profiled=None, losses=False):
    """Frames a second of the training that `run` starts, after a warm-up; milliseconds that a batch takes to make, in one thread.

    made: the batches are there before they are asked for, which leaves the network's own time; profiled: a file for the kernels' table;
    losses: with those, one a step."""
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
        _, found, resume = run()
    resume.unlink(missing_ok=True)
    seconds = np.diff(marks[WARM_UP + 11 * bool(profiled) :])
    return {
        "frames/s": batch / np.median(seconds),
        "ms a step": 1000 * np.median(seconds),
        "ms to make a batch": 1000 * np.median(making) if making else None,
        "GB of the card": torch.cuda.max_memory_allocated() / 1e9,
    } | ({"losses": found} if losses else {})


def deterministic(run, batch):
    """The same training twice with the deterministic kernels that torch has: `measured`, and the largest difference of the two's losses,
    beside that of two trainings without."""
    apart = {}
    for wanted in (False, True):
        torch.use_deterministic_algorithms(wanted, warn_only=True)
        found = [measured(run, batch, made=True, losses=True) for _ in range(2)]
        row, apart[wanted] = found[0], float(np.abs(np.subtract(*(own.pop("losses") for own in found))).max())
    torch.use_deterministic_algorithms(False)
    return row | {"losses of two runs apart": apart[False], "of two deterministic ones": apart[True]}


def extraction(rounds=10):
    """Rows of images a second through frozen teachers of the sizes that are used, with weights of chance: six images of nuScenes' size at
    `SCALE` times it."""
    from transformers import Dinov2Config, Dinov2Model, ResNetConfig, ResNetModel

    from xkd.teachers.base import Pretrained

    vit = Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, patch_size=14, image_size=518)
    images, rows = torch.rand(6, 3, 900, 1600, device="cuda"), []
    for name, network in (("ViT-S/14", Dinov2Model(vit)), ("ResNet-50", ResNetModel(ResNetConfig()))):
        teacher = Pretrained(name, network.eval(), scale=SCALE).to("cuda")
        ways = {"float32": torch.no_grad()(teacher.look), "as the pipeline does: bfloat16, channels last": teacher}
        for way in (*ways, "the same, compiled"):
            start = time.perf_counter()
            if way not in ways:
                teacher.network = torch.compile(teacher.network)
            own, taken = ways.get(way, teacher), []
            own(images), torch.cuda.synchronize()
            first = time.perf_counter() - start
            for _ in range(rounds):
                start = time.perf_counter()
                own(images), torch.cuda.synchronize()
                taken.append(time.perf_counter() - start)
            rows.append(
                {"teacher": name, "way": way, "images/s": round(6 / np.median(taken), 1), "s, first": round(first, 1)}
            )
            print(*rows[-1].values(), sep="; ", flush=True)
    return rows


WHAT = {
    "fine-tuning": ("muon", False),
    "fine-tuning, ready": ("muon", True),
    "fine-tuning, adamw, ready": ("adamw", True),
    "cosine": ("muon", False),
    "cosine, ready": ("muon", True),
    "superpixel": ("muon", False),
    "superpixel, ready": ("muon", True),
    "deterministic": ("muon", True),
}
"""What is trained: its optimiser, and whether its batches are in memory before they are asked for or come from files."""


def main():
    parser = argparse.ArgumentParser(description="Frames a second on one GPU.")
    parser.add_argument(
        "--profile", type=Path, help="a folder for tables of the kernels of trainings with ready batches"
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--student", choices=STUDENTS, nargs="+", default=STUDENTS)
    parser.add_argument("--what", choices=WHAT, nargs="+", default=WHAT)
    parser.add_argument("--teachers", action="store_true", help="images a second through teachers instead")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no GPU on this machine")
    if options.profile:
        options.profile.mkdir(parents=True, exist_ok=True)
    if options.teachers:
        keep("card-teachers", extraction())
        return
    torch.set_num_threads(1)  # as every training of the pipeline
    params = profile("gpu")
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

            def tuned(settings, steps, student=student, scratch=scratch):
                own = params["finetune"] | settings | {"steps": {"base": steps, "per_frame": 0, "most": steps}}
                return finetune._train(split.path, list(range(FRAMES)), scratch, student, own, 0.001, 0, "finetune")

            def distilled(objective, settings, steps, student=student):
                own = params["distill"] | settings | {"steps": steps, "objective": objective}
                return distill._train(data, student, own, 0, *places, "distill")

            about = {"card": torch.cuda.get_device_name(), "student": label, "parameters, M": round(count, 1)}
            about |= {"points a frame": round(size), "voxels a frame": round(cells)}
            for batch, what in ((batch, what) for batch in options.batch for what in options.what):
                optimiser, made = WHAT[what]
                settings = {"batch": batch, "processes": 1, "crop": 65536, "optimiser": optimiser}
                objective = what.split(",")[0]
                run = partial(
                    tuned if objective in ("fine-tuning", "deterministic") else partial(distilled, objective), settings
                )
                file = f"{what}-{batch}-{label.split(',')[0]}.txt".replace(", ", "-").replace(" ", "-")
                table = options.profile / file if options.profile and made and what != "deterministic" else None
                if what == "deterministic":
                    row = deterministic(partial(run, 30), batch)
                else:
                    row = measured(partial(run, STEPS), batch, made, table)
                row = {k: v if v is None else float(f"{v:.4g}") for k, v in row.items()}
                rows.append(about | {"batch": batch, "what": what} | row)
                print(*(f"{value}" for value in rows[-1].values()), sep="; ", flush=True)
                keep("card", rows)


if __name__ == "__main__":
    main()
