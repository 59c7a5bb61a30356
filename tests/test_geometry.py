"""Pixels computed on paper, then properties, then another implementation as a peer."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xkd import XkdError
from xkd.datasets import Camera
from xkd.geometry import invert, pair, project, quaternion_matrix, rigid, transform

AXES = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
"""A camera that looks along the LiDAR's x from the LiDAR's place: right = -y, down = -z, forward = x."""
HALF = 0.5**0.5


def camera(T_cam_lidar=AXES, size=(90, 160), K=((100, 0, 80), (0, 100, 45), (0, 0, 1)), **more):
    T_rig_cam = np.linalg.inv(T_cam_lidar)
    K = np.array(K, np.float64)
    return Camera("front", Path("front.png"), size, K, T_rig_cam, np.eye(4), np.eye(4), **more)


def frame(points, *cameras):
    return SimpleNamespace(id="f", points=np.asarray(points, np.float32), cameras=list(cameras))


@st.composite
def poses(draw):
    numbers = st.floats(-1, 1)
    q = np.array(draw(st.tuples(numbers, numbers, numbers, numbers).filter(lambda q: sum(x * x for x in q) > 0.01)))
    return rigid(q / np.linalg.norm(q), np.array(draw(st.tuples(numbers, numbers, numbers))) * 100)


def test_quaternions_of_quarter_turns():
    np.testing.assert_allclose(quaternion_matrix([-1, 0, 0, 0]), np.eye(3))
    np.testing.assert_allclose(quaternion_matrix([HALF, 0, 0, HALF]) @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(quaternion_matrix([HALF, HALF, 0, 0]) @ [0, 1, 0], [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(quaternion_matrix([HALF, 0, HALF, 0]) @ [0, 0, 1], [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(quaternion_matrix([0.71, 0, 0, 0.71]) @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    for wrong in ([0, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0], [np.nan, 0, 0, 1]):
        with pytest.raises(XkdError, match="quaternion"):
            quaternion_matrix(wrong)


def test_rigid_takes_rotations_alone():
    for wrong in (np.diag([1, 1, -1]), 2 * np.eye(3), np.zeros((3, 3))):
        with pytest.raises(XkdError, match="no rotation"):
            rigid(wrong, [0, 0, 0])


def test_rigid_maps_points_on_paper():
    T = rigid([HALF, 0, 0, HALF], [10, 20, 30])
    np.testing.assert_allclose(transform(T, [[1, 2, 3], [0, 0, 0]]), [[8, 21, 33], [10, 20, 30]], atol=1e-12)
    np.testing.assert_allclose(transform(invert(T), [[8, 21, 33]]), [[1, 2, 3]], atol=1e-12)


@given(poses(), poses())
def test_transforms_compose_and_invert(a, b):
    points = np.array([[1.0, 2, 3], [-4, 5, -6]])
    np.testing.assert_allclose(transform(a @ b, points), transform(a, transform(b, points)), atol=1e-9)
    np.testing.assert_allclose(transform(invert(a), transform(a, points)), points, atol=1e-9)
    np.testing.assert_allclose(a[:3, :3] @ a[:3, :3].T, np.eye(3), atol=1e-12)


def test_pinhole_on_paper():
    """10 m ahead, 1 m left, 0.5 m up: col 80 - 100/10, row 45 - 50/10. Behind and nearer than 0.1 m: not seen."""
    pixels, depth, seen = project([[10, 1, 0.5], [2, 0, 0], [-10, 1, 0.5], [0.1, 0, 0], [0.11, 0, 0]], camera())
    np.testing.assert_allclose(pixels[:2], [[40, 70], [45, 80]])
    np.testing.assert_allclose(depth, [10, 2, -10, 0.1, 0.11])
    assert seen.tolist() == [True, True, False, False, True]
    assert np.isnan(pixels[2:4]).all()


def test_the_image_ends_half_a_pixel_beyond_its_outer_centres():
    """At 100 m a metre is a pixel: y = 80.5 m is col -0.5, y = -79.5 m is col 159.5; z = 45.5 m is row -0.5."""
    points = [[100, 80.49, 0], [100, 80.51, 0], [100, -79.49, 0], [100, -79.51, 0]]
    points += [[100, 0, 45.49], [100, 0, 45.51], [100, 0, -44.49], [100, 0, -44.51]]
    assert project(points, camera())[2].tolist() == [True, False] * 4
    pixels = pair(frame(points, camera()), occlusion=False).pixel
    assert pixels.tolist() == [[45, 0], [45, 159], [0, 80], [89, 80]]


def test_the_nearest_centre_is_floor_of_x_plus_a_half():
    """Row 45.5 belongs to pixel 46, 45.49 to 45."""
    pairs = pair(frame([[100, 0, -0.5], [100, 0, -0.49], [100, 0, 0.5], [100, 0, 0.51]], camera()), occlusion=False)
    assert pairs.pixel[:, 0].tolist() == [46, 45, 45, 44]


def test_opencv_distortion_on_paper():
    """a, b = 0.2, 0.1; r2 = 0.05; radial 1 + 0.1 * 0.05 + 0.2 * 0.0025 = 1.0055, with k3 = 4: + 4 * 0.000125 = 1.006.

    tangential, p1 = 0.01, p2 = 0.02: a + 2 * 0.01 * 0.02 + 0.02 * (0.05 + 0.08) = + 0.003;
    b + 0.01 * (0.05 + 0.02) + 2 * 0.02 * 0.02 = + 0.0015. Rational, k4 = 0.2: divided by 1.01.
    """
    point = [[10, -2, -1]]
    pixels, _, seen = project(point, camera(model="opencv", distortion=(0.1, 0.2, 0.01, 0.02, 4.0)))
    np.testing.assert_allclose(pixels, [[45 + 100 * (0.1006 + 0.0015), 80 + 100 * (0.2012 + 0.003)]], atol=1e-9)
    assert seen.all()
    pixels = project(point, camera(model="opencv", distortion=(0.1, 0.2, 0, 0, 4.0, 0.2)))[0]
    np.testing.assert_allclose(pixels, [[45 + 10.06 / 1.01, 80 + 20.12 / 1.01]], atol=1e-9)
    plain = project(point, camera())[0]
    np.testing.assert_allclose(project(point, camera(model="opencv"))[0], plain)


def test_a_lens_that_folds_back_shows_nothing_there():
    """k1 = -0.5: the radius r (1 - r2 / 2) grows up to r = 0.8165; at r = 1.3 it is back at 0.2 of the image."""
    lens = camera(size=(400, 400), K=((100, 0, 200), (0, 100, 200), (0, 0, 1)), model="opencv", distortion=(-0.5,))
    pixels, _, seen = project([[10, -8.1, 0], [10, -8.3, 0], [10, -13, 0]], lens)
    assert seen.tolist() == [True, False, False]
    np.testing.assert_allclose(pixels[2], [200, 200 + 100 * 1.3 * (1 - 0.5 * 1.69)], atol=1e-9)


def test_fisheye_is_equidistant_on_paper():
    """45 degrees off the axis lies at focal length * pi / 4; with k1 = 0.1 at t (1 + 0.1 t^2); the axis stays put."""
    pixels = project([[1, -1, 0], [3, 0, 0]], camera(size=(400, 400), model="fisheye"))[0]
    np.testing.assert_allclose(pixels, [[45, 80 + 25 * np.pi], [45, 80]], atol=1e-9)
    pixels = project([[1, 0, -1]], camera(size=(400, 400), model="fisheye", distortion=(0.1,)))[0]
    np.testing.assert_allclose(pixels, [[45 + 25 * np.pi * (1 + 0.1 * (np.pi / 4) ** 2), 80]], atol=1e-9)


LENSES = [("opencv", (-0.134313, -0.025905, 0.002181, 0.00084)), ("fisheye", (0.05, -0.01, 0.002, 0.0))]


@pytest.mark.parametrize("model, distortion", LENSES)
def test_distortion_agrees_with_opencv(model, distortion):
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed; the formulas are checked on paper above")
    points = np.random.default_rng(0).uniform([2, -1, -1], [20, 1, 1], (200, 3))
    lens, still = camera(model=model, distortion=distortion), np.zeros(3)
    function = cv2.projectPoints if model == "opencv" else cv2.fisheye.projectPoints
    there = transform(AXES, points)[:, None]
    expected = function(there, still, still, lens.K, np.array(distortion))[0]
    np.testing.assert_allclose(project(points, lens)[0], expected.reshape(-1, 2)[:, ::-1], atol=1e-6)


@given(poses(), st.floats(-0.49, 89.49), st.floats(-0.49, 159.49), st.floats(0.2, 200))
def test_a_pixel_and_its_depth_come_back(pose, row, col, depth):
    there = camera(pose)
    ray = np.linalg.inv(there.K) @ [col, row, 1]
    pixels, far, seen = project(transform(invert(there.T_cam_lidar), [ray * depth]), there)
    np.testing.assert_allclose(pixels, [[row, col]], atol=1e-6)
    np.testing.assert_allclose(far, [depth], atol=1e-9)
    assert seen.all()


@given(poses(), poses(), poses())
def test_pixels_do_not_depend_on_where_the_world_begins(world, at_image, at_sweep):
    points = np.array([[10, 1, 0.5], [20, -3, 2], [7, 2, -1]])
    one = replace(camera(), T_world_rig=at_image, T_world_lidar=at_sweep)
    other = replace(one, T_world_rig=world @ at_image, T_world_lidar=world @ at_sweep)
    np.testing.assert_allclose(other.T_cam_lidar, one.T_cam_lidar, atol=1e-9)
    np.testing.assert_array_equal(project(points, one)[2], project(points, other)[2])


def cloud(seed, n=400):
    return np.random.default_rng(seed).uniform([-30, -20, -3], [40, 20, 4], (n, 3)).astype(np.float32)


def rig():
    """Front and back, a little off the LiDAR."""
    back = AXES @ np.diag([-1.0, -1, 1, 1])
    offset = rigid(np.eye(3), [0.1, 0.4, -0.3])
    return [camera(offset @ AXES), replace(camera(offset @ back), name="back")]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.booleans())
def test_pairs_do_not_depend_on_the_order_of_points(seed, occlusion):
    points = cloud(seed)
    order = np.random.default_rng(seed).permutation(len(points))

    def rows(points, names):
        pairs = pair(frame(points, *rig()), occlusion=occlusion)
        return sorted(zip(names[pairs.point], pairs.camera, *pairs.pixel.T, pairs.depth, strict=True))

    assert rows(points[order], order) == rows(points, np.arange(len(points)))


def test_pairs_are_what_project_sees():
    points = cloud(1, 3000)
    pairs = pair(frame(points, *rig()), occlusion=False)
    assert [a.dtype for a in vars(pairs).values()] == [np.int32, np.int16, np.int16, np.float32]
    for i, there in enumerate(rig()):
        pixels, depth, seen = project(points, there)
        mine = pairs.camera == i
        np.testing.assert_array_equal(pairs.point[mine], np.flatnonzero(seen))
        np.testing.assert_array_equal(pairs.pixel[mine], np.floor(pixels[seen] + 0.5))
        np.testing.assert_allclose(pairs.depth[mine], depth[seen], rtol=1e-6)


def test_cameras_are_chosen_by_name_or_position():
    both = pair(frame(cloud(2), *rig()))
    for choice in (["back"], [1], [np.int64(1)], ["back", 1]):
        only = pair(frame(cloud(2), *rig()), cameras=choice)
        np.testing.assert_array_equal(only.point, both.point[both.camera == 1])
        assert set(only.camera) == {1}
    for wrong in ("left", 2, -1):
        with pytest.raises(XkdError, match="camera"):
            pair(frame(cloud(2), *rig()), cameras=[wrong])


def test_a_board_hides_the_wall_behind_it():
    """A board 5 m away, 2 x 2 m, hides of a wall at 20 m what lies within 4 m of the axis, and nothing beyond 5 m."""
    step = np.arange(-1, 1.01, 0.1)
    board = [[5, y, z] for y in step for z in step]
    wall = [[20, y, z] for y in np.arange(-12, 12.1, 0.4) for z in np.arange(-8, 8.1, 0.4)]
    points = np.array(board + wall)
    pairs = pair(frame(points, camera()))
    kept = np.isin(np.arange(len(points)), pairs.point)
    assert kept[: len(board)].all()
    across = np.abs(points[:, 1:]).max(axis=1)
    far = points[:, 0] == 20
    assert not kept[far & (across < 3.5)].any()
    assert kept[far & (across > 5)].all()
    assert len(pair(frame(points, camera()), occlusion=False)) == len(points)
    assert len(pair(frame(points, camera()), absolute=100)) == len(points)


def test_a_road_and_a_wall_alongside_hide_nothing_of_themselves():
    """A turning LiDAR with 32 beams over a flat road and beside a long wall; the camera sits 0.4 m below it."""
    azimuth, elevation = np.meshgrid(np.radians(np.arange(-60, 60, 0.33)), np.radians(np.linspace(-30, 10, 32)))
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
    rays = rays.reshape(-1, 3)
    with np.errstate(divide="ignore"):
        road = np.where(rays[:, 2] < 0, -1.8 / rays[:, 2], np.inf)
        wall = np.where(rays[:, 1] > 0, 4 / rays[:, 1], np.inf)
    reach = np.minimum(road, wall)
    points = (rays * reach[:, None])[reach < 70]
    there = camera(rigid(np.eye(3), [0, -0.4, -0.5]) @ AXES, (900, 1600), ((1266, 0, 816), (0, 1266, 491), (0, 0, 1)))
    everything, seen = (pair(frame(points, there), occlusion=o) for o in (False, True))
    assert len(everything) > 2000
    assert len(seen) > 0.995 * len(everything)


def test_nothing_in_view_is_said():
    with pytest.raises(XkdError, match="Frame f: none of its 1 points"):
        pair(frame([[-5, 0, 0]], camera()))
    with pytest.raises(XkdError, match="Frame f: none"):
        pair(frame([[5, 0, 0]]))
    with pytest.raises(XkdError, match="no setting 'margin'"):
        pair(frame([[5, 0, 0]], camera()), margin=2)


def test_unknown_models_are_said():
    with pytest.raises(XkdError, match="unknown model 'omni'"):
        project([[5, 0, 0]], camera(model="omni"))
    with pytest.raises(XkdError, match="at most 4"):
        project([[5, 0, 0]], camera(model="fisheye", distortion=(1, 2, 3, 4, 5)))
