"""Voxels by hand; the network against a dense convolution; points in, classes out, in any order; checkpoints."""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import xkd
from xkd import student
from xkd.sparse import ConvAlgo, collate, spconv, voxelise

CONFIG = {"voxel": 0.5, "widths": [8, 12], "classes": ["road", "car", "tree"]}


def scan(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-5, 5, (count, 3)).astype(np.float32), rng.random(count).astype(np.float32)


def test_voxels_by_hand():
    points = np.array([[0.1, 0.1, 0.1], [-0.1, 0.1, 0.1], [0.4, 0.3, 0.2]], np.float32)
    cells, inverse, features, inputs = voxelise(points, np.array([0.2, 0.5, 0.6]), 0.5)
    assert cells.tolist() == [[0, 0, 0], [-1, 0, 0]]
    assert inverse.tolist() == [0, 1, 0]
    assert features[:, 0] == pytest.approx([0.4, 0.5])
    assert inputs[0, 3:] == pytest.approx([0.2 - 0.5, 0.2 - 0.5, 0.2 - 0.5])


def test_cylindrical_voxels_by_hand():
    """Distance 2.2 m and 5 m, azimuth 90 and -53.13 degrees, height 0.3 and -0.1 m, in cells of 0.5 m, 10 degrees and 0.2 m."""
    points = np.array([[0, 2.2, 0.3], [3, -4, -0.1]], np.float32)
    cells, inverse, _, inputs = voxelise(points, np.array([0.2, 0.5]), [0.5, 10, 0.2])
    assert cells.tolist() == [[4, 9, 1], [10, -6, -1]] and inverse.tolist() == [0, 1]
    assert inputs[0] == pytest.approx([0.2, 0.3 * 0.25, 2.2 * 0.04, -0.1, -0.5, 0.0], abs=1e-5)
    assert inputs[1] == pytest.approx([0.5, -0.025, 0.2, -0.5, -5.313 + 5.5, 0.0], abs=1e-3)
    network = student.build(CONFIG | {"voxel": [0.5, 10, 0.2]}, 0)
    assert network.segment(*scan(50)).shape == (50,)
    with pytest.raises(xkd.XkdError, match=r"student.voxel is \[1, 2\]; it has to be one number, or three"):
        voxelise(points, np.ones(2), [1, 2])


@given(st.one_of(st.integers(1, 300), st.sampled_from([511, 512, 513, 1500])), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_voxels_are_those_of_numpy_unique(count, seed):
    points, intensity = scan(count, seed)
    cells, inverse, features, inputs = voxelise(points, intensity, 0.7)
    expected, which = np.unique(np.floor(points / np.float32(0.7)).astype(int), axis=0, return_inverse=True)
    assert sorted(map(tuple, cells)) == sorted(map(tuple, expected))
    assert (cells[inverse] == expected[which.ravel()]).all()
    assert (np.diff(np.unique(inverse, return_index=True)[1]) > 0).all(), "numbered in the order of their first points"
    for v in range(len(cells)):
        assert features[v] == pytest.approx(inputs[inverse == v].mean(0), abs=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9])
def test_points_out_of_reach_are_refused(bad):
    with pytest.raises(xkd.XkdError, match="cannot be turned into voxels"):
        voxelise(np.array([[0, 0, bad]]), np.zeros(1), 0.5)
    with pytest.raises(xkd.XkdError, match="without points"):
        voxelise(np.zeros((0, 3)), np.zeros(0), 0.5)


def test_sparse_convolution_is_the_dense_one():
    torch.manual_seed(0)
    voxels = collate([scan(400)], 1.0, 2)
    convolution = spconv.SubMConv3d(6, 5, 3, bias=False, algo=ConvAlgo.Native)
    dense = torch.zeros(1, 6, *voxels.shape)
    b, z, y, x = voxels.coordinates.long().T
    dense[b, :, z, y, x] = voxels.features
    # spconv keeps weights as (out, z, y, x, in).
    expected = torch.nn.functional.conv3d(dense, convolution.weight.permute(0, 4, 1, 2, 3), padding=1)[b, :, z, y, x]
    sparse = convolution(spconv.SparseConvTensor(voxels.features, voxels.coordinates, voxels.shape, 1)).features
    assert torch.allclose(sparse, expected, atol=1e-5)


def test_order_of_points_and_neighbours_in_the_batch_do_not_matter():
    network = student.build(CONFIG, 0).eval()
    (points, intensity), other = scan(500), scan(300, 1)
    shuffled = np.random.default_rng(2).permutation(500)
    with torch.inference_mode():
        alone = network(network.voxels([(points, intensity)]))[1]
        beside = network(network.voxels([other, (points, intensity)]))[1][300:]
        turned = network(network.voxels([(points[shuffled], intensity[shuffled])]))[1]
    assert torch.allclose(alone, beside, atol=1e-4)
    assert torch.allclose(alone[shuffled], turned, atol=1e-4)


