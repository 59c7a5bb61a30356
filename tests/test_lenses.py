"""Every coefficient of every lens: on paper where a point may be seen at all, and against OpenCV at wide angles."""

from dataclasses import replace

import numpy as np
import pytest
from test_geometry import AXES, camera

from xkd.geometry import four, in_view, project, quaternion_matrix, transform

WIDE = {"size": (400, 400), "K": ((100, 0, 200), (0, 100, 200), (0, 0, 1))}
LENSES = {
    "opencv, five": ("opencv", (-0.1, 0.03, 0.002, -0.001, 0.004), 45),
    "opencv, eight": ("opencv", (0.3, -0.05, 0.001, 0.002, 0.01, 0.4, 0.06, 0.02), 60),
    "fisheye": ("fisheye", (0.08, -0.02, 0.005, -0.0015), 80),
}
"""The model, its coefficients, and degrees off the axis."""


@pytest.mark.parametrize("name", LENSES)
def test_pixels_are_opencvs_with_all_coefficients_far_off_the_axis(name):
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
    model, distortion, degrees = LENSES[name]
    off, around = np.radians(np.meshgrid(np.linspace(0, degrees, 25), np.linspace(0, 350, 36)))
    rays = np.stack([np.cos(off), np.sin(off) * np.cos(around), np.sin(off) * np.sin(around)], -1).reshape(-1, 3)
    points = rays * np.linspace(2, 60, len(rays))[:, None]
    lens, still = camera(model=model, distortion=distortion, **WIDE), np.zeros(3)
    function = cv2.projectPoints if model == "opencv" else cv2.fisheye.projectPoints
    expected = function(transform(AXES, points)[:, None], still, still, lens.K, np.array(distortion))[0]
    pixels, _, seen = project(points, lens)
    assert seen.sum() > 600
    np.testing.assert_allclose(pixels, expected.reshape(-1, 2)[:, ::-1], atol=1e-6)


def test_skew_moves_a_column_by_its_row_and_the_corner_stays_in_the_image():
    """a, b = 0.966, -0.44: row 45 - 44 = 1, column 80 + 96.6 - 0.44 * 40 = 159; without skew it would lie beyond the edge at 159.5."""
    lens, points = camera(K=((100, 40, 80), (0, 100, 45), (0, 0, 1))), np.array([[10, -9.66, 4.4]])
    pixels, _, seen = project(points, lens)
    np.testing.assert_allclose(pixels, [[1, 159]], atol=1e-9)
    index, pixel, depth = in_view(points, lens)
    assert seen.all() and index.tolist() == [0] and pixel.tolist() == [[1, 159]] and depth.tolist() == [10]


@pytest.mark.parametrize(("model", "distortion"), [("pinhole", ()), *(lens[:2] for lens in LENSES.values())])
@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5000])
def test_what_is_in_view_is_what_projects_into_the_image(model, distortion, count):
    """In blocks of 1024 and with room for a quarter of the points at first: of all, of most and of few in view."""
    rng = np.random.default_rng(count)
    for spread in (0.1, 1.0, 10.0):
        points = rng.normal([4, 0, 0], [2, spread, spread], (count, 3)).astype(np.float32)
        points[: count // 50] = 0, 0, 0
        for move in (np.eye(4), four(np.c_[quaternion_matrix([0.8, 0.1, -0.2, 0.55]), [0.3, -0.2, 0.1]])):
            lens = replace(camera(model=model, distortion=distortion), T_world_lidar=move)
            pixels, depth, seen = project(points, lens)
            index, pixel, found = in_view(points, lens)
            assert index.tolist() == np.flatnonzero(seen).tolist() and found.dtype == np.float32
            assert (pixel == np.floor(pixels[seen] + 0.5)).all() and (found == depth[seen].astype(np.float32)).all()
            assert spread > 0.1 or count < 2 or move[0, 0] < 1 or len(index) > count // 2


FOLDS = {
    "a rational lens": ("opencv", (0, 0, 0, 0, 0, 0, 0, 0.2), 1.0),
    "a fisheye": ("fisheye", (-0.5, 0, 0, 0), np.tan((2 / 3) ** 0.5)),
}
"""r / (1 + 0.2 r^6) grows up to 1 - 5 * 0.2 r^6 = 0; t - 0.5 t^3 up to t^2 = 2 / 3."""


@pytest.mark.parametrize("name", FOLDS)
def test_a_lens_shows_what_lies_before_its_fold(name):
    model, distortion, fold = FOLDS[name]
    points = [[10, 10 * fold * share, 0] for share in (0.996, 1.004)]
    assert project(points, camera(model=model, distortion=distortion, **WIDE))[2].tolist() == [True, False]
