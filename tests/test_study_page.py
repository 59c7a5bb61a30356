"""The study's page: its figures, and that the pages say what docs/study/study.json holds."""

import io

import numpy as np
import pytest
from PIL import Image
from test_study_words import BLOCKS, FOUND, line

from xkd import ROOT, XkdError, params, study_figure, study_page, study_report
from xkd.files import read_json
from xkd.study import ROWS


def test_a_panel_of_one_seed_of_none_and_of_a_new_objective():
    alone = line("xmodel", 0.01, 36.0, 6.0, n=1), line("mine", 0.1, 50.0, 3.0, 1.0, 5.0)
    blocks = dict.fromkeys(ROWS, []) | {"pretraining": list(alone)}
    drawn = [study_figure.gains(own, {"pretraining": "a"}) for own in (blocks, dict.fromkeys(ROWS, []))]
    assert all(Image.open(io.BytesIO(picture)).format == "PNG" for picture in drawn) and drawn[0] != drawn[1]


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
