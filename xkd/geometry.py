"""Rigid transforms, camera models, and which point of a sweep lies in which pixel.

Points are metres, pixels are (row, col) with centres at integers, `T_a_b` (4, 4) maps points of frame b into frame a.
Camera axes: x right, y down, z forward. Models: pinhole (Hartley & Zisserman 6.1), OpenCV's rational and fisheye.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit

from xkd.errors import XkdError

MODELS = {"pinhole": 0, "opencv": 1, "fisheye": 2}
MIN_DEPTH = 0.1
OCCLUSION = {"absolute": 0.3, "relative": 0.08, "cell": 0.4, "reach": 3}
"""A point is hidden if points nearer by absolute (metres) + relative * its depth lie in its cell, or on both sides.

cell: the cell's edge in mean spacings of the points in the image; reach: how many cells away a side still counts. How many of the
hidden points these values find on made streets, and how many visible ones they drop: docs/benchmarks.md, "Hidden points"."""


ROUNDED = 2e-3
"""How far the rows of a rotation may be from unit length and right angles: three decimals keep within it."""
UNIT = 0.02
"""How far from 1 the length of a quaternion may be: two decimals keep within it."""


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


def numeric(values):
    """Nested lists -> float64 array, of no elements where they are not numbers in rows of one length; None becomes NaN.

    Texts and truth values are no numbers, though numpy takes them for some, and neither is a whole number beyond any float."""
    try:
        return np.asarray(values, np.float64) if _counts(values) else np.empty(0)
    except (OverflowError, TypeError, ValueError):
        return np.empty(0)


def _counts(values):
    """Whether nested lists hold numbers and None alone."""
    if isinstance(values, list | tuple):
        return set(map(type, values)) <= {int, float, type(None)} or all(map(_counts, values))
    return np.asarray(values).dtype.kind in "iufO"


def quaternion_matrix(wxyz):
    """(w, x, y, z), whose length is 1 but for `UNIT` -> (3, 3) rotation. Errors: anything else."""
    parts = numeric(wxyz)
    length = math.sqrt(parts @ parts) if parts.shape == (4,) else math.nan
    if not abs(length - 1) <= UNIT:
        what = f" of length 1, but of length {length:g}" if math.isfinite(length) else ""
        raise XkdError(f"{wxyz} is not a quaternion (w, x, y, z){what}.")
    w, x, y, z = parts / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * (w * cross + cross @ cross)


def check_rotations(R, where):
    """Errors: one of (M, 3, 3) that is no rotation, by the one rule of all readers (`ROUNDED`); where(k) says where number k stands."""
    error = np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    turned = np.linalg.det(R)
    for k in np.flatnonzero(~(error <= ROUNDED) | ~(turned > 0))[:1]:
        what = f"mirrors (its determinant is {turned[k]:g})" if error[k] <= ROUNDED else "is not orthonormal"
        raise XkdError(f"{where(k)}: its 3 x 3 part {what}, so it is no rotation: {R[k].round(4).tolist()}.")


def rigid(rotation, translation):
    """(3, 3) or quaternion (w, x, y, z), and (3,) metres -> (4, 4). Errors: other shapes, no numbers, not finite, no rotation."""
    matrix, offset = numeric(rotation), numeric(translation)
    if offset.shape != (3,) or not np.isfinite(offset).all():
        raise XkdError(f"{translation} is not a translation of three finite numbers.")
    T, whole = np.eye(4), matrix.shape == (3, 3) and np.isfinite(matrix).all()
    if whole:
        check_rotations(matrix[None], lambda _: "A rigid transform")
    T[:3, :3] = matrix if whole else quaternion_matrix(rotation)
    T[:3, 3] = offset
    return T


def four(matrix):
    """(3, 4) -> (4, 4)."""
    return np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])


def invert(T):
    """(4, 4) -> (4, 4). The full inverse: published rotations are rounded, and a transpose would keep that error."""
    return np.linalg.inv(T)


def transform(T, points):
    """(4, 4), (N, 3) -> (N, 3) float64."""
    return np.asarray(points, np.float64) @ T[:3, :3].T + T[:3, 3]


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
    points = np.ascontiguousarray(frame.points)
    names = [camera.name for camera in frame.cameras]
    parts = []
    for position in range(len(names)) if cameras is None else sorted({_position(c, names, frame) for c in cameras}):
        camera = frame.cameras[position]
        index, pixel, depth = in_view(points, camera)
        if occlusion and len(index):
            seen = _unhidden(pixel, depth, *camera.size, *settings.values())
            index, pixel, depth = index[seen], pixel[seen], depth[seen]
        parts.append((index, np.full(len(index), position, np.int16), pixel, depth))
    if not sum(len(part[0]) for part in parts):
        raise XkdError(f"Frame {frame.id}: none of its {len(points)} points falls into any of its images.")
    return Pairs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def in_view(points, camera):
    """What of (N, 3) points lies in one image, hidden or not: (P,) int32 index, (P, 2) int16 nearest pixel (row, col), (P,) float32
    depth in metres."""
    return _in_view(np.ascontiguousarray(points), *kernel_arguments(camera))


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


@njit(cache=True, nogil=True, inline="always")
def _pixel(x, y, z, K, model, d, limit):
    """A point in camera axes -> row, col, and whether the distortion is still one to one there."""
    a, b = x / z, y / z
    square = a * a + b * b
    if model == 1:
        scale = (1 + square * (d[0] + square * (d[1] + square * d[4]))) / (
            1 + square * (d[5] + square * (d[6] + square * d[7]))
        )
        a, b = (
            a * scale + 2 * d[2] * a * b + d[3] * (square + 2 * a * a),
            b * scale + d[2] * (square + 2 * b * b) + 2 * d[3] * a * b,
        )
    elif model == 2:
        radius = math.sqrt(square)
        if radius > 1e-9:
            angle = math.atan(radius)
            s = angle * angle
            scale = angle * (1 + s * (d[0] + s * (d[1] + s * (d[2] + s * d[3])))) / radius
            a, b = a * scale, b * scale
    return K[1, 1] * b + K[1, 2], K[0, 0] * a + K[0, 1] * b + K[0, 2], square <= limit * limit


@njit(cache=True, nogil=True)
def _project(points, T, K, model, d, limit, height, width, pixels, depth, in_view):
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        depth[i] = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        in_view[i] = False
        pixels[i] = np.nan
        if depth[i] > MIN_DEPTH:
            across = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
            down = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
            row, col, valid = _pixel(across, down, depth[i], K, model, d, limit)
            pixels[i, 0], pixels[i, 1] = row, col
            in_view[i] = valid and -0.5 <= row < height - 0.5 and -0.5 <= col < width - 0.5


@njit(cache=True, nogil=True)
def _in_view(points, T, K, model, d, limit, height, width):
    """The points in view: (P,) int32 index, (P, 2) int16 nearest pixel, (P,) float32 depth."""
    # Locals: the compiler cannot know that the outputs are not the matrix, and would load it anew for every point.
    t00, t01, t02, t03 = T[0]
    t10, t11, t12, t13 = T[1]
    t20, t21, t22, t23 = T[2]
    # A pinhole's view is a pyramid: most points can be told off without a division.
    wide = high = math.inf
    if model == 0:
        high = max(abs(K[1, 2] + 1), abs(height - K[1, 2])) / K[1, 1]
        wide = (max(abs(K[0, 2] + 1), abs(width - K[0, 2])) + abs(K[0, 1]) * high) / K[0, 0]
    index, depth = np.empty(len(points), np.int32), np.empty(len(points), np.float32)
    pixel = np.empty((len(points), 2), np.int16)
    count = 0
    for i in range(len(points)):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        far = t20 * x + t21 * y + t22 * z + t23
        across = t00 * x + t01 * y + t02 * z + t03
        down = t10 * x + t11 * y + t12 * z + t13
        if far > MIN_DEPTH and abs(across) < wide * far and abs(down) < high * far:
            row, col, valid = _pixel(across, down, far, K, model, d, limit)
            if valid and -0.5 <= row < height - 0.5 and -0.5 <= col < width - 0.5:
                index[count], depth[count] = i, far
                pixel[count, 0], pixel[count, 1] = math.floor(row + 0.5), math.floor(col + 0.5)
                count += 1
    return index[:count].copy(), pixel[:count].copy(), depth[:count].copy()


@njit(cache=True, nogil=True)
def _unhidden(pixel, depth, height, width, absolute, relative, cell, reach):
    """(P,) bool: points that no nearer points hide.

    A surface seen at a grazing angle has nearer points on one side only (the road below, a wall to one side), an
    occluder all around; so a point is hidden if its own cell holds a nearer point, or cells both above and below it do,
    or cells both left and right of it.
    """
    per_pixel = 1 / max(cell * math.sqrt(height * width / len(depth)), 1.0)
    rows, cols = int(height * per_pixel) + 1, int(width * per_pixel) + 1
    nearest = np.full((rows + 2 * reach, cols + 2 * reach), np.inf, np.float32)
    place = np.empty((len(depth), 2), np.int32)
    for i in range(len(depth)):
        r, c = int(pixel[i, 0] * per_pixel) + reach, int(pixel[i, 1] * per_pixel) + reach
        place[i, 0], place[i, 1] = r, c
        nearest[r, c] = min(nearest[r, c], depth[i])
    seen = np.empty(len(depth), np.bool_)
    for i in range(len(depth)):
        limit = np.float32(depth[i] - (absolute + relative * depth[i]))
        r, c = place[i]
        above = below = left = right = nearest[r, c]
        for far in range(1, reach + 1):
            for side in range(-1, 2):
                above = min(above, nearest[r - far, c + side])
                left = min(left, nearest[r + side, c - far])
        if above < limit:
            for far in range(1, reach + 1):
                for side in range(-1, 2):
                    below = min(below, nearest[r + far, c + side])
        if left < limit:
            for far in range(1, reach + 1):
                for side in range(-1, 2):
                    right = min(right, nearest[r + side, c + far])
        seen[i] = min(max(above, below), max(left, right)) >= limit
    return seen
