"""Sweeps on a Ray cluster of several nodes, one of which is killed, leave what `dvc repro` leaves, byte for byte."""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from ray_nodes import PATIENT, Nodes, process_of, said, start, wait
from small_pipeline import CELL, files, pipeline, repro
from test_run import SMALL

from xkd import XkdError, extract, frames, gather, machine, params, prepare, profiles
from xkd.files import digest
from xkd.tasks import FRAMES, Tasks

pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")


@pytest.fixture(scope="module")
def nodes():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        found = Nodes()
        yield found
        found.cluster.shutdown()


def test_a_killed_node_changes_nothing(nodes, tmp_path):
    """The cells wait for the file `go`, so that some are in mid-run when their node goes."""
    alone = pipeline(tmp_path / "alone")
    (alone / "cell.sh").write_text(CELL + "while test ! -e go; do sleep 0.1; done\n")
    swept = shutil.copytree(alone, tmp_path / "swept")
    (alone / "go").touch()
    repro(alone)
    address = nodes.filled(2)
    code = f"from xkd import sweep, tasks\nwith tasks.Tasks({address!r}) as t: print(sweep.sweep('.', [], t))"
    process = start(swept, address, code)
    cells = [f"cell@{seed}" for seed in (0, 1, 2)]
    wait(process, swept, lambda: all(process_of(swept, cell) for cell in cells))
    begun = (swept / "ran").read_text().split()
    nodes.kill_node_of(process_of(swept, "cell@1"))
    wait(process, swept, lambda: "cell@1 was lost with its machine and starts again" in said(swept))
    (swept / "go").touch()
    assert process.wait() == 0 and "\n{}\n" in said(swept), said(swept)
    # What ran on the node that was killed has started twice.
    assert sorted(begun) == ["0", "1", "2"] and (swept / "ran").read_text().split().count("1") == 2
    for name in ("go", "said.txt"):
        (alone / name).unlink(missing_ok=True)
        (swept / name).unlink()
    assert files(swept) == files(alone)


def job(folder, name, command):
    """Of `Tasks.start`."""
    (folder / "token").touch()
    paths = {"folder": str(folder), "token": str(folder / "token"), "log": str(folder / f"{name}.txt"), "deps": []}
    return {
        "commands": [command],
        "environment": {"SHELL": "/bin/sh", "OMP_NUM_THREADS": None},
        "frames": False,
    } | paths


def test_two_cells_share_a_gpu(nodes, tmp_path):
    """One that Ray is told of and that is not there: each command waits for the other's file."""
    nodes.kill_all()
    meet = "echo $CUDA_VISIBLE_DEVICES > own-{0}; until test -e own-{1}; do sleep 0.1; done"
    with Tasks(nodes.filled(1, num_gpus=1), gpus=0.5) as tasks:
        tasks.start("a", job(tmp_path, "a", meet.format("a", "b")))
        tasks.start("b", job(tmp_path, "b", meet.format("b", "a")))
        assert sorted([tasks.next(), tasks.next()]) == [("a", None), ("b", None)]
    assert [(tmp_path / f"own-{name}").read_text() for name in "ab"] == ["0\n", "0\n"]
    nodes.kill_all()  # or the stages of the tests to come would want a GPU too


def test_a_cluster_that_lost_its_last_gpu_says_that_it_waits(nodes, tmp_path, monkeypatch, capsys):
    """A machine without one stays, on which the job could not begin again; then there is a GPU anew."""
    monkeypatch.setattr("xkd.tasks.PAUSE", 1.0)
    monkeypatch.setattr("xkd.tasks.LOOK", 1.0)
    begin, told = f"test -e {tmp_path}/begun || {{ touch {tmp_path}/begun; sleep 600; }}", ""
    nodes.kill_all()
    with Tasks(nodes.filled(1, num_gpus=1)) as tasks, ThreadPoolExecutor(1) as other:
        tasks.start("a", job(tmp_path, "a", begin))
        ended, end = other.submit(tasks.next), time.monotonic() + 300
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            time.sleep(0.1)
        nodes.kill_all()
        nodes.filled(1)
        while "waits for one" not in told and time.monotonic() < end:
            time.sleep(0.5)
            told += capsys.readouterr().out
        assert not ended.done() and "a was lost with its machine and starts again" in told
        nodes.filled(2, num_gpus=1)
        assert ended.result(300) == ("a", None)
    nodes.kill_all()
    assert [line for line in told.splitlines() if "waits" in line] == [
        "xkd: No machine is left that has 1 cores and 1 GPUs for a stage (--cpus, --gpus); what is to run waits for one."
    ]


def test_what_the_cluster_has_not_is_one_sentence(nodes):
    with pytest.raises(XkdError, match=r"No machine of the Ray cluster has 64 cores and \d GPUs"):
        Tasks(nodes.filled(1), cpus=64)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_an_address_without_a_cluster_is_one_sentence(address):
    with pytest.raises(XkdError, match=f"^--address {address}: no Ray cluster answers there [(].*[)][.]$"):
        Tasks(address)


@pytest.fixture
def workers(nodes, monkeypatch):
    """`frames.Workers` beside which two nodes work, and what it tells."""
    import ray

    monkeypatch.setenv(FRAMES, f"{nodes.filled(2)} {ray.util.get_node_ip_address()} 1 0")
    told = []
    monkeypatch.setattr(frames, "tell", told.append)
    yield frames.Workers, told
    ray.shutdown()


