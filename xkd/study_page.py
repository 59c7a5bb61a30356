"""`python -m xkd.study_page`: the study's numbers into docs/study, and from there into docs/study.md and README.md."""

import argparse
import sys

import pandas as pd

import xkd
from xkd import kept, study_figure, study_report
from xkd.errors import XkdError
from xkd.files import atomic, read_text, write_json
from xkd.objectives import OBJECTIVES
from xkd.palette import share
from xkd.params import profile
from xkd.readme import filled
from xkd.study import ROWS, check
from xkd.words import interval, markdown_table, points, signed

FOLDER = "docs/study"
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


def summary(params, out="out", **where):
    """The numbers of all cells that are there. where: folder of the cells, as in `study_report.collect`, whose errors these are."""
    found, report = study_report.collect(params, out, **where), params["report"]
    given = {"draws": report["draws"], "seed": report["seed"]}
    tables = {block: study_report.table(found, block, **given) for block in ROWS}
    others = [study_report.versus(found, block, **given).assign(block=block) for block in MEASURED]
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
OURS = ("xmodel", "xmodel-long")
"""The rows that are to reach them."""


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
            wanted = TARGETS.get(row["fraction"])
            if row["row"] in OURS and row["difference"] is not None and wanted is not None:
                what = f"`{row['row']}` at {share(row['fraction'])} over {row['baseline'].partition(' ')[2]}"
                body.append(verdict(block, what, wanted, row, row["difference"] >= wanted and above(row)))
        others = [row for row in found["versus"] if row["block"] == block and row["over"] in OBJECTIVES]
        for row in others:
            if row["high"] is not None and row["high"] < 0:
                what = f"`xmodel` at {share(row['fraction'])} no worse than {row['over']}"
                body.append(verdict(block, what, 0, row, False))
        if others and not any(row["high"] is not None and row["high"] < 0 for row in others):
            count = len({row["over"] for row in others})
            body.append([TITLES[block], f"`xmodel` no worse than any of {count} objectives", "0", "", "reached"])
    for row in found["fewer"]:
        if row["row"] == "xmodel":
            what = f"`xmodel` at {share(row['fraction'])} over scratch at {share(row['scratch'])}"
            body.append(verdict(row["block"], what, 0, row, row["difference"] >= 0))
    for row in found["blocks"]["images"]:
        if row["row"] == "fused" and row["difference"] is not None:
            what = f"`fused` at {share(row['fraction'])} over {row['baseline'].partition(' ')[2]}"
            body.append(verdict("images", what, FUSED, row, row["difference"] >= FUSED))
    table = markdown_table(["block", "what", "target", "points mIoU", ""], body).strip()
    return f"\n{table if body else 'No cell of `xmodel` is there yet.'}\n"


def above(row):
    """Whether a difference's interval is above zero."""
    return row["low"] is not None and row["low"] > 0


def verdict(block, what, wanted, row, reached):
    """A line of `targets`."""
    measured = f"{signed(row['difference'])} {interval(row)} (n {row['pairs']})"
    return [TITLES[block], what, f"{wanted:+g}" if wanted else "0", measured, "reached" if reached else "**missed**"]


def longer(found):
    """What twice the steps from scratch gain where both have all of the sweep's."""
    rows = {(row["row"], row["fraction"]): row for row in found["blocks"]["pretraining-full"]}
    pairs = [(row, rows.get(("scratch-long", row["fraction"]))) for row in rows.values() if row["row"] == "scratch"]
    gains = [
        f"{signed(long['mean'] - own['mean'])} points at {share(own['fraction'])} (n {own['n']})"
        for own, long in pairs
        if long and long["n"] == own["n"]
    ]
    return f"The study has the same on the validation streets: {', '.join(gains)}." if gains else ""


BLOCKS = {
    "docs/study.md": {"study": tables, "study targets": targets},
    "README.md": {"study targets": targets, "study longer": longer},
}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m xkd.study_page", description="The study's results into the pages.")
    parser.parse_args(arguments)
    try:
        found, folder = summary(check(profile())), xkd.ROOT / FOLDER
        folder.mkdir(exist_ok=True)
        write_json(folder / "study.json", found)
        with atomic(folder / "gains.png") as path:
            path.write_bytes(study_figure.gains(found["blocks"], {block: TITLES[block] for block in MEASURED}))
        write(kept.facts(folder / "study.json", blocks=dict, fewer=[dict], versus=[dict], size=str))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    print(f"xkd: {FOLDER}, {' and '.join(BLOCKS)} have {found['cells']} cells, {found['missing']} are missing")
    return 0


def write(found):
    """Fills the blocks of the pages, of all or of none. Errors: a marker that is not there."""
    texts = {page: read_text(xkd.ROOT / page) for page in BLOCKS}
    for page, blocks in BLOCKS.items():
        for name, words in blocks.items():
            texts[page] = filled(page, texts[page], name, words(found))
    for page, text in texts.items():
        with atomic(xkd.ROOT / page) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
