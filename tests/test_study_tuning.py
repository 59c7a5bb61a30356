"""What searches of a few rows and shares leave in study/tuning.json, by hand."""

import json

import pytest

from xkd import XkdError
from xkd.study_tuning import EMPTY, merged, read, tried, uneven

OLD = {
    "search": {"a": {"0.1": {"0.05": 1.0, "1": 5.0}, "0.2": {"0.05": 2.0}}, "b": {"0.1": {"1": 3.0}}},
    "lr": {"a": {"0.05": 0.2, "1": 0.1}, "b": {"1": 0.1}},
    "steps": {"0.05": 7, "1": 9},
    "seeds": {"0.05": [1], "1": [1, 2]},
}


def test_a_new_search_replaces_what_it_was_made_for_alone():
    table = {"a": {"0.2": {"1": 4.0}, "0.4": {"1": 6.0}}, "c": {"0.05": {"1": 8.0}, "0.1": {"1": 8.0}}}
    found = merged(OLD, table, {"1": 9}, {"1": [1, 2]})
    assert found["search"] == {
        "a": {"0.1": {"0.05": 1.0}, "0.2": {"0.05": 2.0, "1": 4.0}, "0.4": {"1": 6.0}},  # 0.1 was not tried again at 1
        "b": {"0.1": {"1": 3.0}},
        "c": {"0.05": {"1": 8.0}, "0.1": {"1": 8.0}},
    }
    assert found["lr"] == {"a": {"0.05": 0.2, "1": 0.4}, "b": {"1": 0.1}, "c": {"1": 0.05}}  # of equal ones the lowest
    assert found["steps"] == OLD["steps"] and found["seeds"] == OLD["seeds"]
    assert merged(OLD, {}, {}, {}) == OLD and merged(EMPTY, {}, {}, {}) == EMPTY


def test_a_share_without_scores_has_no_steps_and_one_with_scores_keeps_them():
    found = merged(OLD, {"b": {"0.1": {"0.02": 1.0}}}, {"0.02": 5}, {"0.02": [3]})
    assert found["steps"] == {"0.02": 5, "0.05": 7, "1": 9} and list(found["seeds"]) == ["0.02", "0.05", "1"]
    assert merged(OLD, {"a": {"0.1": {"1": 2.0}}}, {"1": 9, "0.05": 7}, OLD["seeds"])["steps"] == {"1": 9}


def test_rows_that_were_tried_with_other_rates_are_named():
    assert tried(OLD["search"], "1") == {"a": {0.1}, "b": {0.1}} and tried(OLD["search"], "1", ["a"]) == {"b": {0.1}}
    assert uneven(OLD["search"], "1") is None and uneven(OLD["search"], "0.05") is None
    table = OLD["search"] | {"b": {"0.1": {"0.05": 1.0}, "0.4": {"0.05": 1.0}}}
    assert "a: 0.4; b: 0.2; search for them too" in uneven(table, "0.05")


def test_an_edge_of_another_row_extends_the_search_of_that_alone():
    def scores(**of):
        return {"a": {f"0.{n}": {"1": 1.0} for n in (2, 3, 4)}, "b": {f"0.{n[1:]}": {"1": s} for n, s in of.items()}}

    inside = scores(r1=1.0, r2=2.0, r3=9.0, r4=3.0, r5=1.0)
    inside["a"]["0.3"]["1"] = 2.0
    assert uneven(inside, "1") is None
    inside["a"]["0.4"]["1"] = 3.0
    assert "a: 0.5; search" in uneven(inside, "1")
    inside["a"]["0.2"]["1"] = 4.0
    assert "a: 0.1; search" in uneven(inside, "1")


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"a": [1]}, r"search.a has to hold scores by rate and share and is \[1\]"),
        ({"a": {"fast": {}}}, "search.a has to hold scores by rate and share"),
        ({"a": {"0.1": 5}}, "search.a has to hold scores by rate and share"),
        ({"a": {"0.1": {"1": None}}}, "search.a has None at 1 of the labels; it has to be a number"),
        ({"a": {"0.1": {"0.5": 1.0}}}, "search.a has scores at 0.5 of the labels, but steps or seeds have not"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, search, said):
    file = tmp_path / "tuning.json"
    assert read(file) == EMPTY
    file.write_text(json.dumps(OLD))
    assert read(file) == OLD
    file.write_text(json.dumps(OLD | {"search": search}))
    with pytest.raises(XkdError, match=f"tuning.json: {said}"):
        read(file)
