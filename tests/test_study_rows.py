"""Each row of the study is trained and asked in its own way, on splits in which a point says which one it is."""

import marked
import numpy as np
import pytest
import torch
from marked import LABELLED, Reader, label, numbers, shown

from xkd import study_cell
from xkd.params import profile
from xkd.study import Cell


@pytest.fixture
def guesses(tmp_path, monkeypatch):
    """A function: (block, row) -> what `study_cell.train` counts, {validation frame: guesses}; the labelled frame is `LABELLED`."""
    place, found = marked.made(tmp_path), []
    monkeypatch.setattr(study_cell, "place_of", lambda *_: place)
    monkeypatch.setattr(study_cell, "frames_of", lambda *_: [LABELLED])
    monkeypatch.setattr(study_cell, "initial", lambda *_: tmp_path / "init")
    for name in ("made_of", "features"):
        monkeypatch.setattr(study_cell, name, lambda *_, **__: "same")
    monkeypatch.setattr(study_cell, "write", lambda file, result, validation, seen, guesses: found.append(guesses))

    def of(block, row):
        study_cell.train(profile("smoke"), Cell(block, row, 1, 0, tmp_path), "out")
        return found.pop()

    return of


@pytest.mark.parametrize(
    ("block", "row", "way"),
    [
        ("pretraining", "scratch-long", "labels"),
        ("pretraining", "xmodel", "labels"),
        ("unlabelled", "self-training", "self"),
        ("unlabelled", "lidar-ssl", "self"),
        ("unlabelled", "xmodel", "said by the fused network"),
        ("further", "labels-long", "labels"),
        ("further", "self-training", "self"),
        ("further", "xmodel", "said by the fused network"),
        ("ablation", "no-views", "said by the fused network"),
        ("ablation", "self-labels", "self"),
        ("pretraining-full", "xmodel", "labels"),
        ("unlabelled-full", "self-training-long", "self"),
        ("unlabelled-full", "xmodel-long", "said by the fused network"),
    ],
)
def test_a_row_is_trained_in_its_own_way(guesses, tmp_path, monkeypatch, block, row, way):
    """What is counted is what that network predicts."""
    told = {}

    def student(place, frames, folder, *_):
        return told[folder], [], None

    monkeypatch.setattr(study_cell.finetune, "train", lambda *_: ("labels", [], None))
    monkeypatch.setattr(study_cell.self_training, "train", lambda *_: ("self", [], None))
    monkeypatch.setattr(study_cell, "fused_of", lambda *_: ("said by the fused network", tmp_path / "fused"))
    monkeypatch.setattr(
        study_cell.unlabelled,
        "predict",
        lambda network, place, frames, most, folder, label: told.update({folder: network}),
    )
    monkeypatch.setattr(study_cell.unlabelled, "train_student", student)
    monkeypatch.setattr(study_cell, "predict", lambda network, validation: [(0, network)])
    assert guesses(block, row) == {0: way}


def test_the_fused_row_sees_the_images(guesses, monkeypatch, tmp_path):
    """`Reader` takes every point that a view shows for class 2, all others for class 1."""
    monkeypatch.setattr(study_cell, "fused_of", lambda *_: (Reader(), tmp_path / "fused"))
    expected = np.where(shown(numbers("val", 0)) > 0, 2, 1)
    assert guesses("images", "fused")[0].tolist() == expected.tolist()


@pytest.fixture
def fitted(monkeypatch):
    """[(features, labels)] that the probes were fitted on, which then tell the first feature; `nearest` tells its negative."""
    found = []
    for name, sign in (("linear", 1), ("nearest", -1)):

        def probe(features, labels, classes, sign=sign):
            found.append((features[:, 0].numpy(), labels.numpy()))
            return lambda values: sign * torch.as_tensor(values)[:, 0]

        monkeypatch.setattr(study_cell.probe, name, probe)
    return found


@pytest.mark.parametrize(("block", "sign"), [("linear", 1), ("nearest", -1)])
def test_frozen_features_are_probed_as_the_block_says(guesses, fitted, monkeypatch, block, sign):
    """The features are the points' numbers."""
    monkeypatch.setattr(study_cell.students, "load", lambda init: Reader())
    assert guesses(block, "scratch")[0].tolist() == (sign * numbers("val", 0)).tolist()
    ((features, labels),) = fitted
    known = numbers("train", LABELLED)[label(numbers("train", LABELLED)) >= 0]
    assert features.tolist() == known.tolist() and labels.tolist() == label(known).tolist()


def test_the_probe_of_the_teacher_has_the_mean_of_each_points_views(guesses, fitted):
    """Which is its number, as every view of it says, and nothing where there is none."""
    number = numbers("val", 0)
    assert guesses("images", "teacher-probe")[0].tolist() == (number * (shown(number) > 0)).tolist()
    ((features, labels),) = fitted
    known = numbers("train", LABELLED)[label(numbers("train", LABELLED)) >= 0]
    assert features.tolist() == (known * (shown(known) > 0)).tolist() and labels.tolist() == label(known).tolist()
