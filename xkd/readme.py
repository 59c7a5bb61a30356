"""`python -m xkd.readme`: writes the measured results into README.md, between its two markers, from docs/results/report.json."""

import argparse
import re
import sys

import xkd
from xkd import kept
from xkd.errors import XkdError
from xkd.files import atomic, read_text
from xkd.words import headline, main_table, markdown_table

BLOCK = re.compile(r"(<!-- results: .*? -->\n).*?(<!-- end of results -->)", re.S)


def block(summary):
    """The sentences and the table of a report, as the README quotes them."""
    return (
        "\n".join(f"- {sentence}" for sentence in headline(summary))
        + "\n\n"
        + markdown_table(*main_table(summary)).strip()
        + "\n"
    )


def main(arguments=None):
    argparse.ArgumentParser(prog="python -m xkd.readme", description="Writes the results into README.md.").parse_args(
        arguments
    )
    path, report = xkd.ROOT / "README.md", xkd.ROOT / "docs" / "results" / "report.json"
    try:
        text = block(kept.facts(report, scores=[dict], differences=dict, labels_saved=dict))
        before = read_text(path)
        with atomic(path) as temporary:
            temporary.write_text(BLOCK.sub(lambda found: found[1] + text + found[2], before))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
