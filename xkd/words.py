"""What the report says: its tables as rows of text and its sentences, all from the numbers of the summary."""

from statistics import stdev

import xkd
from xkd.palette import share, styles
from xkd.summary import alone, compared, sure

TEACHERS = {
    "mini": "a small 2D network trained here, on the pixel labels of the image corpus (other streets, other cameras), "
    "then frozen; it never saw an image or a label of the LiDAR data set",
    "transformers": "a pre-trained vision model, taken frozen; what it was trained on is said by its own model "
    "card, and pixel "
    "labels in its training count as labels too",
    "random": "the architecture of the small 2D network with weights that were never trained: a control",
    "resnet": "a ResNet of a checkpoint, taken frozen; whether it learnt from images alone (MoCo, DINO) or from labels of them, and of "
    "which images, is said by those who trained it",
    "features": "features that were computed beforehand by a network outside this pipeline; if that network was "
    "trained with "
    "pixel labels, they are a supervised prior",
}


XMODEL = (
    "xmodel starts from the distilled weights of its seed. A network that sees images beside the scan learns from the seed's labelled "
    "frames and gives the frames without labels soft pseudo-labels (where every frame has labels and there is none more: these frames); "
    "the student, which sees LiDAR alone, learns from labels and pseudo-labels. So it sees unlabelled frames during fine-tuning, which the "
    "other rows do not, and a second network is trained for it."
)

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


def points(value):
    """Differences and scores as they are quoted: two decimals; '-' where there is none."""
    return "–" if value is None else f"{value:.2f}"


def signed(value):
    return "–" if value is None else f"{value:+.2f}"


def interval(row):
    return "–" if row["low"] is None else f"[{row['low']:+.2f}, {row['high']:+.2f}]"


def seeds(count):
    return f"{count} seed{'s' * (count != 1)}"


def banners(summary):
    """What has to be read before any number: that they are made up, that they are of one seed."""
    one = "A demonstration: all numbers are of one seed, so they have no intervals, and with another seed they would be others."
    return [summary["made_up"]] * bool(summary["made_up"]) + [one] * alone(summary)


def headline(summary):
    """Sentences on what was found: for each row, `xmodel` first, and fraction the gain, its interval, whether it can be told from zero."""
    sentences = []
    for init in list(summary["differences"])[::-1]:
        rows, name = summary["differences"][init], styles([init])[init].name
        saved = {row["fraction"]: row for row in summary["labels_saved"][init]}
        for row in rows:
            verdict = "no interval, for want of a second seed"
            if row["low"] is not None:
                clear = row["low"] > 0 or row["high"] < 0
                verdict = f"95 % interval {interval(row)}" + ("" if clear else ", which includes zero")
            text = f"{share(row['fraction'])} of the labels: {name} {signed(row['mean'])} points mIoU over scratch"
            text += f" ({verdict}, {seeds(row['n'])})."
            factor = saved[row["fraction"]]["factor"]
            if factor is not None and factor > 1 and row["low"] is not None and row["low"] > 0:
                text += f" Scratch reaches that score with about {factor:g} times the labels."
            sentences.append(text)
    return sentences or ["Nothing to compare: there is no pair of a baseline run and another with the same seed."]


def main_table(summary):
    """Header and rows (lists of str): one row a (fraction, init), the paired difference beside it."""
    header = [
        "labels",
        "frames",
        "student",
        "mIoU mean (%)",
        "sd",
        "n",
        "one run ± (streets)",
        "difference",
        "95 % interval",
    ]
    rows, tuning = [], ((summary.get("setting") or {}).get("tuning") or {}).get("tuning_frames")
    for score in summary["scores"]:
        found = [d for d in summary["differences"].get(score["init"], []) if d["fraction"] == score["fraction"]]
        difference = [signed(found[0]["mean"]), interval(found[0])] if found else ["", ""]
        frames = " or ".join(str(n) for n in score["frames"]) + (f" (+ {tuning} for tuning)" if tuning else "")
        name = styles([score["init"]])[score["init"]].name
        numbers = [points(score["mean"]), points(score["sd"]), str(score["n"]), points(score["street_error"])]
        rows.append([share(score["fraction"]), frames, name, *numbers, *difference])
    return header, rows


