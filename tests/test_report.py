"""The report: what it reads, what it refuses, and that its numbers are those of the cells."""

import json
import re

import numpy as np
import pytest
from cell_files import cells_of

from xkd import XkdError, figures, page, plots, report, teachers, words
from xkd.files import read_json, write_json
from xkd.made_cells import made_cells
from xkd.summary import summarise

SECTIONS = {
    "data": {"kind": "nuscenes", "root": "data/nuscenes", "validation": "val"},
    "teacher": {"name": "mini"},
    "report": {"draws": 40, "frames": 1},
}
TUNING = {
    "convergence": {
        f: dict(steps=n, miou=a, miou_double=b) for f, n, a, b in (("1", 900, 60, 61.25), ("0.1", 300, 40, 39.5))
    },
    "search": {
        i: {"0.004": {"0.1": a}, "0.008": {"0.1": b}} for i, a, b in (("scratch", 30, 31), ("distilled", 35, 33))
    },
    "steps": {"0.1": 300},
    "tuning_frames": 12,
    "tuning_streets": ["scene-0001", "scene-0002"],
}


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return made_cells(tmp_path_factory.mktemp("made") / "out", fractions=(0.1, 1.0), seeds=2, streets=3)


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """SECTIONS with the root of a made data set."""
    root = tmp_path_factory.mktemp("data") / "nuscenes"
    (root.parent / "xkd-sim.json").touch()
    return SECTIONS | {"data": SECTIONS["data"] | {"root": str(root)}}


@pytest.fixture(scope="module")
def built(trial, sections, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_json(folder / "tuning.json", TUNING | {"sections": report.tuned(sections)})
    return folder / "out", report.build(trial, folder / "out", sections, folder / "tuning.json")


def test_a_summary_by_hand(tmp_path):
    right = {
        (0.1, "scratch", 0): [4, 4],
        (0.1, "distilled", 0): [6, 6],
        (0.1, "scratch", 1): [4, 2],
        (0.1, "distilled", 1): [8, 6],
    }
    right |= {
        (1.0, "scratch", 0): [8, 8],
        (1.0, "distilled", 0): [8, 8],
        (1.0, "scratch", 1): [8, 8],
        (1.0, "distilled", 1): [8, 8],
    }
    summary = summarise(report.collect(cells_of(tmp_path / "out", right)), draws=4000)
    low, _, high, _ = summary["scores"]
    assert (low["init"], low["mean"], low["n"], low["frames"]) == ("scratch", 17.5, 2, [4])
    assert low["sd"] == pytest.approx(2.5 * np.sqrt(2), abs=0.01) and high["mean"] == 40
    # gains 10 and 20 at 10 % and none at 100 %: 15 +- t(2) * sqrt(50 / 2 / 2), the same on each street but seed 1's
    gain, none = summary["differences"]["distilled"]
    assert (gain["mean"], gain["n"], gain["df"], none["mean"]) == (15, 2, 2, 0)
    assert gain["sd_pooled"] == 5 and gain["street_sd"] == 0
    assert gain["high"] == pytest.approx(15 + 4.303 * 5 / np.sqrt(2), abs=0.01)
    # seed 1 of scratch scores 20 and 10 on its streets, a standard error of 5, seed 0 the same on both
    assert low["street_error"] == pytest.approx(2.5, rel=0.05)
    # 32.5 lies two thirds of the way from 17.5 to 40
    assert summary["labels_saved"]["distilled"][0] == {"fraction": 0.1, "matched_by": 0.46, "factor": 4.6}
    road, car = summary["classes"]
    assert road["iou"]["scratch"][0] == {"fraction": 0.1, "mean": 35.0} and car["iou"]["scratch"][0]["mean"] == 0
    assert road["difference"]["distilled"][0]["mean"] == 30 and road["difference"]["distilled"][0]["street_sd"] == 0
    assert [row["missing"] for row in summary["coverage"]] == [["car"]] * 4


def test_numbers_are_those_of_the_cells(trial, built):
    out, summary = built
    assert read_json(out / "report.json") == json.loads(json.dumps(summary))
    for score in summary["scores"]:
        files = sorted((trial / "metrics").glob(f"finetune-{score['fraction']:g}-{score['init']}-*.json"))
        assert score["n"] == len(files) == 2
        assert score["mean"] == pytest.approx(np.mean([read_json(file)["miou"] for file in files]), abs=0.01)
    for row, seed in zip(summary["differences"]["distilled"], (0.1, 1.0), strict=True):
        pairs = [
            [read_json(trial / "metrics" / f"finetune-{seed:g}-{i}-{s}.json")["miou"] for s in (0, 1)]
            for i in ("distilled", "scratch")
        ]
        assert row["mean"] == pytest.approx(np.mean(pairs[0]) - np.mean(pairs[1]), abs=0.011)


def test_every_number_of_the_table_is_in_the_json(built):
    out, summary = built
    known = {
        f"{abs(value):.2f}"
        for value in re.findall(r"\d+(?:\.\d+)?", (out / "report.json").read_text())
        for value in [float(value)]
    }
    assert set(re.findall(r"\d+\.\d\d", (out / "table.md").read_text())) - known <= {
        "0.50",
        "1.25",
        "40.00",
    }  # worked out from the tuning record


def test_the_page_stands_alone(built):
    text = (built[0] / "report.html").read_text()
    assert text.count("* plotly.js v") == 1 and len(text) < 6e6
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text)
    for name in ("curve", "gains", "confusion", "frames", "coverage"):
        assert text.count(f'<div id="{name}"') == 1
    assert "Made-up numbers" in text and "Made-up numbers" in (built[0] / "table.md").read_text()


