"""The whole pipeline at its smallest, in a copy of the checkout: killed, it goes on; done, it does nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from xkd import profiles

SMALL = ["data.root=data/nuscenes", "teacher.corpus=data/cityscapes", "sweep.fractions=[1]", "sweep.seeds=[0]"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, made):
    """A copy that runs the smoke profile on the made data, one seed and all labels."""
    folder = tmp_path_factory.mktemp("pipeline") / "copy"
    profiles.copy(folder, profiles.overlaid("smoke", SMALL))
    shutil.copytree(made, folder / "data")
    return folder


def start(checkout, *words):
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # the stages' `python` is this one
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path}
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", *words],
        cwd=checkout,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(checkout, *words):
    """Output of a `dvc repro` that succeeds."""
    process = start(checkout, *words)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


def test_pipeline_goes_on_after_a_kill_and_then_has_nothing_to_do(checkout):
    process = start(checkout)
    said = ""
    for line in process.stdout:
        said += line
        if "Running stage 'teacher'" in line:
            time.sleep(2)
            os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, said

    said = finish(checkout)
    assert "Stage 'prepare' didn't change, skipping" in said and "Running stage 'report'" in said
    names = {path.name for path in (checkout / "out" / "metrics").iterdir()}
    assert names == {"finetune-1-scratch-0.json", "finetune-1-distilled-0.json"}
    for path in (checkout / "out" / "metrics").iterdir():
        cell = json.loads(path.read_text())
        assert 0 <= cell["miou"] <= 100 and cell["frames"] == 6  # the smoke profile's 3 training streets of 2 frames
    for name in ("table.md", "report.html"):
        assert (checkout / "out" / "report" / name).stat().st_size > 100

    before = time.monotonic()
    assert "Running" not in finish(checkout)
    assert time.monotonic() - before < 20


def test_a_repeated_cell_leaves_the_same_bytes(checkout):
    """dvc.lock holds the hash of all that the cell writes: metrics, weights, predictions, the executed notebook."""
    lock = yaml.safe_load((checkout / "dvc.lock").read_text())
    finish(checkout, "--force", "--single-item", "--no-run-cache", "finetune@1-distilled-0")
    again = yaml.safe_load((checkout / "dvc.lock").read_text())
    for stage, facts in lock["stages"].items():
        assert again["stages"][stage] == facts
