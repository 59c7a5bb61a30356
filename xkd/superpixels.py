"""Superpixels: an image cut into small connected regions of one colour, in which 2D and 3D features are compared.

SLIC, after Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 34(11), 2012:
k-means in (L, a, b, row, column) with each centre searching only its own neighbourhood, then a connectivity pass.
"""

import numba
import numpy as np
from scipy import ndimage

from xkd.errors import XkdError
from xkd.pieces import connected, jit, join_small, renumbered

# sRGB to XYZ (IEC 61966-2-1), rows already divided by the D65 white point, so that white is (1, 1, 1).
RGB_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
RGB_TO_XYZ = (RGB_TO_XYZ / np.array([[0.95047], [1.0], [1.08883]])).astype(np.float32)
BYTE = np.arange(256) / 255
LINEAR = np.where(BYTE > 0.04045, ((BYTE + 0.055) / 1.055) ** 2.4, BYTE / 12.92).astype(np.float32)
KNOTS = 4096
RATIO = np.arange(KNOTS + 2) / KNOTS
# The cube root of CIE 1976 as a table: three roots a pixel would cost more than the whole clustering.
ROOT = np.where(RATIO > 0.008856, np.cbrt(RATIO), 7.787 * RATIO + 16 / 116).astype(np.float32)


def segment(image, n, compactness=10.0, iterations=6):
    """(H, W, 3) uint8 RGB -> (H, W) int32 segment ids 0..m-1, m close to n, each in use and 4-connected.

    `compactness` weighs distance against colour (the L*a*b* difference that counts as much as one grid step, as in the
    paper): high gives squares, low gives ragged outlines. Deterministic, on one thread, without the GIL: threads can
    share the images. Errors: an image of another kind, numbers out of range.
    """
    return slic(colours(image), n, compactness, iterations)


def colours(image):
    """(H, W, 3) uint8 RGB -> (3, H, W) float32 CIELAB, L in 0..100. Errors: an image of another kind."""
    image = np.ascontiguousarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise XkdError(f"superpixels need an (H, W, 3) uint8 image; this one is {image.shape} {image.dtype}.")
    return _lab(image, LINEAR, RGB_TO_XYZ, ROOT)


def slic(planes, n, compactness=10.0, iterations=6):
    """`segment` of any planes (C, H, W) float32, C >= 3, in the place of colours. Errors: numbers out of range."""
    height, width = planes.shape[1:]
    if not 1 <= n <= height * width:
        raise XkdError(f"superpixels: n = {n} must lie in 1..{height * width}, its {height} x {width} pixels.")
    if compactness <= 0 or iterations < 1:
        raise XkdError(f"superpixels: compactness = {compactness} and iterations = {iterations} must be positive.")
    step = np.sqrt(height * width / n)
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    label = _cluster(planes, rows, columns, np.float32(step), np.float32(compactness), iterations)
    return connect(label, planes, np.full(rows * columns, max(1, int(step * step / 4))))


def connect(label, planes, smallest):
    """(H, W) labels and planes (C, H, W) -> (H, W) int32 segment ids: every 4-connected piece of a label becomes a segment; one with
    fewer pixels than `smallest` (labels,) says of its label joins the neighbour of nearest mean. Ids in the order of first pixels."""
    piece, first = connected(label)
    parent = join_small(piece, first, totals(planes, piece, len(first)), smallest[label.ravel()[first]])
    return renumbered(piece, parent)


def boundary_recall(segments, labels, tolerance=2):
    """(H, W) ids both -> share of the labels' boundary with a segment boundary within `tolerance` pixels (Chebyshev).

    1.0 for labels without a boundary. Achanta et al. 2012, section 4.1.
    """
    truth = _boundary(np.asarray(labels))
    near = ndimage.maximum_filter(_boundary(np.asarray(segments)), size=2 * tolerance + 1, mode="constant")
    return float(near[truth].mean()) if truth.any() else 1.0


def _boundary(ids):
    """Pixels that differ from their right or lower neighbour."""
    edge = np.zeros(ids.shape, bool)
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= ids[:-1] != ids[1:]
    return edge


@jit
def _lab(image, linear, matrix, root):
    """(H, W, 3) uint8 sRGB -> (3, H, W) float32 CIELAB, D65; in planes, so that the distance loop reads in sequence."""
    height, width = image.shape[:2]
    lab = np.empty((3, height, width), np.float32)
    knots = np.float32(root.size - 2)
    m = matrix
    for i in range(height):
        pixel, x, y, z = image[i], lab[0, i], lab[1, i], lab[2, i]
        for j in range(width):
            r, g, b = linear[pixel[j, 0]], linear[pixel[j, 1]], linear[pixel[j, 2]]
            x[j] = min((m[0, 0] * r + m[0, 1] * g + m[0, 2] * b) * knots, knots)
            y[j] = min((m[1, 0] * r + m[1, 1] * g + m[1, 2] * b) * knots, knots)
            z[j] = min((m[2, 0] * r + m[2, 1] * g + m[2, 2] * b) * knots, knots)
        for j in range(width):
            u, v, w = _between(root, x[j]), _between(root, y[j]), _between(root, z[j])
            x[j] = np.float32(116) * v - np.float32(16)
            y[j] = np.float32(500) * (u - v)
            z[j] = np.float32(200) * (v - w)
    return lab


@numba.njit(error_model="numpy", inline="always")
def _between(table, t):
    """The table at `t` >= 0, linear between its entries. Unsigned places: a signed one is asked whether it counts from the end."""
    k = np.int32(t)
    part = t - np.float32(k)
    k = np.uint32(k)
    return table[k] + part * (table[k + np.uint32(1)] - table[k])


