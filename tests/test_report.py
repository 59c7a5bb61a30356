"""The report: what it reads, what it refuses, and that its numbers are those of the cells."""

import json
import re

import numpy as np
import pytest
from cell_files import cells_of

from xkd import XkdError, report, words
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


def test_one_label_subset_cannot_tell_whether_the_baseline_is_converged(built):
    said = "\n".join(words.method(built[1]))
    assert "At 10 %, 100 % these label subsets cannot tell whether they gain half a point." in said
    unknown = " ".join(words.tuning_text({"setting": {"tuning": {"tuning_frames": 80}}}))
    assert "was not checked" in unknown and "was not checked" not in said


def test_tuning_frames_stand_in_the_table(built):
    assert {row[1].partition(" ")[2] for row in words.main_table(built[1])[1]} == {"(+ 12 for tuning)"}


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


def test_invented_cells_are_the_same_every_time_and_stay_in_the_smoke_folder(trial, tmp_path):
    again = made_cells(tmp_path / "x", fractions=(0.1, 1.0), seeds=2, streets=3)
    files = [path.relative_to(trial) for path in sorted(trial.rglob("*")) if path.is_file()]
    assert len(files) > 20 and all((trial / f).read_bytes() == (again / f).read_bytes() for f in files)
    assert report.inputs(tmp_path) == tmp_path
