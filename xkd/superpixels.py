"""Superpixels: an image cut into small connected regions of one colour, in which 2D and 3D features are compared.

SLIC, after Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 34(11), 2012:
k-means in (L, a, b, row, column) with each centre searching only its own neighbourhood, then a connectivity pass.
"""

import numba
import numpy as np
from scipy import ndimage

from xkd.errors import XkdError

jit = numba.njit(cache=True, nogil=True, error_model="numpy")

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
    image = np.ascontiguousarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise XkdError(f"superpixels need an (H, W, 3) uint8 image; this one is {image.shape} {image.dtype}.")
    height, width = image.shape[:2]
    if not 1 <= n <= height * width:
        raise XkdError(f"superpixels: n = {n} must lie in 1..{height * width}, its {height} x {width} pixels.")
    if compactness <= 0 or iterations < 1:
        raise XkdError(f"superpixels: compactness = {compactness} and iterations = {iterations} must be positive.")
    lab = _lab(image, LINEAR, RGB_TO_XYZ, ROOT)
    step = np.sqrt(height * width / n)
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    label = _cluster(lab, rows, columns, np.float32(step), np.float32(compactness), iterations)
    return _connect(label, lab, max(1, int(step * step / 4)))


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
    f = np.empty(3, np.float32)
    knots = np.float32(root.size - 2)
    for i in range(height):
        for j in range(width):
            r, g, b = linear[image[i, j, 0]], linear[image[i, j, 1]], linear[image[i, j, 2]]
            for c in range(3):
                t = min((matrix[c, 0] * r + matrix[c, 1] * g + matrix[c, 2] * b) * knots, knots)
                k = int(t)
                f[c] = root[k] + (t - np.float32(k)) * (root[k + 1] - root[k])
            lab[0, i, j] = np.float32(116) * f[1] - np.float32(16)
            lab[1, i, j] = np.float32(500) * (f[0] - f[1])
            lab[2, i, j] = np.float32(200) * (f[1] - f[2])
    return lab


