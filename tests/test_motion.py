"""Where a body was between two poses, and where the points of a sweep were at its time, worked out on paper."""

import cloud_files
import numpy as np
import own_files
import pytest
from complaints import complains
from own_files import camera, say

from xkd.datasets import open_dataset
from xkd.geometry import project, rigid, transform
from xkd.motion import Motion

SECOND = 1_000_000


def turned(degrees, place=(0, 0, 0)):
    half = np.radians(degrees) / 2
    return rigid([np.cos(half), 0, 0, np.sin(half)], place)


def motion(times, poses):
    return Motion("poses.txt", np.array(times) * SECOND, lambda k: poses[k])


def test_half_way_between_two_poses():
    """From (0, 0, 0) to (2, 4, 0) and 90 degrees to the left in half a second; a quarter second later, a further half of both."""
    own = motion([10, 10.5], [turned(0), turned(90, (2, 4, 0))])
    np.testing.assert_allclose(own.at(10.25 * SECOND), turned(45, (1, 2, 0)), atol=1e-12)
    np.testing.assert_allclose(own.at(10.75 * SECOND), turned(135, (3, 6, 0)), atol=1e-12)
    np.testing.assert_allclose(own.at(9.75 * SECOND), turned(-45, (-1, -2, 0)), atol=1e-12)
    np.testing.assert_array_equal(own.at(10.5 * SECOND), turned(90, (2, 4, 0)))


def test_many_times_are_each_as_one():
    own = motion([1, 1.5, 2], [turned(0), turned(30, (1, 0, 0)), turned(-20, (1, 1, 0))])
    times = np.array([1.9, 0.8, 1.5, 1.2, 2.0, 2.3, 1.0]) * SECOND
    many = own.at(times)
    assert many.shape == (7, 4, 4)
    for time, T in zip(times, many, strict=True):
        np.testing.assert_allclose(T, own.at(time), atol=1e-12)
    np.testing.assert_allclose(many[3], turned(12, (0.4, 0, 0)), atol=1e-12)


def test_a_turn_is_about_the_bodys_own_axis():
    """On its side, turned 90 degrees about x, and then 90 about its own z, which points along -y of the world."""
    side, half = rigid([0.5**0.5, 0.5**0.5, 0, 0], (0, 0, 0)), 0.5**0.5
    own = motion([1, 2], [side, side @ turned(90)])
    # Its x axis goes from the world's x to the world's z, its y axis from the world's z to -x.
    np.testing.assert_allclose(own.at(1.5 * SECOND)[:3, 0], [half, 0, half], atol=1e-12)
    np.testing.assert_allclose(own.at(1.5 * SECOND)[:3, 1], [-half, 0, half], atol=1e-12)
    np.testing.assert_allclose(own.at(1.5 * SECOND)[:3, 2], [0, -1, 0], atol=1e-12)


def test_a_single_pose_stands_still():
    own = motion([5], [turned(30, (1, 2, 3))])
    np.testing.assert_array_equal(own.at(5.9 * SECOND), turned(30, (1, 2, 3)))
    np.testing.assert_array_equal(own.at(np.array([4.5, 5]) * SECOND), [turned(30, (1, 2, 3))] * 2)
    with complains("poses.txt: has no pose near the time 6.500000 s; the nearest are of 5.000000 s"):
        own.at(6.5 * SECOND)


def test_no_motion_is_carried_over_more_than_a_second():
    own = motion([1, 2, 4], [turned(0), turned(0, (1, 0, 0)), turned(0, (9, 0, 0))])
    np.testing.assert_allclose(own.at(0)[:3, 3], [-1, 0, 0])
    for time in (0, 1.5, 2, 4):
        own.at(time * SECOND)
    for time, said in ((-0.1, "-0.100000 s"), (3, "3.000000 s"), (4.5, "4.500000 s")):
        with complains(f"poses.txt: has no pose near the time {said}", "over 1 s at most"):
            own.at(np.array([1.5, time]) * SECOND)


def sweep(path, points, after):
    """A .pcd of points (N, 3) and the nanoseconds after the frame at which each was measured."""
    table = np.zeros(len(points), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("t", "<u4")])
    for name, values in zip("xyz", np.transpose(points), strict=True):
        table[name] = values
    table["t"] = np.round(np.array(after) * 1e9)
    path.write_bytes(cloud_files.pcd("binary", table))


def lines(poses):
    """TUM: t x y z qx qy qz qw of {seconds: (place, degrees to the left)}."""
    rows = []
    for time, (place, degrees) in poses.items():
        half = np.radians(degrees) / 2
        rows.append(f"{time} {place[0]} {place[1]} {place[2]} 0 0 {np.sin(half):.12f} {np.cos(half):.12f}")
    return "\n".join(rows) + "\n"


AHEAD = [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]
"""From x forward, y left, z up into the axes of a camera at the LiDAR that looks ahead."""


@pytest.fixture
def own(tmp_path):
    """Scans at 1, 1.1 and 1.2 s, x forward; 50 ms after each an image ahead."""
    root = own_files.folder(tmp_path / "own")
    scans = {"axes": None, "intensity_max": None}
    return say(
        root, scans=scans, labels=None, classes=None, ignored=None, cameras={"front": camera(T_camera_lidar=AHEAD)}
    )


def change(root, **keys):
    scans = {"axes": None, "intensity_max": None} | keys.pop("scans", {})
    given = {"cameras": {"front": camera(T_camera_lidar=AHEAD)}} | keys
    say(root, scans=scans, labels=None, classes=None, ignored=None, **given)


