"""The numbers of the report: what the cells of the sweep say, rounded once, with how sure one may be of it."""

import math

import numpy as np

from xkd import metrics, statistics
from xkd.palette import BASELINE

DIGITS = 2
ROUNDING = f"mIoU and IoU in percent, differences in percentage points, all to {DIGITS} decimals; factors to 2 digits"


def summarise(cells, draws=1000, seed=0):
    """Cells -> the dictionary of report.json, rounded (ROUNDING); a number that does not exist is None.

    `draws` draws of the validation streets, from `seed`. With a single street its variance is unknown: the intervals
    are then over seeds alone and `street_variance` is False.
    """
    tested = len(cells.streets) > 1
    drawn = {fraction: _drawn(cells, fraction, seed, draws) if tested else {} for fraction in cells.fractions}
    others = [init for init in cells.inits if init != BASELINE]
    compared = {init: _compare(cells, init, drawn) for init in others if BASELINE in cells.inits}
    compared = {init: result for init, result in compared.items() if result["gain"]}
    scores = [_score(cells, f, init, drawn[f]) for f in cells.fractions for init in cells.inits if cells.seeds(f, init)]
    return {
        "rounding": ROUNDING,
        "made_up": cells.made_up,
        "baseline": BASELINE,
        "inits": cells.inits,
        "fractions": cells.fractions,
        "streets": len(cells.streets),
        "street_variance": tested,
        "draws": draws,
        "scores": rounded(scores),
        "differences": {i: _records(statistics.paired(c["gain"], c["variance"])) for i, c in compared.items()},
        "labels_saved": {init: _saved(scores, init) for init in compared},
        "classes": [_class(cells, k, compared) for k in range(len(cells.classes))],
        "coverage": _coverage(cells),
        "cells": rounded(cells.table.to_dict("records")),
    }


def main(summary):
    """The init that figures with room for one show: the last by name that was compared with the baseline, `xmodel` where it is there."""
    return list(summary["differences"])[-1]


def alone(summary):
    """Whether each row of the main table is a single run."""
    return all(score["n"] == 1 for score in summary["scores"])


def sure(rows):
    """Whether one of some paired differences has an interval, which takes two seeds at one fraction at least."""
    return any(row["low"] is not None for row in rows)


def compared(summary):
    """All rows of the paired differences in mIoU."""
    return [row for rows in summary["differences"].values() for row in rows]


def summed(cells, fraction, init):
    """(C, C) counts of all seeds and streets."""
    return cells.stack(fraction, init, cells.seeds(fraction, init)).sum((0, 1))


def _drawn(cells, fraction, seed, draws):
    """{(init, seed): (draws, C) IoU in points had the streets been drawn again}.

    The same draws at every fraction and for every init, so that what is paired stays so.
    """
    keys = [(init, s) for init in cells.inits for s in cells.seeds(fraction, init)]
    stacked = np.stack([cells.confusions[fraction, init, s] for init, s in keys])
    scores = statistics.street_scores(stacked, np.random.default_rng(seed), draws)
    return {key: scores[:, i] for i, key in enumerate(keys)}


def _compare(cells, init, drawn):
    """An init against the baseline, by fraction: `gain` (n,) mIoU, `variance` over streets, and both for each class."""
    result = {"gain": {}, "variance": {}, "class_gain": {}, "class_variance": {}}
    for fraction in cells.fractions:
        seeds = cells.seeds(fraction, init, BASELINE)
        if not seeds:
            continue
        ours, base = (_iou(cells, fraction, which, seeds) for which in (init, BASELINE))
        result["gain"][fraction] = statistics.nanmean(ours) - statistics.nanmean(base)
        result["class_gain"][fraction] = ours - base
        if drawn[fraction]:
            a, b = (np.stack([drawn[fraction][which, s] for s in seeds], 1) for which in (init, BASELINE))
            gain = (statistics.nanmean(a) - statistics.nanmean(b)).mean(1)
            result["variance"][fraction] = float(statistics.over_streets(gain, len(cells.streets)))
            by_class = statistics.nanmean(a - b, axis=1)
            result["class_variance"][fraction] = statistics.over_streets(by_class, len(cells.streets))
        else:
            result["variance"][fraction], result["class_variance"][fraction] = 0.0, np.zeros(len(cells.classes))
    return result