@jit
def _seeds(lab, rows, columns):
    """Centres (K, 5) of L, a, b, row, column: a regular grid, each moved to the flattest pixel of its 3 x 3."""
    _, height, width = lab.shape
    centres = np.empty((rows * columns, 5), np.float32)
    for k in range(rows * columns):
        row = int((k // columns + 0.5) * height / rows)
        column = int((k % columns + 0.5) * width / columns)
        best, at = np.float32(np.inf), (row, column)
        for i in range(max(row - 1, 1), min(row + 2, height - 1)):
            for j in range(max(column - 1, 1), min(column + 2, width - 1)):
                slope = np.float32(0)
                for c in range(3):
                    slope += (lab[c, i + 1, j] - lab[c, i - 1, j]) ** 2 + (lab[c, i, j + 1] - lab[c, i, j - 1]) ** 2
                if slope < best:
                    best, at = slope, (i, j)
        for c in range(3):
            centres[k, c] = lab[c, at[0], at[1]]
        centres[k, 3], centres[k, 4] = at
    return centres


@jit
def _cluster(lab, rows, columns, step, compactness, iterations):
    """Lloyd's iterations with windows of two steps -> (H, W) int32 of the nearest centre; not yet connected."""
    _, height, width = lab.shape
    centres = _seeds(lab, rows, columns)
    label = np.empty((height, width), np.int32)
    for i in range(height):  # a pixel that no window reaches keeps the cell it lies in
        for j in range(width):
            label[i, j] = i * rows // height * columns + j * columns // width
    nearest = np.empty((height, width), np.float32)
    total = np.empty((rows * columns, 6), np.float64)
    weight = (compactness / step) ** 2
    reach_i, reach_j = int(np.ceil(height / rows)), int(np.ceil(width / columns))
    for _ in range(iterations):
        nearest[:] = np.inf
        for k in range(rows * columns):
            l, a, b, row, column = centres[k]  # noqa: E741
            first = max(int(column) - reach_j, 0)
            last = min(int(column) + reach_j + 1, width)
            for i in range(max(int(row) - reach_i, 0), min(int(row) + reach_i + 1, height)):
                far = weight * (np.float32(i) - row) ** 2
                light, red, blue = lab[0, i, first:last], lab[1, i, first:last], lab[2, i, first:last]
                best, owner = nearest[i, first:last], label[i, first:last]
                for j in range(last - first):  # both stores unconditional: the loop becomes vector instructions
                    across = np.float32(j + first) - column
                    d = (light[j] - l) ** 2 + (red[j] - a) ** 2 + (blue[j] - b) ** 2 + far + weight * across * across
                    closer = d < best[j]
                    best[j] = d if closer else best[j]
                    owner[j] = np.int32(k) if closer else owner[j]
        total[:] = 0
        for i in range(height):
            for j in range(width):
                k = label[i, j]
                total[k, 0] += lab[0, i, j]
                total[k, 1] += lab[1, i, j]
                total[k, 2] += lab[2, i, j]
                total[k, 3] += i
                total[k, 4] += j
                total[k, 5] += 1
        for k in range(rows * columns):
            if total[k, 5] > 0:
                for c in range(5):
                    centres[k, c] = total[k, c] / total[k, 5]
    return label


@jit
def _connect(label, lab, smallest):
    """Every 4-connected piece becomes a segment; below `smallest` pixels it joins the neighbour of nearest mean colour.

    Ids in the order of their first pixels. The paper joins a stray piece to whichever neighbour was met last.
    """
    height, width = label.shape
    piece = np.full((height, width), -1, np.int32)
    pixels = np.empty((height * width, 2), np.int32)  # piece by piece
    start = np.zeros(height * width + 1, np.int64)
    colour = np.zeros((height * width, 3), np.float64)
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    pieces = tail = 0
    for row in range(height):
        for column in range(width):
            if piece[row, column] >= 0:
                continue
            piece[row, column] = pieces
            pixels[tail, 0], pixels[tail, 1] = row, column
            head, tail = tail, tail + 1
            while head < tail:
                i, j = pixels[head]
                head += 1
                for c in range(3):
                    colour[pieces, c] += lab[c, i, j]
                for di, dj in steps:
                    y, x = i + di, j + dj
                    if 0 <= y < height and 0 <= x < width and piece[y, x] < 0 and label[y, x] == label[i, j]:
                        piece[y, x] = pieces
                        pixels[tail, 0], pixels[tail, 1] = y, x
                        tail += 1
            pieces += 1
            start[pieces] = tail
    size = start[1 : pieces + 1] - start[:pieces]
    parent = np.arange(pieces)
    joined = True
    while joined:  # again while a group of small pieces may still be small
        joined = False
        for k in range(pieces):
            own = _top(parent, k)
            if size[own] >= smallest:
                continue
            best, other = np.inf, -1
            for p in range(start[k], start[k + 1]):
                for di, dj in steps:
                    y, x = pixels[p, 0] + di, pixels[p, 1] + dj
                    if 0 <= y < height and 0 <= x < width:
                        group = _top(parent, piece[y, x])
                        if group != own:
                            d = 0.0
                            for c in range(3):
                                d += (colour[group, c] / size[group] - colour[own, c] / size[own]) ** 2
                            if d < best:
                                best, other = d, group
            if other >= 0:
                parent[own] = other
                size[other] += size[own]
                colour[other] += colour[own]
                joined = True
    number = np.full(pieces, -1, np.int32)
    used = 0
    segments = np.empty((height, width), np.int32)
    for i in range(height):
        for j in range(width):
            group = _top(parent, piece[i, j])
            if number[group] < 0:
                number[group] = used
                used += 1
            segments[i, j] = number[group]
    return segments


@jit
def _top(parent, k):
    """The group that piece `k` belongs to by now."""
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k
