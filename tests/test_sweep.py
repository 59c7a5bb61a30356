"""A sweep leaves what `dvc repro` leaves, byte for byte, in whatever order its tasks end; on a small pipeline of shell commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_pipeline import files, pipeline, repro

from xkd import XkdError, books, sweep
from xkd.__main__ import main


class Here:
    """Tasks on this machine, of which the one that was started last ends first."""

    def __init__(self, most=None):
        self.running, self.seen, self.most = [], [], most

    def start(self, name, job):
        self.running.append((name, job))
        self.seen.append(name)

    def next(self):
        if self.most is not None and len(self.seen) - len(self.running) >= self.most:
            raise KeyboardInterrupt
        name, job = self.running.pop()
        for command in job["commands"]:
            if subprocess.run(command, shell=True, cwd=job["folder"]).returncode:
                return name, "said no."
        return name, None


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Two checkouts that are equal; in the first `dvc repro` has run."""
    alone, swept = (tmp_path_factory.mktemp("kept") / name for name in ("alone", "swept"))
    pipeline(alone)
    shutil.copytree(alone, swept)
    repro(alone)
    return alone, swept


@pytest.fixture
def both(kept, tmp_path):
    """Copies of them."""
    return [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in kept]


def test_it_leaves_what_dvc_repro_leaves(both):
    alone, swept = both
    tasks = Here()
    assert sweep.sweep(swept, [], tasks) == {}
    assert tasks.seen == ["prepare", "cell@2", "cell@0", "cell@1", "late", "report"]
    assert files(swept) == files(alone)
    assert repro(swept) == []
    assert files(swept) == files(alone)


def test_only_what_is_left_runs(both):
    alone, swept = both
    tasks = Here()
    sweep.sweep(swept, [], tasks)
    for folder in both:
        (folder / "params.yaml").write_text("cell: 2\n")
    repro(alone)
    tasks = Here()
    assert sweep.sweep(swept, [], tasks) == {}
    assert tasks.seen == [
        "cell@2",
        "cell@0",
        "cell@1",
    ]  # whose outs are the old ones, so that what follows is up to date
    assert files(swept) == files(alone)
    tasks = Here()
    sweep.sweep(swept, [], tasks)
    assert tasks.seen == []


def test_what_was_run_before_comes_out_of_the_run_cache(both):
    alone, swept = both
    sweep.sweep(swept, [], Here())
    for text in ("two\n", "one\n"):
        for folder in both:
            (folder / "data").write_text(text)
        repro(alone)
        tasks = Here()
        sweep.sweep(swept, [], tasks)
    assert tasks.seen == ["report"]  # DVC keeps no results that are in no cache
    assert files(swept) == files(alone)


def test_a_sweep_that_was_stopped_goes_on_where_it_was(both):
    alone, swept = both
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(swept, [], Here(most=3))  # prepare, cell@1, late
    assert list(yaml.safe_load((swept / "dvc.lock").read_text())["stages"]) == ["prepare"]
    tasks = Here()
    assert sweep.sweep(swept, [], tasks) == {}
    assert tasks.seen == ["cell@2", "cell@0", "report"]
    assert files(swept) == files(alone)


def test_dvc_repro_goes_on_where_a_sweep_was(both):
    alone, swept = both
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(swept, [], Here(most=3))
    assert repro(swept) == ["cell@2", "cell@0", "cell@1", "late", "report"]
    assert sorted((swept / "ran").read_text().split()) == ["0", "1", "2"]
    assert files(swept) == files(alone)


def test_a_failure_stops_what_needs_it_alone(both):
    alone, swept = both
    (swept / "fails-0").touch()
    assert sweep.sweep(swept, [], Here()) == {
        "cell@0": "said no.",
        "report": "was not run, because it needs what failed.",
    }
    assert (swept / "out" / "late").exists() and "late" in (swept / "dvc.lock").read_text()
    (swept / "fails-0").unlink()
    tasks = Here()
    assert sweep.sweep(swept, [], tasks) == {}
    assert tasks.seen == ["cell@0", "report"]


