"""What the pages say of the study: its tables and verdicts as Markdown, all from the numbers of docs/study/study.json."""

from xkd.objectives import OBJECTIVES
from xkd.palette import share
from xkd.study import MEASURED, PRETRAINED
from xkd.tuning_words import CONVERGED
from xkd.words import interval, points, signed

TARGETS = {0.01: 5.0, 0.05: 5.0, 0.25: 4.0, 1: 2.0}
"""Points mIoU that `xmodel` is to gain over the strongest row that never saw an image, at each share of the labels."""
FUSED = 2.0
"""Points that the network that sees images at inference is to gain over it."""
TITLES = {
    "pretraining": "Pretraining, then the labelled frames alone",
    "unlabelled": "With unlabelled frames during fine-tuning",
    "pretraining-full": "Pretraining, with all of the sweep's steps",
    "unlabelled-full": "With unlabelled frames, with all of the sweep's steps",
    "images": "What sees images at inference",
    "further": "A network that is trained already, trained further",
    "linear": "Frozen features, a linear probe",
    "nearest": "Frozen features, the nearest neighbours",
    "teachers": "`cosine` with other teachers",
    "ablation": "`xmodel` with one thing changed",
}
HALF = "Half of the crops are of unlabelled frames, so the labels are seen half as often as without them"
NOTES = {
    "pretraining": "A quarter of the sweep's steps; `scratch-long` has twice as many. Scratch has not converged after so few.",
    "unlabelled": f"{HALF}. After a quarter of the sweep's steps that costs self-training more than it gains at 25 and 100 %; "
    "with all steps, two tables below, less.",
    "pretraining-full": "The rows that the headline hangs on, once more, where labels are many.",
    "unlabelled-full": f"{HALF}; rows that end in `-long` have twice the steps, as `scratch-long` has.",
    "further": "Each begins with the network that `scratch` left and is trained once more, for as many steps: on the labels, by its own "
    "average's labels, or as `xmodel` is; `labels-long` for 3.5 times as many, about the time that `xmodel` takes with all it needs.",
    "ablation": "The difference is to the whole method; of `one-camera` to `own-images`, of which it has the first camera alone, and of "
    "`few-superpixels` to `superpixels`, of which it has a quarter.",
    "images": "These need cameras where they are used. `fused` is the network whose labels `xmodel` learns from.",
}
"""What has to be known before a block's numbers are read."""
OURS = ("xmodel", "xmodel-long")
"""The rows that are to reach them."""


def named(block, row):
    """A row's name in a table: of those that the student's own average teaches, that it does."""
    init, long = row.removesuffix("-long"), "-long" * row.endswith("-long")
    taught = block.startswith("unlabelled") and init in PRETRAINED and row not in OURS
    return f"{init} + self-training{long}" if taught else row


def markdown(header, sides, rows):
    """A Markdown table; sides: "l" or "r", one a column."""
    rule = ["---:" if side == "r" else "---" for side in sides]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def gain(row):
    """A paired difference with its interval."""
    return f"{signed(row['difference'])} {interval(row)}"


def over(row):
    """The name of the row that another is compared with, without its block where that is one of `MEASURED`."""
    block, _, name = row["baseline"].partition(" ")
    return named(block, name) if block in MEASURED else row["baseline"]


def strong(rows, fraction):
    """What the rows of one block are compared with at a share of the labels; those with twice the steps may have another baseline."""
    mine = [row for row in rows if row["fraction"] == fraction and row["baseline"]]
    given = {long: {over(row) for row in mine if row["row"].endswith("-long") == long} for long in (False, True)}
    names, longer = ", ".join(sorted(given[False])), ", ".join(sorted(given[True] - given[False]))
    return " ".join(filter(None, (names, f"(`-long`: {longer})" * bool(longer))))


def scores(block, rows):
    """One block: a line a row, each share of the labels with mean, sd and, below, the gain with its interval."""
    fractions = sorted({row["fraction"] for row in rows})
    counts = {row["n"] for row in rows}
    cells = {(row["row"], row["fraction"]): row for row in rows}

    def cell(row):
        if row is None:
            return "–"
        text = f"{points(row['mean'])} ± {points(row['sd'])}" + f" (n {row['n']})" * (len(counts) > 1)
        if row["difference"] is None:
            return text
        return f"{text}<br>{gain(row)}" + f" ({row['pairs']} pairs)" * (row["pairs"] != row["n"])

    body = [
        [named(block, name), *(cell(cells.get((name, f))) for f in fractions)]
        for name in dict.fromkeys(row["row"] for row in rows)
    ]
    against = "; ".join(f"{share(f)}: {names}" for f in fractions if (names := strong(rows, f)))
    said = f"mIoU, mean ± sd over {counts.pop()} seeds" if len(counts) == 1 else "mIoU, mean ± sd over n seeds"
    said += f"; below it the paired difference and its 95 % interval to the baseline ({against})." if against else "."
    table = markdown(["row", *map(share, fractions)], "l" + "r" * len(fractions), body)
    return f"{table}\n\n{said}\n"


