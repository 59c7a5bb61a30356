"""What the study's ways to train cost: the table by hand, and every way run on smoke data, which leaves nothing behind."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import xkd
from xkd import distill, finetune, lidar_ssl, self_training, study_cost, unlabelled, xmodel
from xkd.objectives import OBJECTIVES


def test_table_compares_with_the_first_of_a_phase(smoke, out, monkeypatch):
    times = {"cosine": 20.0, "ppkt": 50.0, "labels": 10.0, "fused": 30.0, "student": 4.0}
    monkeypatch.setattr(study_cost, "measured", lambda params, out, phase, name, lengths: (times[name], 100.0))
    smoke["distill"]["steps"] = 6000
    smoke["fused"]["steps"] = {"base": 1200, "per_frame": 0, "most": 1200}
    ways = [("pretraining", "cosine"), ("pretraining", "ppkt"), ("fine-tuning", "labels"), ("fine-tuning", "fused")]
    found = study_cost.table(smoke, out, [*ways, ("inference", "student")]).set_index("way")
    assert found.ratio.to_dict() == {"cosine": 1, "ppkt": 2.5, "labels": 1, "fused": 3, "student": 1}
    # 6000 steps of 50 ms are 5 minutes, 1200 of 30 ms 36 seconds.
    assert found.minutes["ppkt"] == 5 and found.minutes["fused"] == pytest.approx(0.6)
    assert np.isnan(found.minutes["student"])


def test_steps_are_those_of_the_study(smoke, out):
    smoke["distill"]["steps"], smoke["study"]["steps"] = 70, 0.5
    smoke["finetune"]["steps"] = {"base": 10, "per_frame": 4, "most": 9999}
    smoke["fused"]["steps"] = {"base": 3, "per_frame": 2, "most": 9999}
    found = {way: study_cost.steps(smoke, out, *way) for way in study_cost.WAYS}
    assert found["pretraining", "xmodel"] == 70 and found["inference", "fused"] is None
    # Of the six frames: half of 10 + 4 a frame; the fused network has its own, whole.
    assert (
        found["fine-tuning", "labels"] == found["fine-tuning", "xmodel"] == 17 and found["fine-tuning", "fused"] == 15
    )


def test_memory_is_the_most_that_was_held():
    """In a process of its own: what this one has held before may be more."""
    lines = (
        "import numpy as np; from xkd.study_cost import _held; before = _held(); held = np.ones(50_000_000); del held"
    )
    done = subprocess.run([sys.executable, "-c", f"{lines}; print(_held() - before)"], capture_output=True, check=True)
    assert 300 < float(done.stdout) < 500  # 400 MB are 381 MiB


def test_every_way_is_trained_for_as_many_steps_and_leaves_nothing(smoke, out, tmp_path, monkeypatch):
    (tmp_path / "xkd").symlink_to(xkd.ROOT / "xkd")
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    threads, trained = torch.get_num_threads(), []
    modules = (distill, finetune, lidar_ssl, self_training, unlabelled, xmodel)
    for module in modules:
        monkeypatch.setattr(module, "fit", lambda *given, fit=module.fit: trained.append(given) or fit(*given))
    own, asked = distill.objective, []
    monkeypatch.setattr(distill, "objective", lambda name: asked.append(name) or own(name))
    for phase, name in study_cost.WAYS:
        trained.clear(), asked.clear()
        (folder := tmp_path / phase / name).mkdir(parents=True)
        if (phase, name) == ("fine-tuning", "xmodel"):
            study_cost._say(smoke, out, folder)
        ms, mb = study_cost._measured(smoke, out, phase, name, (2, 3), folder)
        assert np.isfinite(ms) and mb >= 0 and asked == [name] * 3 * (name in OBJECTIVES)
        # Of each training: its network, batches, loss, settings, state, label.
        lengths = [given[3]["steps"] for given in trained]
        assert lengths == ([] if phase == "inference" else [1, 2, 3]), name
        assert all(given[5] == f"cost-{name}" for given in trained)
        assert not [path for path in (tmp_path / "out" / "resume").rglob("*") if path.is_file()]
    torch.set_num_threads(threads)
