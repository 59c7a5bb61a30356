"""The study's rows and cells: what is refused, counts by hand, and whole rows on smoke data that stop and go on."""

import copy
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xkd import ROOT, XkdError, study, study_cell, study_count
from xkd.files import read_json
from xkd.metrics import iou
from xkd.study_start import kind_of, rate_of, rated


@pytest.fixture
def params(smoke):
    smoke["study"]["fractions"] = [1]
    smoke["study"]["full"] |= {"steps": 0.5, "lr": 0.007}  # others than the study's
    return smoke


CHANGES = {
    "pretraining": [
        ("finetune", "clip", 4.0),
        ("study", "steps", 0.5),
        ("data", "tuning", ["scene-*1"]),
        ("student", "widths", [8, 8, 8]),
    ],
    "unlabelled": [
        ("finetune", "clip", 4.0),
        ("study", "steps", 0.5),
        ("data", "unlabelled", []),
        ("mixing", "share", 0.4),
    ],
    "xmodel": [("data", "unlabelled", []), ("fused", "dark", 0.5), ("study", "lr", "fused", 0.5)],
    "fused": [("finetune", "clip", 4.0), ("fused", "dark", 0.5), ("distill", "steps", 5)],
    "teacher-probe": [("views", "reach", 0)],
    "frozen": [("data", "tuning", ["scene-*1"]), ("student", "widths", [8, 8, 8])],
    "pretraining-full": [("study", "full", "steps", 0.25), ("study", "full", "lr", 0.5), ("finetune", "clip", 4.0)],
    "unlabelled-full": [("study", "full", "steps", 0.25), ("study", "full", "lr", 0.5), ("fused", "dark", 0.5)],
}
STILL = ("linear", "nearest")
"""What makes a row's cells those of another study; see `changed`."""


def changed(params, *path):
    """A copy of all sections in which the value at a path is another."""
    copied = copy.deepcopy(params)
    *keys, last, value = path
    section = copied
    for key in keys:
        section = section[key]
    section[last] = value
    return copied