def tables(found):
    """All blocks, one after the other."""
    parts = [
        f"\n### {title}\n\n{NOTES[block] + chr(10) * 2 if block in NOTES else ''}{scores(block, found['blocks'][block])}"
        for block, title in TITLES.items()
        if found["blocks"][block]
    ]
    return "\n" + found["size"] + "\n" + "".join(parts)


def there(found):
    """Which cells of the study are there: a line a block."""
    body = []
    for block, title in TITLES.items():
        rows = [(named(block, row), own, planned) for row, own, planned in found["there"][block]]
        whole = [row for row, own, planned in rows if own == planned > 0]
        begun = [f"{row} ({own} of {planned})" for row, own, planned in rows if 0 < own < planned]
        not_yet = [row for row, own, planned in rows if own == 0 < planned]
        cells = f"{sum(own for _, own, _ in rows)} of {sum(planned for *_, planned in rows)}"
        body.append([title, cells, ", ".join([*whole, *begun]) or "–", ", ".join(not_yet) or "–"])
    table = markdown(["block", "cells", "rows that are there", "not run yet"], "lrll", body)
    return f"\n{table}\n"


def short(found):
    """What the study found of `xmodel` in one table: a line a share of the labels, then those with all steps."""
    lines = {block: {(r["row"], r["fraction"]): r for r in found["blocks"][block]} for block in MEASURED}
    body = []
    for steps, name in (("", "xmodel"), ("-full", "xmodel"), ("-full", "xmodel-long")):
        alone, taught = lines[f"pretraining{steps}"], lines[f"unlabelled{steps}"]
        for fraction in sorted({f for row, f in (*alone, *taught) if row == name}):
            both = [block.get((name, fraction)) for block in (alone, taught)]
            if all(row is None or row["difference"] is None for row in both):
                continue
            count = max(row["steps"] for row in both if row)
            body.append([share(fraction), str(count), *(brief(row, lines) for row in both), f"{TARGETS[fraction]:+g}"])
    header = ["labels", "steps", "`xmodel`, the labelled frames alone", "`xmodel`, with unlabelled frames", "target"]
    return f"\n{markdown(header, 'rrllr', body)}\n" if body else "\nNo cell of `xmodel` is there yet.\n"


def brief(row, lines):
    """One score of `short`: mIoU, and the gain over the strongest row without images, whose score is said too."""
    if row is None or row["difference"] is None:
        return "not run"
    block, _, name = row["baseline"].partition(" ")
    other = lines.get(block, {}).get((name, row["fraction"]))
    score = f" {points(other['mean'])}" if other else ""
    mark = "**" if row["difference"] >= TARGETS[row["fraction"]] and above(row) else ""
    fewer = f" ({row['pairs']} pairs)" * (row["pairs"] != row["n"])
    return f"{points(row['mean'])}: {mark}{gain(row)}{mark}{fewer} over {over(row)}{score}"


def targets(found):
    """What the study was to show, and whether it does: a table a claim."""
    parts = [
        ("Gains over the strongest row without images, at inference without images", gains(found)),
        (
            "`xmodel` no worse than any other objective (the narrower interval, which finds a loss sooner)",
            rivals(found),
        ),
        ("`xmodel` over the best row of any other objective, with unlabelled frames or without", others(found)),
        ("Fewer labels with images, all labels without", fewer(found)),
        ("The network that sees images at inference, over the strongest row without", images(found)),
    ]
    said = [
        f"**{title}**\n\n{markdown(['block', 'what', 'target', 'points mIoU', ''], 'llrrl', body)}\n"
        for title, body in parts
        if body
    ]
    return "\n" + "\n".join(said) if said else "\nNo cell of `xmodel` is there yet.\n"


def gains(found):
    rows = [(block, row) for block in MEASURED for row in found["blocks"][block] if row["row"] in OURS]
    return [
        verdict(block, row, over(row), TARGETS[row["fraction"]], TARGETS[row["fraction"]])
        for block, row in rows
        if row["difference"] is not None and row["fraction"] in TARGETS
    ]