def _iou(cells, fraction, init, seeds):
    """(n, C) IoU in points of the runs of some seeds, over all streets."""
    return 100 * metrics.iou(cells.stack(fraction, init, seeds).sum(1))


def _score(cells, fraction, init, drawn):
    """One row of the main table. `street_error`: one standard error of one run's mIoU over the validation streets."""
    rows = cells.table[(cells.table.fraction == fraction) & (cells.table.init == init)]
    error = None
    if drawn:
        runs = [statistics.over_streets(statistics.nanmean(drawn[init, s]), len(cells.streets)) for s in rows.seed]
        error = float(np.sqrt(runs).mean())
    return {
        "fraction": fraction,
        "init": init,
        "objective": rows.objective.iloc[0],
        "frames": sorted(set(rows.frames.tolist())),
        "mean": rows.miou.mean(),
        "sd": rows.miou.std(ddof=1),
        "n": len(rows),
        "street_error": error,
        "steps": sorted(set(rows.steps.tolist())),
        "lr": sorted(set(rows.lr.tolist())),
    }


def _saved(scores, init):
    """For each fraction: where the baseline's mean curve reaches this init's mean, and how many times the labels
    that is.

    None where it does not within the fractions that were run. Read off two mean curves: no interval is claimed.
    """
    base = [row for row in scores if row["init"] == BASELINE]
    rows = []
    for row in (row for row in scores if row["init"] == init):
        match = statistics.matching_fraction([b["fraction"] for b in base], [b["mean"] for b in base], row["mean"])
        digits = [float(f"{value:.2g}") if math.isfinite(match) else None for value in (match, match / row["fraction"])]
        rows.append({"fraction": row["fraction"], "matched_by": digits[0], "factor": digits[1]})
    return rows


def _class(cells, k, compared):
    """One class: its mean IoU by init and fraction, and the paired difference with its interval."""
    iou = {
        init: [
            {"fraction": f, "mean": float(statistics.nanmean(_iou(cells, f, init, cells.seeds(f, init))[:, k]))}
            for f in cells.fractions
            if cells.seeds(f, init)
        ]
        for init in cells.inits
    }
    difference = {}
    for init, result in compared.items():
        # A seed in which one of the two runs has no score for the class (no point true or predicted) is left out.
        gain = {f: values[:, k][np.isfinite(values[:, k])] for f, values in result["class_gain"].items()}
        variance = {f: float(result["class_variance"][f][k]) for f in gain}
        gain = {f: values for f, values in gain.items() if values.size and math.isfinite(variance[f])}
        difference[init] = _records(statistics.paired(gain, variance)) if gain else []
    return {"name": cells.classes[k], "iou": rounded(iou), "difference": difference}


def _coverage(cells):
    """One row a label subset: its frames, its labelled points by class, and the classes it has none of."""
    rows = []
    for (fraction, seed), seen in sorted(cells.seen.items()):
        points = {name: int(seen.get(name, 0)) for name in cells.classes}
        table = cells.table
        frames = int(table[(table.fraction == fraction) & (table.seed == seed)].frames.iloc[0])
        missing = [name for name, count in points.items() if not count]
        rows.append({"fraction": fraction, "seed": seed, "frames": frames, "points": points, "missing": missing})
    return rows


def _records(frame):
    return rounded(frame.reset_index().to_dict("records"))


def rounded(value):
    """Plain JSON values: floats at DIGITS decimals (settings, such as a learning rate, keep theirs), NaN -> None."""
    if isinstance(value, dict):
        return {key: part if key in ("lr", "fraction") else rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value