def test_every_parameter_is_trained():
    network = student.build(CONFIG, 0)
    features, logits = network(network.voxels([scan(500)]))
    assert features.shape == (500, network.dim) and logits.shape == (500, 3)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_seed_alone_decides_the_weights():
    same, again, other = (student.build(CONFIG, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(same[k], again[k]) for k in same)
    assert any(not torch.equal(same[k], other[k]) for k in same)


def test_checkpoint_comes_back_and_segments(tmp_path):
    network = student.build(CONFIG, 0)
    student.save(network, tmp_path / "one", seed=0)
    loaded = xkd.load(tmp_path / "one")
    points, intensity = scan(200)
    assert (loaded.segment(points, intensity) == network.segment(points, intensity)).all()
    assert loaded.config == CONFIG | {"backbone": "unet"}


def test_checkpoint_of_another_architecture_is_refused(tmp_path):
    student.save(student.build(CONFIG | {"widths": [4, 12]}, 0), tmp_path / "one")
    with pytest.raises(xkd.XkdError, match="of another architecture.*here"):
        student.start_from(student.build(CONFIG, 0), tmp_path / "one")
    (tmp_path / "one" / "network.json").write_text('{"kind": "something"}')
    with pytest.raises(xkd.XkdError, match="kind is 'something'"):
        xkd.load(tmp_path / "one")
    with pytest.raises(xkd.XkdError, match="no such file"):
        xkd.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(("facts", value) for value in (None, [], "none")),
        *(("config", value) for value in (None, [["voxel", 0.5]])),
        *(("config.voxel", value) for value in ("0.5", None, 0, -1, [0.1, 1], [0.1, "1", 0.1])),
        *(("config.classes", value) for value in ("abc", None, [], ["road", 1, "tree"])),
    ],
)
def test_a_checkpoint_whose_json_is_of_no_student_is_refused(tmp_path, place, value):
    student.save(student.build(CONFIG, 0), tmp_path / "one")
    file = tmp_path / "one" / "network.json"
    about = json.loads(file.read_text())
    section, _, key = place.partition(".")
    (about[section] if key else about)[key or section] = value
    file.write_text(json.dumps(about))
    with pytest.raises(xkd.XkdError, match=re.escape(f"network.json: {place} is {value!r}, which it is of no student")):
        xkd.load(tmp_path / "one")


@pytest.mark.parametrize(
    ("points", "intensity", "said"),
    [
        (
            np.zeros((4, 4)),
            np.zeros(4),
            r"points of shape \(4, 4\) and intensity of shape \(4,\); a scan is \(N, 3\) and \(N,\)",
        ),
        (np.zeros((4, 3)), np.zeros(3), r"points of shape \(4, 3\) and intensity of shape \(3,\)"),
        (np.zeros((4, 3)), np.zeros((4, 1)), r"intensity of shape \(4, 1\)"),
        (np.zeros(3), 0.5, r"points of shape \(3,\) and intensity of shape \(\)"),
        (np.zeros((2, 3)), np.array([0, 255], np.uint8), "the intensity of point 1 is 255; it lies between 0 and 1"),
        (np.zeros((2, 3)), np.array([np.nan, 1]), "the intensity of point 0 is nan"),
        (np.zeros((0, 3)), np.zeros(0), "without points"),
    ],
)
def test_what_is_no_scan_is_refused(points, intensity, said):
    with pytest.raises(xkd.XkdError, match=said):
        student.build(CONFIG, 0).segment(points, intensity)


def test_start_from_takes_all_but_the_classifier(tmp_path):
    source, target = student.build(CONFIG, 0), student.build(CONFIG, 1)
    head = target.head.weight.clone()
    student.save(source, tmp_path / "one")
    student.start_from(target, tmp_path / "one")
    assert torch.equal(target.head.weight, head)
    assert torch.equal(target.stem[0].weight, source.stem[0].weight)


def test_one_each_by_hand():
    """Two voxels of two points and one of one: of those asked about, one of each voxel, and in time each of them."""
    points = np.array([[0.1, 0, 0], [5, 0, 0], [0.2, 0, 0], [9, 0, 0], [5.1, 0, 0]], np.float32)
    voxels = collate([(points, np.zeros(5, np.float32))], 1.0, 1)
    asked = np.array([4, 0, 2, 1])
    seen = {tuple(asked[voxels.one_each(asked, np.random.default_rng(seed))].tolist()) for seed in range(40)}
    # Positions are sorted: 4 stands before 0 and 2, and 1 behind them.
    assert seen == {(4, 0), (4, 2), (0, 1), (2, 1)}
    assert len(voxels.one_each(np.array([], int), np.random.default_rng(0))) == 0