def test_every_row_has_a_rate_and_a_start(params):
    study.check(params)
    for block, rows in study.ROWS.items():
        for row in rows:
            cell = study.Cell(block, row, 1, 0, Path("folder"))
            name = rated(cell)
            assert row == "teacher-probe" or name in params["study"]["lr"], (block, row)
            expected = {"unlabelled": row, "pretraining": "scratch" if row == "scratch-long" else row}
            if block == "unlabelled-full":
                assert kind_of(cell) == ("taught" if row.startswith("xmodel") else "self")
            expected |= {"further": "self-training" if row == "self-training" else "scratch", "ablation": "xmodel"}
            assert name == expected.get(block, name), (block, row)
    lr = {name: [k, k + 0.5] for k, name in enumerate(study.RATED)}
    shuffled = study.Cell("teachers", "cosine-shuffled", 0.05, 0, Path("folder"))
    assert rate_of(params | {"study": params["study"] | {"lr": lr}}, shuffled) == lr["cosine-shuffled"][0]
    assert [c.file.name for c in study.cells(params, "pretraining", "scratch")] == ["scratch-1-0.json"]


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("mixing", "share"), 2, "params.yaml: mixing.share is 2"),
        (("fused", "heads"), 3, "fused.width is 16; it has to be a multiple of fused.heads, which is 3"),
        (("fused", "steps"), 5, "fused.steps is 5; it has to be a section"),
        (("views", "reach"), 0.5, "views.reach is 0.5; it has to be a whole number"),
        (("finetune", "head"), 40.0, "finetune.head is 40; the study's self-training knows 1 alone"),
        (("study", "momentum"), 1.5, "study.momentum is 1.5"),
        (("fused", "early"), 1, "fused.early is 1; it has to be true or false"),
        (("fused", "dark"), -0.1, "params.yaml: fused.dark is -0.1"),
        (("study", "lr", "nothing"), 0.1, "study.lr.nothing is an unknown parameter"),
        (("views", "channels"), "many", "params.yaml: views.channels is 'many'"),
        (("fused", "steps", "most"), 0, "fused.steps.most is 0"),
        (("study", "lr", "scratch"), -1, "study.lr.scratch is -1"),
        (("study", "lr", "scratch"), [0.1], r"study.lr.scratch is \[0.1\]; it has to be one rate, or two"),
        (("study", "lr", "scratch"), [0.1] * 4, "it has to be one rate, or two, for few labels and for many, or three"),
        (("study", "full", "lr"), [0.1] * 3, "it has to be one rate, or two: for few labels and for many."),
        (("study", "least"), 2, "study.least is 2"),
        (("study", "least"), 0, "study.least is 0; it has to be above 0 and below finetune.few, which is 0.05"),
        (("study", "least"), 0.05, "study.least is 0.05; it has to be above 0 and below finetune.few"),
        (("study", "fractions"), [0], "outside"),
        (("study", "side", "fractions"), [2], "outside"),
        (("study", "full", "fractions"), [0], "outside"),
        (("study", "full", "lr"), [0.1], r"study.full.lr is \[0.1\]; it has to be one rate, or two"),
        (("study", "full", "most"), 1, "study.full.most is an unknown parameter"),
        (("study", "full", "more"), [3, 0], "0 is twice in study.full.seeds and study.full.more"),
        (("study", "full", "more"), [3, 3], "3 is twice in study.full.seeds and"),
        (("study", "full", "more"), 3, "study.full.more is 3; it has to be a list"),
        (("study", "seeds"), [1, 0, 1], "params.yaml: 1 is twice in study.seeds"),
        (("study", "seeds"), [[0], 1], r"study.seeds holds \[0\]; it has to hold numbers"),
        (("study", "fractions"), [0.5, 0.5], "0.5 is twice in study.fractions"),
        (("study", "side", "seeds"), [2, 2], "2 is twice in study.side.seeds"),
        (("study", "least"), [0.01], r"study.least is \[0.01\]; it has to be one number"),
        (("study", "steps"), [0.2], r"study.steps is \[0.2\]; it has to be one number"),
        (("finetune", "few"), [0.05], r"finetune.few is \[0.05\]; it has to be one number"),
        (("fused", "heads"), [2], r"fused.heads is \[2\]; it has to be one number"),
        (("mixing", "frames"), [5], r"mixing.frames is \[5\]; it has to be one number"),
    ],
)
def test_a_wrong_parameter_is_named(params, where, value, said):
    changed = copy.deepcopy(params)
    section = changed
    for key in where[:-1]:
        section = section[key]
    section[where[-1]] = value
    with pytest.raises(XkdError, match=said):
        study.check(changed)


def test_more_seeds_are_run_at_the_last_share_alone(params):
    params["study"]["full"] |= {"fractions": [0.25, 1], "seeds": [0, 1], "more": [5]}

    def of(block, row):
        return [cell.file.stem for cell in study.cells(params, block, row)]

    expected = ["xmodel-0.25-0", "xmodel-1-0", "xmodel-0.25-1", "xmodel-1-1", "xmodel-1-5"]
    assert of("unlabelled-full", "xmodel") == expected
    assert of("unlabelled", "xmodel") == ["xmodel-1-0"]
    params["study"]["full"]["fractions"] = []
    assert of("pretraining-full", "scratch") == []


def test_an_unknown_row_is_named_with_those_there_are(params):
    with pytest.raises(XkdError, match="no row 'nothing' in 'pretraining'.*scratch-long"):
        study.cells(params, "pretraining", "nothing")


def test_counts_by_hand():
    """Four points of two classes at 5, 15, 25 and 60 m; the first two are in an image; the second and the last are taken for the other."""
    points = np.array([[5, 0, 0], [0, 15, 0], [25, 0, 0], [0, 60, 0], [1, 0, 0]], np.float32)
    labels = np.array([0, 0, 1, 1, -1])
    validation = SimpleNamespace(classes=["a", "b"], labels=lambda i: labels, points=lambda i: points)
    seen = SimpleNamespace(views=SimpleNamespace(views=lambda i, reach: (np.array([0, 1, 1]), None, None)))
    guess = np.array([0, 1, 1, 0, 0])
    total = np.array([[[1, 1], [1, 1]]])
    found = study_count.count(validation, seen, {0: guess}, total)
    # hits, misses, false alarms
    assert found["streets"].tolist() == [[[1, 1, 1], [1, 1, 1]]]
    assert found["distance"][0].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert found["distance"][1].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert found["distance"][3].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert found["distance"][4].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert found["coverage"].tolist() == [[[0, 0, 1], [1, 1, 0]], [[1, 1, 0], [0, 0, 1]]]


