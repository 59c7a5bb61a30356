"""What the README says is what was measured: its results are the committed report's, and its rates are the search's winners."""

import pytest

from xkd import ROOT, params
from xkd.files import read_json
from xkd.prepared import matching
from xkd.readme import BLOCK, block
from xkd.report import tuned
from xkd.sim.write import plan

README = (ROOT / "README.md").read_text()
REPORT = read_json(ROOT / "docs" / "results" / "report.json")
TUNING = read_json(ROOT / "docs" / "tuning.json")


def test_results_are_those_of_the_committed_report():
    assert BLOCK.search(README)[0].split("\n", 1)[1].removesuffix("<!-- end of results -->") == block(REPORT)
    assert REPORT["made_up"] is None


def test_report_is_of_the_parameters_of_this_tree():
    given = REPORT["setting"]["parameters"]
    now = params.profile()
    assert given and all(now[name] == section for name, section in given.items())
    assert REPORT["setting"]["tuning"] == TUNING


def test_learning_rates_are_the_winners_of_the_search():
    few = params.read()["finetune"]["few"]
    for init, rows in TUNING["search"].items():
        given = params.read()["finetune"]["lr"][init]
        assert given == pytest.approx(TUNING["lr"][init])
        for fraction, rate in zip((few, 1), given, strict=True):
            scores = {float(r): row[f"{fraction:g}"] for r, row in rows.items() if f"{fraction:g}" in row}
            assert rate == pytest.approx(max(scores, key=scores.get))
            assert min(scores) < rate < max(scores), "a winner at the edge extends the search"
    asked = [{(rate, fraction) for rate, row in rows.items() for fraction in row} for rows in TUNING["search"].values()]
    assert all(own == asked[0] for own in asked), "every init has the same budget"


def test_the_search_was_made_with_the_parameters_of_this_tree():
    assert TUNING["sections"] == tuned(params.profile())


def test_tuning_streets_are_the_parameters_own():
    streets = TUNING["tuning_streets"]
    assert all(matching(streets, params.read()["data"]["tuning"]))
    assert len(streets) == sum(street.role == "tuning" for street in plan())


def test_pictures_and_pages_are_there():
    import re

    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).is_file(), target
