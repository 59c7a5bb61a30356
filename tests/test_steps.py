"""A training step by step, on numbers that can be checked on paper: which frames, how far a weight moves, what is counted afterwards."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from xkd import finetune, taught, train


class Split(list):
    """A prepared split: the labels of each frame, and its street."""

    def __init__(self, labels, scenes, classes=("road", "car")):
        super().__init__(labels)
        self.scenes, self.classes = list(scenes), list(classes)
        self.frames = [{"id": f"frame-{i}"} for i in range(len(labels))]

    def labels(self, i):
        return np.array(self[i])


def test_each_street_has_its_own_confusions():
    """Frames 0 and 2 are of street b, frame 1 of street a: the streets come by name, rows are the truth."""
    guesses = {0: np.array([0, 1, 1]), 1: np.array([1]), 2: np.array([1, 0])}
    total, streets = train.tally(Split([[0, 0, -1], [1], [0, 1]], "bab"), guesses)
    assert streets == ["a", "b"] and total.dtype == np.int64
    assert total.tolist() == [[[0, 0], [0, 1]], [[1, 2], [1, 0]]]


def test_every_epoch_has_an_order_of_its_own():
    seen = [i for step in range(10) for i in train.order(20, 0, 8, step)]
    epochs = [tuple(seen[k : k + 20]) for k in (0, 20, 40, 60)]
    assert len(set(epochs)) == 4 and all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert train.order(20, 1, 20, 0) != train.order(20, 0, 20, 0)


@pytest.mark.parametrize(("gradient", "moved"), [((3000.0, 4000.0), (3.0, 4.0)), ((0.3, 0.4), (0.3, 0.4))])
def test_a_long_gradient_is_clipped_and_a_short_one_is_not(tmp_path, gradient, moved):
    """Lengths 5000 and 0.5, at most 5. SGD's first step is rate * gradient; of two steps the second has the rate 0."""
    network, slope = nn.Linear(2, 1, bias=False), torch.tensor([gradient])
    before = network.weight.detach().clone()
    settings = {"steps": 2, "lr": 0.1, "warmup": 0.5, "optimiser": "sgd", "weight_decay": 0.0, "clip": 5.0}
    settings["save_every"] = 1e9

    def loss(batch):
        return (network.weight * batch).sum()

    train.fit(network, lambda step: slope, loss, settings, tmp_path / "state.pt", "test-fit")
    assert (before - network.weight.detach())[0].tolist() == pytest.approx([0.1 * part for part in moved], abs=1e-6)


def test_classes_seen_are_those_of_all_labelled_frames(monkeypatch, tmp_path):
    """Frames 0 and 2 are labelled: three points of road and one of car; the point without a class and frame 1 do not count."""
    counts = np.array([[[3, 1], [0, 0]], [[0, 0], [2, 2]]])
    monkeypatch.setattr(finetune, "evaluate", lambda *_: (counts, ["x", "y"], {0: np.array([0, 1])}))
    monkeypatch.setattr(finetune, "students", SimpleNamespace(save=lambda *_, **facts: None))
    train_set, validation = Split([[0, 0, -1], [1, 1, 1], [1, 0]], "aab"), Split([[0, 1]], "x")
    about = {"init": "scratch", "objective": "none", "fraction": 0.5, "seed": 0}
    result = finetune.keep(
        None, train_set, [0, 2], validation, about, "nuscenes", 1, tmp_path / "cell", tmp_path / "m.json"
    )
    assert result["classes_seen"] == {"road": 3, "car": 1} and result["frames"] == 2
    assert result["labelled_frames"] == ["frame-0", "frame-2"]
    # Of both streets: road 3 of 3 + 1 + 2, car 2 of 2 + 2 + 1.
    assert result["iou"] == {"road": 50.0, "car": 40.0} and result["miou"] == 45.0


@pytest.mark.parametrize("init", ["scratch", "xmodel"])
def test_a_cell_learns_from_no_tuning_street(monkeypatch, tmp_path, init):
    """Of the streets a, t1, b and t2 all frames are labelled, and those of t1 and t2 are for tuning."""
    split = SimpleNamespace(labelled=True, scenes=["a", "t1", "b", "t2"], frames=[{"labelled": True}] * 4, path="train")
    data = {"train": "train", "validation": "val", "tuning": ["t?"], "kind": "nuscenes"}
    settings = {"subset": "spread", "lr": {init: 0.1}, "shown": 1, "processes": 1}
    learnt, state, out = [], tmp_path / "state.pt", (tmp_path / "cell", tmp_path / "m.json")

    def training(_, frames, *rest):
        learnt.append(list(frames))
        return (None, [0.5], [0.5], [state]) if init == "xmodel" else (None, [0.5], state)

    monkeypatch.setattr(finetune, "Prepared", lambda path, name: split)
    monkeypatch.setattr(finetune, "origin", lambda init: {"objective": "none"})
    monkeypatch.setattr(finetune, "keep", lambda network, train_set, frames, *rest: list(frames))
    monkeypatch.setattr(finetune, "train", training)
    monkeypatch.setattr(taught.unlabelled, "teach", training)
    if init == "xmodel":
        monkeypatch.setattr(taught.students, "load", lambda path: SimpleNamespace(first=True))
        place = SimpleNamespace(split=lambda name: split, data=data, predicted=lambda frames, most: [])
        sections = {"student": {}, "mixing": {"frames": 9}}
        result, *_ = taught.cell(settings, sections, 1, 0, place, tmp_path / "distilled-0", *out)
    else:
        result, _ = finetune.cell(data, {}, settings, 1, init, 0, tmp_path, tmp_path / "scratch-0", *out)
    assert result == [0, 2] and learnt == [[0, 2]]
