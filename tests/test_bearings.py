"""What no image tells of: the ground of a scan, cameras' mounts, the way of the poses, a world that stands still."""

import itertools

import numpy as np
import pytest

from xkd import bearings, standing
from xkd.geometry import invert

FRONT = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
"""T_lidar_cam of a camera at the LiDAR that looks along x."""


def street():
    """A road 2 m below the LiDAR, 20 m wide and long, and walls of 3 m beside it and, 8 m ahead and behind, boards of 2 m."""
    along = np.arange(-9.75, 10, 0.5)
    road = [(x, y, -2.0) for x in along for y in along]
    walls = [(x, y, z) for x in along for y in (-10.0, 10.0) for z in (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0)]
    boards = [(x, y, z) for x in (8.0, -7.0) for y in (1.0, 1.5, 2.0, 2.5) for z in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    return np.array(road + walls + boards, np.float32)


def test_the_ground_lies_below():
    found = bearings.ground(street())
    assert found.up == pytest.approx([0, 0, 1], abs=1e-2) and found.height == pytest.approx(2, abs=0.05)
    assert bearings.grounds([found], ["f"]).found == "2.0 m below the LiDAR, level to 0 degrees"
    assert bearings.ground(street()[:50]) is None
    assert bearings.grounds([None], ["f"]).verdict == "look"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_bank_beside_an_empty_road_is_not_what_stands_on_it(sign):
    """2.5 m below the road lie 40 cells of a bank, on it stand 15 of a sign; 1560 are the road's: what is lower is the more."""
    road = street()[street()[:, 2] == -2]
    bank = [(x, y, -4.5) for x in np.arange(-9.75, 10, 0.5) for y in (10.75,)]
    board = [(8.0, y, z) for y in (1.0, 1.5, 2.0) for z in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    points = np.concatenate([road, bank, board]).astype(np.float32) * np.float32([1, 1, sign])
    assert bearings.ground(points).up == pytest.approx([0, 0, sign], abs=1e-2)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_every_swap_that_moves_the_ground_is_bad(order, signs):
    found = bearings.ground(street()[:, order] * np.float32(signs))
    # The old z stands in column order.index(2) now, with its sign; up goes with it.
    up = np.eye(3)[order.index(2)] * signs[order.index(2)]
    assert found.up == pytest.approx(up, abs=1e-2)
    said = bearings.grounds([found], ["f"])
    assert (said.verdict == "good") == (up[2] == 1)
    if up[2] != 1:
        assert said.verdict == "bad" and f"towards {bearings.axis(-up)}" in said.found and said.where == "f"


def turned(yaw):
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ FRONT


def mounts(**cameras):
    return {one.what: one for one in bearings.mounts({name: [(T, f"{name}.jpg")] for name, T in cameras.items()})}


def test_cameras_stand_upright_and_look_where_their_names_say():
    good = mounts(CAM_FRONT=FRONT, front_left=turned(55), backRight=turned(-110), image_2=turned(30))
    assert (
        list(good) == ["mounts"] and good["mounts"].found == "4 cameras within 0.0 m of the LiDAR, upright to 0 degrees"
    )
    assert list(mounts(left=FRONT, right=FRONT)) == ["mounts"], "a stereo pair"
    aside = mounts(front=turned(90), back=turned(270))
    assert [one.verdict for one in aside.values()] == ["bad", "bad"] and "along +y" in aside["front: mount"].found
    inverted = mounts(image_2=invert(FRONT))["image_2: mount"]
    assert inverted.verdict == "bad" and "the other way round it is upright" in inverted.found
    assert inverted.where == "image_2.jpg"
    assert mounts(front=np.eye(4))["front: mount"].verdict == "bad", "looks along +z"
    for metres, verdict in ((12, "look"), (1200, "bad")):
        far = FRONT.copy()
        far[0, 3] = metres
        assert mounts(image_2=far)["image_2: mount"].verdict == verdict


def test_extrinsics_the_other_way_round_in_axes_whose_x_is_backward():
    """As RELLIS-3D has them: T_lidar_cam of the files is turned by half a turn when it is read, here after it was inverted."""
    half = np.diag([-1.0, -1.0, 1.0, 1.0])
    far = half @ FRONT
    far[:3, 3] = 0.5, 0.2, -0.3
    T = half @ invert(far)
    words = "with the extrinsics the other way round in axes turned by 180 degrees"
    assert dict(bearings.inverses(T))[words] == pytest.approx(half @ far)
    found = mounts(image_2=T)["image_2: mount"]
    assert found.verdict == "bad" and f"{words} it is upright" in found.found
    # Mounted on its side, which no inverse explains: the image's upper edge points to the left.
    rolled = FRONT @ np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    assert mounts(image_2=rolled)["image_2: mount"].verdict == "look"


@pytest.mark.parametrize(
    "way, verdict", [((2, 0.5, 0), "good"), ((0, 2, 0), "bad"), ((0, 0, 2), "bad"), ((-2, 0, 0), "look")]
)
def test_the_way_of_the_poses_is_ahead(way, verdict):
    assert bearings.heading([(np.array(way), "f")] * 3).verdict == verdict
    assert bearings.heading([(np.zeros(3), "f")]) is None


def test_what_stands_is_found_again_by_the_right_pose_only():
    # 1.5 m ahead: in the second scan all is 1.5 m nearer.
    T = np.eye(4)
    T[0, 3] = 1.5
    found = standing.shares(street(), street() - np.float32([1.5, 0, 0]), T)
    best = found.pop(None)
    assert best > 0.9 and found["x and y of the scan swapped"] < best - 0.15
