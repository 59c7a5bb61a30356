"""`python -m xkd.study_plan`: how many cells of the study are not there, and how long they will take on this machine; `--stages`: the DVC
stages that run them. The rows of `xkd.study.EXTRA`, half of the work, count with `--full` alone."""

import argparse
import sys

import xkd
from xkd import estimate, finetune
from xkd.errors import XkdError
from xkd.objectives import OBJECTIVES
from xkd.params import profile
from xkd.prepared import Prepared
from xkd.study import EXTRA, LINES, METRICS, cells, check
from xkd.study_cell import LONGER
from xkd.study_start import init_of, kind_of, settings_of, start_of
from xkd.study_variants import variant_of

STEP = {"labels": 1.1, "self": 1.9, "taught": 1.6, "fused": 2.0, "pretraining": 3.3, "objective": 1.4}
"""What a step costs, in steps of the sweep (`xkd.estimate`): of fine-tuning by kind, of the network that sees images, of an init that looks
at a scan or its views more than once, of one that is pretrained by an objective of pairs; as rows took on the reference machine, two
trainings at a time, with evaluation and what is predicted for unlabelled frames."""
PROBE = 20.0
"""Seconds of a cell that trains nothing."""
FRAMES = 400
"""Labelled frames of the default data, as long as no data are prepared."""
LEARNT_WITH = ("distill", "study")
"""The sections that an init hangs on, of those that a variant changes."""


def planned(params, folder=METRICS):
    """All cells, row by row."""
    return [cell for row in LINES for cell in cells(params, *row, folder)]


def missing(params, folder=METRICS):
    """The cells whose files are not there."""
    return [cell for cell in planned(params, folder) if not cell.file.is_file()]


def stages(full):
    """The stages of study/dvc.yaml that run rows, without or with those of `EXTRA`."""
    return [f"study/dvc.yaml:cells@row{n}" for n, row in enumerate(LINES) if full or row not in EXTRA]


def labelled(params, out="out"):
    """How many frames labels are drawn from."""
    folder, data = xkd.ROOT / out / "prepared", params["data"]
    if not (folder / data["train"]).is_dir():
        return FRAMES
    return len(finetune.labelled(Prepared(folder, data["train"]), data["tuning"]))


def seconds(params, left):
    """Seconds that cells take on the reference machine, with the inits and the networks with images that they need, each once."""
    crops = params["finetune"]["batch"] * params["finetune"]["crop"]
    step = estimate.STEP + estimate.POINT_STEP * crops
    total, made, every = 0.0, set(), labelled(params)
    for cell in left:
        kind, start, frames = kind_of(cell), start_of(cell), max(1, round(every * cell.fraction))
        if kind in ("probe", "frozen"):
            total += PROBE
        elif kind != "fused":
            total += step * STEP[kind] * finetune.steps(frames, settings_of(params, cell)) * LONGER.get(cell.row, 1)
        own, network = _own(init_of(cell), *LEARNT_WITH), _own(cell, *LEARNT_WITH, "fused")
        if kind in ("fused", "taught") and (fused := (network, start, frames, cell.seed)) not in made:
            made.add(fused)
            total += step * STEP["fused"] * finetune.steps(frames, params["fused"])
        if kind != "probe" and start not in ("scratch", "trained") and (init := (own, start, cell.seed)) not in made:
            made.add(init)
            total += step * STEP["objective" if start in OBJECTIVES else "pretraining"] * params["distill"]["steps"]
    return total


def _own(cell, *sections):
    """The row of a cell whose init (or network with images) no other row has: it learns from something else, or differs in `sections`."""
    variant = variant_of(cell)
    return cell.row if variant and (variant.source or variant.views or {*sections} & {*variant.changes}) else ""


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m xkd.study_plan", description="What of the study is left to run.")
    parser.add_argument("--full", action="store_true", help="with the rows that `make study` runs with FULL=1 alone")
    parser.add_argument("--stages", action="store_true", help="print the DVC stages of the rows, and nothing else")
    options = parser.parse_args(arguments)
    if options.stages:
        print(*stages(options.full))
        return 0
    try:
        params = check(profile())
        every = [cell for cell in planned(params) if options.full or not cell.extra]
        left = [cell for cell in missing(params) if options.full or not cell.extra]
        more = "" if options.full else ", besides those of FULL=1 (--full)"
        said = f"xkd: the study has {len(every) - len(left)} of {len(every)} cells in {METRICS}{more}"
        if left:
            slower = estimate.calibrate() / estimate.REFERENCE
            own, whole = (estimate.words(seconds(params, part) * slower) for part in (left, every))
            said += f"; the others take {own} on this machine, on two of its cores, all of them {whole}"
            said += f" ({seconds(params, every) / 3600:.0f} on the machine that the costs are of)"
        print(f"{said}. What is there of other parameters, code or data is run again.", flush=True)
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
