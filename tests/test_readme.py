"""What the README says is what was measured: its results are the committed report's, and its rates are the search's winners."""

from collections import Counter

import numpy as np
import pytest

from xkd import ROOT, XkdError, finetune, params, student, tune
from xkd.files import read_json
from xkd.prepared import matching
from xkd.readme import BLOCKS, convergence, gains, written
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


def test_gains_by_hand():
    row = {"fraction": 0.05, "mean": 1.834, "low": 0.5, "high": 3.166}
    summary = {"differences": {"distilled": [row], "xmodel": [row | {"mean": -4.0, "low": -5.0, "high": -3.0}]}}
    scores = [{"init": "scratch", "fraction": f, "steps": s} for f, s in ((0.05, [20, 22]), (1, [30]))]
    summary |= {"scores": [*scores, {"init": "xmodel", "fraction": 0.05, "steps": [40]}]}
    assert gains(summary) == (
        "*xmodel* gains -4.00 [-5.00, -3.00] at 5 %; *distilled* gains +1.83 [+0.50, +3.17] at 5 % of the labels. "
        "Steps of fine-tuning there: 20 or 22 at 5 %, 30 at 100 %."
    )


def test_report_is_of_the_parameters_of_this_tree():
    given = REPORT["setting"]["parameters"]
    now = params.profile()
    assert given and all(now[name] == section for name, section in given.items())
    assert REPORT["setting"]["tuning"] == TUNING


def test_other_streets_had_the_same_parameters():
    other = read_json(ROOT / "docs" / "other-streets.json")
    assert other["made_up"] is None and other["setting"]["parameters"] == REPORT["setting"]["parameters"]
    assert [row["init"] for row in other["cells"]] == [row["init"] for row in REPORT["cells"]]
    same = [own["miou"] == row["miou"] for own, row in zip(REPORT["cells"], other["cells"], strict=True)]
    assert not any(same), "the report of the results, and of no other streets"


def test_learning_rates_are_the_winners_of_the_search():
    winners(TUNING, params.read()["finetune"]["lr"])


def winners(tuning, rates):
    """Holds the rates {init: [for few labels, for many]} to a search's results."""
    few = params.read()["finetune"]["few"]
    for init, rows in tuning["search"].items():
        given = rates[init]
        assert given == pytest.approx(tuning["lr"][init])
        for fraction, rate in zip((few, 1), given, strict=True):
            scores = {float(r): row[f"{fraction:g}"] for r, row in rows.items() if f"{fraction:g}" in row}
            assert rate == pytest.approx(max(scores, key=scores.get))
            assert min(scores) < rate < max(scores), "a winner at the edge extends the search"
    asked = [{(rate, fraction) for rate, row in rows.items() for fraction in row} for rows in tuning["search"].values()]
    assert all(own == asked[0] for own in asked), "every init has the same budget"


def test_the_search_in_words_has_the_search_s_own_numbers():
    """Of each row its two rates and what they score; from scratch, what the rates beside them score too."""
    few, fractions = params.read()["finetune"]["few"], params.read()["sweep"]["fractions"]

    def scored(init, fraction, beside=False):
        rows = TUNING["search"][init]
        scores = {rate: row[fraction] for rate, row in rows.items() if fraction in row}
        grid, best = sorted(scores, key=float), max(scores, key=scores.get)
        near = [grid[grid.index(best) + k] for k in (-1, 1)] if beside else []
        others = "".join(f"{mark}{rate}: {scores[rate]:.2f}" for mark, rate in zip(("; ", ", "), near, strict=False))
        return f"{best} ({scores[best]:.2f}{others})"

    for init in TUNING["search"]:
        cells = " | ".join(scored(init, fraction, init == "scratch") for fraction in (f"{few:g}", "1"))
        assert f"  | {init} | {cells} |\n" in README
    words = " ".join(README.split())
    counts = [
        {init: sum(f in row for row in rows.values()) for init, rows in TUNING["search"].items()}
        for f in (f"{few:g}", "1")
    ]
    assert [set(count.values()) for count in counts] == [{6}, {4}] and "out of the same six and the same four" in words
    steps = " and ".join(str(TUNING["steps"][f]) for f in (f"{few:g}", "1"))
    assert f"These trainings had {steps} steps" in words
    settings, frames = params.read()["finetune"], sum(street.frames for street in plan() if street.role == "train")
    counts = [str(finetune.steps(round(frames * fraction), settings)) for fraction in fractions]
    assert f"{settings['steps']['most']} at most: {', '.join(counts[:-1])} and {counts[-1]}." in words


