"""Motion of a body that does not stand upright: which axes it turns about, worked out on paper."""

import numpy as np

from xkd.geometry import rigid
from xkd.motion import interpolated


def about(axis, degrees, place=(0, 0, 0)):
    half = np.radians(degrees) / 2
    return rigid([np.cos(half), *(np.sin(half) * np.eye(3)[axis])], place)


def test_a_body_that_lies_on_its_side_turns_about_its_own_axis():
    """Its z points along the world's -y; a quarter turn about it takes its x from the world's x to its z, half of it to between."""
    before = about(0, 90)
    after = before @ about(2, 90, (2, 0, 0))
    np.testing.assert_allclose(after[:3, 0], [0, 0, 1], atol=1e-12)
    start, half, end, beyond = interpolated(before, after, np.array([0, 0.5, 1, 1.5]))
    np.testing.assert_allclose(half[:3, :3], (before @ about(2, 45))[:3, :3], atol=1e-12)
    np.testing.assert_allclose(half[:3, 0], [0.5**0.5, 0, 0.5**0.5], atol=1e-12)
    np.testing.assert_allclose(half[:3, 3], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(beyond[:3, :3], (before @ about(2, 135))[:3, :3], atol=1e-12)
    np.testing.assert_allclose([start, end], [before, after], atol=1e-12)


def test_a_body_turns_the_short_way():
    """From 170 degrees to the left to 170 to the right are 20 degrees past 180, and not 340 back."""
    (half,) = interpolated(about(2, 170), about(2, -170), np.array([0.5]))
    np.testing.assert_allclose(half[:3, :3], about(2, 180)[:3, :3], atol=1e-12)
