"""How long what is left will take: the stages that are left, the frames that are there or will be made, a cost for each."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import xkd
from xkd import XkdError, estimate, params


def test_estimate_counts_what_is_left_and_what_hangs_on_it(tmp_path):
    """Three stages in a row, and one apart: a change at the second leaves the second and the third to do. Another pipeline, in a folder of
    its own, is not what plain `dvc repro` runs."""
    stages = {
        "one": {"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
        "two": {"cmd": "cp b c", "deps": ["b", "code"], "outs": ["c"]},
        "three": {"cmd": "cp c d", "deps": ["c"], "outs": ["d"]},
        "apart": {"cmd": "cp a e", "deps": ["a"], "outs": ["e"]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "study").mkdir()
    other = {"more": {"wdir": "..", "cmd": "cp d f", "deps": ["d"], "outs": ["f"]}}
    (tmp_path / "study" / "dvc.yaml").write_text(yaml.safe_dump({"stages": other}))
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (tmp_path / "a").write_text("a")
    (tmp_path / "code").write_text("1")
    assert estimate.stages_left(tmp_path) == ["apart", "one", "three", "two"]
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=tmp_path, check=True)
    assert estimate.stages_left(tmp_path) == []
    (tmp_path / "code").write_text("2")
    assert estimate.stages_left(tmp_path) == ["three", "two"]


def test_estimate_counts_the_frames_that_are_there(kitti):
    """Of three frames each in sequences 00 (train), 08 (val) and 11 (test): training and unlabelled ones have images; labels are drawn
    from training ones that are not held out. How many seeds there are says nothing of that."""
    sections = params.profile("real")
    sections["data"] |= {"root": str(kitti), "unlabelled": ["test"]}
    sections["sweep"]["seeds"] = [0]
    assert estimate.counted(sections) == (6, 3)
    assert estimate.counted(sections | {"data": sections["data"] | {"tuning": ["00"]}}) == (6, 0)
    assert estimate.counted(sections | {"data": sections["data"] | {"unlabelled": []}}) == (3, 3)
    with pytest.raises(XkdError, match="semantickitti has no split 'tets'"):
        estimate.counted(sections | {"data": sections["data"] | {"unlabelled": ["tets"]}})


def test_estimate_knows_the_frames_that_are_to_be_made(monkeypatch, tmp_path):
    full, demo = params.profile(), params.profile("demo")
    shutil.copy(xkd.ROOT / "params.yaml", tmp_path)
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    full["sweep"]["seeds"] = [0]
    # docs/data.md: 400 and 124 of train and 450 of test; without the 124 for tuning.
    assert estimate.counted(full) == (974, 400)
    assert estimate.counted(demo) == (20, 20)


def test_a_data_set_of_many_frames_takes_long():
    """By hand, of 19130 frames: at 77 a second 248 s to prepare, at 17 a second 1125 s to look at, at 12 a second 1594 s to gather."""
    sections, frames = params.profile("real"), (19130, 19130)
    for stage, seconds in (("prepare", 248.4), ("teacher", 1125.3), ("views", 1594.2)):
        own = estimate.cost(stage, sections, frames) - estimate.OVERHEAD[stage]
        assert own == pytest.approx(seconds, abs=0.1)
    # A quarter of the labels: 40 steps for each of 4782.5 frames, but 7800 at most.
    sections["finetune"] |= {"batch": 2, "crop": 6144}
    assert estimate.cost("finetune@0.25-scratch-0", sections, frames) == pytest.approx(
        7800 * (0.004 + 0.00626688) + estimate.OVERHEAD["finetune"]
    )


def test_estimate_knows_every_stage():
    stages = yaml.safe_load(Path(xkd.ROOT / "dvc.yaml").read_text())["stages"]
    assert set(estimate.OVERHEAD) == set(stages)
    sections = params.profile()
    # By hand: 60 steps of 2 scans of 6144 points, 4 ms a step and 0.51 microseconds a point, and what a cell costs besides.
    sections["finetune"] |= {"steps": {"base": 40, "per_frame": 1, "most": 60}, "batch": 2, "crop": 6144}
    assert estimate.cost("finetune@1-scratch-0", sections) == pytest.approx(
        60 * (0.004 + 0.00626688) + estimate.OVERHEAD["finetune"]
    )
    # 90 steps of the network with images cost 2 of the student's each.
    sections["fused"] = {"steps": {"base": 50, "per_frame": 0.1, "most": 100}}
    assert estimate.cost("xmodel@1-0", sections) == pytest.approx(
        (60 + 2 * 90) * (0.004 + 0.00626688) + estimate.OVERHEAD["xmodel"]
    )
    assert (
        estimate.words(50) == "about a minute"
        and estimate.words(600) == "about 10 minutes"
        and estimate.words(9000) == "about 2 hours"
    )