def test_the_streets_and_frames_in_words_are_those_of_the_build():
    streets, frames = Counter(), Counter()
    for street in plan():
        streets[street.role] += 1
        frames[street.role] += street.frames
    words = " ".join(README.split())
    for said in (
        f"The labelled pool is {frames['train']} frames of {streets['train']} streets",
        f"{frames['test']} unlabelled frames of {streets['test']} more streets",
        f"; {streets['tuning']} further streets chose the learning rates and the steps",
        f"leave out the {frames['tuning']} tuning frames",
        f"and {streets['val']} streets give the numbers",
        f"pixel labels of {frames['corpus-train']} images of {streets['corpus-train']} *other* streets",
    ):
        assert said in words, said
    assert streets["val"] == REPORT["streets"] and frames["tuning"] == TUNING["tuning_frames"]


def test_the_check_of_convergence_is_whole():
    rows = TUNING["convergence"]
    assert {float(fraction) for fraction in rows} == set(params.read()["sweep"]["fractions"])
    for row in rows.values():
        assert np.mean(row["differences"]) == pytest.approx(row["miou_double"] - row["miou"], abs=0.002)
        assert len(row["differences"]) == row["seeds"]
    settings = params.read()["finetune"]
    for row in REPORT["scores"]:
        found = rows[f"{row['fraction']:g}"]
        (frames,) = set(row["frames"])
        assert found["steps"] == finetune.steps(frames, settings)
        assert found["seeds"] == tune.SUBSETS[row["fraction"] > settings["few"]]


def test_what_twice_the_steps_change_in_words():
    rows = {
        "0.05": {"miou": 50.0, "miou_double": 50.2, "differences": [0.1, 0.3], "seeds": 2},
        "1": {"miou": 60.0, "miou_double": 60.6, "differences": [0.6, 0.6, 0.6], "seeds": 3},
    }
    # t of one and of two degrees of freedom: 12.706 and 4.303.
    said = convergence({"convergence": rows})
    assert said == (
        "that changed it by +0.20 [-1.07, +1.47] points at 5 % (n 2), +0.60 [+0.60, +0.60] points at 100 % (n 3); in brackets 95 % "
        "intervals over the label subsets. At 100 % the baseline is NOT converged: twice the steps gain half a point or more, so the "
        "differences there are at equal steps and say less about labels than they would at convergence. At 5 % these label subsets "
        "cannot tell whether they gain half a point."
    )
    rows["1"] |= {"miou_double": 59.3, "differences": [-0.6, -0.6, -0.9]}  # a deviation of 0.1732, an error of 0.1
    said = convergence({"convergence": rows})
    assert "-0.70 [-1.13, -0.27] points at 100 % (n 3)" in said
    assert said.endswith(
        " At 100 % twice the steps gain less than half a point. At 5 % these label subsets cannot tell whether they gain half a point."
    )
    alone = {"0.05": {"differences": [0.1]}}
    assert "+0.10 [-inf, +inf] points at 5 % (n 1)" in convergence({"convergence": alone})


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


def test_the_size_of_the_student_is_the_default_one_s():
    network = student.build(params.read()["student"] | {"classes": ["a"] * 16}, 0)
    assert f"({sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters on the default data)" in README
