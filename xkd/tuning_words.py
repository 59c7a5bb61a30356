"""What the report says of the search for learning rates and of convergence, from the tuning record (`xkd.tune`)."""

from statistics import stdev

from xkd.palette import share

CONVERGED = 0.5
"""Points of mIoU that twice the training steps gain a converged baseline less than, and above which the standard error of that over
the seeds tells nothing."""

FOUND = {
    "gain": f"The baseline is NOT converged at {{}}: twice the steps gain {CONVERGED} points or more, so the differences there are at "
    "equal steps and say less about labels than they would at convergence.",
    "still": f"At {{}} the baseline is converged: twice the steps gain less than {CONVERGED} points.",
    "loss": f"At {{}} more steps do not help: twice as many lose {CONVERGED} points or more.",
    "untold": "At {} the seeds cannot tell whether the baseline is converged: the standard error of what twice the steps change is "
    f"larger than {CONVERGED} points.",
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
            f"difference ± its standard error over n label subsets): {text}."
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


def change(row):
    """What twice the steps change, in points, and the standard error of that, 0 of one seed; to the two decimals that are said."""
    each = row.get("differences", [])
    error = stdev(each) / len(each) ** 0.5 if len(each) > 1 else 0.0
    return round(row["miou_double"] - row["miou"], 2), round(error, 2)


def gain(row):
    """`change` in words, and of how many label subsets."""
    (found, error), count = change(row), len(row.get("differences", []))
    return f"{found:+.2f}" + (f" ± {error:.2f}, n {count}" if count > 1 else "")


def converged(row):
    """A row of the check of convergence -> a key of FOUND, one rule for every place that says it."""
    found, error = change(row)
    if error > CONVERGED:
        return "untold"
    return "gain" if found >= CONVERGED else "loss" if found <= -CONVERGED else "still"
