"""The score that tells whether a scan's edges lie on an image's, what it gains by another calibration, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest

from xkd import alignment, rivals
from xkd.datasets.frame import Camera
from xkd.geometry import invert

EYE = np.eye(4)
T_CAM_LIDAR = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64)
"""A camera at the LiDAR that looks forward."""
CAMERA = Camera(
    "front",
    Path("front.png"),
    (100, 200),
    np.array([[100, 0, 99.5], [0, 100, 49.5], [0, 0, 1]]),
    invert(T_CAM_LIDAR),
    EYE,
    EYE,
)


def box():
    """A wall 20 m away and, 8 m away, a board 2 m wide: (N, 3) points at every half degree, and (N,) bool, those on the board."""
    yaw, pitch = np.meshgrid(np.deg2rad(np.arange(-40, 40.1, 0.5)), np.deg2rad(np.arange(-10, 10.1, 0.5)))
    board = (np.abs(8 * np.tan(yaw)) <= 1).ravel()
    forward = np.where(board, 8.0, 20.0)
    points = forward[:, None] * np.stack([np.ones_like(yaw), np.tan(yaw), np.tan(pitch) / np.cos(yaw)], 2).reshape(
        -1, 3
    )
    return points.astype(np.float32), board


def picture():
    """What the camera sees of `box`: the board is white. Its sides are at columns 99.5 -+ 12.5."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 87:113] = 255
    return image


def test_edges_of_a_scan_are_on_the_near_side_of_a_jump():
    points, board = box()
    edges = alignment.range_edges(points)
    side = np.abs(points[:, 1]) > 8 * np.tan(np.deg2rad(6.6))  # the board's last columns, at 7 degrees
    amid = np.abs(points[:, 2] / points[:, 0]) < np.tan(
        np.deg2rad(8)
    )  # at the scan's border neighbours lie farther off
    assert edges[board & side].all() and not edges[~board].any() and not edges[board & ~side & amid].any()
    assert not alignment.range_edges(np.zeros((20, 3), np.float32)).any()


def test_edges_of_an_image_are_ranks():
    strength = alignment.image_edges(picture())
    assert strength.shape == (100, 200) and strength.mean(1) == pytest.approx(np.zeros(100), abs=1e-6)
    far = strength[:, [0, 40, 100, 160]]
    assert (far == far[0, 0]).all()
    # 22 of 200 columns or fewer are near an edge, so all others are weaker.
    assert (strength[:, [86, 87, 112, 113]] - far[0, 0] > 0.85).all()


def test_a_turned_camera_scores_lower_and_a_right_one_high():
    points, _ = box()
    edges, strength = alignment.range_edges(points), alignment.image_edges(picture())
    right, count = alignment.score(points, edges, CAMERA, strength)
    turned, _ = alignment.score(points, edges, alignment.nudged(CAMERA, (0, np.deg2rad(5), 0)), strength)
    assert right > 0.7 and turned < 0.3 and count > 50
    behind = alignment.nudged(CAMERA, (0, np.pi, 0))
    value, count = alignment.score(points, edges, behind, strength)
    assert np.isnan(value) and count == 0


def test_a_nudge_turns_about_the_cameras_own_axes():
    point = np.array([[10.0, 0, 0]])
    for turn, moved in (
        ((0, 0.1, 0), (49.5, 99.5 - 100 * np.tan(0.1))),
        ((0.1, 0, 0), (49.5 + 100 * np.tan(0.1), 99.5)),
    ):
        pixel, _, _ = alignment.project(point, alignment.nudged(CAMERA, turn))
        assert pixel[0] == pytest.approx(moved)
    pixel, _, _ = alignment.project(point, alignment.nudged(CAMERA, shift=(1, 0, 0)))
    assert pixel[0] == pytest.approx((49.5, 89.5))


