"""What the benchmarks compare gives the same, and what they count of hidden points is so by hand."""

import importlib

import numpy as np
import pytest
import torch

from xkd.geometry import in_view
from xkd.metrics import confusion
from xkd.sparse import voxelise

pytestmark = pytest.mark.usefixtures("benchmarks")
module = importlib.import_module


@pytest.fixture
def scan():
    made = module("made")
    return made.street(5000), np.linspace(0, 1, 5000, dtype=np.float32)


def test_voxels_are_the_peers(scan):
    peers, own = module("peers"), voxelise(*scan, 0.5)
    _, inverse, count = peers.hash_and_sort(scan[0].astype(np.float64), 0.5)
    assert len(count) == len(own[0]) and sorted(count) == sorted(np.bincount(own[1]))
    cells = peers.rows_unique(scan[0].astype(np.float64), 0.5)[0]
    assert {*map(tuple, cells.tolist())} == {*map(tuple, own[0].tolist())}


def test_pixels_are_the_peers(scan):
    made, peers = module("made"), module("peers")
    camera = made.rig(scan[0]).cameras[0]
    point, pixel, _ = in_view(scan[0], camera)
    pixels, inside = peers.numpy_projection(scan[0], camera)
    # The peer leaves out the outer half pixel that ours takes in.
    assert set(np.flatnonzero(inside)) <= set(point) and len(point) > 500
    assert np.abs(pixels[point] - pixel[:, ::-1]).max() <= 0.51


def test_a_confusion_is_the_peers():
    rng = np.random.default_rng(0)
    true, pred = rng.integers(-1, 19, 1000).astype(np.int16), rng.integers(0, 19, 1000)
    assert (confusion(pred, true, 19) == module("peers").add_at(pred, true, 19)).all()


def test_the_loss_is_the_peers(monkeypatch):
    own = module("loss")
    for name, value in {"SCANS": 1, "CAMERAS": 2, "SIZE": (20, 30), "POINTS": 300, "PAIRS": 200, "CHANNELS": 8}.items():
        monkeypatch.setattr(own, name, value)
    given = own.loss_input()
    gradients = []
    for loss in (own.our_loss, module("peers").one_hot_loss):
        value = loss(*given, 0.07)
        gradients.append((value.item(), *torch.autograd.grad(value, given[0])))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-4)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-5)


def test_shares_of_hidden_points_by_hand():
    """Of four pairs at 10 m two are hidden by 5 m; of these and of the other two one each is dropped. 1.1 m would do to be found."""
    own = module("occlusion")
    count = own.counts(np.array([True, False, True, False]), np.array([5.0, 5.0, 0.0, 0.0]), np.full(4, 10.0))
    assert count.tolist() == [4, 2, 2, 1, 2, 1]
    assert own.shares(count) == dict.fromkeys(own.SHOWN, 50.0)
    near = own.counts(np.array([True, False]), np.array([1.0, 1.2]), np.full(2, 10.0))
    assert near.tolist() == [2, 2, 1, 1, 1, 0]


def test_a_box_hides_what_is_behind_it():
    """A box of 2 x 4 x 2 m around (60, 2, 1) before a camera 9 m from its face, 1 m above the road: 11 m before a place 20 m away. A ray
    to 8 m beside that place passes the face at y = 2 + 8 * 9 / 20 = 5.6, and one to 4 m above it at z = 2.8: both clear the box."""
    from test_sim_world import one_box, scene

    own = module("occlusion")
    town = own.Town(scene(one_box), 0.0, 80.0)
    places = np.array([[70.0, 2, 1], [70, 10, 1], [70, 2, 5], [58, 2, 1], [59, 2, 1]])
    found = own.hidden(town, np.array([50.0, 2, 1]), places)
    np.testing.assert_allclose(found, [11, 0, 0, 0, 0], atol=1e-9)


def test_hidden_points_of_one_street(monkeypatch):
    """The quick mode of the benchmark, on fewer rays: what the caster finds is nearly all that the made sweep has."""
    own = module("occlusion")
    monkeypatch.setattr(own, "QUICK", True)
    monkeypatch.setattr(own, "STREETS", 1)
    monkeypatch.setitem(own.RIGS, "few", ("kitti", "kitti", 200, (125, 414)))
    row = own.row("few")
    assert (row["streets"], row["frames"]) == (1, 1) and row["pairs"] > 500 and row["unknown"] < 0.5
    assert 0 < row["left"] < row["hidden"] < 20 and row["recall"] > row["lost"]
    assert "| few | 1 |" in own.section({"occlusion": {"rows": [row], "settings": own.OCCLUSION}})
