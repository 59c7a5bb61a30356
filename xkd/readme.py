"""`python -m xkd.readme`: writes the measured results between their markers in README.md and docs/data.md, from the committed reports
and docs/tuning.json."""

import argparse
import re
import sys

import xkd
from xkd import kept
from xkd.errors import XkdError
from xkd.files import atomic, read_text
from xkd.palette import BASELINE, share, styles
from xkd.tuning_words import FOUND, changed, converged
from xkd.words import headline, interval, main_table, markdown_table, signed

REPORT, TUNING, STREETS = "docs/results/report.json", "docs/tuning.json", "docs/other-streets.json"


def results(summary):
    """The sentences and the table of a report."""
    return "\n" + "\n".join(f"- {sentence}" for sentence in headline(summary)) + "\n\n" + table(summary)


def table(summary):
    return "\n" + markdown_table(*main_table(summary)).strip() + "\n"


def convergence(record):
    """What twice the steps change of the baseline, with 95 % intervals, and what that says, from the tuning record."""
    rows = sorted((float(fraction), row) for fraction, row in record["convergence"].items())
    said = [
        f"{mean:+.2f} [{low:+.2f}, {high:+.2f}] points at {share(fraction)} (n {n})"
        for fraction, (mean, low, high, n) in ((fraction, changed(row)) for fraction, row in rows)
    ]
    text = f"that changed it by {', '.join(said)}; in brackets 95 % intervals over the label subsets."
    found = {key: [share(fraction) for fraction, row in rows if converged(row) == key] for key in FOUND}
    return " ".join([text, *(FOUND[key].format(", ".join(at)) for key, at in found.items() if at)])


def gains(summary):
    """The differences of a report in one sentence, and after how many steps."""
    rows = [
        f"*{styles([init])[init].name}* gains "
        + ", ".join(f"{signed(row['mean'])} {interval(row)} at {share(row['fraction'])}" for row in differences)
        for init, differences in reversed(summary["differences"].items())
    ]
    steps = [
        f"{' or '.join(map(str, row['steps']))} at {share(row['fraction'])}"
        for row in summary["scores"]
        if row["init"] == BASELINE
    ]
    return "; ".join(rows) + f" of the labels. Steps of fine-tuning there: {', '.join(steps)}."


OF_REPORT = {"scores": [dict], "differences": dict, "labels_saved": dict}
KEYS = {results: OF_REPORT, table: OF_REPORT, gains: OF_REPORT}
KEYS |= {convergence: {"convergence": dict}}
"""What a file has to hold for each."""
BLOCKS = {
    "README.md": {
        "results": (results, REPORT),
        "convergence": (convergence, TUNING),
        "other streets": (gains, STREETS),
    },
    "docs/data.md": {"other streets": (table, STREETS)},
}
"""Of each page, the blocks that are written: how, and from which file. A block begins after `<!-- NAME: ... -->` and ends before
`<!-- end of NAME -->`."""


def written(page, text):
    """The text of a page with all of its blocks as they have to be. Errors: a marker that is not there."""
    for name, (words, source) in BLOCKS[page].items():
        text = filled(page, text, name, words(kept.facts(xkd.ROOT / source, **KEYS[words])))
    return text


def filled(page, text, name, made):
    """The text of a page with `made` between the markers of the block `name`. Errors: they are not there once."""
    block = re.compile(rf"(<!-- {name}: [^>]* -->).*?(<!-- end of {name} -->)", re.S)
    if len(block.findall(text)) != 1:
        raise XkdError(f"{page}: the markers of the block {name!r} are not there once.")
    return block.sub(lambda found: found[1] + made + found[2], text)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m xkd.readme", description="Writes the results into the pages.")
    parser.parse_args(arguments)
    try:
        for page in BLOCKS:
            path = xkd.ROOT / page
            text = written(page, read_text(path))
            with atomic(path) as temporary:
                temporary.write_text(text)
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
