"""What is put beside a point is that point's own: in a second look at a scan, in what views show, in what a teacher says."""

import marked
import numpy as np
import pytest
import torch
from marked import numbers, shown

from xkd import lidar_ssl, mixed, xmodel
from xkd.distill import Pool
from xkd.gathered import Seen
from xkd.mixed import Source


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return marked.made(tmp_path_factory.mktemp("marked"))


def rng(step):
    return np.random.default_rng(step)


def test_two_looks_show_the_same_points(place):
    """Each augmented in its own way, which leaves the intensity: that says which point it is. Without any they are one."""
    split, settings = place.split("train"), marked.settings()
    scans = [(split.points(i), split.intensity(i)) for i in range(3)]
    found = set()
    for step in range(5):
        first, second = lidar_ssl.batch(scans, marked.STUDENT, settings, rng(step))
        assert torch.equal(first.inputs[:, 0], second.inputs[:, 0]) and torch.equal(first.scan, second.scan)
        assert not torch.isclose(first.points, second.points).all(1).any()
        assert len(first.inverse.unique()) == len(first.inverse)
        found |= set(marked.own(first).tolist())
    assert len(found) > 100  # of 120 points
    still = settings | {"augment": dict.fromkeys(settings["augment"], 0.0)}
    first, second = lidar_ssl.batch(scans, marked.STUDENT, still, rng(0))
    assert torch.equal(first.points, second.points) and torch.equal(first.coordinates, second.coordinates)


def test_a_point_is_to_find_itself_in_the_other_look(monkeypatch):
    """Of four points every other counts. Their cosines are [[1, d], [0, d]], at temperature 1/2, and are taken by rows and by columns."""
    monkeypatch.setattr(lidar_ssl, "MATCHES", 2)
    d = 0.5**0.5
    first = torch.tensor([[2.0, 0.0], [9.0, 9.0], [0.0, 3.0], [9.0, 9.0]])
    second = torch.tensor([[5.0, 0.0], [-9.0, 9.0], [1.0, 1.0], [-9.0, 9.0]])
    tables = torch.tensor([[[1, d], [0, d]], [[1, 0], [d, d]]])
    expected = -(tables / 0.5).log_softmax(2).diagonal(dim1=1, dim2=2).mean()
    torch.testing.assert_close(lidar_ssl.loss(first, second, 0.5), expected)


def test_views_go_with_the_points_that_are_asked_for(place):
    """Three points of a scan, in any order: each with its own views, and a voxel with the mean of all of its points'."""
    source = Source(place.split("test"), place.gathered("test"))
    voxels = marked.Reader().voxels([(source.prepared.points(1), source.prepared.intensity(1))])
    seen = Seen(*(torch.from_numpy(part) for part in source.views.views(1)))
    asked, found = mixed.look(voxels, np.array([5, 0, 21]), seen)
    number = numbers("test", 1)[[5, 0, 21]]
    assert marked.own(asked).tolist() == number.tolist()
    assert torch.bincount(found.point, minlength=3).tolist() == shown(number).tolist() == [2, 0, 1]
    assert torch.equal(found.values[:, 0], marked.own(asked)[found.point].float())
    mean, there = asked.features[:, -2:].T
    assert len(there) == marked.CELLS and there.sum() == np.count_nonzero(shown(np.arange(marked.CELLS) + 1))
    torch.testing.assert_close(mean, voxels.features[:, 0] * marked.ONE * there, atol=0.01, rtol=0)


class Features:
    """In the place of `TeacherFeatures`: a point in two has a feature, which is its number; all of one superpixel, whose is its frame."""

    def __init__(self, split):
        self.split = split

    def stored(self, i):
        point = np.arange(0, marked.POINTS, 2)
        features = numbers(self.split, i)[point, None].astype(np.float16)
        return point, np.zeros_like(point), features, np.array([[i]], np.float16)


def test_what_xmodel_learns_from_is_of_the_same_points(place):
    """The teacher's features, the views, and the second look."""
    pool = Pool.__new__(Pool)
    pool.splits = [(place.split(name), Features(name)) for name in ("train", "test")]
    pool.index = [(s, i) for s, (split, _) in enumerate(pool.splits) for i in range(len(split))]
    pool.mean, pool.scale, pool.whitening = torch.zeros(1), torch.ones(1), torch.eye(1)
    gathered = [place.gathered(name) for name in ("train", "test")]
    for step in range(5):
        given = ([3, 1, 4], marked.STUDENT, marked.settings(), 0.5, 1, rng(step), True)
        found = xmodel.batch(pool, gathered, *given)
        number = marked.own(found.voxels)
        assert torch.equal(found.pairs["features"][:, 0], number.float())
        # The scans 3, 1, 4 of the pool are the frames 0, 1, 1 of their splits.
        frame = found.pairs["superpixel_features"][found.pairs["superpixel"], 0]
        assert torch.equal(frame, torch.tensor([0.0, 1.0, 1.0])[found.voxels.scan])
        assert torch.equal(found.seen.values[:, 0], number[found.seen.point].float())
        assert torch.bincount(found.seen.point, minlength=len(number)).tolist() == shown(number.numpy()).tolist()
        assert torch.equal(found.again.inputs[:, 0], found.voxels.inputs[:, 0])
