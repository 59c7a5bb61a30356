"""Pixels computed on paper, then properties, then another implementation as a peer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pinhole import AXES, camera, frame

from xkd import XkdError
from xkd.geometry import invert, pair, project, quaternion_matrix, rigid, transform

HALF = 0.5**0.5


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


def test_unknown_models_are_said():
    with pytest.raises(XkdError, match="unknown model 'omni'"):
        project([[5, 0, 0]], camera(model="omni"))
    with pytest.raises(XkdError, match="at most 4"):
        project([[5, 0, 0]], camera(model="fisheye", distortion=(1, 2, 3, 4, 5)))
