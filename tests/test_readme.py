"""What the README says is what was measured: its results are the committed report's, and its rates are the search's winners."""

import numpy as np
import pytest

from xkd import ROOT, XkdError, params
from xkd.files import read_json
from xkd.prepared import matching
from xkd.readme import BLOCKS, convergence, written
from xkd.report import tuned
from xkd.sim.write import plan

README = (ROOT / "README.md").read_text()
REPORT = read_json(ROOT / "docs" / "results" / "report.json")
TUNING = read_json(ROOT / "docs" / "tuning.json")


@pytest.mark.parametrize("page", BLOCKS)
def test_results_are_those_of_the_committed_reports(page):
    text = (ROOT / page).read_text()
    assert written(page, text) == text
    assert REPORT["made_up"] is None


def test_a_block_is_written_between_its_markers_alone():
    marked = [f"before <!-- {name}: by hand -->old<!-- end of {name} --> after" for name in BLOCKS["README.md"]]
    text = written("README.md", "\n".join(marked))
    assert (
        text.count("before <!--") == text.count("<!-- end of") == text.count("--> after") == len(marked)
        and "old" not in text
    )
    for broken in ("\n".join(marked[1:]), "\n".join([*marked, marked[0]])):
        with pytest.raises(XkdError, match="README.md: the markers of the block 'results' are not there once"):
            written("README.md", broken)


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


def test_twice_the_steps_gain_less_than_half_a_point_in_the_mean():
    assert "less than half a point at every fraction" in README
    rows = TUNING["convergence"]
    assert {float(fraction) for fraction in rows} == set(params.read()["sweep"]["fractions"])
    for row in rows.values():
        assert np.mean(row["differences"]) == pytest.approx(row["miou_double"] - row["miou"], abs=0.002)
        assert np.mean(row["differences"]) < 0.5


def test_what_twice_the_steps_change_in_words():
    rows = {
        "0.05": {"miou": 50.0, "miou_double": 50.2, "differences": [0.1, 0.3], "seeds": 2},
        "1": {"miou": 60.0, "miou_double": 60.6, "differences": [0.6, 0.6, 0.6], "seeds": 3},
    }
    said = convergence({"convergence": rows})
    assert said.startswith("that changed it by +0.20 ± 0.10 points at 5 % (n 2), +0.60 ± 0.00 points at 100 % (n 3). ")
    assert "The baseline is NOT converged at 100 %" in said and "At 5 % the baseline is converged" in said


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
