"""The study: every objective, and every baseline that sees LiDAR alone, under one protocol; one small file a cell, so that it can go on."""

import multiprocessing
import os
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

import xkd
from xkd import native
from xkd.companion import beside, idle
from xkd.errors import XkdError
from xkd.files import read_json
from xkd.kept import facts
from xkd.machine import cores, end_with
from xkd.objectives import OBJECTIVES
from xkd.params import check as check_params
from xkd.params import check_section, schema
from xkd.progress import progress
from xkd.single import one_number
from xkd.study_variants import CORPUS, VARIANTS, varied
from xkd.subsets import check_fraction

METRICS = "study/metrics"
PRETRAINED = ("lidar-ssl", *OBJECTIVES, "xmodel")
"""Inits that saw no label; the rest start from fresh weights."""
ROWS = {
    "pretraining": ("scratch", "scratch-long", *PRETRAINED),
    "unlabelled": ("self-training", *PRETRAINED),
    "images": ("fused", "teacher-probe"),
    "further": ("labels", "labels-long", "self-training", "xmodel"),
    "linear": ("scratch", *PRETRAINED),
    "nearest": ("scratch", *PRETRAINED),
    "teachers": tuple(row for block, row in VARIANTS if block == "teachers"),
    "ablation": tuple(row for block, row in VARIANTS if block == "ablation"),
    "pretraining-full": ("scratch", "scratch-long", "lidar-ssl", "cosine", "xmodel"),
    "unlabelled-full": ("self-training", "lidar-ssl", "xmodel", "self-training-long", "xmodel-long", "lidar-ssl-long"),
}
"""Blocks of the study and their rows. pretraining: then labelled frames alone; unlabelled: with the unlabelled frames during
fine-tuning, which the student's own average labels, and in `xmodel` the fused network; images: what sees cameras at inference too;
further: a network trained from scratch on the labels is trained once more, on these alone (labels-long: for as long as xmodel takes with
its fused network), or as in (unlabelled, self-training) or (unlabelled, xmodel);
linear, nearest: a linear probe and k-NN on the frozen features of an init; teachers: `cosine` with controls in the teacher's place;
ablation: (unlabelled, xmodel) with one thing changed; pretraining-full, unlabelled-full: rows of those blocks with as many steps as
study.full says, at the rate that it says (-long: twice as many)."""
FULL = ("pretraining-full", "unlabelled-full")
"""Blocks that are run as study.full says: the seeds of its `more` at its last fraction alone."""
LINES = [(block, row) for block, rows in ROWS.items() for row in rows]
"""All rows (block, row), in the order in which they are run."""
EXTRA = {(block, row) for block in FULL for row in ROWS[block]}
EXTRA |= {("ablation", row) for row in ("start-cosine", "no-pixel")}
"""Rows (block, row) that `make study` runs with FULL=1 alone: half of the work."""
MEASURED = ("pretraining", "unlabelled", *FULL)
"""The blocks that the targets are for."""
SIDE = ("further", "linear", "nearest", "teachers", "ablation")
"""Blocks that are run at the fractions and for the seeds of study.side."""
START = {"scratch-long": "scratch", "self-training": "scratch", "fused": "xmodel"}
START |= {"self-training-long": "scratch", "xmodel-long": "xmodel", "lidar-ssl-long": "lidar-ssl"}
"""The init of the rows that are not named after theirs."""
RATED = {init: ("pretraining", init) for init in ("scratch", *PRETRAINED)} | {"fused": ("images", "fused")}
RATED |= {"self-training": ("unlabelled", "self-training")} | {row: ("teachers", row) for row in ROWS["teachers"]}
"""The learning rates of study.lr -> the row (block, row) that each is searched with (`xkd.study_tune`)."""
LIDAR_ONLY = {
    block: [("pretraining", row) for row in ("scratch", "scratch-long", "lidar-ssl")]
    + [("unlabelled", row) for row in ("self-training", "lidar-ssl")] * (block == "unlabelled")
    for block in ROWS
}
LIDAR_ONLY |= {block: [(block, "scratch"), (block, "lidar-ssl")] for block in ("linear", "nearest")}
LIDAR_ONLY |= {
    f"{block}-full": [(f"{of}-full", row) for of, row in LIDAR_ONLY[block]] for block in ("pretraining", "unlabelled")
}
AS_LONG = [("unlabelled-full", row) for row in ("self-training-long", "lidar-ssl-long")]
LIDAR_ONLY["unlabelled-full"] += AS_LONG
LIDAR_ONLY["ablation"] = [("unlabelled", "xmodel")]
LIDAR_ONLY["teachers"] = [("pretraining", row) for row in ("scratch", "lidar-ssl")]
LIDAR_ONLY["further"] = [("further", row) for row in ("labels", "labels-long", "self-training")]
LIDAR_ONLY["further"] += [("pretraining", row) for row in ("scratch", "scratch-long")]
"""The rows (block, row) that never saw an image: a block's rows are compared with the strongest of these, by mean, at each fraction; an
ablation, with the whole method; controls in the teacher's place, with as many steps without any; more training of a trained network, with
that network, with more training without images, and with as much in one go. AS_LONG: what rows of its block are compared with that have
as many steps (`-long`) alone."""