def class_table(summary):
    """Per class, at the smallest fraction and at all: IoU of each init and the paired difference."""
    ends = sorted({summary["fractions"][0], summary["fractions"][-1]})
    header = ["class"]
    for fraction in ends:
        header += [f"{styles([init])[init].name}, {share(fraction)}" for init in summary["inits"]]
        header += [f"{styles([init])[init].name} - scratch, {share(fraction)}" for init in summary["differences"]]
    rows = []
    for row in summary["classes"]:
        line = [row["name"].replace("_", " ")]
        for fraction in ends:
            line += [points(pick(row["iou"][init], fraction, "mean")) for init in summary["inits"]]
            for init in summary["differences"]:
                found = [d for d in row["difference"][init] if d["fraction"] == fraction]
                line.append(f"{signed(found[0]['mean'])} {interval(found[0])}" if found else "–")
        rows.append(line)
    return header, rows


def pick(rows, fraction, key):
    return next((row[key] for row in rows if row["fraction"] == fraction), None)


def coverage_table(summary):
    """One row a label subset: how many classes it has points of, and which it has none of."""
    header = ["labels", "seed", "frames", "classes with points", "classes without"]
    rows = []
    for row in summary["coverage"]:
        there = f"{len(row['points']) - len(row['missing'])} of {len(row['points'])}"
        missing = ", ".join(name.replace("_", " ") for name in row["missing"]) or "none"
        rows.append([share(row["fraction"]), str(row["seed"]), str(row["frames"]), there, missing])
    return header, rows


def method(summary):
    """How the numbers came about, as a list of sentences."""
    sentences = [
        "Each seed has its own label subset (of all labels there is one) and its own distillation; all rows of a seed are "
        "fine-tuned on the same labelled frames, in as many steps.",
        *[XMODEL] * ("xmodel" in summary["inits"]),
        *interval_text(summary),
        f"Rounding: {summary['rounding']}.",
    ]
    given = summary.get("setting", {}).get("parameters", {})
    first = [f"{summary['made_up']} What is said of data, teacher and tuning does not belong to them."]
    return first * bool(summary["made_up"]) + [
        data_text(given.get("data", {})),
        teacher_text(given.get("teacher", {})),
        *tuning_text(summary),
        *sentences,
    ]


def interval_text(summary):
    """What the intervals cover, or that there are none."""
    if not sure(compared(summary)):
        return [
            "There are no intervals: they take two seeds of the baseline and of another row at one fraction at least."
        ]
    return [
        "The 95 % interval is a paired t interval over seeds, its standard deviation pooled over the fractions (taken to be alike "
        "and independent there: where they are not, it is too narrow at the fraction that varies most), plus the "
        f"variance over the {summary['streets']} validation streets (bootstrap of whole streets, {summary['draws']} draws)."
        if summary["street_variance"]
        else "The 95 % interval is a paired t interval over seeds alone: with one validation street the variance over "
        "streets cannot be estimated, so it is too narrow.",
        "Intervals by class have the same form; with so many classes, expect one in twenty to exclude zero by chance.",
    ]


def data_text(data):
    """What the numbers were measured on."""
    if not data:
        return "Data: not stated, no parameters were given."
    root = str(data.get("root", "?"))
    # The simulator leaves this record beside what it writes.
    made = (xkd.ROOT / root).parent.joinpath("xkd-sim.json").is_file()
    what = "the embedded made data set (python -m xkd.sim), not recorded on any road" if made else f"the folder {root}"
    return f"Data: {what}; read as {data.get('kind', '?')} from {root}."


def teacher_text(teacher):
    """How the teacher came by its knowledge."""
    name = teacher.get("name")
    if not name:
        return "Teacher: not stated, no parameters were given."
    return (
        f"Teacher `{name}`: {TEACHERS.get(name, 'of a kind this report has no words for; see the parameters below')}."
    )


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
        count = rows[0][1].get("seeds", 1)
        runs = f"{count} seeds (mean ± its standard error)" if count > 1 else "one seed"
        sentences.append(
            f"Convergence check of the baseline on the tuning streets, {runs}, mIoU with the steps used and with twice as many: {text}."
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
    """`change` in words."""
    found, error = change(row)
    return f"{found:+.2f}" + (f" ± {error:.2f}" if len(row.get("differences", [])) > 1 else "")


def converged(row):
    """A row of the check of convergence -> a key of FOUND, one rule for every place that says it."""
    found, error = change(row)
    if error > CONVERGED:
        return "untold"
    return "gain" if found >= CONVERGED else "loss" if found <= -CONVERGED else "still"


def markdown(summary):
    """The main table, what it shows and how, as Markdown."""
    parts = [f"**{sentence}**\n" for sentence in banners(summary)]
    parts += [markdown_table(*main_table(summary)), ""]
    parts += [f"- {sentence}" for sentence in headline(summary)] + [""]
    parts += [f"- {sentence}" for sentence in method(summary)]
    parts += ["", markdown_table(*class_table(summary)), "", markdown_table(*coverage_table(summary))]
    return "\n".join(parts) + "\n"


def markdown_table(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
