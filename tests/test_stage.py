"""The stage runner: parameters checked, one sentence on failure, the same bytes for the same results."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest

import xkd
from xkd import XkdError, stage


def notebook(path, *cells, tag="parameters"):
    """A notebook of code cells, the first with the tag."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.cells[0].metadata["tags"] = [tag]
    nbformat.write(made, path)
    return path


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a package of its own, and params.yaml: a section that notebooks name and one that they do not."""
    shutil.copytree(xkd.ROOT / "xkd", tmp_path / "xkd", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "params.yaml").write_text("train: {steps: 5, lr: 0.25}\nother: {steps: 7}\n")
    return tmp_path


def run(checkout, name, *given, **environment):
    command = [sys.executable, "-m", "xkd.stage", name, "out/done.ipynb", *given]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=os.environ | environment)


def printed(path):
    cells = nbformat.read(path, 4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))


def test_a_value_of_a_later_stage_is_refused_at_once(checkout):
    notebook(checkout / "n.ipynb", "train = None", "print(train)")
    with (checkout / "params.yaml").open("a") as file:
        file.write("views: {channels: 0, whiten: 0.2, reach: 1}\n")
    done = run(checkout, "n.ipynb")
    assert done.returncode == 1 and "params.yaml: views.channels is 0; it has to be a whole number of 1" in done.stderr
    assert not (checkout / "out" / "done.ipynb").exists()


def test_parameters_reach_the_notebook_and_equal_runs_are_equal_bytes(checkout):
    notebook(
        checkout / "n.ipynb",
        "a = 1\nb = 2\ntrain = {\n    'steps': 1,\n}",
        "import warnings, xkd\nprint(a, b, train, xkd.ROOT)",
        "warnings.warn('careful')\nobject()",
        "from xkd.progress import progress\nfor _ in progress(range(3), 'walk'): pass",
    )
    done = checkout / "out" / "done.ipynb"
    first = run(checkout, "n.ipynb", "-p", "b", "[3, {c: 0.5}]")
    assert first.returncode == 0, first.stderr
    # a from the cell, b from the command, train from params.yaml, the package from this checkout
    assert printed(done).startswith(f"1 [3, {{'c': 0.5}}] {{'steps': 5, 'lr': 0.25}} {checkout}\n")
    assert "walk: [####################] 3/3" in first.stderr and "walk:" not in printed(done)
    before = done.read_bytes()
    assert run(checkout, "n.ipynb", "-p", "b", "[3, {c: 0.5}]").returncode == 0
    assert done.read_bytes() == before
    text = before.decode()
    assert not any(word in text for word in ("start_time", "duration", "iopub", "input_path"))
    nbformat.validate(nbformat.read(done, 4))
    times = [json.loads(line) for line in (checkout / "out/log/times.jsonl").read_text().splitlines()]
    assert [line["notebook"] for line in times] == ["n.ipynb"] * 2 and all(line["seconds"] > 0 for line in times)


def test_a_failing_cell_is_one_sentence_and_the_old_output_stays(checkout):
    bad = "from xkd import XkdError\nraise XkdError('a.bin: 7 bytes are no multiple of 16.')"
    notebook(checkout / "bad.ipynb", "a = 1", "print('so far')", bad)
    (checkout / "out").mkdir()
    (checkout / "out" / "done.ipynb").write_text("old")
    done = run(checkout, "bad.ipynb")
    assert done.returncode == 1
    partial = checkout / "out" / "log" / "failed-done.ipynb"
    sentence, where = done.stderr.strip().splitlines()
    assert sentence == "bad.ipynb: a.bin: 7 bytes are no multiple of 16." and str(partial) in where
    assert (checkout / "out" / "done.ipynb").read_text() == "old" and "so far" in printed(partial)

    notebook(checkout / "worse.ipynb", "a = 1", "deep = lambda x: 1 / x", "deep(0)")
    done = run(checkout, "worse.ipynb")
    assert done.returncode == 1 and "papermill" not in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr


FULL = """
import resource, runpy, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
runpy.run_module("xkd.stage", run_name="__main__", alter_sys=True)
"""


def test_a_full_disk_is_one_sentence_and_the_old_output_stays(checkout):
    """No file of the stage, or of its kernel, may have more than 10,000 bytes."""
    notebook(checkout / "n.ipynb", "a = 1", "print('x' * 20_000)")
    (checkout / "out").mkdir()
    (checkout / "out" / "done.ipynb").write_text("old")
    command = [sys.executable, "-B", "-c", FULL, "n.ipynb", "out/done.ipynb"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (
        1,
        "n.ipynb: out/done.ipynb: cannot be read or written (File too large).",
    )
    assert (checkout / "out" / "done.ipynb").read_text() == "old"


def test_a_killed_kernel_is_one_sentence(checkout):
    notebook(checkout / "dead.ipynb", "a = 1", "import os\nos.kill(os.getpid(), 9)")
    done = run(checkout, "dead.ipynb")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "dead.ipynb: its kernel was killed" in done.stderr


def test_a_run_ends_when_the_dvc_that_started_it_is_killed(checkout):
    tell = "import os, time\nopen('kernel', 'w').write(str(os.getpid()))"
    notebook(checkout / "slow.ipynb", "a = 1", tell, "time.sleep(100)")
    command = f"{sys.executable} -m xkd.stage slow.ipynb out/done.ipynb & echo $!; wait"
    shell = subprocess.Popen(
        ["sh", "-c", command],
        cwd=checkout,
        env=os.environ | {"DVC_STAGE": "s"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    runner = int(shell.stdout.readline())
    until(lambda: (checkout / "kernel").exists() and (checkout / "kernel").read_text())
    kernel = int((checkout / "kernel").read_text())
    shell.send_signal(signal.SIGKILL)
    shell.wait()
    until(lambda: not alive(runner) and not alive(kernel))


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def alive(pid):
    """Whether a process is there and not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    "given, words",
    [
        ({"c": 1}, "no parameter 'c' in .*: it has a, b"),
        ({"a": 1, "other": {}}, "no parameter 'other'"),
    ],
)
def test_a_parameter_that_the_notebook_does_not_have_is_named(tmp_path, given, words):
    notebook(tmp_path / "n.ipynb", "a = 1\nb: int = 2")
    with pytest.raises(XkdError, match=words):
        stage.run(tmp_path / "n.ipynb", tmp_path / "done.ipynb", given, root=tmp_path)
    assert not (tmp_path / "done.ipynb").exists()


