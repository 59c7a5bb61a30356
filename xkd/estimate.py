"""`python -m xkd.estimate [SECONDS]`: how long what is left of `dvc repro` takes on this machine, or work of so many seconds.

The costs were measured on two cores on which `calibrate` takes `REFERENCE` seconds, and are scaled by what it takes here.
"""

import argparse
import sys
import time
from contextlib import chdir

import xkd
from xkd import params
from xkd.errors import XkdError

REFERENCE = 0.026
OVERHEAD = {"prepare": 6.0, "teacher": 12.0, "views": 6.0, "scratch": 4.0, "distill": 6.0, "finetune": 9.0}
OVERHEAD |= {"xmodel": 30.0, "report": 12.0}
"""Seconds of a stage besides its training and its frames: the kernel's start, evaluation, DVC's hashing; of xmodel, the frames that are
given pseudo-labels and the core that is left over where the two trainings are of different length."""
DATA, SMALL_DATA = 200.0, 20.0
"""Seconds that making the data takes."""
STEP, POINT_STEP = 0.004, 0.47e-6
"""Seconds of a training step, and what each point in its batch adds to them, two trainings at a time (`xkd.companion`)."""
FUSED_STEP = 2.0
"""What a step of the network that sees images costs, in steps of the student."""
STREET = 12288
"""Points of a scan that `calibrate` looks at."""
TEACHER_STEP, FRAMES, LABELLED = 0.065, 974, 400
"""Seconds of a step of the mini teacher; frames of the default data that have images, prepared at 77 a second, looked at by the
teacher at 17 and gathered at 12."""


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
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    left = stages_left(xkd.ROOT)
    if not left:
        print("xkd: every stage is done.", flush=True)
        return 0
    seconds = sum(cost(name, sections) for name in left)
    if made(sections["data"]["root"]) and not (xkd.ROOT / "data" / "xkd-sim.json").is_file():
        seconds += SMALL_DATA if small(sections) else DATA
    print(
        f"xkd: {len(left)} stages to run, with their data {words(seconds * calibrate() / REFERENCE)} on this machine; "
        "stopped and started again, it goes on where it was.",
        flush=True,
    )
    return 0


def checked():
    """All sections of params.yaml. Errors: those that a stage would come to after the others' hours: a key or a value that is none, an
    unknown kind of data or objective, a folder that is not there and that `xkd.sim` does not make."""
    from xkd import finetune
    from xkd.datasets import kinds
    from xkd.objectives import objective
    from xkd.student import levels

    sections = {name: params.check(name, section) for name, section in params.profile().items()}
    data, teacher = sections["data"], sections["teacher"]
    if data["kind"] not in kinds():
        raise XkdError(f"params.yaml: data.kind {data['kind']!r} is unknown; there are {', '.join(kinds())}.")
    objective(sections["distill"]["objective"])
    levels(sections["student"])
    for init in sections["finetune"]["lr"]:
        finetune.rate(sections["finetune"], init, 1)
    for name, folder in (("data.root", data["root"]), ("teacher.source", teacher.get("source"))):
        if not isinstance(folder, str):
            raise XkdError(f"params.yaml: {name} is {folder!r}; it has to be a folder.")
        # `xkd.sim` makes images for a teacher to look at, no feature maps of others.
        awaited = made(folder) and (name, teacher["name"]) != ("teacher.source", "features")
        if not awaited and not (xkd.ROOT / folder).is_dir():
            raise XkdError(f"params.yaml: {name} is {folder}, and there is no such folder.")
    if teacher["name"] == "features" and (xkd.ROOT / data["root"]).is_dir():
        check_first_map(data, teacher)
    return sections


def check_first_map(data, teacher):
    """Errors: a folder of feature maps in which the first training image has none, such as one that lies a level too high."""
    from xkd.prepare import open_split
    from xkd.teachers.features import Features

    teacher, frames = Features(teacher["source"]), open_split(data, data["train"])
    for camera in frames[0].cameras[:1] if len(frames) else ():
        teacher.find(camera.path)


def made(folder):
    """Whether it is one of those that `python -m xkd.sim data` makes."""
    return xkd.ROOT / folder in [xkd.ROOT / "data" / name for name in ("nuscenes", "semantickitti", "cityscapes")]


def cost(stage, sections):
    """Seconds of one stage (`finetune@0.01-scratch-0`) with these sections of params.yaml, on the reference machine."""
    kind, _, cell = stage.partition("@")
    seconds = OVERHEAD.get(kind, 0.0)
    frames = 20 if small(sections) else FRAMES
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
            labelled = (20 if small(sections) else LABELLED) * float(cell.split("-")[0])
            steps = finetune_steps(steps, labelled)
        if kind == "xmodel":
            steps += FUSED_STEP * finetune_steps(sections["fused"]["steps"], labelled)
        seconds += steps * (STEP + POINT_STEP * settings["batch"] * settings["crop"])
    return seconds


def finetune_steps(steps, frames):
    """As `xkd.finetune.steps`, which would take seconds to import."""
    return min(steps["base"] + steps["per_frame"] * frames, steps["most"])


def small(sections):
    """Whether these are not the default data."""
    return sections["sweep"]["seeds"] == [0] or sections["data"]["kind"] != "nuscenes"


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
        for _ in range(24):
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
