"""What the report says: its tables as rows of text and its sentences, all from the numbers of the summary."""

import xkd
from xkd.palette import share, styles
from xkd.summary import alone, compared, sure
from xkd.tuning_words import tuning_text

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
            gained = row["low"] is not None and row["low"] > 0
            if gained and factor is None and beyond(summary, init, row["fraction"]):
                text += f" Scratch does not reach that score with {share(summary['fractions'][-1])} of the labels."
            elif gained and factor is not None and factor > 1:
                text += f" Scratch reaches that score with about {factor:g} times the labels."
            sentences.append(text)
    return sentences or ["Nothing to compare: there is no pair of a baseline run and another with the same seed."]


def beyond(summary, init, fraction):
    """Whether a row has a higher mean, with fewer labels, than the baseline has with the most."""
    means = {(row["init"], row["fraction"]): row["mean"] for row in summary["scores"]}
    most = summary["fractions"][-1]
    base = [mean for (name, _), mean in means.items() if name == summary["baseline"]]
    return fraction < most and (summary["baseline"], most) in means and means[init, fraction] > max(base)


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