def test_notebooks_that_cannot_be_parameterised_are_refused(tmp_path):
    with pytest.raises(XkdError, match="no cell is tagged `parameters`"):
        stage.parameter_names(notebook(tmp_path / "n.ipynb", "a = 1", tag="other"))
    with pytest.raises(XkdError, match="No such file"):
        stage.parameter_names(tmp_path / "absent.ipynb")
    (tmp_path / "text.ipynb").write_text("hello")
    with pytest.raises(XkdError, match="is not a notebook"):
        stage.parameter_names(tmp_path / "text.ipynb")


def whole(**changes):
    """A notebook's JSON, of one cell that is tagged and sets one parameter, with `changes` in that cell."""
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["a = 1\n", "b = 2"]} | changes
    return {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.mark.parametrize(
    "about, words",
    [
        (whole(source="a = 1\nb = = 2"), "the cell tagged `parameters` is not Python: invalid syntax .cell, line 2.."),
        (whole(source="a = 1\0"), "the cell tagged `parameters` is not Python"),
        (whole(metadata=None), "is not a notebook"),
        (whole() | {"cells": [*whole()["cells"], {"source": ""}]}, "is not a notebook .KeyError.'metadata'"),
        (whole() | {"cells": ["a = 1"]}, "is not a notebook"),
        (whole() | {"cells": None}, "is not a notebook"),
        (whole(metadata={"tags": None}), "is not a notebook"),
        (whole(source=None), "is not a notebook"),
        ([], "is not a notebook"),
    ],
)
def test_a_broken_notebook_is_one_sentence(tmp_path, about, words):
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(whole()))
    assert stage.parameter_names(path) == ["a", "b"]
    path.write_text(json.dumps(about))
    with pytest.raises(XkdError, match=f"n.ipynb: {words}") as caught:
        stage.parameter_names(path)
    assert "\n" not in str(caught.value)


def test_numbers_that_yaml_reads_as_text_are_refused():
    assert stage.parse("lr", "0.001") == 0.001 and stage.parse("name", "seq-1e") == "seq-1e"
    with pytest.raises(XkdError, match=r"-p lr: 1e-3 is text to YAML; write 0\.001 instead"):
        stage.parse("lr", "1e-3")
    with pytest.raises(XkdError, match=r"params.yaml: train: lr: 2e5 .* write 200000\.0 instead"):
        stage.checked({"train": {"lr": ["2e5"]}}, "params.yaml")
    with pytest.raises(XkdError, match="not YAML"):
        stage.parse("a", "[1")
    with pytest.raises(XkdError, match="not YAML"):
        stage.parse("a", "2026-99-99")  # a date, to YAML