@jit
def _seeds(planes, rows, columns):
    """Centres (K, C + 2) of the planes' values, row, column: a regular grid, each moved to the flattest pixel of its 3 x 3."""
    channels, height, width = planes.shape
    centres = np.empty((rows * columns, channels + 2), np.float32)
    for k in range(rows * columns):
        row = int((k // columns + 0.5) * height / rows)
        column = int((k % columns + 0.5) * width / columns)
        best, at = np.float32(np.inf), (row, column)
        for i in range(max(row - 1, 1), min(row + 2, height - 1)):
            for j in range(max(column - 1, 1), min(column + 2, width - 1)):
                slope = np.float32(0)
                for c in range(channels):
                    down, across = planes[c, i + 1, j] - planes[c, i - 1, j], planes[c, i, j + 1] - planes[c, i, j - 1]
                    slope += down**2 + across**2
                if slope < best:
                    best, at = slope, (i, j)
        for c in range(channels):
            centres[k, c] = planes[c, at[0], at[1]]
        centres[k, channels], centres[k, channels + 1] = at
    return centres


@jit
def _cluster(planes, rows, columns, step, compactness, iterations):
    """Lloyd's iterations with windows of two steps -> (H, W) int32 of the nearest centre; not yet connected.

    Row by row, so that all that a row needs stays in the fastest memory, and its sums are taken while it is there.
    """
    channels, height, width = planes.shape
    centres = _seeds(planes, rows, columns)
    label = np.empty((height, width), np.int32)
    cell = np.arange(width) * columns // width
    for i in range(height):  # a pixel that no window reaches keeps the cell it lies in
        label[i] = i * rows // height * columns + cell
    total = np.empty((rows * columns, channels + 3), np.float64)
    weight = (compactness / step) ** 2
    reach_i, reach_j = int(np.ceil(height / rows)), int(np.ceil(width / columns))
    across = np.empty((rows * columns, 2 * reach_j + 1), np.float32)
    nearest, distance = np.empty(width, np.float32), np.empty(2 * reach_j + 1, np.float32)
    for left in range(iterations - 1, -1, -1):
        start, near = _windows(centres[:, channels], reach_i, height)
        for k in range(rows * columns):
            column = centres[k, channels + 1]
            for j in range(2 * reach_j + 1):
                side = np.float32(max(int(column) - reach_j, 0) + j) - column
                across[k, j] = weight * side * side
        total[:] = 0
        for i in range(height):
            nearest[:] = np.inf
            for k in near[start[i] : start[i + 1]]:
                column = int(centres[k, channels + 1])
                first, last = max(column - reach_j, 0), min(column + reach_j + 1, width)
                far = weight * (np.float32(i) - centres[k, channels]) ** 2
                l, a, b = centres[k, 0], centres[k, 1], centres[k, 2]  # noqa: E741
                x, y, z, side = planes[0, i, first:last], planes[1, i, first:last], planes[2, i, first:last], across[k]
                for j in range(last - first):
                    distance[j] = (x[j] - l) ** 2 + (y[j] - a) ** 2 + (z[j] - b) ** 2 + far + side[j]
                for c in range(3, channels):
                    x, l = planes[c, i, first:last], centres[k, c]  # noqa: E741
                    for j in range(last - first):
                        distance[j] += (x[j] - l) ** 2
                best, owner = nearest[first:last], label[i, first:last]
                for j in range(last - first):  # both stores unconditional: the loop becomes vector instructions
                    closer = distance[j] < best[j]
                    best[j] = distance[j] if closer else best[j]
                    owner[j] = np.int32(k) if closer else owner[j]
            if left:
                _add_row(planes, label, i, total)
        for k in range(rows * columns):
            if left and total[k, channels + 2] > 0:
                for c in range(channels + 2):
                    centres[k, c] = total[k, c] / total[k, channels + 2]
    return label


@jit
def _windows(row, reach, height):
    """The centres, in order, whose windows hold row i: near[start[i] : start[i + 1]]."""
    start = np.zeros(height + 2, np.int64)
    for k in range(len(row)):
        start[max(int(row[k]) - reach, 0) + 2 : min(int(row[k]) + reach + 1, height) + 2] += 1
    start = np.cumsum(start)
    near = np.empty(start[-1], np.int32)
    for k in range(len(row)):
        for i in range(max(int(row[k]) - reach, 0), min(int(row[k]) + reach + 1, height)):
            near[start[i + 1]] = k
            start[i + 1] += 1
    return start, near


@jit
def totals(planes, ids, count):
    """What the pixels of each id 0..count-1 sum to: (count, C + 3) float64 of the planes' values, row, column, pixels."""
    total = np.zeros((count, len(planes) + 3), np.float64)
    for i in range(len(ids)):
        _add_row(planes, ids, i, total)
    return total


@jit
def _add_row(planes, label, i, total):
    """Adds row i to the totals (K, C + 3) of its labels: values, row, column, pixels. A run of one label is summed in registers."""
    channels, width = len(planes), label.shape[1]
    last = 0
    while last < width:
        first, k = last, label[i, last]
        x, y, z = total[k, 0], total[k, 1], total[k, 2]
        while last < width and label[i, last] == k:
            x += planes[0, i, last]
            y += planes[1, i, last]
            z += planes[2, i, last]
            last += 1
        total[k, 0], total[k, 1], total[k, 2] = x, y, z
        for c in range(3, channels):
            for j in range(first, last):
                total[k, c] += planes[c, i, j]
        total[k, channels] += i * (last - first)
        total[k, channels + 1] += (first + last - 1) * (last - first) // 2
        total[k, channels + 2] += last - first