def test_the_columns_of_the_class_table_are_told_apart(built):
    header, rows = words.class_table(built[1])
    of = {
        share: [f"{name}, {share}" for name in ("from scratch", "distilled", "xmodel")] for share in ("10 %", "100 %")
    }
    gains = {share: [f"distilled - scratch, {share}", f"xmodel - scratch, {share}"] for share in of}
    assert header == ["class", *of["10 %"], *gains["10 %"], *of["100 %"], *gains["100 %"]]
    assert all(len(row) == len(header) for row in rows)


def test_a_wide_table_scrolls_inside_the_page(built):
    text = (built[0] / "report.html").read_text()
    assert ".table{overflow-x:auto}" in text.partition("</style>")[0]
    assert text.count("<table>") == text.count('<div class="table"><table>') == text.count("</table></div>") == 3


def test_the_same_cells_give_the_same_bytes(trial, built, sections, tmp_path):
    report.build(trial, tmp_path, sections, built[0].parent / "tuning.json")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in built[0].iterdir()) and len(names) == 8
    for name in names:
        assert (tmp_path / name).read_bytes() == (built[0] / name).read_bytes(), name


def test_what_the_numbers_rest_on_is_said(built):
    said = "\n".join(words.method(built[1]))
    assert "made data set" in said and "small 2D network trained here" in said
    assert "plus 12 tuning frames (from 2 training streets)" in said
    assert "at 10 % of the labels (300 steps), of the same rates for every row (0.004, 0.008)" in said
    assert "distilled 0.004, scratch 0.008." in said
    assert "10 %: 40.00 at 300 steps, 39.50 at 600 (-0.50); 100 %: 60.00 at 900 steps, 61.25 at 1800 (+1.25)" in said
    assert "and its own distillation" in said and "3 validation streets" in said and "2 decimals" in said


def test_a_baseline_that_is_not_converged_is_called_so(built):
    said = "\n".join(words.method(built[1]))
    # Twice the steps take exactly 0.5 points from 10 % and give 1.25 to 100 %.
    assert "NOT converged at 100 %:" in said and "At 10 % more steps do not help: twice as many lose 0.5 points" in said
    unknown = " ".join(words.tuning_text({"setting": {"tuning": {"tuning_frames": 80}}}))
    assert "was not checked" in unknown and "was not checked" not in said


