"""Camera models, and which point of a sweep lies in which pixel; transforms are those of `xkd.transforms`, loops those of `xkd.kernels`.

Points are metres, pixels are (row, col) with centres at integers, `T_a_b` (4, 4) maps points of frame b into frame a.
Camera axes: x right, y down, z forward. Models: pinhole (Hartley & Zisserman 6.1), OpenCV's rational and fisheye.
"""

import math
import threading
from dataclasses import dataclass
from functools import cache

import numpy as np

from xkd.errors import XkdError
from xkd.kernels import _in_view, _project, _unhidden
from xkd.transforms import UNIT, check_rotations, four, invert, numeric, quaternion_matrix, rigid, transform

__all__ = [
    "MODELS", "OCCLUSION", "UNIT", "Pairs", "check_rotations", "four", "in_view", "invert", "kernel_arguments", "numeric", "pair",
    "project", "quaternion_matrix", "rigid", "transform",
]  # fmt: skip
"""With what `xkd.transforms` has, which readers take from here."""

MODELS = {"pinhole": 0, "opencv": 1, "fisheye": 2}
OCCLUSION = {"absolute": 0.3, "relative": 0.08, "cell": 0.4, "reach": 3}
"""A point is hidden if points nearer by absolute (metres) + relative * its depth lie in its cell, or on both sides.

cell: the cell's edge in mean spacings of the points in the image; reach: how many cells away a side still counts. How many of the
hidden points these values find on made streets, and how many visible ones they drop: docs/benchmarks.md, "Hidden points"."""


@dataclass
class Pairs:
    """P times a point in an image, ordered by camera and then point."""

    point: np.ndarray
    """(P,) int32 index into the frame's points."""
    camera: np.ndarray
    """(P,) int16 index into the frame's cameras."""
    pixel: np.ndarray
    """(P, 2) int16 row, col."""
    depth: np.ndarray
    """(P,) float32 metres along the optical axis."""

    def __len__(self):
        return len(self.point)


def project(points, camera):
    """(N, 3) LiDAR frame -> (N, 2) float64 pixels (row, col), (N,) float64 depth in metres, (N,) bool in view.

    In view: depth > 0.1 m, nearest pixel inside the image, not so far off the axis that the distortion folds back.
    Pixels of points at a depth of 0.1 m or less are NaN.
    """
    points = np.ascontiguousarray(np.asarray(points).reshape(-1, 3))
    pixels, depth = np.empty((len(points), 2)), np.empty(len(points))
    inside = np.empty(len(points), np.bool_)
    _project(points, *kernel_arguments(camera), pixels, depth, inside)
    return pixels, depth, inside


def pair(frame, cameras=None, occlusion=True, **occluder):
    """Every point of the frame in every image it falls into -> Pairs.

    cameras: names or positions in `frame.cameras`, None for all. occlusion: drop points that nearer points hide;
    keywords replace values of `OCCLUSION`. Errors: a camera the frame has not, no point in any image.
    """
    unknown = set(occluder) - set(OCCLUSION)
    if unknown:
        raise XkdError(f"Occlusion has no setting {min(unknown)!r}; its settings are {', '.join(OCCLUSION)}.")
    settings = OCCLUSION | occluder  # the order stays OCCLUSION's, which is the kernel's
    columns = _columns(frame.points)
    names = [camera.name for camera in frame.cameras]
    parts = []
    for position in range(len(names)) if cameras is None else sorted({_position(c, names, frame) for c in cameras}):
        camera = frame.cameras[position]
        index, pixel, depth = _in_view(*columns, *kernel_arguments(camera))
        if occlusion and len(index):
            seen = _unhidden(pixel, depth, *camera.size, *settings.values())
            index, pixel, depth = index[seen], pixel[seen], depth[seen]
        parts.append((index, np.full(len(index), position, np.int16), pixel, depth))
    if not sum(len(part[0]) for part in parts):
        raise XkdError(f"Frame {frame.id}: none of its {len(frame.points)} points falls into any of its images.")
    return Pairs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def in_view(points, camera):
    """What of (N, 3) points lies in one image, hidden or not: (P,) int32 index, (P, 2) int16 nearest pixel (row, col), (P,) float32
    depth in metres."""
    return _in_view(*_columns(points), *kernel_arguments(camera))


def _columns(points):
    """(N, 3) -> three (N,), each in one piece, in memory that the next call of this thread fills anew: new memory would cost more."""
    points = np.asarray(points).reshape(-1, 3)
    own = getattr(SCRATCH, "columns", np.empty((3, 0)))
    if own.shape[1] < len(points) or own.dtype != points.dtype:
        own = SCRATCH.columns = np.empty((3, len(points) + len(points) // 4), points.dtype)
    np.copyto(own[:, : len(points)], points.T)
    return own[:, : len(points)]


SCRATCH = threading.local()
"""Memory of each thread for `_columns`."""


def _position(camera, names, frame):
    if camera in names:
        return names.index(camera)
    if isinstance(camera, int | np.integer) and 0 <= camera < len(names):
        return int(camera)
    raise XkdError(f"Frame {frame.id} has no camera {camera!r}; its cameras are {', '.join(names) or 'none'}.")


def kernel_arguments(camera):
    """A camera as the kernels take it: T_cam_lidar (4, 4), K (3, 3), its model's number in `MODELS`, (8,) coefficients that are zero where
    not given, the tangent of the ray's angle up to which the distorted radius grows (infinite where it always does), height, width.

    Errors: an unknown model, too many coefficients."""
    if camera.model not in MODELS:
        raise XkdError(f"Camera {camera.name}: unknown model {camera.model!r}; known models are {', '.join(MODELS)}.")
    coefficients, limit = _distortion(camera.model, tuple(map(float, camera.distortion)))
    K = np.ascontiguousarray(camera.K, np.float64)
    return np.ascontiguousarray(camera.T_cam_lidar), K, MODELS[camera.model], coefficients, limit, *camera.size


@cache
def _distortion(model, coefficients):
    """(8,) coefficients, zero where not given, and the ray's tangent up to which the distorted radius grows."""
    most = {"pinhole": 0, "opencv": 8, "fisheye": 4}[model]
    if len(coefficients) > most:
        raise XkdError(f"Camera model {model} takes at most {most} distortion coefficients, not {len(coefficients)}.")
    values = np.zeros(8)
    values[: len(coefficients)] = coefficients
    angle = np.linspace(0, np.pi / 2, 2000)[1:-1]
    if model == "fisheye":
        radius = angle * (1 + np.polyval([*values[3::-1], 0], angle**2))
    else:
        square = np.tan(angle) ** 2
        k1, k2, _, _, k3, k4, k5, k6 = values
        with np.errstate(divide="ignore"):
            scale = np.polyval([k3, k2, k1, 1], square) / np.polyval([k6, k5, k4, 1], square)
        radius = np.tan(angle) * scale
    turns = np.flatnonzero(~(np.diff(radius, prepend=0) > 0))
    return values, float(np.tan(angle[turns[0]])) if len(turns) else math.inf
