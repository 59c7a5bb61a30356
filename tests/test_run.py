"""The whole pipeline at its smallest, in a copy of the checkout: killed, it goes on; done, it does nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
import torch
import yaml

from xkd import profiles

SMALL = ["data.root=data/nuscenes", "teacher.source=data/cityscapes", "sweep.fractions=[1]", "sweep.seeds=[0]"]
# Long enough to be killed in the middle, and saved at every step.
SMALL += ["distill.steps=40", "distill.save_every=0"]


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
        stdout=(checkout / "said.txt").open("w"),
        stderr=subprocess.STDOUT,
    )


def kill(process):
    """SIGKILL to a `dvc repro` and all that it has started, as when the power fails: a kernel has a session of its own, and left alone it
    would train on for a second."""
    first = psutil.Process(process.pid)
    family = [first, *first.children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    assert process.wait() == -signal.SIGKILL
    psutil.wait_procs(family[1:], timeout=10)


def finish(checkout, *words):
    """Output of a `dvc repro` that succeeds."""
    status, said = start(checkout, *words).wait(), (checkout / "said.txt").read_text()
    assert status == 0, said
    return said


def test_pipeline_killed_in_mid_training_goes_on_and_then_has_nothing_to_do(checkout):
    process = start(checkout)
    # The training leaves its state outside the stage's outs; once it is there, the training is under way.
    while process.poll() is None and not list((checkout / "out" / "resume").glob("*/distill.pt")):
        time.sleep(0.05)
    said = (checkout / "said.txt").read_text()
    assert process.poll() is None, said
    kill(process)
    assert "Running stage 'distill@0'" in said and not (checkout / "out" / "init" / "distilled-0").exists()
    (state,) = (checkout / "out" / "resume").glob("*/distill.pt")
    done = len(torch.load(state, weights_only=True)["losses"])
    assert 1 <= done < 40

    said = finish(checkout)
    assert "Stage 'teacher' didn't change, skipping" in said and "Running stage 'report'" in said
    assert not list((checkout / "out" / "resume").glob("*/*.pt"))
    # A bar counts the steps of its own run: those that were left.
    last = (checkout / "out" / "log" / "distill-0.log").read_text().splitlines()[-1]
    assert re.search(r" (\d+)/(\d+) ", last).groups() == (str(40 - done), str(40 - done))
    metrics = checkout / "out" / "metrics"
    cells = {metrics / f"finetune-1-{name}-0.json" for name in ("scratch", "distilled", "xmodel")}
    assert set(metrics.iterdir()) == cells | {metrics / "distill-0.json"}
    for path in cells:
        cell = json.loads(path.read_text())
        assert 0 <= cell["miou"] <= 100 and cell["frames"] == 6  # the smoke profile's 3 training streets of 2 frames
    for name in ("table.md", "report.html"):
        assert (checkout / "out" / "report" / name).stat().st_size > 100

    before = time.monotonic()
    assert "Running" not in finish(checkout)
    assert time.monotonic() - before < 20


@pytest.mark.parametrize("stage", ["distill@0", "finetune@1-distilled-0", "xmodel@1-0"])
def test_a_repeated_stage_leaves_the_same_bytes(checkout, stage):
    """dvc.lock holds the hash of all that a stage writes: metrics, weights, predictions, the executed notebook. The distillation
    in it was killed and went on, and this one runs through."""
    lock = yaml.safe_load((checkout / "dvc.lock").read_text())
    finish(checkout, "--force", "--single-item", "--no-run-cache", stage)
    again = yaml.safe_load((checkout / "dvc.lock").read_text())
    for name, facts in lock["stages"].items():
        assert again["stages"][name] == facts


@pytest.mark.parametrize(
    "change, runs",
    [
        ("distill.temperature=0.2", {"distill@0", "finetune@1-distilled-0", "xmodel@1-0", "report"}),
        ("finetune.lr.scratch=0.5", {"finetune@1-scratch-0", "report"}),
        ("sweep.fractions=[1, 0.5]", {"finetune@0.5-scratch-0", "finetune@0.5-distilled-0", "xmodel@0.5-0", "report"}),
        ("fused.dark=0.5", {"xmodel@1-0", "report"}),
        ("views.reach=0", {"views", "distill@0", "finetune@1-distilled-0", "xmodel@1-0", "report"}),
        (
            "sweep.seeds=[0, 1]",
            {"scratch@1", "distill@1", "finetune@1-scratch-1", "finetune@1-distilled-1", "xmodel@1-1", "report"},
        ),
    ],
)
def test_a_change_runs_what_depends_on_it_and_nothing_else(checkout, change, runs):
    before = (checkout / "params.yaml").read_bytes()
    try:
        sections = yaml.safe_load(before)
        key, value = change.split("=")
        *parents, last = key.split(".")
        inner = sections
        for parent in parents:
            inner = inner[parent]
        inner[last] = yaml.safe_load(value)
        (checkout / "params.yaml").write_text(yaml.safe_dump(sections, sort_keys=False))
        code = "import xkd; from xkd.estimate import stages_left; print(*stages_left(xkd.ROOT), sep='\\n')"
        left = subprocess.run([sys.executable, "-c", code], cwd=checkout, text=True, capture_output=True, check=True)
        assert set(left.stdout.split()) == runs
    finally:
        (checkout / "params.yaml").write_bytes(before)
