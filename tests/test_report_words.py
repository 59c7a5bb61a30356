"""What the report says where numbers rest on little: convergence, one seed, no interval, no tuning, a start that is missing."""

import pytest
from cell_files import cells_of

from xkd import XkdError, figures, page, plots, report, teachers, words
from xkd.summary import summarise


@pytest.mark.parametrize(
    ("differences", "says", "found"),
    [
        # t of one and of two degrees of freedom: 12.706 and 4.303.
        ([0.5, 0.5], "+0.50 [+0.50, +0.50]", "At 5 % the baseline is NOT converged:"),
        ([0.4, 0.4], "+0.40 [+0.40, +0.40]", "At 5 % twice the steps gain less than half a point."),
        ([-0.4, -0.6], "-0.50 [-1.77, +0.77]", "At 5 % these label subsets cannot tell"),
        ([-0.6, -0.6, -0.9], "-0.70 [-1.13, -0.27]", "At 5 % twice the steps gain less than half a point."),
        ([0.6, 0.6, 0.9], "+0.70 [+0.27, +1.13]", "At 5 % these label subsets cannot tell"),
        ([0.9, 0.9, 1.2], "+1.00 [+0.57, +1.43]", "At 5 % the baseline is NOT converged:"),
        ([0.6], "+0.60", "At 5 % these label subsets cannot tell"),
    ],
)
def test_one_rule_says_whether_the_baseline_is_converged(differences, says, found):
    row = {"steps": 900, "miou": 60.0, "miou_double": 60 + sum(differences) / len(differences)}
    row |= {"seeds": len(differences), "differences": differences}
    said = words.tuning_text({"setting": {"tuning": {"convergence": {"0.05": row}}}, "fractions": [0.05, 0.25]})
    says += f", n {len(differences)}" * (len(differences) > 1)
    assert f"({says})." in said[0] and said[1].startswith(found)
    assert said[2].startswith("At 25 % the check was not run") and len(said) == 3


def test_every_teacher_has_words():
    assert set(words.TEACHERS) == set(teachers.names())
    assert all(words.TEACHERS[name] in words.teacher_text({"name": name}) for name in teachers.names())


def test_one_seed_and_one_street_claim_no_interval(tmp_path):
    right = {(0.5, "scratch", 0): [4], (0.5, "distilled", 0): [6]}
    summary = summarise(report.collect(cells_of(tmp_path / "out", right, streets=["a"])), draws=10)
    assert not summary["street_variance"] and summary["scores"][0]["street_error"] is None
    row = summary["differences"]["distilled"][0]
    assert (row["mean"], row["low"], row["high"], row["sd"]) == (10, None, None, None)
    assert "for want of a second seed, 1 seed)" in words.headline(summary)[0]
    assert "There are no intervals" in " ".join(words.method(summary))
    right |= {(0.5, "scratch", 1): [4], (0.5, "distilled", 1): [7]}
    summary = summarise(report.collect(cells_of(tmp_path / "two", right, streets=["a"])), draws=10)
    assert "2 seeds)" in words.headline(summary)[0] and "seeds alone" in " ".join(words.method(summary))


@pytest.mark.parametrize("count", [1, 2])
def test_one_seed_is_called_a_demonstration_and_no_figure_speaks_of_intervals(tmp_path, count):
    right = {
        (0.5, init, seed): [found, found] for init, found in (("scratch", 4), ("distilled", 6)) for seed in range(count)
    }
    cells = report.collect(cells_of(tmp_path / "out", right))
    summary = summarise(cells, draws=10) | {"setting": {}}
    curve, gains = plots.curve(summary), plots.gains(summary, cells.colours)
    texts = [note.text for note in curve.layout.annotations] + [gains.layout.title.text]
    drawn = [figures.curve(summary), figures.gains(summary, cells.colours)]
    texts += [axis.get_title() for axis in drawn[0].axes] + [drawn[1].get_supxlabel()]
    about = [text for text in texts if "minus from scratch" in text or "aired difference" in text]
    assert len(about) == 4 and [("interval" in text) for text in about] == [count == 2] * 4
    assert sum("one seed" in text for text in texts) == (2 if count == 1 else 0)
    text, table = page.html(cells, summary, []), words.markdown(summary)
    assert text.count('<p class="warn">A demonstration: all numbers are of one seed') == (count == 1)
    assert ("**A demonstration: all numbers are of one seed" in table.partition("| labels")[0]) == (count == 1)
    assert ("interval does not touch zero" in text) == (count == 2)
    assert "student named in the title labels better" in text


def test_an_interval_with_zero_is_called_so():
    row = {"fraction": 0.1, "mean": 1.0, "n": 5, "low": -0.5, "high": 2.5}
    summary = {"differences": {"distilled": [row]}, "labels_saved": {"distilled": [{"fraction": 0.1, "factor": None}]}}
    assert "includes zero" in words.headline(summary)[0]
    row["low"] = 0.5
    summary |= {"baseline": "scratch", "fractions": [0.1, 1], "scores": []}
    for init, fraction, mean in (("scratch", 0.1, 40.0), ("scratch", 1, 45.0), ("distilled", 0.1, 41.0)):
        summary["scores"].append({"init": init, "fraction": fraction, "mean": mean})
    assert "includes zero" not in words.headline(summary)[0] and "reach" not in words.headline(summary)[0]
    summary["scores"][-1]["mean"] = 45.5
    assert words.headline(summary)[0].endswith(" Scratch does not reach that score with 100 % of the labels.")


def test_only_the_baseline_compares_nothing(tmp_path):
    right = {(0.5, "scratch", 0): [4, 5]}
    summary = report.build(
        cells_of(tmp_path / "out", right), tmp_path / "report", {"report": {"draws": 9, "frames": 0}}
    )
    assert summary["differences"] == {} and "Nothing to compare" in words.headline(summary)[0]
    assert not (tmp_path / "report" / "gains.png").exists() and (tmp_path / "report" / "curve.png").exists()


def test_a_seed_that_one_start_lacks_is_not_paired(tmp_path):
    right = {(0.5, "scratch", s): [4, 4] for s in range(3)} | {(0.5, "distilled", s): [5, 5] for s in (0, 2)}
    summary = summarise(report.collect(cells_of(tmp_path / "out", right)), draws=9)
    assert [score["n"] for score in summary["scores"]] == [3, 2] and summary["differences"]["distilled"][0]["n"] == 2


def test_an_unknown_parameter_is_refused():
    with pytest.raises(XkdError, match="report.drawz"):
        report.settings({"drawz": 5})
