"""The fusion encoder: its equation by hand, points that no camera sees, cameras that go dark, and what order does not change."""

import math

import pytest
import torch

from xkd import XkdError
from xkd.fusion import FACTS, SHARPEST, Fusion, facts_of


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Fusion(inputs=6, images=5, width=8, heads=2)


@pytest.fixture
def scene():
    """Four points: the first seen twice, the second once, the third not at all, the last three times."""
    torch.manual_seed(1)
    point = torch.tensor([0, 0, 1, 3, 3, 3])
    return torch.randn(4, 6), torch.randn(6, 5), point, torch.randn(6, len(FACTS))


def by_hand(network, points, images, point, facts, i):
    """The docstring's equation for one point, head by head."""
    h, views = points[i], (point == i).nonzero()[:, 0].tolist()
    t = network.sharpness.exp().clamp(max=SHARPEST)
    size, seen = network.width // network.heads, []
    for head in range(network.heads):
        part = slice(head * size, (head + 1) * size)
        q = network.query(h)[part]
        weights = []
        for p in views:
            k = (network.key(images[p]) + network.facts(facts[p]))[part]
            weights.append(torch.exp(t[head] * (q @ k) / (q.norm() * k.norm())))
        total = torch.exp(t[head] * torch.tanh(network.none(h)[head])) + sum(weights)
        values = [w / total * network.value(images[p])[part] for w, p in zip(weights, views, strict=True)]
        seen.append(sum(values, torch.zeros(size)))
    c = torch.cat(seen)
    gate = torch.sigmoid(network.gate(torch.cat([h, c])))
    return network.norm(network.own(h) + gate * network.out(c))


def test_the_equation(network, scene):
    found = network(*scene)
    for i in range(4):
        torch.testing.assert_close(found[i], by_hand(network, *scene, i))


def test_a_point_that_no_camera_sees_hangs_on_itself_alone(network, scene):
    points, images, point, facts = scene
    alone = network.norm(network.own(points))
    torch.testing.assert_close(network(*scene)[2], alone[2])
    nothing = network(points, images[:0], point[:0], facts[:0])
    torch.testing.assert_close(nothing, alone)
    assert not torch.allclose(network(*scene)[0], alone[0])


def test_the_order_of_views_does_not_count_and_of_points_moves_along(network, scene):
    points, images, point, facts = scene
    order, rows = torch.tensor([5, 3, 1, 0, 2, 4]), torch.tensor([2, 0, 3, 1])
    found = network(points, images, point, facts)
    torch.testing.assert_close(network(points, images[order], point[order], facts[order]), found)
    place = torch.argsort(rows)
    torch.testing.assert_close(network(points[rows], images, place[point], facts), found[rows])


def test_shares_are_of_one_point_and_leave_room_for_none(network, scene):
    share = network.attention(*scene)
    total = torch.zeros(4, network.heads).index_add(0, scene[2], share)
    assert (share > 0).all() and (total < 1).all() and total[2].tolist() == [0, 0]


def test_shares_by_hand():
    """One point that looks along x, two views along x and along y, the right to look at none at 0: cosines of 1 and 0, times t."""
    network = Fusion(inputs=2, images=2, width=2, heads=1)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.eye_(network.query.weight), torch.nn.init.eye_(network.key.weight)
    views = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 0]), torch.zeros(2, len(FACTS))
    for sharpness, t in ((math.log(3.0), 3), (50.0, 20)):
        torch.nn.init.constant_(network.sharpness, sharpness)
        share = network.attention(torch.tensor([[4.0, 0.0]]), *views)[:, 0]
        assert share.tolist() == pytest.approx([math.exp(t) / (math.exp(t) + 2), 1 / (math.exp(t) + 2)], rel=1e-5)


def test_a_dark_camera_leaves_the_others_their_views(network, scene):
    points, images, point, facts = scene
    camera = torch.tensor([0, 1, 0, 0, 1, 2])
    left = camera != 0
    found = network(points, images[left], point[left], facts[left])
    whole = network(*scene)
    torch.testing.assert_close(found[1], network.norm(network.own(points))[1])  # seen by camera 0 alone
    assert found.isfinite().all() and not torch.allclose(found[0], whole[0])


def test_the_sharpest_attention_does_not_overflow(network, scene):
    with torch.no_grad():
        network.sharpness.fill_(50.0)
    points, images, point, facts = scene
    loss = network(1e4 * points, 1e4 * images, point, facts).square().sum()
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in network.parameters())


def test_gradients(network, scene):
    network.double()
    points, images, point, facts = (v.double() if v.is_floating_point() else v for v in scene)
    inputs = points.requires_grad_(), images.requires_grad_(), facts.requires_grad_()
    assert torch.autograd.gradcheck(lambda h, z, g: network(h, z, point, g), inputs)


def test_facts_by_hand():
    found = facts_of([9.0, 1.0, 81.0, 9.0], [0, -1, 2, 0])
    expected = [[0, 1, 0, 0], [-1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))
    assert facts_of([0.0], [0])[0, 0] == pytest.approx(math.log(0.1) / math.log(9) - 1)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(XkdError, match="width 10 is no multiple of the 4 heads"):
        Fusion(3, 3, width=10)
