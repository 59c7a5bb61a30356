"""Fine-tuning: which frames and points it learns from, in how many steps, at which rate, and what a cell leaves."""

from types import SimpleNamespace

import numpy as np
import pytest

import xkd
import xkd.prepared
from xkd import finetune
from xkd.sparse import collate


def test_labels_are_drawn_from_frames_that_have_them():
    frames = [{"labelled": k != 1} for k in range(4)]
    split = SimpleNamespace(labelled=True, scenes=list("aabc"), frames=frames, path="out/prepared/train")
    assert finetune.labelled(split, skip=["c"]) == [0, 2]
    assert finetune.labelled(split, skip=["[ab]"]) == [3]
    with pytest.raises(xkd.XkdError, match="out/prepared/train: no frame"):
        finetune.labelled(split, skip=["?"])


def test_steps_by_hand():
    settings = {"steps": {"base": 200, "per_frame": 4, "most": 700}}
    assert [finetune.steps(frames, settings) for frames in (1, 100, 1000)] == [204, 600, 700]


def test_the_rate_for_few_labels_holds_up_to_their_share():
    settings = {"lr": {"scratch": [0.5, 0.1], "distilled": 0.2}, "few": 0.05}
    assert [finetune.rate(settings, "scratch", share) for share in (0.01, 0.05, 0.25, 1)] == [0.5, 0.5, 0.1, 0.1]
    assert finetune.rate(settings, "distilled", 0.01) == finetune.rate(settings, "distilled", 1) == 0.2


class Labels:
    """Two frames of a prepared split, their labels alone."""

    def labels(self, i):
        return np.array([[0, 0, 2, -1], [2, 2, 5, 5]][i])


def test_classes_and_the_frames_that_hold_them():
    assert finetune.classes_of(Labels(), [0, 1]) == {0: [0], 2: [0, 1], 5: [1]}
    assert finetune.classes_of(Labels(), [1]) == {2: [1], 5: [1]}


@pytest.fixture(scope="module")
def small(stages):
    """The smoke profile and the folder of its first two stages (conftest)."""
    return xkd.params.profile("smoke") | {"out": stages}


def test_cell_writes_what_the_report_reads(small, tmp_path):
    init = tmp_path / "init"
    prepared = xkd.prepared.Prepared(small["out"] / "prepared", "train")
    finetune.scratch(small["student"], prepared.classes, 0, init)
    arguments = (small["data"], small["student"], small["finetune"], 0.5, "scratch", 0, small["out"] / "prepared", init)
    result, losses = finetune.cell(*arguments, tmp_path / "cell", tmp_path / "m.json")
    again, _ = finetune.cell(*arguments, tmp_path / "cell2", tmp_path / "m2.json")
    assert (tmp_path / "m.json").read_bytes() == (tmp_path / "m2.json").read_bytes() and result == again
    assert xkd.files.digest(tmp_path / "cell") == xkd.files.digest(tmp_path / "cell2")
    confusion = np.load(tmp_path / "cell" / "confusion.npy")
    assert confusion.shape == (len(result["streets"]), 16, 16)
    validation = xkd.prepared.Prepared(small["out"] / "prepared", "val")
    assert confusion.sum() == sum((validation.labels(i) >= 0).sum() for i in range(len(validation)))
    assert xkd.load(tmp_path / "cell").config["classes"] == validation.classes
    assert len(losses) == result["steps"] == 4 and result["frames"] == round(0.5 * len(prepared))
    assert sum(result["classes_seen"].values()) > 0


def test_a_batch_asks_for_one_labelled_point_of_each_voxel(small):
    prepared = xkd.prepared.Prepared(small["out"] / "prepared", "train")
    settings = small["finetune"] | {
        "balanced": 0.0,
        "crop": 10**6,
        "augment": dict.fromkeys(small["finetune"]["augment"], 0),
    }
    voxels, labels = finetune.batch(prepared, [0, 1], {}, small["student"], settings, np.random.default_rng(0))
    whole = [(prepared.points(i), prepared.intensity(i)) for i in (0, 1)]
    every = collate(whole, small["student"]["voxel"], len(small["student"]["widths"]))
    known = np.concatenate([prepared.labels(i) for i in (0, 1)]) >= 0
    assert len(voxels.inverse.unique()) == len(voxels.inverse) == len(every.inverse[known].unique()) == len(labels)
    asked = {
        (*row, int(scan)): int(label)
        for row, scan, label in zip(voxels.inputs.tolist(), voxels.scan, labels, strict=True)
    }
    own = zip(every.inputs.tolist(), every.scan, np.concatenate([prepared.labels(i) for i in (0, 1)]), strict=True)
    there = {(*row, int(scan)): int(label) for row, scan, label in own}
    assert all(there[place] == label >= 0 for place, label in asked.items())
