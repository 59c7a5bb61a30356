"""Inits of later rows, made while a row has nothing more for a core: which they are, and when."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import xkd
from xkd import companion, study, study_ahead, study_cell
from xkd import student as students
from xkd.study_inputs import inputs
from xkd.study_start import init_path


def named(found):
    return [(cell.block, cell.row, cell.seed) for _, cell in found]


@pytest.fixture
def few(smoke, monkeypatch):
    """Rows that share an init, one without, two that learn from something else; of these one has it."""
    rows = {
        "pretraining": ("scratch", "cosine", "ppkt"),
        "unlabelled": ("cosine",),
        "images": ("teacher-probe",),
        "teachers": ("cosine-random", "cosine-shuffled"),
        "ablation": ("start-cosine", "no-views", "no-held-views"),
        "pretraining-full": ("scratch", "lidar-ssl"),
    }
    monkeypatch.setattr(study_ahead, "LINES", [(block, row) for block, own in rows.items() for row in own])
    smoke["study"] |= {"fractions": [0.5, 1], "seeds": [0, 1]}
    return smoke


def test_each_init_that_a_later_row_needs_once(few, out, tmp_path, monkeypatch):
    (shuffled,) = study.cells(few, "teachers", "cosine-shuffled", tmp_path)
    folder = xkd.ROOT / out / "study" / inputs(few, shuffled, out).name
    folder.mkdir(parents=True)
    found = list(study_ahead.later(few, "pretraining", "scratch", out, tmp_path))
    objectives = [("pretraining", row, seed) for row in ("cosine", "ppkt") for seed in (0, 1)]
    controls = [("teachers", "cosine-shuffled", 0), ("ablation", "no-views", 0), ("ablation", "no-held-views", 0)]
    assert named(found) == objectives + controls
    assert [sections["study"]["xmodel"]["view"] for sections, _ in found] == [0.1] * 6 + [0.0]

    folder.rmdir()
    assert named(study_ahead.later(few, "pretraining", "cosine", out, tmp_path)) == objectives[2:] + controls[1:]
    monkeypatch.setattr(study_ahead, "done", lambda params, cell, out: cell.row == "ppkt" and cell.seed == 1)
    there = init_path(few, study.Cell("ablation", "no-views", 1, 0, tmp_path), out)
    there.mkdir(parents=True)
    assert named(study_ahead.later(few, "pretraining", "cosine", out, tmp_path)) == [objectives[2], controls[2]]
    there.rmdir()


def test_a_row_that_starts_from_no_init_has_later_ones_too(few, out, tmp_path):
    rows = named(study_ahead.later(few, "images", "teacher-probe", out, tmp_path))
    assert rows == [("ablation", "no-views", 0), ("ablation", "no-held-views", 0)]


def test_extra_rows_are_left_alone_until_one_of_them_is_run(few, out, tmp_path):
    assert named(study_ahead.later(few, "ablation", "no-held-views", out, tmp_path)) == []
    found = named(study_ahead.later(few, "pretraining-full", "scratch", out, tmp_path))
    assert found == [("pretraining-full", "lidar-ssl", 0)]


def test_a_row_itself_makes_what_it_shares_with_a_later_one(few, out, tmp_path):
    """(unlabelled, cosine) has the inits that (pretraining, cosine) is making at the same time."""
    rows = named(study_ahead.later(few, "pretraining", "cosine", out, tmp_path))
    assert [row for row in rows if row[0] == "unlabelled"] == []
    assert ("ablation", "no-views", 0) in rows


def test_it_makes_one_after_the_other(few, out, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(study_ahead, "initial", lambda params, cell, out: made.append((cell.row, cell.seed, out)))
    study_ahead.inits(few, "pretraining", "cosine", out, tmp_path)
    assert made[:2] == [("ppkt", 0, out), ("ppkt", 1, out)]


def test_in_a_process_of_its_own(few, out, tmp_path, monkeypatch):
    """As a stage of DVC's starts it: an init is there after a while, whole."""
    monkeypatch.setenv("DVC_STAGE", "cells@row1")
    path = init_path(few, study.Cell("pretraining", "ppkt", 1, 0, tmp_path), out)
    with companion.beside(("xkd.study_ahead:inits", few, "pretraining", "cosine", out, tmp_path)):
        until = time.monotonic() + 120
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.1)
    assert students.load(path).head.in_features == 16


def test_it_runs_while_a_core_is_idle_alone(smoke, tmp_path, monkeypatch):
    """Of three seeds on two cores the last has nothing beside it."""
    trained, spans = [], []

    @contextmanager
    def meanwhile(busy):
        spans.append((busy, len(trained)))
        yield

    def train(params, cell, out):
        time.sleep(0.1 + 0.2 * cell.seed)
        trained.append(cell.seed)

    monkeypatch.setattr(study_cell, "initial", lambda params, cell, out: None)
    monkeypatch.setattr(study_cell, "train", train)
    smoke["study"] |= {"fractions": [1], "seeds": [0, 1, 2]}
    left = study.cells(smoke, "pretraining", "cosine", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        assert list(study._ended(pool, smoke, left, "out", meanwhile)) == [None] * 3
    assert [done for busy, done in spans if busy < 2] == [2]


@pytest.mark.parametrize(("stage", "expected"), [("cells@row3", True), (None, False)])
def test_in_a_stage_alone(smoke, out, tmp_path, monkeypatch, stage, expected):
    """A row that a notebook was opened for leaves nothing behind but its own."""
    jobs = []

    @contextmanager
    def beside(job):
        jobs.append(job)
        yield

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers, *_):
            super().__init__(2)

    monkeypatch.delenv("DVC_STAGE", raising=False)
    if stage:
        monkeypatch.setenv("DVC_STAGE", stage)
    for module in (study, companion):
        monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr(study.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(study, "beside", beside)
    monkeypatch.setattr(study, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(study_cell, "initial", lambda params, cell, out: None)
    monkeypatch.setattr(
        study_cell, "train", lambda params, cell, out: cell.file.parent.mkdir() or cell.file.write_text("{}")
    )
    smoke["study"] |= {"fractions": [1], "seeds": [0]}
    study.run(smoke, "pretraining", "cosine", out, tmp_path)
    job = ("xkd.study_ahead:inits", smoke, "pretraining", "cosine", out, tmp_path)
    assert jobs and all(given == (job if expected else None) for given in jobs)
