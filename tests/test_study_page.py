"""The study's page: its tables and verdicts by hand, its figure, and that the pages say what docs/study/study.json holds."""

import io

import numpy as np
import pytest
from PIL import Image

from xkd import ROOT, XkdError, params, study_figure, study_page, study_report
from xkd.files import read_json
from xkd.study import ROWS


def line(row, fraction, mean, difference=None, low=None, high=None, baseline="pretraining scratch", n=5):
    found = {"row": row, "fraction": fraction, "mean": mean, "sd": 1.0, "n": n, "pairs": n, "difference": difference}
    return found | {"low": low, "high": high, "baseline": baseline if difference is not None else ""}


BLOCKS = dict.fromkeys(ROWS, []) | {
    "pretraining": [
        line("scratch", 0.01, 30.0),
        line("scratch", 0.25, 60.0),
        line("xmodel", 0.01, 36.0, 6.0, 2.0, 10.0),
        line("xmodel", 0.25, 63.0, 3.0, 1.0, 5.0),
    ],
    "unlabelled": [line("xmodel", 0.01, 38.0, 8.0, -1.0, 17.0)],
}
FOUND = {"size": "Of five streets.", "blocks": BLOCKS, "versus": []}
FOUND["fewer"] = [
    {
        "row": "xmodel",
        "block": "pretraining",
        "fraction": 0.25,
        "scratch": 1,
        "difference": 0.0,
        "low": -1,
        "high": 1,
        "pairs": 5,
    }
]


def test_a_target_is_reached_where_the_gain_is_large_enough_and_above_zero():
    said = study_page.targets(FOUND).strip().splitlines()[2:]
    assert [text.rpartition("|")[0].rpartition("| ")[2].strip() for text in said] == [
        "reached",  # 6 of 5, from 2 on
        "**missed**",  # 3 of 4
        "**missed**",  # 8 of 5, but the interval holds zero
        "reached",  # equal to scratch with all labels
    ]
    assert "| `xmodel` at 1 % over scratch | +5 | +6.00 [+2.00, +10.00] (n 5) |" in said[0]
    assert "`xmodel` at 25 % over scratch at 100 % | 0 | +0.00 [-1.00, +1.00]" in said[-1]


def test_other_objectives_and_the_network_with_images_are_targets_too():
    over = {"row": "xmodel", "block": "pretraining", "over": "ppkt", "fraction": 0.25, "difference": -1.0, "pairs": 5}
    better, worse = over | {"low": -2.0, "high": 0.5}, over | {"low": -1.5, "high": -0.5}
    images = {"images": [line("fused", 0.01, 40.0, 1.9, 1.0, 2.8)]}
    said = study_page.targets(FOUND | {"versus": [better], "blocks": BLOCKS | images})
    assert "`xmodel` no worse than any of 1 objectives | 0 |  | reached" in said
    assert "`fused` at 1 % over scratch | +2 | +1.90 [+1.00, +2.80] (n 5) | **missed**" in said
    said = study_page.targets(FOUND | {"versus": [better, worse]})
    assert (
        "no worse than ppkt | 0 | -1.00 [-1.50, -0.50] (n 5) | **missed**" in said and "no worse than any" not in said
    )
    baseline = over | {"over": "scratch-long", "low": -2.0, "high": -1.0}  # no objective
    assert "no worse" not in study_page.targets(FOUND | {"versus": [baseline]})


def test_one_seed_has_no_interval_and_no_verdict_but_missed():
    alone = line("xmodel", 0.01, 36.0, 6.0, n=1)
    blocks = dict.fromkeys(ROWS, []) | {"pretraining": [alone, line("xmodel", 0.1, 50.0, 3.0, 1.0, 5.0)]}
    (said,) = study_page.targets(FOUND | {"blocks": blocks, "fewer": []}).strip().splitlines()[2:]
    assert said.endswith("+6.00 – (n 1) | **missed** |")  # a share that has no target is left out
    study_figure.gains(blocks, {"pretraining": "a"})
    study_figure.gains(dict.fromkeys(ROWS, []), {"pretraining": "a"})


def test_a_block_is_a_table_with_its_baselines():
    said = study_page.tables(FOUND)
    assert "Of five streets." in said and "Frozen features" not in said  # no cell, no table
    assert "| xmodel | 36.00 ± 1.00<br>+6.00 [+2.00, +10.00] | 63.00 ± 1.00<br>+3.00 [+1.00, +5.00] |" in said
    assert "| scratch | 30.00 ± 1.00 | 60.00 ± 1.00 |" in said
    assert "over 5 seeds; below it" in said and "(1 %: pretraining scratch; 25 %: pretraining scratch)" in said
    few = study_page.scores([*BLOCKS["pretraining"], line("cosine", 0.01, 33.0, n=3)])
    assert "| cosine | 33.00 ± 1.00 (n 3) | – |" in few and "30.00 ± 1.00 (n 5)" in few and "over n seeds" in few


