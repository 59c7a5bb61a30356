"""What chance does to a batch, with a generator that says what it is told to, or so often that chance evens out."""

from types import SimpleNamespace

import numpy as np
import pytest

from xkd import finetune, mixed
from xkd.augment import augment
from xkd.mixed import Draw, Source

STILL = {"turn": 0, "flip": 0, "scale": 0, "jitter": 0, "gain": 0}
STUDENT = {"voxel": 0.05, "widths": [8]}
"""Voxels so small that no two points of a `Ring` share one."""


class Told:
    """A generator: `random` gives the next of `numbers`, or of `rows` where several are asked for; the rest its largest, or ones."""

    def __init__(self, numbers=(), rows=()):
        self.numbers, self.rows = list(numbers), list(rows)

    def random(self, size=None):
        return self.numbers.pop(0) if size is None else np.array(self.rows.pop(0))

    def uniform(self, low, high):
        return high

    def standard_normal(self, shape, dtype):
        return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("change", "moved", "gained"),
    [
        ({"turn": np.pi / 2}, [[0, 1, 2], [-2, 0, 0]], [0.5, 0.9]),
        ({"flip": 0.5}, [[-1, 0, 2], [0, 2, 0]], [0.5, 0.9]),
        ({"scale": 0.5}, [[1.5, 0, 3], [0, 3, 0]], [0.5, 0.9]),
        ({"jitter": 0.25}, [[1.25, 0.25, 2.25], [0.25, 2.25, 0.25]], [0.5, 0.9]),
        ({"gain": 0.2}, [[1, 0, 2], [0, 2, 0]], [0.6, 1.0]),
        # mirrored in x, turned to the left, half as large again, a centimetre along each axis
        (
            {"turn": np.pi / 2, "flip": 0.5, "scale": 0.5, "jitter": 0.01},
            [[0.01, -1.49, 3.01], [-2.99, 0.01, 0.01]],
            [0.5, 0.9],
        ),
    ],
)
def test_every_augmentation_by_hand(change, moved, gained):
    """Points at (1, 0, 2) and (0, 2, 0); of the two mirrors the first is drawn, where there is a chance at all."""
    points, intensity = np.array([[1, 0, 2], [0, 2, 0]], np.float32), np.array([0.5, 0.9], np.float32)
    found, gain = augment(points, intensity, STILL | change, Told(rows=[[0.4, 0.6]]))
    np.testing.assert_allclose(found, moved, atol=1e-6)
    np.testing.assert_allclose(gain, gained, atol=1e-6)


class Ring:
    """Frames of 360 points, a degree apart: frame 0 is road alone, frame 1 has a car at 90 and 91 degrees."""

    classes = ("road", "car")
    frames = ({"points": 360}, {"points": 360})

    def points(self, i):
        angle = np.radians(np.arange(360) - 179.0)
        return np.stack([10 * np.cos(angle), 10 * np.sin(angle), 0 * angle], 1).astype(np.float32)

    def intensity(self, i):
        return np.zeros(360, np.float32)

    def labels(self, i):
        labels = np.zeros(360, np.int16)
        labels[179 + 90 : 179 + 92] = i
        return labels


def test_a_balanced_crop_lies_around_a_point_of_its_class():
    """The only class is car, whose frame is not the one asked for: the 8 points around a point of it are both of it and 6 of road."""
    settings = {"balanced": 1.0, "crop": 8, "augment": STILL}
    for seed in range(5):
        voxels, labels = finetune.batch(Ring(), [0], {1: [1]}, STUDENT, settings, np.random.default_rng(seed))
        assert sorted(labels.tolist()) == [0] * 6 + [1] * 2
        degrees = np.degrees(np.arctan2(*voxels.points.numpy().T[1::-1]))
        assert (np.abs(degrees - 90.5) < 6).all()
    rng = np.random.default_rng(0)
    _, labels = finetune.batch(Ring(), [0], {1: [1]}, STUDENT, settings | {"balanced": 0.0}, rng)
    assert labels.tolist() == [0] * 8


def test_a_prediction_weighs_as_much_as_it_is_sure():
    said = np.array([[0.625, 0.375], [0.25, 0.75], [0, 0]], np.float16)
    split = SimpleNamespace(frames=[{"points": 1}, {"points": 2}])
    values, weight = Source(split, predicted=said).targets(1)
    assert values.tolist() == [[0.25, 0.75], [0, 0]] and weight.tolist() == [0.75, 0]
    assert Source(split, predicted=said).targets(0)[1].tolist() == [0.625]


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 120, 180), (1.0, 300, 300)])
def test_so_many_crops_are_of_predicted_frames(share, low, high):
    """Of 300 crops of two points; those of labels weigh 1, the predicted ones 0.75. The standard deviation at a half is 9."""
    said = np.tile(np.array([0.25, 0.75], np.float16), (720, 1))
    draws = [Draw([source], [(0, 0)]) for source in (Source(Ring()), Source(Ring(), predicted=said))]
    settings = {"batch": 300, "crop": 2, "balanced": 0.0, "augment": STILL}
    weight = mixed.batch(draws, share, STUDENT, settings, np.random.default_rng(0)).weight.numpy()
    assert len(weight) == 600 and set(weight.tolist()) <= {0.75, 1.0}
    assert 2 * low <= np.count_nonzero(weight == 0.75) <= 2 * high


@pytest.mark.parametrize(
    ("dark", "number", "row", "off"),
    [
        (0.1, 0.05, [0.5, 0.95], [0, 1]),  # a dark crop: no camera
        (0.1, 0.5, [0.5, 0.95], []),
        (0.1, 0.5, [0.5, 0.05], [1]),  # a dark camera
        (0.0, 0.0, [0.0, 0.5], []),
        (1.0, 0.5, [0.5, 0.95], [0, 1]),
    ],
)
def test_cameras_that_give_no_image(dark, number, row, off):
    asked = []

    def views(i, reach, dark):
        asked.append((i, reach, dark))
        return np.array([0, 1, 3]), np.array([[0.0], [1.0], [3.0]]), np.zeros((3, 4))

    source = SimpleNamespace(prepared=SimpleNamespace(cameras=["a", "b"]), views=SimpleNamespace(views=views))
    point, values, _ = mixed._views(source, 7, np.array([1, 3]), 4, dark, 2, Told([number], [row]), 10)
    assert asked == [(7, 2, off)]
    assert point.tolist() == [10, 11] and values.tolist() == [[1.0], [3.0]]  # rows of the kept points, from 10 on