def test_a_lidar_that_goes_ten_metres_a_second(own):
    """Along x from (5, 0, 0) on. A post 10 m ahead and 1 m to the left is measured at 0, 50 and twice at 100 ms: 10, 9.5 and 9 m ahead; the
    file is not in this order. At the frame's time all are 10 m ahead; in the image, taken at 50 ms, 9.5 m, at column 80 - 100 / 9.5."""
    (own / "poses.txt").write_text(lines({1 + 0.1 * k: ((5 + k, 0, 0), 0) for k in range(3)}))
    sweep(own / "lidar" / "8.pcd", [[9, 1, 0], [10, 1, 0], [9.5, 1, 0], [9, 1, 0]], [0.1, 0, 0.05, 0.1])
    frame = open_dataset("folder", own)[0]
    np.testing.assert_allclose(frame.points, [[10, 1, 0]] * 4, atol=1e-6)
    assert frame.points.dtype == np.float32
    np.testing.assert_allclose(frame.attributes["time"], [0.1, 0, 0.05, 0.1], atol=1e-9)
    np.testing.assert_allclose(transform(frame.T_world_lidar, frame.points), [[15, 1, 0]] * 4, atol=1e-6)
    pixels, depth, _ = project(frame.points, frame.cameras[0])
    np.testing.assert_allclose(depth, 9.5, atol=1e-6)
    np.testing.assert_allclose(pixels, [[45, 80 - 100 / 9.5]] * 4, atol=1e-5)


def test_a_lidar_that_turns_ninety_degrees_a_second(own):
    """To the left about its own place, 9 degrees from pose to pose: what is 10 m ahead at the frame's time is 4.5 and 9 degrees to the
    right after 50 and 100 ms, and 4.5 to the left 50 ms before."""
    (own / "poses.txt").write_text(lines({1 + 0.1 * k: ((0, 0, 0), 9 * k) for k in range(3)}))
    angle = np.radians([0, 4.5, 9])
    right = np.stack([10 * np.cos(angle), -10 * np.sin(angle), [0, 1, 2]], 1)
    sweep(own / "lidar" / "8.pcd", right, [0, 0.05, 0.1])
    sweep(own / "lidar" / "9.pcd", [[10 * np.cos(angle[1]), 10 * np.sin(angle[1]), 0]], [1.05])
    change(own, scans={"point_time": {"unit": "ns", "from": "epoch"}})
    before = open_dataset("folder", own)[1]
    np.testing.assert_allclose(before.attributes["time"], [-0.05], atol=1e-6)
    np.testing.assert_allclose(before.points, [[10, 0, 0]], atol=1e-5)
    change(own)
    frame = open_dataset("folder", own)[0]
    np.testing.assert_allclose(frame.points, [[10, 0, 0], [10, 0, 1], [10, 0, 2]], atol=1e-5)


def test_a_lidar_ahead_of_the_body_that_turns(own):
    """2 m ahead of the turning body and facing backward. 9 degrees later a place 10 m ahead of the body is at (10 cos 9, -10 sin 9) from
    it, so (10 cos 9 - 2, -10 sin 9) from the LiDAR, which has both with the other sign; at the frame's time at (-8, 0)."""
    (own / "poses.txt").write_text(lines({1 + 0.1 * k: ((3, 4, 0), 9 * k) for k in range(3)}))
    change(own, poses={"T_body_lidar": [[-1, 0, 0, 2], [0, -1, 0, 0], [0, 0, 1, 0]]})
    c, s = np.cos(np.radians(9)), np.sin(np.radians(9))
    sweep(own / "lidar" / "8.pcd", [[2 - 10 * c, 10 * s, 0.5]], [0.1])
    frame = open_dataset("folder", own)[0]
    np.testing.assert_allclose(frame.points, [[-8, 0, 0.5]], atol=1e-5)
    np.testing.assert_allclose(transform(frame.T_world_lidar, frame.points), [[13, 4, 0.5]], atol=1e-5)


def test_points_stay_where_times_are_missing_or_the_layout_says_so(own):
    (own / "poses.txt").write_text(lines({1 + 0.1 * k: ((5 + k, 0, 0), 0) for k in range(3)}))
    sweep(own / "lidar" / "8.pcd", [[9, 1, 0]], [0.1])
    change(own, scans={"deskew": False})
    np.testing.assert_array_equal(open_dataset("folder", own)[0].points, [[9, 1, 0]])
    for absent, keys in (
        ("poses", {"poses": None}),
        ("points", {"poses": {"file": "poses.txt"}}),
    ):
        if absent == "points":
            table = cloud_files.rows("<", cloud_files.KINDS[:3])
            (own / "lidar" / "8.pcd").write_bytes(cloud_files.pcd("binary", table))
        change(own, **keys)
        raw = open_dataset("folder", own)[0].points
        change(own, scans={"deskew": False}, **keys)
        np.testing.assert_array_equal(open_dataset("folder", own)[0].points, raw)
        change(own, scans={"deskew": True}, **keys)
        with complains("8.pcd", "scans.deskew: true", f"no times of {absent}"):
            _ = open_dataset("folder", own)[0].points


def test_points_of_a_time_without_poses(own):
    """Poses two seconds apart; the scan's own time is one of them."""
    (own / "poses.txt").write_text(lines({1: ((5, 0, 0), 0), 3: ((6, 0, 0), 0)}))
    (own / "lidar.txt").write_text("1000\n3000\n3001\n")
    sweep(own / "lidar" / "8.pcd", [[9, 1, 0]], [0.1])
    change(own, cameras={"front": camera(T_camera_lidar=AHEAD, timestamps=None)})
    frame = open_dataset("folder", own)[0]
    assert frame.T_world_lidar[0, 3] == 5
    with complains("own/poses.txt: has no pose near the time 1.100000 s", "of 1.000000 s and 3.000000 s"):
        _ = frame.points
