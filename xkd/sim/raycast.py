"""Rays against primitives and ground: the one geometry that every simulated sensor sees.

A primitive is a unit shape under an affine map: `inverse[p]` (3, 4) turns world into local coordinates, where the solid is
|x|, |y|, |z| <= 1 (BOX), the unit ball (BALL), a frustum of radius `1 - taper * (z + 1) / 2` (CONE), or a box that narrows upwards
in x and y by `taper` (WEDGE). Rays keep their parameter under the map, so t stays metres for a unit direction. A porous primitive
(leaves, pickets, wire) lets a ray through where a hashed pattern in its own metres says so: all sensors see the same holes.

The ground is a table of strips in street coordinates (s = world x, d = distance left of the curved centre line): each strip runs
from edge to edge with a height at either side, so kerbs are steps and verges are slopes; bumps are value noise.

Everything is float64 without fast-math; transcendental functions are kept out, so results do not depend on a math library.
"""

import math

import numpy as np
from numba import njit

BOX, BALL, CONE, WEDGE = 0, 1, 2, 3
SOLID, LEAVES, PICKETS, WIRE, HOOP = 0, 1, 2, 3, 4
CURVE_STEP = 0.25  # metres between the rows of the centre-line table
COARSE = 1.0  # metres, cell of the table of greatest ground heights

jit = njit(nogil=True, error_model="numpy")
inline = njit(nogil=True, error_model="numpy", inline="always")


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
        return min(guess, limit)
    return limit


@inline
def slab(o, d, near, far, half):
    """Clip the interval near..far of o + t d to |o + t d| <= half."""
    a = (-half - o) / d
    b = (half - o) / d
    return max(near, min(a, b)), min(far, max(a, b))


@inline
def below(o, d, near, far):
    """Clip the interval near..far to o + t d <= 0."""
    if d > 0.0:
        far = min(far, -o / d)
    elif d < 0.0:
        near = max(near, -o / d)
    elif o > 0.0:
        near = far + 1.0
    return near, far


@jit
def interval(kind, taper0, taper1, x, y, z, u, v, w):
    """Where the local ray (x, y, z) + t (u, v, w) is inside the unit shape: (t in, t out); in > out if nowhere."""
    near, far = slab(z, w, -1e30, 1e30, 1.0)
    if kind == 0:
        near, far = slab(x, u, near, far, 1.0)
        return slab(y, v, near, far, 1.0)
    if kind == 1:
        a = u * u + v * v + w * w
        b = x * u + y * v + z * w
        disc = b * b - a * (x * x + y * y + z * z - 1.0)
        if disc < 0.0:
            return 1.0, 0.0
        root = math.sqrt(disc)
        return (-b - root) / a, (-b + root) / a
    if kind == 2:
        if near > far:
            return near, far
        m = 0.5 * taper0
        r = 1.0 - m - m * z
        a = u * u + v * v - m * m * w * w
        b = x * u + y * v + m * w * r
        c = x * x + y * y - r * r
        disc = b * b - a * c
        if a > 1e-12:
            if disc < 0.0:
                return 1.0, 0.0
            root = math.sqrt(disc)
            return max(near, (-b - root) / a), min(far, (-b + root) / a)
        # Steeper than the cone itself: it can only come in through an end.
        r -= m * near * w
        if (x + near * u) ** 2 + (y + near * v) ** 2 <= r * r:
            return near, far
        return 1.0, 0.0
    m, n = 0.5 * taper0, 0.5 * taper1
    near, far = below(x + m * z - 1.0 + m, u + m * w, near, far)
    near, far = below(-x + m * z - 1.0 + m, -u + m * w, near, far)
    near, far = below(y + n * z - 1.0 + n, v + n * w, near, far)
    return below(-y + n * z - 1.0 + n, -v + n * w, near, far)


@jit
def hole(porous, share, x, y, z, seed):
    """Whether a ray goes through at this place of a porous primitive (its own metres)."""
    if porous == 1:
        return hashed(int(math.floor(x * 6.0)) * 31 + int(math.floor(z * 6.0)), int(math.floor(y * 6.0)), seed) < share
    if porous == 2:
        f = x * 7.0
        return f - math.floor(f) < share
    if porous == 4:
        return x * x + y * y < share
    f, g = x * 9.0, z * 9.0
    return min(f - math.floor(f), g - math.floor(g)) > 1.0 - share


@jit
def cast(ox, oy, oz, dx, dy, dz, ids, start, stop, near, solids, limit):
    """Nearest primitive of `ids[start:stop]` (in the order of `near`, their least distances) before `limit`: (t, index or -1)."""
    inverse, kind, taper, porous, share, half, seed = solids
    best, hit = limit, -1
    for n in range(start, stop):
        p = ids[n]
        if near[p] >= best:
            break
        m = inverse[p]
        x = m[0, 0] * ox + m[0, 1] * oy + m[0, 2] * oz + m[0, 3]
        y = m[1, 0] * ox + m[1, 1] * oy + m[1, 2] * oz + m[1, 3]
        z = m[2, 0] * ox + m[2, 1] * oy + m[2, 2] * oz + m[2, 3]
        u = m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz
        v = m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz
        w = m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz
        a, b = interval(kind[p], taper[p, 0], taper[p, 1], x, y, z, u, v, w)
        if a > b or b < 0.02 or a >= best:
            continue
        if porous[p] == 0:
            if a > 0.02:
                best, hit = a, p
            continue
        h = half[p]
        if a > 0.02 and not hole(porous[p], share[p], (x + a * u) * h[0], (y + a * v) * h[1], (z + a * w) * h[2], seed[p]):
            best, hit = a, p
        elif b < best and not hole(porous[p], share[p], (x + b * u) * h[0], (y + b * v) * h[1], (z + b * w) * h[2], seed[p]):
            best, hit = b, p
    return best, hit


@jit
def normal_at(p, x, y, z, solids):
    """Outward unit normal in the world and the local axis it is nearest to, at the local point (x, y, z) of primitive p."""
    inverse, kind, taper = solids[0], solids[1], solids[2]
    a, b, c, axis = 0.0, 0.0, 0.0, 0
    k = kind[p]
    if k == 1:
        a, b, c = x, y, z
        axis = 2 if abs(z) > 0.8 else (0 if abs(x) > abs(y) else 1)
    elif k == 2:
        if abs(z) > 0.999:
            c, axis = math.copysign(1.0, z), 2
        else:
            a, b, c = x, y, 0.5 * taper[p, 0] * math.sqrt(x * x + y * y)
            axis = 0
    else:
        gx = abs(x) - 1.0 + 0.5 * taper[p, 0] * (z + 1.0)
        gy = abs(y) - 1.0 + 0.5 * taper[p, 1] * (z + 1.0)
        gz = abs(z) - 1.0
        if gz > gx and gz > gy:
            c, axis = math.copysign(1.0, z), 2
        elif gx > gy:
            a, c, axis = math.copysign(1.0, x), 0.5 * taper[p, 0], 0
        else:
            b, c, axis = math.copysign(1.0, y), 0.5 * taper[p, 1], 1
    m = inverse[p]
    nx = a * m[0, 0] + b * m[1, 0] + c * m[2, 0]
    ny = a * m[0, 1] + b * m[1, 1] + c * m[2, 1]
    nz = a * m[0, 2] + b * m[1, 2] + c * m[2, 2]
    length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
    return nx / length, ny / length, nz / length, axis


def coarse_top(ground, x0, y0, rows, columns, roughest):
    """(rows, columns) greatest ground height within a cell of COARSE metres and its neighbours; see `hit_ground`."""
    from scipy.ndimage import maximum_filter

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
