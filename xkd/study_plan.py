"""`python -m xkd.study_plan`: how many cells of the study are not there, and how long they will take on this machine."""

import argparse
import sys

from xkd import estimate, finetune
from xkd.errors import XkdError
from xkd.objectives import OBJECTIVES
from xkd.params import profile
from xkd.study import METRICS, ROWS, cells, check
from xkd.study_cell import LONGER
from xkd.study_start import kind_of, settings_of, start_of
from xkd.study_variants import variant_of

STEP = {"labels": 1.1, "self": 1.9, "taught": 1.6, "fused": 2.0, "pretraining": 3.3, "objective": 1.4}
"""What a step costs, in steps of the sweep (`xkd.estimate`): of fine-tuning by kind, of the network that sees images, of an init that looks
at a scan or its views more than once, of one that is pretrained by an objective of pairs; as rows took on the reference machine, two
trainings at a time, with evaluation and what is predicted for unlabelled frames."""
PROBE = 20.0
"""Seconds of a cell that trains nothing."""
FRAMES = 400
"""Labelled frames of the default data."""
LEARNT_WITH = ("distill", "study")
"""The sections that an init hangs on, of those that a variant changes."""


def missing(params, folder=METRICS):
    """The cells whose files are not there."""
    return [
        c for block, rows in ROWS.items() for r in rows for c in cells(params, block, r, folder) if not c.file.is_file()
    ]


def seconds(params, left):
    """Seconds that cells take on the reference machine, with the inits and the networks with images that they need, each once."""
    crops = params["finetune"]["batch"] * params["finetune"]["crop"]
    step = estimate.STEP + estimate.POINT_STEP * crops
    total, made = 0.0, set()
    for cell in left:
        kind, start, frames = kind_of(cell), start_of(cell), max(1, round(FRAMES * cell.fraction))
        if kind in ("probe", "frozen"):
            total += PROBE
        elif kind != "fused":
            total += step * STEP[kind] * finetune.steps(frames, settings_of(params, cell)) * LONGER.get(cell.row, 1)
        own = _own(cell, *LEARNT_WITH)
        if (
            kind in ("fused", "taught")
            and (fused := (own or _own(cell, "fused"), start, frames, cell.seed)) not in made
        ):
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
    parser.parse_args(arguments)
    try:
        params = check(profile())
        left = missing(params)
        every = [cell for block, rows in ROWS.items() for row in rows for cell in cells(params, block, row)]
        said = f"xkd: the study has {len(every) - len(left)} of {len(every)} cells in {METRICS}"
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
