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

REFERENCE = 0.062
OVERHEAD = {"prepare": 8.0, "teacher": 12.0, "views": 6.0, "scratch": 4.0, "distill": 50.0, "finetune": 10.0}
OVERHEAD |= {"xmodel": 35.0, "report": 25.0}
"""Seconds of a stage besides its training and its frames: the kernel's start, evaluation, DVC's hashing."""
DATA, SMALL_DATA = 200.0, 20.0
"""Seconds that making the data takes."""
STEP, POINT_STEP = 0.011, 0.46e-6
"""Seconds of a training step, and what each point in its batch adds to them, two trainings at a time (`xkd.companion`)."""
FUSED_STEP = 1.8
"""What a step of the network that sees images costs, in steps of the student."""
TEACHER_STEP, FRAMES, LABELLED = 0.105, 974, 400
"""Seconds of a step of the mini teacher; frames of the default data that have images, prepared at 32 a second and looked at by the
teacher at 17."""


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
    from xkd.datasets import kinds
    from xkd.objectives import objective
    from xkd.student import levels

    sections = {name: params.check(name, section) for name, section in params.profile().items()}
    data, teacher = sections["data"], sections["teacher"]
    if data["kind"] not in kinds():
        raise XkdError(f"params.yaml: data.kind {data['kind']!r} is unknown; there are {', '.join(kinds())}.")
    objective(sections["distill"]["objective"])
    levels(sections["student"])
    for name, folder in (("data.root", data["root"]), ("teacher.source", teacher.get("source"))):
        if not isinstance(folder, str):
            raise XkdError(f"params.yaml: {name} is {folder!r}; it has to be a folder.")
        if not made(folder) and not (xkd.ROOT / folder).is_dir():
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
        seconds += frames / 32
    if kind == "teacher":
        seconds += frames / 17
        if sections["teacher"]["name"] == "mini":
            seconds += TEACHER_STEP * sections["teacher"]["mini"].get("steps", 480)
    if kind == "views":
        seconds += frames / 6
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
    """Seconds for a fixed piece of work like that of training: gather, multiply, scatter, on one thread and in the same memory: what new
    memory costs differs between systems by far more than training does."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(20000, 32, generator=generator)
    weight = torch.randn(32, 32, generator=generator)
    index = torch.randint(20000, (20000,), generator=generator)
    gathered, product, total = (torch.empty_like(features) for _ in range(3))
    try:
        best = float("inf")
        for _ in range(320):  # the best of some: other work on the machine comes and goes
            start = time.perf_counter()
            torch.index_select(features, 0, index, out=gathered)
            torch.mm(gathered, weight, out=product)
            total.zero_().index_add_(0, index, product)
            best = min(best, time.perf_counter() - start)
        return 40 * best
    finally:
        torch.set_num_threads(threads)


def words(seconds):
    """A duration for people."""
    minutes = seconds / 60
    if minutes >= 120:
        return f"about {minutes / 60:.0f} hours"
    return "about a minute" if minutes < 1.5 else f"about {minutes:.0f} minutes"


if __name__ == "__main__":
    sys.exit(main())
