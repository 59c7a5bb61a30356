"""`python -m xkd.estimate [SECONDS]`: how long what is left of `dvc repro` takes on this machine, or work of so many seconds.

The costs were measured on two cores on which `calibrate` takes `REFERENCE` seconds, and are scaled by what it takes here.
"""

import argparse
import sys
import time
from contextlib import chdir

import xkd
from xkd import params
from xkd.beforehand import checked, made
from xkd.errors import XkdError

REFERENCE = 0.026
OVERHEAD = {"prepare": 6.0, "teacher": 12.0, "views": 6.0, "scratch": 4.0, "distill": 6.0, "finetune": 12.0}
OVERHEAD |= {"xmodel": 51.0, "report": 12.0}
"""Seconds of a stage besides its training and its frames: the kernel's start, evaluation, DVC's hashing; of xmodel, the frames that are
given pseudo-labels and the core that is left over where the two trainings are of different length."""
DATA, SMALL_DATA = 200.0, 20.0
"""Seconds that making the data takes."""
STEP, POINT_STEP = 0.004, 0.51e-6
"""Seconds of a training step, and what each point in its batch adds to them, two trainings at a time (`xkd.companion`)."""
FUSED_STEP = 2.0
"""What a step of the network that sees images costs, in steps of the student."""
STREET = 12288
"""Points of a scan that `calibrate` looks at."""
TEACHER_STEP = 0.08
"""Seconds of a step of the mini teacher."""
FRAMES, FEW = (974, 400), (20, 20)
"""Frames that have images, prepared at 77 a second, looked at by the teacher at 17 and gathered at 12, and those that labels are drawn
from: of the default data, and of other data that `xkd.sim` makes."""


def main(arguments=None):
    """Prints one sentence; returns the exit status: 1 where params.yaml holds what a stage would refuse in the end."""
    parser = argparse.ArgumentParser(
        prog="python -m xkd.estimate", description="How long it will take on this machine."
    )
    parser.add_argument(
        "seconds", type=float, nargs="?", help="of work on the reference machine; default: what dvc repro has left"
    )
    given = parser.parse_args(arguments).seconds
    if given is not None:
        print(f"xkd: {words(given * calibrate() / REFERENCE)} on this machine.", flush=True)
        return 0
    try:
        sections = checked()
        left = stages_left(xkd.ROOT)
        frames = counted(sections) if left else None
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    if not left:
        print("xkd: every stage is done.", flush=True)
        return 0
    seconds = sum(cost(name, sections, frames) for name in left)
    if to_be_made(sections["data"]):
        seconds += DATA if frames == FRAMES else SMALL_DATA
    print(
        f"xkd: {len(left)} stages to run, with their data {words(seconds * calibrate() / REFERENCE)} on this machine; "
        "stopped and started again, it goes on where it was.",
        flush=True,
    )
    return 0


def to_be_made(data):
    """Whether the data of this section `data` are those of `xkd.sim`, and are not there yet."""
    return made(data["root"]) and not (xkd.ROOT / "data" / "xkd-sim.json").is_file()


def counted(sections):
    """(frames that have images, frames that labels are drawn from), as the data's own splits have them, or as `xkd.sim` will make them.
    Errors: data that cannot be opened."""
    from xkd.prepare import open_split
    from xkd.prepared import matching

    data = sections["data"]
    if to_be_made(data):
        return FRAMES if data["kind"] == "nuscenes" and sections != params.profile("demo") else FEW
    train = open_split(data, data["train"])
    others = sum(len(open_split(data, split)) for split in data["unlabelled"])
    return len(train) + others, len(train) - sum(matching(train.scenes, data["tuning"]))


def cost(stage, sections, frames=FRAMES):
    """Seconds of one stage (`finetune@0.01-scratch-0`) with these sections of params.yaml, on the reference machine; frames: `counted`."""
    kind, _, cell = stage.partition("@")
    seconds = OVERHEAD.get(kind, 0.0)
    frames, labelled = frames
    if kind == "prepare":
        seconds += frames / 77
    if kind == "teacher":
        seconds += frames / 17
        if sections["teacher"]["name"] == "mini":
            seconds += TEACHER_STEP * sections["teacher"]["mini"].get("steps", 480)
    if kind == "views":
        seconds += frames / 12
    if kind in ("distill", "finetune", "xmodel"):
        settings = sections["distill" if kind == "distill" else "finetune"]
        steps = settings["steps"]
        if kind != "distill":
            labelled *= float(cell.split("-")[0])
            steps = finetune_steps(steps, labelled)
        if kind == "xmodel":
            steps += FUSED_STEP * finetune_steps(sections["fused"]["steps"], labelled)
        seconds += steps * (STEP + POINT_STEP * settings["batch"] * settings["crop"])
    return seconds


def finetune_steps(steps, frames):
    """As `xkd.finetune.steps`, which would take seconds to import."""
    return min(steps["base"] + steps["per_frame"] * frames, steps["most"])


def stages_left(root):
    """Names of the stages that `dvc repro` in `root` will run: those that have changed, and all that depend on them."""
    import networkx
    from dvc.repo import Repo

    # DVC names stages as seen from the working directory.
    with chdir(root), Repo() as repo:
        changed = repo.status()
        graph = repo.index.graph  # from a stage to those that it needs
        hit = {stage for stage in graph if stage.addressing in changed}
        hit |= {later for stage in hit for later in networkx.ancestors(graph, stage)}
        # Plain `dvc repro` runs the stages of this folder's dvc.yaml; those of another file are addressed with its name.
        return sorted(stage.addressing for stage in hit if stage.cmd and ":" not in stage.addressing)


def calibrate():
    """Seconds of a pass, there and back, of the default student over two made-up scans, on one thread: the best of some, because other
    work on the machine comes and goes."""
    import numpy as np
    import torch

    from xkd import student

    rng = np.random.default_rng(0)
    config = {"voxel": 0.5, "widths": [24, 32, 48, 64], "classes": [str(k) for k in range(16)]}
    network = student.build(config, 0).train()
    scans = [(street(rng), np.zeros(STREET, np.float32)) for _ in range(2)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        voxels, best = student.voxels(scans, config), float("inf")
        for _ in range(72):
            start = time.perf_counter()
            network(voxels)[1].square().mean().backward()
            best = min(best, time.perf_counter() - start)
        return best
    finally:
        torch.set_num_threads(threads)


def street(rng):
    """(STREET, 3) float32 points in metres: the ground, 1.8 m below the sensor, and walls 8 m to either side."""
    import numpy as np

    along, across = rng.laplace(0, 4, STREET), rng.uniform(-16, 16, STREET)
    beside = np.abs(across) > 8
    height = np.where(beside, rng.uniform(-1.8, 4, STREET), -1.8)
    return np.stack([along, np.clip(across, -8, 8), height], 1).astype(np.float32)


def words(seconds):
    """A duration for people."""
    minutes = seconds / 60
    if minutes >= 120:
        return f"about {minutes / 60:.0f} hours"
    return "about a minute" if minutes < 1.5 else f"about {minutes:.0f} minutes"


if __name__ == "__main__":
    sys.exit(main())