def rivals(found):
    """The objectives that are better than `xmodel`, told by an interval below zero; or that none is, where all are there."""
    body = []
    for block in MEASURED:
        others = [row for row in found["versus"] if row["block"] == block and row["over"] in OBJECTIVES]
        others = [row for row in others if row["high"] is not None]
        better = [row for row in others if row["high"] < 0]
        body += [verdict(block, row, named(block, row["over"]), 0, None) for row in better]
        if others and not better:
            planned = {row for row, _, count in found["there"][block] if row in OBJECTIVES and count}
            shares = {row["fraction"] for row in found["blocks"][block] if row["row"] == "xmodel"}
            whole = {(row["over"], row["fraction"]) for row in others} >= {(o, f) for o in planned for f in shares}
            least = min(others, key=lambda row: row["difference"])
            what = f"`xmodel` over each of {len({row['over'] for row in others})} objectives"
            worst = f"least {gain(least)} over {named(block, least['over'])} at {share(least['fraction'])} (n {least['pairs']})"
            body.append([TITLES[block], what, "0", worst, "reached" if whole else "not all are run"])
    return body


def others(found):
    """`xmodel` with unlabelled frames against the best of the other objectives' rows, whatever its block: told, and no target."""
    body = []
    for row in found["others"]:
        name = named(row["block"], row["over"])
        what = f"`xmodel` at {share(row['fraction'])} over {name}"
        body.append([TITLES["unlabelled"], what, "", f"{gain(row)} (n {row['pairs']})", ""])
    return body


def fewer(found):
    body = []
    for row in found["fewer"]:
        if row["row"] in OURS:
            name = f"{row['over']} at {share(row['scratch'])}"
            line = verdict(row["block"], row, name, 0, 0)
            if row["over"] != "scratch":  # told, and no target
                line[2], line[4] = "", ""
            elif line[4] == "reached" and not above(row):
                line[4] = "reached by mean, the interval includes zero"
            body.append(line)
    return body


def equal(found):
    """What each row gains over scratch after as many steps: a line a row, a column a share of the labels."""
    cells = {(row["block"], row["row"], row["fraction"]): row for row in found["equal"]}
    fractions = sorted({fraction for *_, fraction in cells})
    counts = {row["pairs"] for row in found["equal"]}
    said = {key: gain(row) + f" (n {row['pairs']})" * (len(counts) > 1) for key, row in cells.items()}
    body = [
        [TITLES[block], named(block, row) + " (over `scratch-long`)" * row.endswith("-long")]
        + [said.get((block, row, f), "–") for f in fractions]
        for block, row in dict.fromkeys((block, row) for block, row, _ in cells)
    ]
    table = markdown(["block", "row", *map(share, fractions)], "ll" + "r" * len(fractions), body)
    return f"\n{table}\n" if body else "\nNo row is there yet.\n"


def images(found):
    rows = [row for row in found["blocks"]["images"] if row["row"] == "fused" and row["difference"] is not None]
    return [verdict("images", row, over(row), FUSED, FUSED) for row in rows]


def above(row):
    """Whether a difference's interval is above zero."""
    return row["low"] is not None and row["low"] > 0


def verdict(block, row, other, wanted, least):
    """A line of `targets`; least: the points that reach it, None: nothing does. Where more than 0 is wanted, with an interval above 0."""
    reached = least is not None and row["difference"] >= least and (above(row) or not wanted)
    what = f"`{row['row']}` at {share(row['fraction'])} over {other}"
    measured = f"{gain(row)} (n {row['pairs']})"
    return [TITLES[block], what, f"{wanted:+g}" if wanted else "0", measured, "reached" if reached else "**missed**"]


def longer(found):
    """What twice the steps from scratch gain where both have all of the sweep's, and where that is so much that it had not converged."""
    rows = [row for row in found["blocks"]["pretraining-full"] if row["row"] == "scratch" and row["low"] is not None]
    rows = [row for row in rows if over(row) == "scratch-long"]
    said = [
        f"{-row['difference']:+.2f} [{-row['high']:+.2f}, {-row['low']:+.2f}] points at {share(row['fraction'])}"
        for row in rows
    ]
    least = [share(row["fraction"]) for row in rows if -row["high"] >= CONVERGED]
    more = f" At {', '.join(least)} it had not converged: that is {CONVERGED:g} points or more." if least else ""
    start = "On the validation streets, in the study, twice the steps gain scratch"
    return f"{start} {', '.join(said)}.{more}" if said else ""
