"""What the report says of the search for learning rates and of convergence, from the tuning record (`xkd.tune`)."""

from math import inf
from statistics import fmean, stdev

from scipy import stats

from xkd.palette import share

CONVERGED = 0.5
"""Points of mIoU that twice the training steps gain a converged baseline less than."""

FOUND = {
    "gain": "At {} the baseline is NOT converged: twice the steps gain half a point or more, so the differences there are at equal steps "
    "and say less about labels than they would at convergence.",
    "still": "At {} twice the steps gain less than half a point.",
    "untold": "At {} these label subsets cannot tell whether they gain half a point.",
}
"""What the check of convergence found (`converged`), as it is said of the fractions at which it did."""


def searched(search, fraction, steps):
    """The winners of the search at one fraction (as its key is written), and out of which rates."""
    rows = {
        init: {rate: by[fraction] for rate, by in rates.items() if fraction in by} for init, rates in search.items()
    }
    grids = {tuple(sorted(row, key=float)) for row in rows.values()}
    grid = (
        f"the same rates for every row ({', '.join(min(grids))})" if len(grids) == 1 else "DIFFERENT rates for the rows"
    )
    text = ", ".join(f"{init} {max(row, key=row.get)}" for init, row in rows.items())
    return f"Learning rates at {share(float(fraction))} of the labels ({steps} steps), of {grid}: {text}."


def tuning_text(summary):
    """The labels used in all, the search for learning rates, and whether the runs had converged: from the tuning
    record."""
    record = (summary.get("setting") or {}).get("tuning")
    if not record:
        return [
            "Tuning: docs/tuning.json is not of these data and this training, or is not there: rates were not searched here, and whether "
            "the runs are converged was not checked."
        ]
    sentences = []
    if (frames := record.get("tuning_frames")) is not None:
        where = record.get("tuning_streets", [])
        checked = " and convergence was checked" if record.get("convergence") else ""
        sentences.append(
            f"Labels used: the frames of the subset plus {frames} tuning frames (from {len(where)} training streets), on which "
            f"learning rates were chosen{checked}; validation streets were not looked at for that."
        )
    if search := record.get("search"):
        fractions = {f for rates in search.values() for scores in rates.values() for f in scores}
        sentences += [searched(search, f, record["steps"][f]) for f in sorted(fractions, key=float)]
    if convergence := record.get("convergence"):
        rows = sorted(convergence.items(), key=lambda item: float(item[0]))
        text = "; ".join(
            f"{share(float(f))}: {row['miou']:.2f} at {row['steps']} steps, {row['miou_double']:.2f} at "
            f"{2 * row['steps']} ({gain(row)})"
            for f, row in rows
        )
        sentences.append(
            "Convergence check of the baseline on the tuning streets, mIoU with the steps used and with twice as many (and the mean "
            f"difference with its 95 % interval over n label subsets): {text}."
        )
        for found, text in FOUND.items():
            if at := [share(float(f)) for f, row in rows if converged(row) == found]:
                sentences.append(text.format(", ".join(at)))
        if left := [share(f) for f in summary.get("fractions", ()) if f"{f:g}" not in convergence]:
            sentences.append(
                f"At {', '.join(left)} the check was not run: part of the differences may be a head start."
            )
    else:
        sentences.append(
            "Whether the baseline is converged was not checked: part of the differences may be a head start that longer "
            "training would take back."
        )
    if note := record.get("note"):
        sentences.append(note)
    return sentences


def changed(row):
    """A row of the check of convergence -> the mean change by twice the steps, in points, the ends of its 95 % t interval over the label
    subsets, and how many these are."""
    each = row.get("differences") or [row["miou_double"] - row["miou"]]
    half = stats.t.ppf(0.975, len(each) - 1) * stdev(each) / len(each) ** 0.5 if len(each) > 1 else inf
    return fmean(each), fmean(each) - half, fmean(each) + half, len(each)


def gain(row):
    """`changed` in words."""
    mean, low, high, count = changed(row)
    return f"{mean:+.2f}" + (f" [{low:+.2f}, {high:+.2f}], n {count}" if count > 1 else "")


def converged(row):
    """A row of the check of convergence -> a key of FOUND, one rule for every place that says it: by the whole interval."""
    _, low, high, _ = changed(row)
    return "gain" if low >= CONVERGED else "still" if high < CONVERGED else "untold"