def test_frames_whose_node_is_killed_are_made_by_the_stage(nodes, workers, tmp_path):
    workers, told = workers
    own, go = os.getpid(), tmp_path / "go"

    def square(i):
        if os.getpid() != own:
            (tmp_path / f"{os.getpid()}.began").touch()
            while not go.exists():
                time.sleep(0.1)
        return i * i

    class Killing(workers):
        def here(self, function, part):
            end = time.monotonic() + 600
            while not go.exists():
                begun = [int(path.stem) for path in tmp_path.glob("*.began")]
                assert time.monotonic() < end
                if begun:
                    nodes.kill_node_of(begun[0])
                    go.touch()
            return super().here(function, part)

    with Killing() as pool:
        assert pool.room == 3
        assert list(pool.map(square, range(100))) == [i * i for i in range(100)]
    # Whether Ray has seen the loss by the end is a matter of seconds.
    assert go.exists() and "parts of the 100 frames were made beside this stage" in told[-1]


def test_frames_of_prepare_teacher_and_views_are_the_same_by_tasks(workers, made, stages, tmp_path, monkeypatch):
    """Each split's folder is that of a pool of threads, and this process waits until others have made something of it."""
    workers, told = workers

    class Late(workers):
        def map(self, function, items):
            own, done = os.getpid(), tmp_path / f"{len(told)}.done"

            def noted(item):
                found = function(item)
                if os.getpid() != own:
                    done.touch()
                return found

            self.done = done
            return super().map(noted, items)

        def here(self, function, part):
            end = time.monotonic() + 600
            while not self.done.exists():
                assert time.monotonic() < end, told
                time.sleep(0.1)
            return super().here(function, part)

    monkeypatch.setattr(machine, "pool", None)  # `spread` sets it, and the end of the test sets it back
    frames.spread()
    assert machine.pool is workers
    machine.pool = Late
    sections = params.profile("smoke")
    data = sections["data"] | {"root": str(made / "nuscenes")}
    settings = sections["teacher"] | {"source": str(made / "cityscapes")}
    teacher = extract.open_teacher({"name": "mini", "path": stages / "teacher" / "mini"})
    prepare.prepare(data, sections["prepare"], tmp_path / "prepared")
    extract.extract(teacher, data, tmp_path / "prepared", settings, tmp_path / "teacher")
    gathered = (teacher, data, tmp_path / "prepared", tmp_path / "teacher", sections["views"])
    gather.gather(*gathered, tmp_path / "views")
    for folder in ("prepared", "teacher"):
        splits = sorted(path.name for path in (tmp_path / folder).iterdir())
        assert splits == sorted(path.name for path in (stages / folder).iterdir() if path.name != "mini")
        for split in splits:
            assert digest(tmp_path / folder / split) == digest(stages / folder / split), (folder, split)
    monkeypatch.undo()
    gather.gather(*gathered, tmp_path / "alone")
    for split in ("train", "test"):
        assert digest(tmp_path / "views" / split) == digest(tmp_path / "alone" / split), split
    # Of a split with two frames the stage may have made both before it asks.
    whole = [sentence for sentence in told if "parts of the 6 frames were made beside this stage" in sentence]
    assert len(whole) == 3 and not any(sentence.startswith("0 ") for sentence in whole), told


@pytest.fixture(scope="module")
def alone(tmp_path_factory, made):
    """The smoke profile's pipeline on the made data by `dvc repro`, and beside it, as `fresh`, the checkout before that."""
    folder = tmp_path_factory.mktemp("smoke")
    profiles.copy(folder / "fresh", profiles.overlaid("smoke", SMALL))
    shutil.copytree(made, folder / "fresh" / "data")
    shutil.copytree(folder / "fresh", folder / "alone")
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path, "PYTHONHASHSEED": "0"}  # DVC's order hangs on it
    command = [sys.executable, "-m", "dvc", "repro"]
    done = subprocess.run(command, cwd=folder / "alone", env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "alone"


def stages_of(folder):
    return yaml.safe_load((folder / "dvc.lock").read_text())["stages"]


@pytest.mark.parametrize("kill", [False, True])
def test_the_smoke_pipeline_is_that_of_dvc_repro(nodes, alone, tmp_path, kill):
    swept = shutil.copytree(alone.with_name("fresh"), tmp_path / "swept")
    process = start(swept, nodes.filled(2))
    if kill:  # in mid-training
        wait(process, swept, lambda: list((swept / "out" / "resume").glob("*/distill.pt")), 1800)
        nodes.kill_node_of(process_of(swept, "distill@0"))
    assert process.wait() == 0, said(swept)
    assert ("distill@0 was lost with its machine and starts again" in said(swept)) == kill
    assert stages_of(swept) == stages_of(alone)
    assert (swept / "dvc.lock").read_bytes() == (alone / "dvc.lock").read_bytes()
    names = sorted(path.name for path in (alone / "out" / "metrics").iterdir())
    assert len(names) == 4 and sorted(path.name for path in (swept / "out" / "metrics").iterdir()) == names
    for name in names:
        assert (swept / "out" / "metrics" / name).read_bytes() == (alone / "out" / "metrics" / name).read_bytes()
    assert not list((swept / "out" / "resume").glob("*/*.pt"))
    outs = {
        out["path"]
        for stage in yaml.safe_load((alone / "dvc.lock").read_text())["stages"].values()
        for out in stage["outs"]
    }
    for out in sorted(outs):
        assert (swept / out).exists(), out
    status = [sys.executable, "-m", "dvc", "status", "--json", "dvc.yaml"]
    assert json.loads(subprocess.run(status, cwd=swept, check=True, capture_output=True).stdout) == {}