@pytest.mark.parametrize(
    ("differences", "says", "found"),
    [
        ([0.5, 0.5], "+0.50 ± 0.00", "The baseline is NOT converged at 5 %:"),
        ([0.4, 0.4], "+0.40 ± 0.00", "At 5 % the baseline is converged:"),
        ([-0.4, -0.6], "-0.50 ± 0.10", "At 5 % more steps do not help:"),
        # The error of two numbers' mean is half of what lies between them: half a point is not larger than half a point.
        ([0.0, 1.0], "+0.50 ± 0.50", "The baseline is NOT converged at 5 %:"),
        ([0.0, 1.02], "+0.51 ± 0.51", "At 5 % the seeds cannot tell"),
        ([-2.0, -0.8], "-1.40 ± 0.60", "At 5 % the seeds cannot tell"),
        ([-0.6, 0.6], "+0.00 ± 0.60", "At 5 % the seeds cannot tell"),
        ([-2.0, -1.0, 0.0], "-1.00 ± 0.58", "At 5 % the seeds cannot tell"),  # a deviation of 1, over the root of 3
        ([0.6], "+0.60", "The baseline is NOT converged at 5 %:"),
    ],
)
def test_one_rule_says_whether_the_baseline_is_converged(differences, says, found):
    row = {"steps": 900, "miou": 60.0, "miou_double": 60 + sum(differences) / len(differences)}
    row |= {"seeds": len(differences), "differences": differences}
    said = words.tuning_text({"setting": {"tuning": {"convergence": {"0.05": row}}}, "fractions": [0.05, 0.25]})
    says += f", n {len(differences)}" * (len(differences) > 1)
    assert f"({says})." in said[0] and said[1].startswith(found)
    assert said[2].startswith("At 25 % the check was not run") and len(said) == 3


def test_tuning_frames_stand_in_the_table(built):
    assert {row[1].partition(" ")[2] for row in words.main_table(built[1])[1]} == {"(+ 12 for tuning)"}


def test_every_teacher_has_words():
    assert set(words.TEACHERS) == set(teachers.names())
    assert all(words.TEACHERS[name] in words.teacher_text({"name": name}) for name in teachers.names())


def test_a_tuning_record_of_other_data_does_not_count(built, sections):
    for name, change in (
        ("data", {"kind": "semantickitti"}),
        ("teacher", {"name": "random"}),
        ("distill", {"steps": 9}),
    ):
        other = sections | {name: sections.get(name, {}) | change}
        assert report.setting(other, built[0].parent / "tuning.json")["tuning"] is None
    assert report.tuned({"finetune": {"lr": 1, "batch": 2}}) == {"finetune": {"batch": 2}}


def test_a_cell_outside_the_sweep_does_not_count_and_a_missing_one_is_named(trial):
    sweep = {"fractions": [0.1], "inits": ["scratch", "distilled"], "seeds": [0]}
    assert report.collect(trial, "val", sweep).inits == ["scratch", "distilled", "xmodel"]
    with pytest.raises(XkdError, match="finetune-0.1-scratch-7.json: no such file"):
        report.collect(trial, "val", sweep | {"seeds": [7]})


def test_without_a_tuning_record_it_says_so(tmp_path):
    summary = {"setting": report.setting({}, tmp_path / "none.json")}
    (said,) = words.tuning_text(summary)
    assert (
        "docs/tuning.json is not of these data and this training, or is not there: rates were not searched here" in said
    )
    unequal = TUNING | {"search": TUNING["search"] | {"scratch": {"0.1": {"0.1": 1.0}}}}
    assert "DIFFERENT rates" in " ".join(words.tuning_text({"setting": {"tuning": unequal}}))


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
    assert "includes zero" not in words.headline(summary)[0]


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


def test_invented_cells_are_the_same_every_time_and_stay_in_the_smoke_folder(trial, tmp_path):
    again = made_cells(tmp_path / "x", fractions=(0.1, 1.0), seeds=2, streets=3)
    files = [path.relative_to(trial) for path in sorted(trial.rglob("*")) if path.is_file()]
    assert len(files) > 20 and all((trial / f).read_bytes() == (again / f).read_bytes() for f in files)
    assert report.inputs(tmp_path) == tmp_path
