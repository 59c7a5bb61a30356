"""The ground under a street, and the hashed noise that roughens it and everything else.

The ground is a table of strips in street coordinates (s = world x, d = metres left of the curved centre line): each
strip runs from edge to edge with a height at either side, so kerbs are steps and verges are slopes; bumps are value
noise.

Everything compiled is float64 without fast-math, and transcendental functions are kept out: results do not depend on
a math library.
"""

import math

import numpy as np
from numba import njit
from scipy.ndimage import maximum_filter

CURVE_STEP = 0.25  # metres between the rows of the centre-line table
COARSE = 1.0  # metres, cell of the table of greatest ground heights

jit = njit(nogil=True, error_model="numpy")


@jit
def hashed(i, j, k):
    """Three integers -> a float in [0, 1); an integer hash, the same on every machine."""
    h = (i * 374761393 + j * 668265263 + k * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2146121005) & 0xFFFFFFFF
    return (h ^ (h >> 15)) * (1.0 / 4294967296.0)


@jit
def noise(u, v, seed):
    """Smooth value noise over the plane in [0, 1], lattice spacing 1."""
    fu, fv = math.floor(u), math.floor(v)
    i, j = int(fu), int(fv)
    u -= fu
    v -= fv
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    a, b = hashed(i, j, seed), hashed(i + 1, j, seed)
    c, d = hashed(i, j + 1, seed), hashed(i + 1, j + 1, seed)
    return (a + (b - a) * u) * (1.0 - v) + (c + (d - c) * u) * v


@jit
def ground_at(x, y, ground):
    """World x, y -> (height in metres, row of the strip table, d in metres left of the centre line)."""
    x0, curve, segment, edge, low, high, bump, seed = ground[:8]
    u = (x - x0) / CURVE_STEP
    i = min(max(int(u), 0), curve.shape[0] - 2)
    w = u - i
    d = (y - curve[i, 0] - w * (curve[i + 1, 0] - curve[i, 0])) * curve[i, 1]
    g = segment[i]
    k = 0
    while d > edge[g, k]:
        k += 1
    h = low[g, k]
    if k > 0 and high[g, k] != h:
        left = edge[g, k - 1]
        h += (high[g, k] - h) * min((d - left) / (edge[g, k] - left), 1.0)
    amount = bump[g, k]
    if amount > 0.0:
        h += amount * (noise(x * 0.7, y * 0.7, seed) + 0.6 * noise(x * 2.7, y * 2.7, seed + 1) - 0.8)
    return h, g * edge.shape[1] + k, d


@jit
def hit_ground(ox, oy, oz, dx, dy, dz, ground, limit):
    """Distance to the ground along a unit ray, or `limit` if there is none before it.

    Steps of half a metre, skipped wherever the ray stays above the greatest height nearby; then secant or bisection.
    """
    tallest, top, cx, cy = ground[8:]
    if oz > tallest:
        if dz > -1e-5:
            return limit
        t = (tallest - oz) / dz
    else:
        t = 0.05
    flat = math.sqrt(dx * dx + dy * dy)
    if flat < 1e-6:
        return min((ground_at(ox, oy, ground)[0] - oz) / dz, limit)
    step = 0.5 / flat
    before = -1.0
    rows, columns = top.shape
    while t < limit:
        after = t + step
        x, y, z = ox + after * dx, oy + after * dy, oz + after * dz
        i = min(max(int((x - cx) / COARSE), 0), rows - 1)
        j = min(max(int((y - cy) / COARSE), 0), columns - 1)
        if z > top[i, j]:
            t = after
            before = -1.0
            continue
        gap = z - ground_at(x, y, ground)[0]
        if gap > 0.0:
            t = after
            before = gap
            continue
        if before < 0.0:
            before = oz + t * dz - ground_at(ox + t * dx, oy + t * dy, ground)[0]
            if before <= 0.0:
                return min(t, limit)
        a, b = t, after
        guess = a + (b - a) * before / (before - gap)
        off = oz + guess * dz - ground_at(ox + guess * dx, oy + guess * dy, ground)[0]
        for _ in range(6):
            if abs(off) < 0.002:
                break
            if off > 0.0:
                a = guess
            else:
                b = guess
            guess = 0.5 * (a + b)
            off = oz + guess * dz - ground_at(ox + guess * dx, oy + guess * dy, ground)[0]
        if abs(off) > 0.004:
            guess = b  # the face of a kerb belongs to the higher strip
        return min(guess, limit)
    return limit


def coarse_top(ground, x0, y0, rows, columns, roughest):
    """(rows, columns) greatest ground height within a cell of COARSE metres and its neighbours; see `hit_ground`."""
    x = x0 + (np.arange(rows * 4) + 0.5) * COARSE / 4
    y = y0 + (np.arange(columns * 4) + 0.5) * COARSE / 4
    curve, segment, edge, low, high = ground[1:6]
    i = np.clip(((x - ground[0]) / CURVE_STEP).astype(int), 0, len(curve) - 2)
    d = (y[None] - curve[i, 0][:, None]) * curve[i, 1][:, None]
    fine = np.empty(d.shape)
    for g in np.unique(segment[i]):
        at = segment[i] == g
        strip = np.searchsorted(edge[g], d[at])
        fine[at] = np.maximum(low[g], high[g])[strip] + roughest * (ground[6][g] > 0)[strip]
    cells = fine.reshape(rows, 4, columns, 4).max(axis=(1, 3))
    return np.ascontiguousarray(maximum_filter(cells, size=3, mode="nearest"))
