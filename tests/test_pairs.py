"""Pairs of point and pixel: those that `project` sees, of the cameras that are named, without what is hidden."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pinhole import AXES, camera, frame

from xkd import XkdError
from xkd.geometry import pair, project, rigid


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
