"""How well scans lie on their images: a score that needs no labels and drops when the calibration is off.

Where the range jumps from a point to its neighbours, an object ends, and there the image mostly has an edge (Levinson & Thrun 2013).
"""

from dataclasses import replace

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from xkd.geometry import invert, project

NEIGHBOURS = 8
JUMP = {"absolute": 0.5, "relative": 0.1}
"""A point lies at an edge if a neighbour in direction is farther by absolute (metres) + relative * its range."""
SMOOTH, WIDTH, BAND = 0.0012, 0.006, 0.02
"""Of the image's width: the scale of its edges, and how far from one a point still counts as on it; of its height: its rows nearby."""


def range_edges(points):
    """(N, 3) metres, LiDAR frame -> (N,) bool, the points on the near side of a jump in range."""
    reach = np.linalg.norm(points, axis=1)
    edges = np.zeros(len(points), bool)
    there = np.flatnonzero(reach > 0.1)
    if len(there) <= NEIGHBOURS:
        return edges
    directions = np.asarray(points, np.float64)[there] / reach[there, None]
    _, near = KDTree(directions).query(directions, NEIGHBOURS + 1)
    farthest = np.median(
        np.sort(reach[there][near[:, 1:]], axis=1)[:, -2:], axis=1
    )  # two of them: one may be a stray return
    edges[there] = farthest - reach[there] > JUMP["absolute"] + JUMP["relative"] * reach[there]
    return edges


def image_edges(image):
    """(H, W, 3) uint8 -> (H, W) float32: the share of the image's pixels whose edge is weaker than the strongest one nearby, less what is
    usual in these rows; -1..1."""
    grey, width = image.mean(2, dtype=np.float32), image.shape[1]
    strength = ndimage.gaussian_gradient_magnitude(grey, max(0.7, SMOOTH * width))
    strength = ndimage.maximum_filter(strength, 2 * max(1, round(WIDTH * width)) + 1)
    rank = np.searchsorted(np.sort(strength, axis=None), strength, side="left") / strength.size
    # The horizon has more edges than road and sky: what counts is where in its row a point lies.
    return (rank - ndimage.gaussian_filter1d(rank.mean(1), BAND * len(rank))[:, None]).astype(np.float32)


def nudged(camera, turn=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0)):
    """The camera turned about its own axes (x right, y down, z forward) by the rotation vector `turn` (radians) and shifted along them by
    `shift` (metres)."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(turn).as_matrix(), shift
    return replace(camera, T_rig_cam=camera.T_rig_cam @ T)


def motion(cameras):
    """How the rig moves: {"speed": (3,) m/s, "turn": (3,) rad/s, a rotation vector}, in its own axes, the mean from the first to the last
    of the `cameras`' images; None where these have no times, or one."""
    stamped = {camera.timestamp: camera.T_world_rig for camera in cameras if camera.timestamp is not None}
    if len(stamped) < 2:
        return None
    first, last = min(stamped), max(stamped)
    moved, seconds = invert(stamped[first]) @ stamped[last], (last - first) / 1e6
    turn = Rotation.from_matrix(moved[:3, :3]).as_rotvec()
    # Along an arc the way lies in the axes of the middle.
    way = Rotation.from_rotvec(-turn / 2).apply(moved[:3, 3])
    return {"speed": (way / seconds).tolist(), "turn": (turn / seconds).tolist()}


def later(camera, rig, seconds):
    """The camera as if its image had been taken so many seconds later, by a rig that moves as `motion` says."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(np.multiply(rig["turn"], seconds)).as_matrix()
    T[:3, 3] = np.multiply(rig["speed"], seconds)
    return replace(camera, T_world_rig=camera.T_world_rig @ T)


def score(points, edges, camera, strength):
    """(mean edge of the image at the scan's edges) - (the same at its other points), and how many points at edges are in the image.

    points (N, 3); edges (N,) of `range_edges`; strength (H, W) of `image_edges`. -1..1, 0 for a scan that has nothing to do with the image;
    NaN where the image holds none of either kind.
    """
    pixels, _, seen = project(points, camera)
    row, col = np.floor(pixels[seen] + 0.5).astype(int).T
    values, at = strength[row, col], edges[seen]
    if not at.any() or at.all():
        return float("nan"), int(at.sum())
    return float(values[at].mean() - values[~at].mean()), int(at.sum())
