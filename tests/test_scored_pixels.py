"""Which pixels the edge score reads, worked out on paper."""

import numpy as np
import pytest
from test_geometry import camera

from xkd.alignment import score


def test_a_point_reads_the_pixel_whose_centre_is_nearest():
    """The edge at row 45.6, column 80.6 reads (46, 81), the other point at 45.4, 80.4 reads (45, 80): 1 - 0.25; a third is behind."""
    strength = np.full((90, 160), -1, np.float32)
    strength[46, 81], strength[45, 80] = 1, 0.25
    points = np.array([[10, -0.06, -0.06], [10, -0.04, -0.04], [-10, 0, 0]])
    found, edges = score(points, np.array([True, False, True]), camera(), strength)
    assert found == pytest.approx(0.75) and edges == 1