def test_a_stage_without_its_outs_has_failed(both, monkeypatch):
    _, swept = both
    monkeypatch.setattr("xkd.tasks.missing.__defaults__", (0.0,))
    document = yaml.safe_load((swept / "dvc.yaml").read_text())
    document["stages"]["late"]["outs"] = ["out/later"]
    (swept / "dvc.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    failed = sweep.sweep(swept, [], Here())
    assert failed["late"] == f"ended well, and {swept / 'out' / 'later'} is not there."


def test_targets_are_those_of_dvc_repro(both):
    _, swept = both
    tasks = Here()
    sweep.sweep(swept, ["cell@1"], tasks)
    assert tasks.seen == ["prepare", "cell@1"]


def test_nobody_else_runs_the_same_stages_meanwhile(both):
    _, swept = both

    class Busy(Here):
        def next(self):
            command = [sys.executable, "-m", "dvc", "repro"]
            other = subprocess.run(command, cwd=swept, text=True, capture_output=True)
            assert other.returncode and "is busy" in other.stderr
            return super().next()

    assert sweep.sweep(swept, ["prepare"], Busy()) == {}


def test_a_second_sweep_is_one_sentence(both):
    """Told by a lock on the file system, and not by the process' number, which says nothing to another machine."""
    _, swept = both
    (swept / "out" / "log" / "sweep").mkdir(parents=True)
    with (
        sweep.alone(swept / "out" / "log" / "sweep" / "lock"),
        pytest.raises(XkdError, match=f"^{swept}: another sweep is at work there, process {os.getpid()} on .*[.]$"),
    ):
        sweep.sweep(swept, [], Here())
    assert sweep.sweep(swept, ["prepare"], Here()) == {}


def test_a_lock_of_dvc_is_waited_for_and_that_is_said(both, capsys):
    _, swept = both
    code = "from dvc.repo import Repo\nwith Repo().lock: print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=swept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        tell = books.tell

        def told(sentence):
            if sentence.startswith("waits") and not other.stdin.closed:
                other.stdin.close()
            tell(sentence)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(books, "tell", told)
            assert sweep.sweep(swept, ["prepare"], Here()) == {}
    assert "xkd: waits for another DVC process in this checkout\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--address", "head:6379"], "--address head:6379: is for --engine ray"),
        (["--engine", "ray", "--cpus", "0"], "--cpus has to be above 0"),
        (["--engine", "ray", "--gpus", "-1"], "--cpus has to be above 0, --gpus and --retries not below it."),
    ],
)
def test_words_that_cannot_be_meant_are_one_sentence(words, sentence, monkeypatch, capsys):
    monkeypatch.setattr("xkd.estimate.checked", dict)
    assert main(["sweep", *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"xkd: {sentence}") and said.count("\n") == 1


def test_what_dvc_refuses_is_one_sentence(both):
    _, swept = both
    with pytest.raises(XkdError, match="DVC: .*nothing"):
        sweep.sweep(swept, ["nothing"], Here())


def test_without_ray_one_sentence_says_how_to_have_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["sweep", "--engine", "ray"]) == 1
    assert capsys.readouterr().err == (
        "xkd: --engine ray: Ray is not installed here; `pip install -r requirements-ray.txt` does.\n"
    )


def test_the_local_engine_is_dvc_repro(monkeypatch):
    ran = {}

    def run(command, cwd, env):
        ran.update(command=command, cwd=cwd, python=shutil.which("python", path=env["PATH"]))
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(subprocess, "run", run)
    assert main(["sweep", "report"]) == 7
    assert ran["command"] == [sys.executable, "-m", "dvc", "repro", "report"] and ran["cwd"] == sweep.xkd.ROOT
    assert os.path.dirname(ran["python"]) == os.path.dirname(sys.executable)


def test_a_task_has_the_variables_of_a_stage_of_dvc_repro_but_its_name(both, monkeypatch):
    """Without DVC_STAGE no training of a later stage runs beside it, and Ray's OMP_NUM_THREADS is not the user's."""
    _, swept = both
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with sweep.books_of(swept, []) as books:
        job = sweep.job(books.plan[1], Path("token"))
    assert books.plan[1].addressing == "prepare"
    environment = job["environment"]
    assert environment["OMP_NUM_THREADS"] == "5" and environment["MKL_NUM_THREADS"] is None
    assert environment["DVC_STAGE"] is None and environment["DVC_ROOT"] == str(swept)
    assert job["commands"] == ["mkdir out/a && cp data out/a/data"] and job["folder"] == str(swept)