def test_twice_the_steps_are_told_where_both_have_the_same_seeds():
    own, long = line("scratch", 0.25, 68.4), line("scratch-long", 0.25, 69.1)
    few = line("scratch-long", 1, 72.0, n=3)
    blocks = BLOCKS | {"pretraining-full": [own, line("scratch", 1, 70.0), long, few]}
    said = study_page.longer(FOUND | {"blocks": blocks})
    assert said == "The study has the same on the validation streets: +0.70 points at 25 % (n 5)."
    assert study_page.longer(FOUND) == ""


def test_numbers_are_plain():
    assert [study_page.plain(v) for v in (np.float64(1.239), np.int64(3), float("nan"), None, "a")] == [
        1.24,
        3,
        None,
        None,
        "a",
    ]


def test_the_figure_has_a_panel_for_each_block_with_gains_and_equal_bytes():
    titles = {block: block for block in ("pretraining", "unlabelled", "images")}
    first, second = (study_figure.gains(BLOCKS, titles) for _ in range(2))
    assert first == second
    image = np.asarray(Image.open(io.BytesIO(first)).convert("RGB"))
    two, one = (study_figure.gains(BLOCKS | {"unlabelled": own}, titles) for own in (BLOCKS["unlabelled"], []))
    heights = [Image.open(io.BytesIO(data)).size[1] for data in (two, one)]
    assert heights[0] > 1.5 * heights[1]
    blue = (np.abs(image.astype(int) - [0, 0x72, 0xB2]).sum(2) < 30).sum()  # xmodel's colour
    assert blue > 200


def test_a_page_without_its_markers_is_named(monkeypatch, tmp_path):
    (tmp_path / "docs").mkdir()
    for page in study_page.BLOCKS:
        (tmp_path / page).write_text("nothing")
    monkeypatch.setattr(study_page.xkd, "ROOT", tmp_path)
    with pytest.raises(XkdError, match="the markers of the block 'study' are not there once"):
        study_page.write(FOUND)


def test_the_pages_hold_what_was_measured(monkeypatch, tmp_path):
    """As in a checkout of its own: the pages come out as they are."""
    found = read_json(ROOT / "docs" / "study" / "study.json")
    texts = {page: (ROOT / page).read_text() for page in study_page.BLOCKS}
    (tmp_path / "docs").mkdir()
    for page, text in texts.items():
        (tmp_path / page).write_text(text)
    monkeypatch.setattr(study_page.xkd, "ROOT", tmp_path)
    study_page.write(found)
    assert {page: (tmp_path / page).read_text() for page in texts} == texts


def test_the_measured_scores_are_those_of_the_committed_cells():
    """Every mean and n of the page, from the files of the cells themselves; intervals need the data, which the page was made with."""
    found = read_json(ROOT / "docs" / "study" / "study.json")
    count = 0
    for block, rows in found["blocks"].items():
        for row in rows:
            if " " in row["row"]:  # another block's, shown for as many seeds as this one has
                continue
            cells = [
                read_json(file)["miou"]
                for file in (ROOT / "study" / "metrics" / block).glob(f"{row['row']}-{row['fraction']:g}-*.json")
            ]
            assert row["n"] <= len(cells)
            if row["n"] == len(cells):
                assert row["mean"] == pytest.approx(np.mean(cells), abs=0.006)
                count += 1
    own = [row["n"] for rows in found["blocks"].values() for row in rows if " " not in row["row"]]
    assert count and found["cells"] == sum(own)


def test_a_parameter_that_is_none_is_named(monkeypatch, capsys):
    sections = params.profile()
    sections["study"]["full"] = {"fraction": [1]}
    monkeypatch.setattr(study_page, "profile", lambda: sections)
    assert study_page.main([]) == 1
    assert "study.full.fraction is an unknown parameter; there are fractions" in capsys.readouterr().err


def test_it_says_what_is_missing(monkeypatch, capsys):
    def collect(*given, **where):
        raise XkdError("holds no cell of this study")

    monkeypatch.setattr(study_report, "collect", collect)
    assert study_page.main([]) == 1 and "holds no cell of this study" in capsys.readouterr().err
