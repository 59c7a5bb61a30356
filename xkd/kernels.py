"""The compiled loops behind `xkd.geometry`: points into pixels by each camera model, and which of them nearer ones hide.

Camera axes: x right, y down, z forward, metres; pixels are (row, col) with centres at integers. A camera is what
`xkd.geometry.kernel_arguments` makes of it: T (4, 4) from the LiDAR into the camera, K (3, 3), the model's number, its coefficients d
(8,), the tangent `limit` of the ray's angle up to which the distortion is one to one, height and width.
"""

import math

import numpy as np
from numba import njit

MIN_DEPTH = 0.1
BLOCK = 1024
"""Points that are looked at together, so that what is made of them stays in the nearest cache."""


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
        across, down, depth[i] = _turned(points[i, 0], points[i, 1], points[i, 2], T)
        in_view[i] = False
        pixels[i] = np.nan
        if depth[i] > MIN_DEPTH:
            row, col, valid = _pixel(across, down, depth[i], K, model, d, limit)
            pixels[i, 0], pixels[i, 1] = row, col
            in_view[i] = valid and -0.5 <= row < height - 0.5 and -0.5 <= col < width - 0.5


@njit(cache=True, nogil=True)
def _in_view(x, y, z, T, K, model, d, limit, height, width):
    """The points in view, of which x, y, z are (N,): (P,) int32 index, (P, 2) int16 nearest pixel, (P,) float32 depth."""
    # A pinhole's view is a pyramid: most points can be told off without a division.
    wide = high = math.inf
    if model == 0:
        high = max(abs(K[1, 2] + 1), abs(height - K[1, 2])) / K[1, 1]
        wide = (max(abs(K[0, 2] + 1), abs(width - K[0, 2])) + abs(K[0, 1]) * high) / K[0, 0]
    room = max(BLOCK, len(x) // 4)
    index, depth, pixel = np.empty(room, np.int32), np.empty(room, np.float32), np.empty((room, 2), np.int16)
    row, col, far = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    ahead, chosen = np.empty(BLOCK, np.bool_), np.empty(BLOCK, np.int32)
    count = 0
    for start in range(0, len(x), BLOCK):
        xs, ys, zs = x[start : start + BLOCK], y[start : start + BLOCK], z[start : start + BLOCK]
        most = _ahead(xs, ys, zs, T, wide, high, ahead, chosen)
        if model == 0:
            _pinhole(xs, ys, zs, chosen[:most], T, K, row, col, far)
        else:
            for k in range(most):
                across, down, far[k] = _turned(xs[chosen[k]], ys[chosen[k]], zs[chosen[k]], T)
                row[k], col[k], valid = _pixel(across, down, far[k], K, model, d, limit)
                if not valid:
                    row[k] = math.nan
        if count + most > len(index):
            index, depth, pixel = _longer(index), _longer(depth), _longer(pixel)
        for k in range(most):
            if -0.5 <= row[k] < height - 0.5 and -0.5 <= col[k] < width - 0.5:
                index[count], depth[count] = start + chosen[k], far[k]
                pixel[count, 0], pixel[count, 1] = math.floor(row[k] + 0.5), math.floor(col[k] + 0.5)
                count += 1
    return index[:count].copy(), pixel[:count].copy(), depth[:count].copy()


# The loops of these are so plain that the compiler makes eight points of them at once.


@njit(cache=True, nogil=True)
def _turned(x, y, z, T):
    """A point by a rigid transform: across, down, depth."""
    x, y, z = np.float64(x), np.float64(y), np.float64(z)
    across = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
    down = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
    return across, down, T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]


@njit(cache=True, nogil=True)
def _longer(array):
    """The array with as much room again behind it."""
    return np.concatenate((array, np.empty_like(array)))


@njit(cache=True, nogil=True)
def _ahead(x, y, z, T, wide, high, ahead, chosen):
    """Fills `chosen` with the points that lie before a camera and in the pyramid of so many metres to a side and up a metre of depth, with
    the help of `ahead`; returns how many these are."""
    for i in range(len(x)):
        across, down, far = _turned(x[i], y[i], z[i], T)
        ahead[i] = (far > MIN_DEPTH) & (abs(across) < wide * far) & (abs(down) < high * far)
    count = 0
    for i in range(len(x)):
        if ahead[i]:
            chosen[count] = i
            count += 1
    return count


@njit(cache=True, nogil=True)
def _pinhole(x, y, z, chosen, T, K, row, col, far):
    """Fills row, col and depth of the chosen points."""
    for k in range(len(chosen)):
        i = chosen[k]
        across, down, depth = _turned(x[i], y[i], z[i], T)
        a, b = across / depth, down / depth
        row[k], col[k], far[k] = K[1, 1] * b + K[1, 2], K[0, 0] * a + K[0, 1] * b + K[0, 2], depth


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
