"""What the study's ways to train cost: the table by hand, and every way run on smoke data, which leaves nothing behind."""

import numpy as np
import pytest
import torch

import xkd
from xkd import study_cost
from xkd.params import profile


@pytest.fixture
def params(made):
    sections = profile("smoke")
    sections["data"]["root"] = str(made / "nuscenes")
    sections["teacher"]["source"] = str(made / "cityscapes")
    return sections


@pytest.fixture(scope="module")
def out(stages, gathered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cost")
    for name in ("prepared", "teacher"):
        (folder / name).symlink_to(stages / name)
    (folder / "views").symlink_to(gathered.with_name("views"))
    return folder


def test_table_compares_with_the_first_of_a_phase(params, out, monkeypatch):
    times = {"cosine": 20.0, "ppkt": 50.0, "labels": 10.0, "fused": 30.0, "student": 4.0}
    monkeypatch.setattr(study_cost, "measured", lambda params, out, phase, name, lengths: (times[name], 100.0))
    params["distill"]["steps"] = 6000
    params["fused"]["steps"] = {"base": 1200, "per_frame": 0, "most": 1200}
    ways = [("pretraining", "cosine"), ("pretraining", "ppkt"), ("fine-tuning", "labels"), ("fine-tuning", "fused")]
    found = study_cost.table(params, out, [*ways, ("inference", "student")]).set_index("way")
    assert found.ratio.to_dict() == {"cosine": 1, "ppkt": 2.5, "labels": 1, "fused": 3, "student": 1}
    # 6000 steps of 50 ms are 5 minutes, 1200 of 30 ms 36 seconds.
    assert found.minutes["ppkt"] == 5 and found.minutes["fused"] == pytest.approx(0.6)
    assert np.isnan(found.minutes["student"])


@pytest.mark.parametrize("way", study_cost.WAYS, ids="-".join)
def test_every_way_runs_and_leaves_nothing(way, params, out, tmp_path, monkeypatch):
    (tmp_path / "xkd").symlink_to(xkd.ROOT / "xkd")
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    threads = torch.get_num_threads()
    ms, mb = study_cost._measured(params, out, *way, (1, 2))
    torch.set_num_threads(threads)
    assert np.isfinite(ms) and mb >= 0
    assert (way[0] == "inference") != (tmp_path / "out" / "resume").exists()
    assert not [path for path in (tmp_path / "out" / "resume").rglob("*") if path.is_file()]