def test_cells_begin_when_their_init_is_there_and_one_that_fails_stops_no_other(params, monkeypatch, tmp_path):
    begun, there = [], set()

    def initial(params, cell, out):
        if cell.seed == 2:
            raise XkdError("no init")
        there.add(cell.seed)

    def train(params, cell, out):
        assert cell.seed in there
        begun.append((cell.seed, cell.fraction))
        if (cell.seed, cell.fraction) == (0, 0.5):
            raise XkdError("the loss is nan")

    monkeypatch.setattr(study_cell, "initial", initial)
    monkeypatch.setattr(study_cell, "train", train)
    params["study"] |= {"fractions": [0.5, 1], "seeds": [0, 1, 2]}
    left = study.cells(params, "pretraining", "cosine", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        ended = [str(error) for error in study._ended(pool, params, left, "out")]
    # Both cells of the seed without an init, one that failed, and three that went well.
    assert sorted(ended) == ["None"] * 3 + ["no init"] * 2 + ["the loss is nan"]
    assert sorted(begun) == [(0, 0.5), (0, 1), (1, 0.5), (1, 1)]


def test_a_row_that_is_stopped_begins_no_further_cell(params, monkeypatch, tmp_path):
    begun = []
    monkeypatch.setattr(study_cell, "initial", lambda params, cell, out: None)
    monkeypatch.setattr(study_cell, "train", lambda params, cell, out: begun.append(cell.fraction) or time.sleep(0.2))
    params["study"]["fractions"] = [0.2, 0.3, 0.4, 0.5, 1]
    with ThreadPoolExecutor(1) as pool:
        ended = study._ended(pool, params, study.cells(params, "pretraining", "scratch", tmp_path), "out")
        next(ended)
        ended.close()
    assert 1 <= len(begun) < 5  # the one that was running ends


def test_a_killed_process_is_said(params, monkeypatch, tmp_path):
    def ended(*_):
        raise BrokenProcessPool("gone")
        yield

    monkeypatch.setattr(study, "_ended", ended)
    monkeypatch.setattr(study, "done", lambda params, cell, out: False)
    with pytest.raises(XkdError, match="study pretraining scratch: a process was killed.*run it again, it goes on"):
        study.run(params, "pretraining", "scratch", "out", tmp_path)


@pytest.mark.parametrize(
    ("block", "row"),
    [
        ("pretraining", "scratch"),
        ("pretraining", "scratch-long"),
        ("pretraining", "lidar-ssl"),
        ("unlabelled", "self-training"),
        ("pretraining", "xmodel"),
        ("unlabelled", "xmodel"),
        ("images", "fused"),
        ("images", "teacher-probe"),
        ("further", "labels"),
        ("further", "xmodel"),
        ("further", "labels-long"),
        ("further", "self-training"),
        ("linear", "scratch"),
        ("nearest", "scratch"),
        ("teachers", "cosine-shuffled"),
        ("teachers", "cosine-unsupervised"),
        ("ablation", "one-camera"),
        ("ablation", "own-images"),
        ("ablation", "no-views"),
        ("ablation", "self-labels"),
        ("ablation", "hard-labels"),
        ("ablation", "few-superpixels"),
        ("pretraining-full", "scratch-long"),
        ("unlabelled-full", "xmodel-long"),
        ("unlabelled-full", "self-training-long"),
        ("unlabelled-full", "lidar-ssl-long"),
    ],
)
def test_a_row_is_trained_once(params, out, tmp_path, block, row, monkeypatch):
    (cell,) = study.run(params, block, row, out, tmp_path)
    steps = params["finetune"]["steps"]["base"]
    longer = {"labels-long": 3.5 * steps, "teacher-probe": 0}
    longer |= {row: 2 * steps for row in ("scratch-long", "self-training-long", "xmodel-long", "lidar-ssl-long")}
    full = block.endswith("-full")
    assert cell["steps"] == (0 if block in STILL else longer.get(row, steps) * (0.5 if full else 1))
    assert (cell["lr"] == 0.007) == full
    assert 0 <= cell["miou"] <= 100 and cell["block"] == block and cell["init"] == row
    file = tmp_path / block / f"{row}-1-0.json"
    counts = study_count.unpacked(cell["counts"])
    hit, miss, alarm = counts["streets"].sum(0).T
    assert counts["distance"].sum((0, 1)).tolist() == counts["coverage"].sum((0, 1)).tolist()
    union = hit + miss + alarm
    assert cell["miou"] == pytest.approx(100 * np.mean((hit / np.maximum(union, 1))[union > 0]), abs=1e-3)
    assert np.isnan(iou(np.zeros((2, 2)))).all()
    before = file.stat().st_mtime_ns
    assert study.run(params, block, row, out, tmp_path) == [cell] and file.stat().st_mtime_ns == before
    (own,) = study.cells(params, block, row, tmp_path)
    here = study.precision(params, own, out)
    with monkeypatch.context() as elsewhere:  # a processor of the other precision takes the cell as it is
        elsewhere.setattr(study.native, "has_half", lambda: here == "float32")
        assert here == study.precision(params, own, out) in ("bfloat16", "float32")
    kind = {"linear": "frozen", "nearest": "frozen", "teachers": "pretraining", "ablation": "xmodel"}
    kind = kind.get(block, "pretraining" if block == "further" else block)
    if row.startswith("self-") or (full and row == "lidar-ssl-long"):
        kind = "pretraining-full" if full else "unlabelled"
    kind = {("further", "xmodel"): "xmodel"}.get((block, row), kind)
    for change in CHANGES[row if block == "images" or (block, row) == ("unlabelled", "xmodel") else kind]:
        assert not study.done(changed(params, *change), own, out), change
    for change in [("report", "draws", 7), ("finetune", "shown", 2), ("study", "lr", "ppkt", 0.5)]:
        assert study.done(changed(params, *change), own, out), change
    file.write_text(json.dumps(cell | {"made_of": "something else"}))
    assert not study.done(params, study.cells(params, block, row, tmp_path)[0], out)


def test_committed_cells_have_the_steps_that_the_code_says():
    """`made_of` does not hold how much longer a row is trained."""
    held, steps = 0, {}
    for file in (ROOT / "study" / "metrics").glob("*/*.json"):
        cell = read_json(file)
        if cell["init"] in ("scratch", *study_cell.LONGER):
            steps[cell["block"].partition("-")[2], cell["init"], cell["fraction"], cell["seed"]] = cell["steps"]
    for (full, row, *cell), count in steps.items():
        if row in study_cell.LONGER and (short := steps.get((full, "scratch", *cell))):
            assert count == round(short * study_cell.LONGER[row]), (full, row, *cell)
            held += 1
    assert held


def test_what_processes_of_a_notebook_say_is_in_the_log_and_not_in_the_notebook(tmp_path, out):
    """Executed as a stage is, in a kernel: no output but the table."""
    import nbformat

    from xkd.params import profile

    sections = profile("smoke")
    given = {name: sections[name] for name in ("data", "prepare", "teacher", "student", "distill", "finetune")}
    given |= {name: sections[name] for name in ("views", "fused", "mixing", "study")}
    code = f"""
import papermill
papermill.execute_notebook({str(study.xkd.ROOT / "notebooks" / "06_cells.ipynb")!r}, {str(tmp_path / "done.ipynb")!r},
    {given | {"out": str(out), "results": str(tmp_path / "metrics"), "row": "scratch-long"}!r}, kernel_name="python3", progress_bar=False)
"""
    # Under pytest a kernel does not take what its processes write.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    subprocess.run([sys.executable, "-c", code], cwd=study.xkd.ROOT, env=environment, check=True, capture_output=True)
    made = nbformat.read(tmp_path / "done.ipynb", 4)
    outputs = [output for cell in made.cells for output in cell.get("outputs", [])]
    assert outputs and not [output for output in outputs if output.output_type == "stream"]
    assert len(list((tmp_path / "metrics").rglob("*.json"))) == 2