@dataclass(frozen=True)
class Cell:
    """One training of the study; its numbers lie in `folder`/<block>/<row>-<fraction>-<seed>.json. `init`: the seed of its init, None for
    its own (`xkd.study_tune` has others)."""

    block: str
    row: str
    fraction: float
    seed: int
    folder: Path
    init: int | None = None

    @property
    def init_seed(self):
        return self.seed if self.init is None else self.init

    @property
    def full(self):
        """Whether it is trained by study.full."""
        return self.block in FULL

    @property
    def extra(self):
        """Whether it is run with FULL=1 alone."""
        return (self.block, self.row) in EXTRA

    @property
    def like(self):
        """The block that its row is trained as in: its own, but for that of a cell with the `full` steps."""
        return self.block.removesuffix("-full")

    @property
    def file(self):
        return self.folder / self.block / f"{self.row}-{self.fraction:g}-{self.seed}.json"


def check(params):
    """All sections of params.yaml with the study's own checked. Errors: unknown or missing keys, numbers out of their limits, several
    where there has to be one, cells that are there twice."""
    for name, section in params.items():
        rules = schema().get(name, {"*": "any"})
        check_section(name, section, rules)
        one_number(name, section, rules)
        check_params(name, section)
    study = params["study"]
    if params["finetune"]["head"] != 1:
        raise XkdError(
            f"params.yaml: finetune.head is {params['finetune']['head']:g}; the study's self-training knows 1 alone."
        )
    check_section("study.lr", study["lr"], dict.fromkeys(RATED, "any"))
    for name, given in study["lr"].items():
        if isinstance(given, list) and len(given) not in (2, 3):
            said = "for few labels and for many, or three, the first up to the share study.least"
            raise XkdError(f"params.yaml: study.lr.{name} is {given}; it has to be one rate, or two, {said}.")
    few = params["finetune"]["few"]
    if not 0 < study["least"] < few:
        said = f"it has to be above 0 and below finetune.few, which is {few}"
        raise XkdError(f"params.yaml: study.least is {study['least']}; {said}.")
    if isinstance(given := study["full"]["lr"], list) and len(given) != 2:
        raise XkdError(
            f"params.yaml: study.full.lr is {given}; it has to be one rate, or two: for few labels and for many."
        )
    seeds, fractions = {}, {}
    for name, part in (("study", study), ("study.side", study["side"]), ("study.full", study["full"])):
        seeds[f"{name}.seeds"], fractions[f"{name}.fractions"] = part["seeds"], part["fractions"]
    seeds["study.full.seeds and study.full.more"] = seeds.pop("study.full.seeds") + study["full"]["more"]
    for name, given in (seeds | fractions).items():
        if several := [one for one in given if isinstance(one, dict | list)]:
            raise XkdError(f"params.yaml: {name} holds {several[0]!r}; it has to hold numbers.")
        if twice := [one for one in given if given.count(one) > 1]:
            raise XkdError(f"params.yaml: {min(twice)} is twice in {name}.")
    for fraction in (one for given in fractions.values() for one in given):
        check_fraction(fraction)
    return params


