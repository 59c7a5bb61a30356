"""Rays against primitives: the one geometry that every simulated sensor sees.

A primitive is a unit shape under an affine map: `inverse[p]` (3, 4) turns world into local coordinates, where the
solid is |x|, |y|, |z| <= 1 (BOX), the unit ball (BALL), a frustum of radius `1 - taper * (z + 1) / 2` (CONE), or a
box that narrows upwards in x and y by `taper` (WEDGE). Rays keep their parameter under the map, so t stays metres
for a unit direction. A porous primitive (leaves, pickets, wire, hoops) lets a ray through where a hashed pattern in
its own metres says so: all sensors see the same holes.
"""

import math

from numba import njit

from xkd.sim.ground import hashed, jit

BOX, BALL, CONE, WEDGE = 0, 1, 2, 3
SOLID, LEAVES, PICKETS, WIRE, HOOP = 0, 1, 2, 3, 4

inline = njit(nogil=True, error_model="numpy", inline="always")


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
        # Steeper than the cone itself: in through an end, or through the side and out through the wide end.
        e = r - m * near * w
        if (x + near * u) ** 2 + (y + near * v) ** 2 <= e * e:
            e = r - m * far * w
            if (x + far * u) ** 2 + (y + far * v) ** 2 <= e * e or disc < 0.0 or a == 0.0:
                return near, far
            root = math.sqrt(disc)
            first, second = (-b + root) / a, (-b - root) / a
            return near, first if first > near else second
        if disc < 0.0 or a == 0.0:
            return 1.0, 0.0
        root = math.sqrt(disc)
        first, second = (-b + root) / a, (-b - root) / a
        return max(near, first if first > near else second), far
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
    """Nearest primitive of `ids[start:stop]` (in the order of `near`, their least distances) before `limit`: (t, index
    or -1).
    """
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
        if a > 0.02 and not hole(
            porous[p], share[p], (x + a * u) * h[0], (y + a * v) * h[1], (z + a * w) * h[2], seed[p]
        ):
            best, hit = a, p
        elif b < best and not hole(
            porous[p], share[p], (x + b * u) * h[0], (y + b * v) * h[1], (z + b * w) * h[2], seed[p]
        ):
            best, hit = b, p
    return best, hit


@jit
def normal_at(p, x, y, z, solids):
    """Outward unit normal in the world and the local axis it is nearest to, at the local point (x, y, z) of primitive
    p.
    """
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
