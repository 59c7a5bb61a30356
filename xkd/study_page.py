"""`python -m xkd.study_page`: the study's numbers into docs/study, and from there into docs/study.md and README.md."""

import argparse
import sys

import pandas as pd

import xkd
from xkd import kept, study_figure, study_report, study_versus
from xkd import study_words as words
from xkd.errors import XkdError
from xkd.files import atomic, read_text, write_json
from xkd.params import profile
from xkd.readme import filled
from xkd.study import MEASURED, ROWS, cells, check
from xkd.study_words import TITLES

FOLDER = "docs/study"


def summary(params, found):
    """The numbers of all cells that are there. found: `study_report.Study`."""
    report = params["report"]
    given = {"draws": report["draws"], "seed": report["seed"]}
    tables = {block: study_report.table(found, block, **given) for block in ROWS}
    others = [study_versus.versus(found, block, **given).assign(block=block) for block in MEASURED]
    return {
        "size": study_report.size(found),
        "cells": len(found.table),
        "missing": sum(found.missing.values()),
        "there": {block: [own(params, found, block, row) for row in rows] for block, rows in ROWS.items()},
        "blocks": {block: lines(table) for block, table in tables.items()},
        "versus": [line for table in others for line in lines(table)],  # one table of all would make floats of pairs
        "others": lines(study_versus.of_others(found, **given)),
        "fewer": lines(study_versus.fewer(found, **given)),
        "equal": lines(study_versus.equal(found, **given)),
    }


def own(params, found, block, row):
    """[row, cells of it that are there, cells that it is to have]."""
    planned = len(cells(params, block, row))
    return [row, planned - found.missing.get((block, row), 0), planned]


def lines(table):
    """A table as a list of objects, numbers with two decimals (None: there is none) but for the share of the labels."""
    rows = table.to_dict("records")
    return [{name: value if name == "fraction" else plain(value) for name, value in row.items()} for row in rows]


def plain(value):
    if isinstance(value, str) or value is None:
        return value
    return None if pd.isna(value) else round(float(value), 2) if isinstance(value, float) else int(value)


BLOCKS = {
    "docs/study.md": {
        "study": words.tables,
        "study short": words.short,
        "study there": words.there,
        "study targets": words.targets,
        "study equal": words.equal,
    },
    "README.md": {"study short": words.short, "study longer": words.longer},
}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m xkd.study_page", description="The study's results into the pages.")
    parser.parse_args(arguments)
    try:
        params, folder = check(profile()), xkd.ROOT / FOLDER
        study = study_report.collect(params)
        found = summary(params, study)
        write_json(folder / "study.json", found)
        for name, picture in pictures(study, found).items():
            with atomic(folder / f"{name}.png") as path:
                path.write_bytes(picture)
        tables = dict.fromkeys(("versus", "others", "fewer", "equal"), [dict])
        write(kept.facts(folder / "study.json", blocks=dict, there=dict, size=str, **tables))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    print(f"xkd: {FOLDER}, {' and '.join(BLOCKS)} have {found['cells']} cells, {found['missing']} are missing")
    return 0


def pictures(study, found):
    """{name of the file: bytes of a PNG}: the gains, and where they come from, if `xmodel` is there with unlabelled frames."""
    made = {"gains": study_figure.gains(found["blocks"], {block: TITLES[block] for block in MEASURED})}
    ours = ("unlabelled", "xmodel")
    strong = {fraction: study_report.strongest(study, ours[0], fraction) for fraction in sorted(study.fractions)}
    there = {fraction: base for fraction, base in strong.items() if base and study.seeds(fraction, ours, base)}
    return made | ({"origin": study_figure.origin(study, ours, there)} if there else {})


def write(found):
    """Fills the blocks of the pages, of all or of none. Errors: a marker that is not there."""
    texts = {page: read_text(xkd.ROOT / page) for page in BLOCKS}
    for page, blocks in BLOCKS.items():
        for name, said in blocks.items():
            texts[page] = filled(page, texts[page], name, said(found))
    for page, text in texts.items():
        with atomic(xkd.ROOT / page) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
