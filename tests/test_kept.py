"""JSON that a stage left and that lacks a key, or is of another kind: who looks at it later says which file and which key."""

import json
import re

import pytest

import xkd
from xkd import XkdError, hub, kept, readme, tune
from xkd.__main__ import main
from xkd.files import digest, write_json
from xkd.real import page

REPORT = {
    "cells": [{"fraction": 1, "init": "scratch", "seed": 0, "miou": 50.0}],
    "scores": [{"fraction": 1, "init": "scratch"}],
    "differences": {},
    "labels_saved": {},
    "setting": {},
}


def without(values, key):
    return {name: value for name, value in values.items() if name != key}


def test_a_key_is_named_with_its_place(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"rows": [{"mean": 1}, {"sd": 2}], "n": 3, "x": 1.5, "there": True, "none": None})
    found = kept.facts(path, rows=[dict], n=int, x=float, there=bool)
    assert found == json.loads(path.read_text()) and found["rows"][1]["sd"] == 2
    assert found["rows"][1].get("mean") is None and kept.facts(path, n=float)["n"] == 3
    with pytest.raises(XkdError, match=re.escape(f"{path}: has no key rows.1.mean.")):
        found["rows"][1]["mean"]
    for kinds, words in (
        ({"rows": dict}, "rows has to be an object and is "),
        ({"rows": [list]}, "rows has to be a list, each a list and is "),
        ({"none": [dict]}, "none has to be a list, each an object and is 'None'"),
        ({"there": int}, "there has to be a whole number and is 'True'"),
        ({"x": int}, "x has to be a whole number and is '1.5'"),
        ({"m": int}, "has no key m."),
    ):
        with pytest.raises(XkdError, match=re.escape(f"{path}: {words}")):
            kept.facts(path, **kinds)


@pytest.mark.parametrize("value, words", [([1, 2], "holds '[1, 2]'"), ("text", "holds 'text'"), (None, "holds 'None'")])
def test_another_kind_of_json_is_said(value, words, tmp_path):
    write_json(tmp_path / "a.json", value)
    with pytest.raises(XkdError, match=re.escape(f"{tmp_path / 'a.json'}: has to hold an object and {words}")):
        kept.facts(tmp_path / "a.json")


@pytest.mark.parametrize("damaged", [*REPORT, "list"])
def test_a_report_for_the_readme(damaged, tmp_path, monkeypatch, capsys):
    results = tmp_path / "docs" / "results"
    results.mkdir(parents=True)
    (tmp_path / "README.md").write_text("<!-- results: x -->\nold\n<!-- end of results -->")
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    write_json(results / "report.json", [REPORT] if damaged == "list" else without(REPORT, damaged))
    status, said = readme.main([]), capsys.readouterr().err
    if damaged in ("cells", "setting"):  # of which the README quotes nothing; what a score lacks is said
        damaged = "scores.0.frames"
    assert status == 1 and said.startswith(f"xkd: {results / 'report.json'}: ")
    assert "has to hold an object" in said if damaged == "list" else f"has no key {damaged}." in said
    assert "old" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("damaged", ["cells", "scores", "differences", "setting", "list"])
def test_a_report_for_the_hub(damaged, tmp_path, monkeypatch, capsys):
    path = tmp_path / "docs" / "results" / "report.json"
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    write_json(path, [REPORT] if damaged == "list" else without(REPORT, damaged))
    assert hub.main(["--out", str(tmp_path / "hub")]) == 1
    said = capsys.readouterr().err
    words = "has to hold an object" if damaged == "list" else f"has no key {damaged}."
    assert said.startswith(f"xkd: {path}: {words}") and not (tmp_path / "hub").exists()


METRICS = {"fraction": 1, "init": "scratch", "seed": 0, "miou": 50.0, "iou": {}}


@pytest.mark.parametrize("key", METRICS)
def test_the_metrics_of_a_cell_for_the_hub(key, tmp_path):
    write_json(tmp_path / "report.json", REPORT)
    path = tmp_path / "metrics" / "finetune-1-scratch-0.json"
    write_json(path, without(METRICS, key))
    with pytest.raises(XkdError, match=re.escape(f"{path}: has no key {key}.")):
        hub.write("1-scratch-0", tmp_path / "hub", tmp_path, tmp_path)


def test_a_cell_without_its_row_in_the_table_is_none_of_the_report(tmp_path):
    write_json(tmp_path / "report.json", REPORT | {"scores": []})
    write_json(tmp_path / "metrics" / "finetune-1-scratch-0.json", METRICS)
    with pytest.raises(XkdError, match="says nothing of the cell 1-scratch-0"):
        hub.write("1-scratch-0", tmp_path / "hub", tmp_path, tmp_path)


@pytest.mark.parametrize("found, words", [({"lr": {}}, "has no key sections."), ({"sections": {}}, "has no key lr."),
                                          ({"sections": {}, "lr": [1]}, "lr has to be an object"), (3, "holds '3'")])  # fmt: skip
def test_a_search_whose_convergence_is_checked(found, words, tmp_path, capsys):
    path = tmp_path / "tuning.json"
    write_json(path, found)
    assert tune.main([str(path), "--check"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"xkd: {path}: ") and words in said


@pytest.mark.parametrize(
    "facts, words", [({"mean": [0.0]}, "has no key dim."), ({"dim": "16"}, "dim has to be a whole number")]
)
def test_features_that_are_whole_and_say_too_little(facts, words, tmp_path, capsys):
    split = tmp_path / "train"
    write_json(split / "features.json", facts | {"digest": digest(facts)})
    assert main(["teachers", "--verify", str(tmp_path)]) == 1
    assert f"xkd: {split / 'features.json'}: {words}" in capsys.readouterr().err


@pytest.mark.parametrize("found, words", [([], "holds '[]'"), ({"distilled": {}}, "has no key superpixels.")])
def test_the_numbers_of_a_run_on_real_frames(found, words, tmp_path):
    path = tmp_path / "out" / "real.json"
    assert page.known(tmp_path) is None
    write_json(path, found)
    with pytest.raises(XkdError, match=re.escape(str(path)) + ".*" + re.escape(words)):
        page.known(tmp_path)
    write_json(path, {"distilled": {}, "superpixels": {}})
    with pytest.raises(XkdError, match=re.escape(f"{path}: has no key frames.")):
        page.lines(page.known(tmp_path))
