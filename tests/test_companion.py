"""A training beside another: it is the same training, it is waited for, and it ends with the one that started it."""

import os
import time

import pytest

import xkd
from xkd import companion, finetune
from xkd.prepared import Prepared
from xkd.subsets import subset
from xkd.train import finished


def leave_word(path, seconds):
    time.sleep(seconds)
    path.write_text(str(os.getpid()))


def test_turned():
    assert companion.turned([0, 1, 2, 3], 2) == [2, 3, 0, 1]


def test_a_job_runs_elsewhere_and_is_waited_for(tmp_path):
    with companion.beside((leave_word, tmp_path / "word", 0.2)):
        pass
    assert int((tmp_path / "word").read_text()) != os.getpid()
    with companion.beside(None):
        pass


def test_a_job_ends_with_what_it_stood_beside(tmp_path):
    with pytest.raises(ZeroDivisionError), companion.beside((leave_word, tmp_path / "word", 60)):
        1 / 0  # noqa: B018
    assert not (tmp_path / "word").exists()


def test_only_a_stage_of_dvcs_with_a_core_to_spare_has_one(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert not companion.idle({"processes": 1})
    monkeypatch.setenv("DVC_STAGE", "finetune")
    assert companion.idle({"processes": 1}) == (companion.device().type == "cpu")
    assert not companion.idle({"processes": 2})
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert not companion.idle({"processes": 1})


def test_a_cell_that_was_trained_ahead_is_the_cell(stages, tmp_path, monkeypatch):
    small = xkd.params.profile("smoke")
    data, student, settings = (small[name] for name in ("data", "student", "finetune"))
    prepared = Prepared(stages / "prepared", data["train"])
    for seed in (0, 1):
        finetune.scratch(student, prepared.classes, seed, tmp_path / "init" / f"scratch-{seed}")

    def cell(seed, name):
        start = tmp_path / "init" / f"scratch-{seed}"
        arguments = (data, student, settings, 0.5, "scratch", seed, stages / "prepared", start)
        return finetune.cell(*arguments, tmp_path / name, tmp_path / f"{name}.json")

    frames = subset(prepared.scenes, 0.5, 1)
    arguments = (prepared, frames, tmp_path / "init" / "scratch-1", student, settings, settings["lr"]["scratch"], 1)
    state = finetune.state_file(*arguments)
    expected = cell(1, "alone")
    assert not state.exists() and state.with_name(finetune.DONE).exists()
    state.with_name(finetune.DONE).unlink()

    sweep = {"sweep": {"inits": ["scratch"], "seeds": [0, 1]}}
    monkeypatch.setattr(finetune.params, "profile", lambda: sweep)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setenv("DVC_STAGE", "finetune")
    own = finetune.state_file(
        prepared, subset(prepared.scenes, 0.5, 0), tmp_path / "init" / "scratch-0", *arguments[3:6], 0
    )
    own.with_name(finetune.DONE).unlink(missing_ok=True)
    cell(0, "first")
    assert finished(state, expected[0]["steps"]) == (companion.device().type == "cpu")
    assert cell(1, "ahead") == expected
    assert xkd.files.digest(tmp_path / "ahead") == xkd.files.digest(tmp_path / "alone")
    assert (tmp_path / "ahead.json").read_bytes() == (tmp_path / "alone.json").read_bytes()