def test_a_gain_is_the_mean_difference_less_its_error():
    # By hand: differences 0.2 and 0.1; sqrt(4 (1/100 + 1/100 + 1/50 + 1/50)) / 2 / sqrt(12) = 0.0707.
    assert rivals.gain([(0.3, 100), (0.2, 50)], [(0.1, 100), (0.1, 50)]) == pytest.approx(0.15 - 0.0707, abs=1e-4)
    assert rivals.gain([(float("nan"), 0)], [(0.1, 100)]) < 0
    # An image that shows no edge is known to score 0: sqrt(4 / 100) / sqrt(12) = 0.0577.
    assert rivals.gain([(0.3, 100)], [(float("nan"), 0)]) == pytest.approx(0.3 - 0.0577, abs=1e-4)


INVERTED = "with the extrinsics the other way round"


def found_in(scores, others):
    return rivals.mistake(scores, {key: [value] for key, value in others.items()})


def test_cameras_that_tell_little_alone_tell_together():
    # Alone: 0.06 - sqrt(4 (1/100 + 1/100)) / sqrt(12) = -0.022. Four: 0.06 - 0.082 / 2 = 0.019; sixteen: 0.06 - 0.082 / 4 = 0.040 > 0.03.
    for count, told in ((1, False), (4, False), (16, True)):
        names = [f"c{k}" for k in range(count)]
        given = {name: [(0.0, 100)] for name in names}
        assert (found_in(given, {(name, INVERTED): (0.06, 100) for name in names})[0] == INVERTED) == told
    given = {name: [(-0.5, 1000)] for name in "abc"}
    # Better by far and yet nowhere near an image's edges: such a calibration is not named.
    assert found_in(given, {(name, INVERTED): (0.01, 1000) for name in given})[0] is None
    one_of_three = {("a", INVERTED): (0.9, 1000), ("b", INVERTED): (-0.6, 1000), ("c", INVERTED): (-0.6, 1000)}
    assert found_in(given, one_of_three)[0] is None


def test_of_a_camera_that_cannot_stand_only_what_sets_it_right_is_named():
    """By hand: each gains what it scores more less sqrt(4 * 2 / 1000) / sqrt(12) = 0.026."""
    given, paths = {"a": [(-0.02, 1000)]}, {"a": "a.png"}
    higher, half = "with the scan 1 m higher", "with the scan turned by 180 degrees"
    turns = {("a", higher): [(0.3, 1000)]}
    others = {("a", INVERTED): [(0.145, 1000)], ("a", half): [(0.2, 1000)]}
    (only,) = rivals.alignment(given, turns, others, paths)
    assert only.verdict == "look" and f"; {higher} it is 0.274" in only.found
    (only,) = rivals.alignment(given, turns, others, paths, righted={("a", INVERTED)})
    assert only.verdict == "bad" and only.found == f"edge score -0.020; {INVERTED} it is 0.145"
    # A gain of 0.05 - 0.026 is less than the margin.
    (only,) = rivals.alignment(given, turns, {("a", INVERTED): [(0.03, 1000)]}, paths, righted={("a", INVERTED)})
    assert only.verdict == "look"


def test_findings_of_a_rig_name_the_mistake_and_no_worse_calibration():
    scores, paths = {"a": [(0.01, 1000)], "b": [(0.01, 1000)]}, {"a": "a.png", "b": "b.png"}
    better = {(name, INVERTED): [(0.2, 1000)] for name in scores}
    first, *each = rivals.alignment(scores, {}, better, paths)
    assert first.what == "rig: alignment" and first.found == f"edge score 0.010 of 2 cameras; {INVERTED} it is 0.200"
    assert [one.verdict for one in (first, *each)] == ["bad"] * 3 and each[1].where == "b.png"
    low = {"a": [(-0.2, 1000)]}
    turn = {("a", "turned by +2 degrees up or down"): [(-0.05, 1000)]}
    (only,) = rivals.alignment(low, turn, {}, paths)
    assert only.verdict == "look" and "turned" not in only.found and "hardly where the image's are" in only.found
