"""What a step of each way to train in the study costs, and what a scan costs at inference: time and memory, on the same frames."""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd
import torch

import xkd
from xkd import distill, finetune, fused, lidar_ssl, mixed, self_training, unlabelled, xmodel
from xkd import student as students
from xkd.errors import XkdError
from xkd.mixed import Source
from xkd.objectives import OBJECTIVES
from xkd.parallel import device
from xkd.params import overlay
from xkd.study import Cell, in_notebook, silent
from xkd.study_start import frames_of, place_of, settings_of

WAYS = [
    ("pretraining", name) for name in ("cosine", "ppkt", "superpixel", "tolerant", "relational", "xmodel", "lidar-ssl")
]
WAYS += [("fine-tuning", name) for name in ("labels", "self-training", "fused", "xmodel")]
WAYS += [("inference", name) for name in ("student", "fused")]
"""(phase, what is trained or asked), the first of a phase being the one that the others are compared with. labels: all rows of the block
pretraining; self-training: those of unlabelled but `xmodel`, whose student learns from what `fused` says of the unlabelled frames."""
UNSAVED = {"save_every": 1e9}
"""No state of a training is kept on the way. Each process has a seed of its own, so that none goes on from what another left."""
LENGTHS = (10, 60)
"""Steps of two trainings, whose difference is taken, so that what a training begins and ends with does not count; scans likewise."""
FEW = 20
"""Unlabelled frames that are looked at here; how many there are does not change a step."""


def table(params, out="out", ways=WAYS, lengths=LENGTHS):
    """One line a way of `ways`, each measured in a process of its own, one after the other: ms a step (of distill.batch or finetune.batch
    crops; at inference a scan), ratio to the first of its phase, MB, steps of the whole training (at all labels), minutes of these."""
    found = pd.DataFrame([measured(params, out, *way, lengths) for way in ways], columns=["ms", "MB"])
    found = pd.DataFrame(ways, columns=["phase", "way"]).join(found)
    found["ratio"] = found.ms / found.groupby("phase").ms.transform("first")
    found["steps"] = [steps(params, out, *way) for way in ways]
    return found.assign(minutes=found.ms * found.steps / 60_000)[
        ["phase", "way", "ms", "ratio", "MB", "steps", "minutes"]
    ]


def measured(params, out, phase, name, lengths=LENGTHS):
    """(ms a step, MB) of one way, in a new process. MB: on a GPU the most that tensors held there; else how far the process' highest
    memory is above what its libraries take, pages of mapped data included, which more steps see more of. Errors: a process that was
    killed."""
    with tempfile.TemporaryDirectory() as folder:
        if (phase, name) == ("fine-tuning", "xmodel"):
            _alone(_say, params, out, Path(folder))  # a process of its own: its memory is no training's
        return _alone(_measured, params, out, phase, name, lengths, Path(folder))


def _alone(function, *arguments):
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), silent, (in_notebook(),)) as pool:
            return pool.submit(function, *arguments).result()
    except BrokenProcessPool:
        said = " ".join(part for part in arguments if isinstance(part, str))
        raise XkdError(f"cost of {said}: its process was killed, most often for want of memory.") from None


def steps(params, out, phase, name):
    """Steps of the whole training of one way, at all labels; none at inference."""
    if phase == "inference":
        return None
    if phase == "pretraining":
        return params["distill"]["steps"]
    return finetune.steps(len(_frames(params, out)), params["fused"] if name == "fused" else settings_of(params))


def _measured(params, out, phase, name, lengths, folder):
    torch.set_num_threads(1)
    before, seconds = _held(), []
    run = {"pretraining": _pretraining, "fine-tuning": _finetuning, "inference": _inference}[phase]
    run = run(params, out, name, folder)
    run(1)  # what is compiled and opened at the first step
    if device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for count in lengths:
        start = time.perf_counter()
        run(count)
        seconds.append(time.perf_counter() - start)
    mb = torch.cuda.max_memory_allocated() / 2**20 if device().type == "cuda" else _held() - before
    return 1000 * (seconds[1] - seconds[0]) / (lengths[1] - lengths[0]), mb


def _held():
    """The most that this process has held, MB. Not `resource`'s word on Linux: there that of the process it was started by counts."""
    about = Path("/proc/self/status")
    if about.exists():
        return next(int(line.split()[1]) for line in about.read_text().splitlines() if line.startswith("VmHWM")) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _pretraining(params, out, name, folder):
    """run(steps) of an init's training, as `xkd.study_start.initial` has it."""
    place, root = place_of(params, out), xkd.ROOT / out

    def run(count):
        settings = params["distill"] | UNSAVED | {"steps": count} | ({"objective": name} if name in OBJECTIVES else {})
        given = (params["data"], params["student"], settings, os.getpid(), place.prepared, root / "teacher")
        label = f"cost-{name}"
        if name == "xmodel":
            *_, resume = xmodel.pretrain(*given, params, place.views, label)
        else:
            *_, resume = (lidar_ssl if name == "lidar-ssl" else distill).pretrain(*given, label)
        resume.unlink(missing_ok=True)

    return run


def _finetuning(params, out, name, folder):
    """run(steps) of a training on labels, as `xkd.study_cell.train` has it, with pseudo-labels of a few frames where it needs them."""
    place, frames = place_of(params, out), _frames(params, out)
    train = place.split(params["data"]["train"])
    init, said = folder / "init", folder / "said"
    finetune.scratch(params["student"], train.classes, 0, init)

    def run(count):
        length = {"steps": {"base": count, "per_frame": 0, "most": count}}
        sections = overlay(params, {"mixing": {"frames": FEW}, "fused": length})
        given = (params["student"], params["finetune"] | UNSAVED | length)
        if name == "labels":
            *_, resume = finetune.train(train, frames, init, *given, 0.001, os.getpid(), "cost-labels")
        else:
            beside = [said] * (name == "xmodel")
            trained = {
                "self-training": self_training.train,
                "fused": unlabelled.train_fused,
                "xmodel": unlabelled.train_student,
            }
            *_, resume = trained[name](
                place, frames, *beside, init, *given, sections, 0.001, os.getpid(), f"cost-{name}"
            )
        resume.unlink(missing_ok=True)

    return run


def _say(params, out, folder):
    """The pseudo-labels of `FEW` frames, of a fused network with fresh weights, in `folder`/said."""
    place = place_of(params, out)
    unlabelled.predict(_fused(params, place), place, _frames(params, out), FEW, folder / "said", "cost-predict")


def _frames(params, out):
    return frames_of(params, Cell("pretraining", "scratch", 1, 0, Path()), out)


def _inference(params, out, name, folder):
    """run(scans) of a network with fresh weights: the student, which is the same whatever it learnt from, or the fused network."""
    place = place_of(params, out)
    split = place.split(params["data"]["train"])
    source = Source(split, place.gathered(params["data"]["train"]) if name == "fused" else None)
    student = students.build(params["student"] | {"classes": split.classes}, 0).to(device()).eval()
    network = _fused(params, place) if name == "fused" else student

    def run(count):
        for i in range(count):
            mixed.whole(network, source, i % len(split))

    return run


def _fused(params, place):
    train, sizes = params["data"]["train"], params["fused"]
    given = {key: sizes[key] for key in ("width", "heads", "early", "late")}
    config = params["student"] | {"classes": place.split(train).classes}
    return fused.build(config, place.gathered(train).channels, 0, **given).to(device()).eval()
