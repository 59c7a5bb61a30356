"""A training beside another: it is the same training, it is waited for, and it ends with the one that started it."""

import os
import time

import pytest
import torch

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


@pytest.mark.parametrize(
    ("own", "over", "kept", "expected"),
    [
        ("a", "", "", "b"),
        ("b", "", "", "c"),
        ("c", "", "", "a"),
        ("a", "b", "", "c"),
        ("a", "", "b", "c"),
        ("a", "bc", "", None),
        ("a", "a", "", None),
        ("a", "", "a", None),
    ],
)
def test_following_is_the_next_that_is_not_over(tmp_path, own, over, kept, expected):
    """`over`: trained to the end and not yet taken up; `kept`: its stage has kept the result; c, else, was stopped half-way."""

    def training(item):
        folder = tmp_path / item
        folder.mkdir(exist_ok=True)
        if item in kept:
            (folder / companion.DONE).touch()
        if item in over or item == "c":
            torch.save({"losses": [1.0] * (2 if item in over else 1)}, folder / "state.pt")
        return folder / "state.pt", 2, item

    assert companion.following(["a", "b", "c"], own, training) == expected
    assert companion.following(["a", "b", "c"], own, lambda item: training(item) if item == own else None) is None


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
    monkeypatch.setattr(companion, "cores", lambda: 2)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert not companion.idle({"processes": 1})
    monkeypatch.setenv("DVC_STAGE", "finetune")
    assert companion.idle({"processes": 1}) == (companion.device().type == "cpu")
    assert not companion.idle({"processes": 2})
    monkeypatch.setattr(companion, "cores", lambda: 1)
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
    arguments = (
        prepared,
        frames,
        tmp_path / "init" / "scratch-1",
        student,
        settings,
        finetune.rate(settings, "scratch", 0.5),
        1,
    )
    state = finetune.state_file(*arguments)
    expected = cell(1, "alone")
    assert not state.exists() and state.with_name(companion.DONE).exists()
    state.with_name(companion.DONE).unlink()

    sweep = {"sweep": {"inits": ["scratch"], "seeds": [0, 1]}}
    monkeypatch.setattr(finetune.params, "profile", lambda: sweep)
    monkeypatch.setattr(companion, "cores", lambda: 2)
    monkeypatch.setenv("DVC_STAGE", "finetune")
    own = finetune.state_file(
        prepared, subset(prepared.scenes, 0.5, 0), tmp_path / "init" / "scratch-0", *arguments[3:6], 0
    )
    own.with_name(companion.DONE).unlink(missing_ok=True)
    cell(0, "first")
    assert finished(state, expected[0]["steps"]) == (companion.device().type == "cpu")
    assert cell(1, "ahead") == expected
    assert xkd.files.digest(tmp_path / "ahead") == xkd.files.digest(tmp_path / "alone")
    assert (tmp_path / "ahead.json").read_bytes() == (tmp_path / "alone.json").read_bytes()


def test_work_of_another_kind_of_stage_is_not_waited_for():
    begun = time.monotonic()
    with companion.beside(("time:sleep", 600)):
        pass
    assert time.monotonic() - begun < 60


def test_a_function_of_a_module_by_its_name(tmp_path):
    with companion.beside(("pathlib:Path.touch", tmp_path / "nothing")):
        pass  # no function of that module: the other process ends, and its own stage would say so
    with companion.beside(("os:mkdir", tmp_path / "made")):
        while not (tmp_path / "made").exists():
            time.sleep(0.05)


def test_a_spare_core_trains_the_longest_cell_of_scratch(stages, tmp_path, monkeypatch):
    small = xkd.params.profile("smoke")
    small["sweep"] = {"fractions": [0.5, 1], "inits": ["scratch"], "seeds": [0, 1]}
    monkeypatch.setattr(xkd.params, "profile", lambda: small)
    trained = []
    monkeypatch.setattr(
        finetune, "_train", lambda path, frames, start, *rest: trained.append((len(frames), start.name))
    )
    (tmp_path / "prepared").symlink_to(stages / "prepared")
    assert finetune.spare(small["data"], tmp_path / "prepared") is None and not trained  # no start yet
    classes = Prepared(stages / "prepared", small["data"]["train"]).classes
    finetune.scratch(small["student"], classes, 1, tmp_path / "init" / "scratch-1")
    finetune.spare(small["data"], tmp_path / "prepared")
    assert trained == [(6, "scratch-1")]
