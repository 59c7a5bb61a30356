"""`python -m xkd.study_page`: the study's numbers into docs/study, and from there into docs/study.md and README.md."""

import argparse
import sys

import pandas as pd

import xkd
from xkd import kept, study_figure, study_report
from xkd.errors import XkdError
from xkd.files import atomic, read_text, write_json
from xkd.palette import share
from xkd.params import profile
from xkd.readme import filled
from xkd.study import ROWS
from xkd.words import interval, markdown_table, points, signed

FOLDER, PAGES = "docs/study", ("README.md", "docs/study.md")
TARGETS = {0.01: 5.0, 0.05: 5.0, 0.25: 4.0, 1: 2.0}
"""Points mIoU that `xmodel` is to gain over the strongest row that never saw an image, at each share of the labels."""
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


def summary(params, out="out", **where):
    """The numbers of all cells that are there. where: folder of the cells, as in `study_report.collect`, whose errors these are."""
    found, report = study_report.collect(params, out, **where), params["report"]
    given = {"draws": report["draws"], "seed": report["seed"]}
    tables = {block: study_report.table(found, block, **given) for block in ROWS}
    others = [study_report.versus(found, block, **given).assign(block=block) for block in TITLES if block in MEASURED]
    return {
        "size": study_report.size(found),
        "cells": len(found.table),
        "missing": sum(found.missing.values()),
        "steps": params["study"]["steps"],
        "blocks": {block: lines(table) for block, table in tables.items()},
        "versus": lines(pd.concat(others)),
        "fewer": lines(study_report.fewer(found, **given)),
    }


MEASURED = ("pretraining", "unlabelled", "pretraining-full", "unlabelled-full")
"""The blocks that the targets are for."""


def lines(table):
    """A table as a list of objects, numbers with two decimals (None: there is none) but for the share of the labels."""
    rows = table.to_dict("records")
    return [{name: value if name == "fraction" else plain(value) for name, value in row.items()} for row in rows]


def plain(value):
    if isinstance(value, str) or value is None:
        return value
    return None if pd.isna(value) else round(float(value), 2) if isinstance(value, float) else int(value)


def scores(rows):
    """Markdown of one block: a line a row, each share of the labels with mean, sd and, below, the gain with its interval."""
    fractions = sorted({row["fraction"] for row in rows})
    counts = {row["n"] for row in rows}
    cells = {(row["row"], row["fraction"]): row for row in rows}

    def cell(row):
        if row is None:
            return "–"
        text = f"{points(row['mean'])} ± {points(row['sd'])}" + f" (n {row['n']})" * (len(counts) > 1)
        return text if row["difference"] is None else f"{text}<br>{signed(row['difference'])} {interval(row)}"

    body = [[name, *(cell(cells.get((name, f))) for f in fractions)] for name in dict.fromkeys(r["row"] for r in rows)]
    over = {f: sorted({row["baseline"] for row in rows if row["fraction"] == f} - {""}) for f in fractions}
    against = "; ".join(f"{share(f)}: {', '.join(names)}" for f, names in over.items() if names)
    said = f"mIoU, mean ± sd over {counts.pop()} seeds" if len(counts) == 1 else "mIoU, mean ± sd over n seeds"
    said += f"; below it the paired difference and its 95 % interval to the baseline ({against})." if against else "."
    return markdown_table(["row", *map(share, fractions)], body).strip() + f"\n\n{said}\n"


def tables(found):
    """All blocks, one after the other."""
    parts = [
        f"\n## {title}\n\n{scores(found['blocks'][block])}" for block, title in TITLES.items() if found["blocks"][block]
    ]
    return "\n" + found["size"] + "\n" + "".join(parts)


def targets(found):
    """What the study was to show, and whether it does: a line a target."""
    body = []
    for block in MEASURED:
        for row in found["blocks"][block]:
            if row["row"] == "xmodel" and row["difference"] is not None:
                wanted = TARGETS[row["fraction"]]
                reached = row["difference"] >= wanted and row["low"] > 0
                what = f"{TITLES[block]}: {share(row['fraction'])}"
                body.append([what, f"{wanted:+g}", f"{signed(row['difference'])} {interval(row)}", *verdict(reached)])
    for row in found["fewer"]:
        if row["row"] == "xmodel":
            what = f"{TITLES[row['block']]}: {share(row['fraction'])} less scratch at {share(row['scratch'])}"
            body.append([what, "0", f"{signed(row['difference'])} {interval(row)}", *verdict(row["difference"] >= 0)])
    table = markdown_table(["`xmodel`", "target", "points mIoU", ""], body).strip()
    return f"\n{table if body else 'No cell of `xmodel` is there yet.'}\n"


def verdict(reached):
    return ["reached" if reached else "**missed**"]


BLOCKS = {"docs/study.md": {"study": tables, "study targets": targets}, "README.md": {"study targets": targets}}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m xkd.study_page", description="The study's results into the pages.")
    parser.parse_args(arguments)
    try:
        found, folder = summary(profile()), xkd.ROOT / FOLDER
        folder.mkdir(exist_ok=True)
        write_json(folder / "study.json", found)
        with atomic(folder / "gains.png") as path:
            path.write_bytes(study_figure.gains(found["blocks"], {block: TITLES[block] for block in MEASURED}))
        write(kept.facts(folder / "study.json", blocks=dict, fewer=[dict], size=str))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    print(f"xkd: {FOLDER}, {' and '.join(PAGES)} have {found['cells']} cells, {found['missing']} are missing")
    return 0


def write(found):
    """Fills the blocks of the pages. Errors: a marker that is not there."""
    for page, blocks in BLOCKS.items():
        text = read_text(xkd.ROOT / page)
        for name, words in blocks.items():
            text = filled(page, text, name, words(found))
        with atomic(xkd.ROOT / page) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
