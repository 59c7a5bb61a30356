"""What each training is given: labels of the labelled frames alone, and of all others what a network says of these very points."""

import marked
import numpy as np
import pytest
import torch
from marked import LABELLED, ONE, Reader, label, labelled, numbers, said, shown
from torch.nn.functional import one_hot

from xkd import self_training, unlabelled
from xkd import student as students


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return marked.made(tmp_path_factory.mktemp("marked"))


@pytest.fixture
def given(place, tmp_path, monkeypatch):
    """A function: the name of a training -> what it hands to `fit`."""
    trainings, handed = marked.trainings(place, tmp_path), marked.handed(monkeypatch)
    return lambda training: trainings[training]() and handed


def right(number):
    """(N,) numbers of labelled points -> (N, 3) targets."""
    return one_hot(torch.from_numpy(label(number.numpy())), 3).float()


@pytest.mark.parametrize("training", ["labels", "fused"])
def test_labelled_frames_alone(given, training):
    """The labels of a batch are those of its points, and its points are of the labelled frame."""
    _, make, _ = given(training)
    found = set()
    for step in range(10):
        made = make(step)
        voxels, targets = made if training == "labels" else (made.voxels, made.targets)
        number = marked.own(voxels)
        assert labelled(number).all()
        assert torch.equal(one_hot(targets, 3).float() if training == "labels" else targets, right(number))
        found |= set(number.tolist())
    assert len(found) == np.count_nonzero(label(numbers("train", LABELLED)) >= 0)


def test_the_fused_network_sees_the_views_of_each_point(given):
    """Late: a batch's views are of the point that they are said to be of; early: a voxel's mean is that of its points."""
    _, make, _ = given("fused")
    for step in range(5):
        made = make(step)
        number = marked.own(made.voxels)
        assert torch.equal(made.seen.values[:, 0], number[made.seen.point].float())
        assert torch.bincount(made.seen.point, minlength=len(number)).tolist() == shown(number.numpy()).tolist()
        inputs, mean, there = made.voxels.features[:, 0] * ONE, *made.voxels.features[:, -2:].T
        assert 0 < there.mean() < 1
        torch.testing.assert_close(mean, inputs * there, atol=0.01, rtol=0)


def test_no_hidden_label_reaches_the_student_and_every_prediction_is_its_points(given, monkeypatch):
    """Up to the loss, in which a prediction counts by its largest probability."""
    monkeypatch.setattr(students, "build", lambda *_: Reader())
    monkeypatch.setattr(students, "start_from", lambda *_: None)
    monkeypatch.setattr(unlabelled.mixed, "loss", lambda *arguments: [part.cpu() for part in arguments[:3]])
    _, make, loss_of = given("taught")
    found = set()
    for step in range(20):
        made = make(step)
        number = marked.own(made.voxels)
        expected = torch.from_numpy(said(number)).float()
        expected[labelled(number)] = right(number[labelled(number)])
        logits, targets, weight = loss_of(made)
        assert torch.equal(targets, expected) and torch.equal(weight, expected.max(1).values)
        assert torch.equal(logits[:, 1], number / 100)
        found |= set(number.tolist())
    others = np.concatenate([numbers("train", 0), numbers("train", 2), numbers("test", 0), numbers("test", 1)])
    assert set(others) < found and found - set(others) <= set(numbers("train", LABELLED))


def test_the_average_says_what_each_unlabelled_point_is(given, monkeypatch):
    """The student's logits are 1.1 times `Reader`'s, the average's at first 0 times, and once a step was taken 10/11 of the student's."""
    monkeypatch.setattr(students, "build", lambda *_: Reader(1.1))
    monkeypatch.setattr(students, "start_from", lambda *_: None)
    monkeypatch.setattr(self_training.mixed, "loss", lambda *arguments: [part.cpu() for part in arguments[:3]])
    both, make, loss_of = given("self")
    found = set()
    for step in range(20):
        both.updates.zero_()
        both.average.scale.data.zero_()
        made = make(step)
        number = marked.own(made.batch.voxels)
        known = torch.from_numpy(labelled(number))
        assert torch.equal(made.batch.targets, right(number.where(known, 1)) * known[:, None])
        assert torch.equal(made.batch.weight, known.float())
        assert made.row.tolist() == (~known).nonzero()[:, 0].tolist()
        logits, targets, weight = loss_of(made)
        expected = (torch.tensor([0.0, 1.0, 0.0]) * number[:, None] / 100).softmax(1)
        expected[known] = right(number[known])
        torch.testing.assert_close(targets, expected)
        torch.testing.assert_close(weight, torch.where(known, 1.0, expected.max(1).values))
        torch.testing.assert_close(logits[:, 1], 1.1 * number / 100)
        if made.other is not None:
            assert torch.equal(marked.own(made.other), number[made.row])
            assert not torch.equal(made.other.points, made.batch.voxels.points[made.row])
        found |= set(number.tolist())
    assert len(found - set(numbers("train", LABELLED))) == 4 * marked.POINTS


def test_predictions_lie_at_their_points(place, tmp_path):
    """In every frame that was asked for, by a network that sees the images; nothing in the labelled frame."""
    unlabelled.predict(Reader(), place, [LABELLED], 1000, tmp_path / "said", "test")
    for split in ("train", "test"):
        found = np.load(tmp_path / "said" / f"{split}.npy").reshape(-1, marked.POINTS, 3)
        for i in range(marked.FRAMES[split]):
            number = numbers(split, i)
            logits = torch.from_numpy(np.stack([0 * number, number / 100, shown(number) * number / 50], 1))
            expected = logits.softmax(1).numpy() * ((split, i) != ("train", LABELLED))
            np.testing.assert_allclose(found[i], expected, atol=1e-3)