def cells(params, block, row, folder=METRICS):
    """The cells of one row, seed by seed; none where the row needs a teacher's corpus and there is none. Errors: no such row."""
    if row not in ROWS.get(block, ()):
        rows = "; ".join(f"{name}: {', '.join(own)}" for name, own in ROWS.items())
        raise XkdError(f"The study has no row {row!r} in {block!r}; there are {rows}.")
    variant = VARIANTS.get((block, row))
    if variant and variant.source in CORPUS and params["teacher"]["name"] != "mini":
        return []
    study = params["study"]
    study = study["side"] if block in SIDE else study["full"] if block in FULL else study
    more = study.get("more", ())
    return [
        Cell(block, row, fraction, seed, xkd.ROOT / folder)
        for seed in (*study["seeds"], *more)
        for fraction in (study["fractions"][-1:] if seed in more else study["fractions"])
    ]


def done(params, cell, out="out"):
    """Whether a cell's numbers are there and are of these parameters, this code and these data, on whatever processor (`precision`)."""
    return precision(params, cell, out) is not None


def precision(params, cell, out="out"):
    """What the convolutions of a finished cell were computed in, "bfloat16" or "float32", which a processor has or has not; None: its
    numbers are not there, or of other parameters, code or data."""
    from xkd.study_cell import made_of

    said = facts(cell.file).get("made_of") if cell.file.is_file() else None
    halves = (True, False) if native.has_half() else (False, True)
    found = (half for half in halves if said and said == made_of(varied(params, cell), cell, out, half))
    return {True: "bfloat16", False: "float32", None: None}[next(found, None)]


def in_notebook():
    return "ipykernel" in sys.modules


def silent(yes):
    """In a process that a notebook started: it would keep in its output the progress said there, whose rates are others at every run, and
    which out/log has."""
    if yes:
        sys.stderr = open(os.devnull, "w")  # as long as the process lasts


def _member(parent, quiet):
    silent(quiet)
    end_with(parent)
    os.environ.pop("DVC_STAGE", None)  # the pool keeps every core busy: no training of a later stage beside it
    torch.set_num_threads(1)


def run(params, block, row, out="out", folder=METRICS):
    """Trains the cells of one row that are not there yet, as many at a time as there are cores; -> all its metrics, in `cells`' order.
    A core that this leaves idle at its end makes the inits of later rows meanwhile (`xkd.study_ahead`).

    Errors: the first of those that cells ended with, after all others have been trained."""
    from xkd.study_inputs import make

    wanted = cells(check(params), block, row, folder)
    left = [cell for cell in wanted if not done(params, cell, out)]
    if left:
        workers = 1 if torch.cuda.is_available() else max(1, cores() // params["finetune"]["processes"])
        spawn = multiprocessing.get_context("spawn")
        later = ("xkd.study_ahead:inits", params, block, row, out, folder) if idle(params["finetune"]) else None
        params = varied(params, left[0])
        make(params, left[0], out)
        try:
            with ProcessPoolExecutor(workers, spawn, _member, (os.getpid(), in_notebook())) as pool:
                ended = _ended(pool, params, left, out, lambda busy: beside(later if busy < workers else None))
                ended = progress(ended, f"study-{block}-{row}", len(left))
                errors = [error for error in ended if error]
        except BrokenProcessPool:
            raise XkdError(
                f"study {block} {row}: a process was killed, most often for want of memory; run it again, it goes on."
            ) from None
        if errors:
            print(f"xkd: study {block} {row}: {len(errors)} of {len(left)} cells failed.", file=sys.stderr)
            raise errors[0]
    return [read_json(cell.file) for cell in wanted]


def _ended(pool, params, left, out, meanwhile=nullcontext):
    """Yields for each cell its error, or None, when it has ended; those of a seed begin when its init is there. None of them begins any
    more once nobody asks (Ctrl-C). meanwhile(n): a context for the time in which n are trained or wait for it."""
    from xkd.study_cell import initial, train

    seeds = {}
    for cell in left:
        seeds.setdefault(cell.seed, []).append(cell)
    waiting = {pool.submit(initial, params, own[0], out): own for own in seeds.values()}
    try:
        while waiting:
            with meanwhile(len(waiting)):
                ended = wait(waiting, return_when=FIRST_COMPLETED).done
            for future in ended:
                following, error = waiting.pop(future), future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise error
                if error:
                    yield from [error] * max(1, len(following))
                elif following:
                    waiting |= {pool.submit(train, params, cell, out): [] for cell in following}
                else:
                    yield None
    finally:
        for future in waiting:
            future.cancel()
