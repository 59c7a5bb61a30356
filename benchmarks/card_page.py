"""`python benchmarks/card_page.py`: the tables of docs/gpu.md, from what `card.py` kept in benchmarks/results."""

import re
import sys
from pathlib import Path

from markdown import number, table

import xkd
from xkd.files import atomic, read_json
from xkd.readme import filled

PAGE, RESULTS = xkd.ROOT / "docs" / "gpu.md", Path(__file__).with_name("results")


def kept(name):
    """The rows of all results called `name` that are committed, of whichever machine: what a CPU measures quickly has none of its own."""
    paths = sorted(RESULTS.glob(f"{name}-*.json"))
    return [row for path in paths if re.match(rf"{name}-(?!teachers)", path.name) for row in read_json(path)["rows"]]


def trainings(rows):
    head = ["card", "student", "batch", "what", "frames/s", "ms a step", "ms to make a batch", "GB of the card"]
    lines = []
    for row in rows:
        student = f"{row['student'].split(',')[0]}, {row['parameters, M']:g} M"
        what = row["what"] if "," in row["what"] or row["what"] == "deterministic" else f"{row['what']}, from files"
        figures = [number(row[key]) for key in ("frames/s", "ms a step", "ms to make a batch", "GB of the card")]
        lines.append([row["card"], student, row["batch"], what, *figures])
    return table(head, lines)


def teachers(rows):
    lines = [[row["teacher"], row["way"], number(row["images/s"]), number(row["s, first"])] for row in rows]
    return table(["network", "how", "images/s", "s until the first"], lines)


def written(text):
    """The page with its tables anew."""
    for name, made in (("trainings", trainings(kept("card"))), ("teachers", teachers(kept("card-teachers")))):
        text = filled(PAGE.name, text, name, "\n" + made)
    return text


def main():
    made = written(PAGE.read_text())
    with atomic(PAGE) as temporary:
        temporary.write_text(made)


if __name__ == "__main__":
    sys.exit(main())
