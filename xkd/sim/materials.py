"""What surfaces look like: a procedural colour for every material, and how each answers a LiDAR pulse.

Coordinates are metres in the primitive's own frame (ground: street coordinates), so a texture moves with its object.
`foot` is the size of a pixel on the surface in metres: patterns finer than that fade into their mean, which keeps
distant surfaces calm.
"""

import math

import numpy as np

from xkd.sim.ground import hashed, jit, noise

# name: (mean LiDAR reflectivity, share of pulses that come back)
TABLE = {
    "asphalt": (0.16, 0.97), "line": (0.30, 0.98), "dash": (0.27, 0.98), "zebra": (0.24, 0.98),
    "bays": (0.17, 0.97), "pavers": (0.24, 0.98), "slabs": (0.27, 0.98), "grass": (0.27, 0.95),
    "soil": (0.24, 0.97), "cobbles": (0.22, 0.97), "hatch": (0.20, 0.97), "concrete": (0.26, 0.98),
    "plaster": (0.35, 0.98), "brick": (0.28, 0.98), "facade": (0.32, 0.97), "wood": (0.28, 0.97),
    "metal": (0.30, 0.95), "leaf": (0.33, 0.93), "bark": (0.25, 0.96), "body": (0.34, 0.92),
    "cabin": (0.22, 0.60), "coach": (0.34, 0.90), "cargo": (0.38, 0.96), "container": (0.33, 0.95),
    "tyre": (0.07, 0.80), "cloth": (0.25, 0.93), "skin": (0.35, 0.96), "cone": (0.42, 0.97),
    "stripes": (0.38, 0.97), "sign": (0.55, 0.99), "machine": (0.36, 0.95), "lamp": (0.18, 0.93),
    "tiles": (0.24, 0.96),
}  # fmt: skip
MATERIALS = {name: index for index, name in enumerate(TABLE)}
REFLECTIVITY = np.array([row[0] for row in TABLE.values()])
RETURNS = np.array([row[1] for row in TABLE.values()])
(ASPHALT, LINE, DASH, ZEBRA, BAYS, PAVERS, SLABS, GRASS, SOIL, COBBLES, HATCH, CONCRETE, PLASTER, BRICK) = range(14)
(FACADE, WOOD, METAL, LEAF, BARK, BODY, CABIN, COACH, CARGO, CONTAINER, TYRE, CLOTH, SKIN, CONES, STRIPES) = range(
    14, 29
)
(SIGN, MACHINE, LAMP, TILES) = range(29, 33)


@jit
def part(x):
    return x - math.floor(x)


@jit
def fade(foot, period):
    """1 where the pattern is much larger than a pixel, 0 where it is smaller."""
    return min(max(1.6 - 2.2 * foot / period, 0.0), 1.0)


@jit
def blocks(u, v, width, height, joint, seed, foot):
    """Running bond: (joint weight 0..1, tint of the stone 0..1)."""
    row = math.floor(v / height)
    u = u / width + 0.5 * (row % 2.0)
    column = math.floor(u)
    f = fade(foot, height)
    near = min(min(u - column, 1.0 - u + column) * width, min(v / height - row, 1.0 - v / height + row) * height)
    tint = 0.5 + (hashed(int(column), int(row), seed) - 0.5) * f
    return (f if near < joint else (1.0 - f) * 0.15), tint


@jit
def surface(m, u, v, a, b, seed, foot):
    """Ground and wall textures: material, plane coordinates in metres, two colours -> linear r, g, b."""
    grain = 1.0 + (noise(u * 9.0, v * 9.0, seed) - 0.5) * 0.5 * fade(foot, 0.11)
    stain = 0.85 + 0.3 * noise(u * 0.45, v * 0.45, seed + 7)
    mix, k = 0.0, grain * stain
    if m == LINE or m == DASH:
        on = m == LINE or part(u / 9.0) < 0.4
        mix = 0.9 if on and noise(u * 4.0, v * 4.0, seed) > 0.22 else 0.0
    elif m == ZEBRA:
        mix = 0.9 if part(v) < 0.5 and noise(u * 3.0, v * 3.0, seed) > 0.2 else 0.0
    elif m == BAYS:
        mix = 0.85 if part(u / 5.6) < 0.025 else 0.0
        if seed & 1:
            joint, tint = blocks(u, v, 0.5, 0.25, 0.02, seed, foot)
            k *= (0.8 + 0.4 * tint) * (1.0 - 0.35 * joint)
    elif m == PAVERS or m == COBBLES or m == BRICK:
        w, h, j = (0.45, 0.3, 0.02) if m == PAVERS else ((0.26, 0.22, 0.03) if m == COBBLES else (0.5, 0.2, 0.025))
        joint, tint = blocks(u, v, w, h, j, seed, foot)
        spread = 0.35 if m == PAVERS else 0.8
        k *= 1.0 + (tint - 0.5) * spread
        mix = joint if m == BRICK else 0.0
        k *= 1.0 - 0.5 * joint * (m != BRICK)
    elif m == SLABS:
        su, sv = part(u / 1.5) * 1.5, part(v / 1.2) * 1.2
        edge = 0.04 + 0.3 * foot
        if su < edge or sv < edge:
            k *= 1.0 - 0.4 * fade(foot, 0.5)
        k *= 0.92 + 0.16 * hashed(int(math.floor(u / 1.5)), int(math.floor(v / 1.2)), seed)
    elif m == GRASS or m == SOIL:
        mix = min(max(noise(u * 0.6, v * 0.6, seed + 3) * 1.8 - 0.5, 0.0), 1.0)
        blade = noise(u * 16.0, v * 5.0, seed + 5) - 0.5
        k *= 1.0 + 1.1 * blade * fade(foot, 0.12) + 0.6 * (noise(u * 2.2, v * 2.2, seed + 6) - 0.5)
    elif m == HATCH:
        mix = 0.9 if part((u + v) * 0.55) < 0.4 and noise(u * 3.0, v * 3.0, seed) > 0.15 else 0.0
    elif m == WOOD:
        plank = math.floor(u / 0.16)
        k *= (0.8 + 0.4 * hashed(int(plank), 0, seed)) * (0.75 if u / 0.16 - plank < 0.12 else 1.0)
        k *= 0.85 + 0.3 * noise(u * 30.0, v * 2.0, seed)
    elif m == BARK:
        k *= 0.6 + 0.8 * noise(u * 18.0, v * 3.0, seed)
    elif m == CONTAINER:
        k *= 0.75 + 0.45 * (part(u / 0.3) < 0.5) * fade(foot, 0.3)
    elif m == TILES:
        k *= 0.75 + 0.4 * part(v / 0.35) * fade(foot, 0.35)
    elif m == CONCRETE or m == PLASTER:
        k = 0.5 + 0.5 * k - 0.12 * noise(u * 2.0, v * 0.3, seed + 2)
    elif m == ASPHALT:
        k *= 0.8 if noise(u * 0.12, v * 0.3, seed + 9) > 0.72 else 1.0
    return (
        k * (a[0] + mix * (b[0] - a[0])),
        k * (a[1] + mix * (b[1] - a[1])),
        k * (a[2] + mix * (b[2] - a[2])),
    )


@jit
def facade(u, v, height, a, b, seed, foot):
    """A house front: (r, g, b, glass); windows of a seeded pitch, shops on some ground floors."""
    pitch = 1.8 + 1.6 * hashed(seed, 1, 2)
    wide = 0.2 + 0.12 * hashed(seed, 2, 2)
    storey = 2.8 + 0.6 * hashed(seed, 3, 2)
    fu, fv = part(u / pitch), part(v / storey)
    column, row = int(math.floor(u / pitch)), int(math.floor(v / storey))
    shop = row == 0 and hashed(seed, 4, 2) < 0.4
    if shop:
        if v > storey * 0.82:
            return b[0], b[1], b[2], 0.0
        if fu > 0.08 and v > 0.4:
            return 0.05, 0.06, 0.07, 1.0
    elif abs(fu - 0.5) < wide and 0.28 < fv < 0.78 and (row + 0.9) * storey < height:
        if abs(fu - 0.5) > wide - 0.045 or fv < 0.31 or fv > 0.75 or abs(fu - 0.5) < 0.015:
            return 0.75, 0.74, 0.7, 0.0
        lit = hashed(column, row, seed)
        if lit < 0.2:
            return 0.5, 0.46, 0.38, 0.3
        return 0.04, 0.05, 0.06, 1.0
    elif row == 0 and column % 5 == seed % 5 and abs(fu - 0.5) < wide and v < 2.2:
        return 0.16, 0.08, 0.04, 0.0
    r, g, bl = surface(BRICK if seed & 2 else PLASTER, u, v, a, b, seed, foot)
    if v > height - 0.35:
        r, g, bl = r * 0.6 + 0.2, g * 0.6 + 0.2, bl * 0.6 + 0.2
    return r, g, bl, 0.0


@jit
def appearance(m, x, y, z, half, axis, a, b, seed, foot):
    """Material, point in the primitive's metres, its half sizes, local axis of the normal -> (r, g, b, glass 0..1)."""
    u = y if axis == 0 else x
    v = y if axis == 2 else z + half[2]
    if m == FACADE:
        if axis == 2:
            k = 0.8 + 0.2 * noise(x, y, seed)
            return 0.2 * k, 0.19 * k, 0.18 * k, 0.0
        return facade(u, v, 2.0 * half[2], a, b, seed, foot)
    if m == BODY or m == COACH:
        low = v < 0.25 * half[2]
        if axis == 0 and m == BODY:
            side, tall = abs(y) / half[1], z / half[2]
            if side > 0.6 and -0.2 < tall < 0.45:
                return (0.9, 0.9, 0.85, 0.0) if x > 0 else (0.55, 0.02, 0.02, 0.0)
            if side < 0.28 and -0.45 < tall < -0.1:
                return 0.75, 0.75, 0.7, 0.0
            if x > 0 and side < 0.5 and -0.1 < tall < 0.4:
                return 0.03, 0.03, 0.03, 0.0
        if m == COACH and axis != 2:
            tall = v / (2.0 * half[2])
            if 0.46 < tall < 0.83 and (axis == 0 or part(x / 1.45) > 0.07):
                return 0.03, 0.04, 0.05, 1.0
            if axis == 1 and part(x / 4.5 + 0.3) < 0.2 and 0.08 < tall < 0.46:
                return 0.06, 0.07, 0.08, 0.8
            if 0.2 < tall < 0.34:
                return b[0], b[1], b[2], 0.0
        if low:
            return 0.05, 0.05, 0.05, 0.0
        seam = m == BODY and axis == 1 and abs(abs(x) - 0.45) < 0.02
        k = 0.5 if seam and foot < 0.04 else 0.95 + 0.1 * noise(x, z, seed)
        return k * a[0], k * a[1], k * a[2], 0.12
    if m == CABIN:
        tall = v / (2.0 * half[2])
        if axis == 2 or tall > 0.9 or (axis == 1 and (abs(abs(x) / half[0] - 0.75) < 0.05 or abs(x) < 0.06)):
            return a[0], a[1], a[2], 0.12
        return 0.03, 0.035, 0.04, 1.0
    if m == CARGO:
        inside = abs(u) < 0.55 * (half[0] if axis == 1 else half[1]) and 0.3 < v / (2.0 * half[2]) < 0.75
        rim = v < 0.12 or v > 2.0 * half[2] - 0.12
        if axis != 2 and inside and (seed & 1) and noise(u * 1.3, v * 2.5, seed) > 0.45:
            return b[0], b[1], b[2], 0.0
        k = 0.6 if rim else 0.93 + 0.1 * noise(u * 0.5, v * 0.5, seed)
        return k * a[0], k * a[1], k * a[2], 0.0
    if m == TYRE:
        if axis == 2 and x * x + y * y < 0.36 * half[0] * half[1]:
            return 0.35, 0.35, 0.36, 0.0
        return 0.02, 0.02, 0.022, 0.0
    if m == LEAF:
        cell = hashed(int(math.floor(x * 9.0)) + 57 * int(math.floor(z * 9.0)), int(math.floor(y * 9.0)), seed)
        shade = 0.55 + 0.45 * z / half[2]
        wide = noise(x * 1.1 + z, y * 1.1 - 0.7 * z, seed)
        k = (0.45 + 0.35 * shade + 0.5 * wide) * (1.0 + (cell - 0.5) * 1.0 * fade(foot, 0.16))
        mix = cell * wide
        return k * (a[0] + mix * (b[0] - a[0])), k * (a[1] + mix * (b[1] - a[1])), k * (a[2] + mix * (b[2] - a[2])), 0.0
    if m == CONES:
        tall = v / (2.0 * half[2])
        if 0.35 < tall < 0.55 or 0.7 < tall < 0.85:
            return 0.85, 0.85, 0.82, 0.0
        return a[0], a[1], a[2], 0.0
    if m == STRIPES:
        f = part((u + z) / 0.7) < 0.5
        return (a[0], a[1], a[2], 0.0) if f else (b[0], b[1], b[2], 0.0)
    if m == SIGN:
        ring = max(abs(u) / (half[1] if axis == 0 else half[0]), abs(z) / half[2])
        if ring > 0.72:
            return b[0], b[1], b[2], 0.0
        line = part(z / 0.24)
        if 0.3 < line < 0.75 and ring < 0.62 and noise(u * 14.0, math.floor(z / 0.24) * 7.3, seed) > 0.45:
            return b[0], b[1], b[2], 0.0
        return a[0], a[1], a[2], 0.0
    if m == MACHINE:
        if z < -0.6 * half[2] or (axis != 2 and part((u + z) / 0.5) < 0.5 and z > 0.75 * half[2]):
            return 0.03, 0.03, 0.03, 0.0
        k = 0.85 + 0.25 * noise(u * 1.5, v * 1.5, seed)
        return k * a[0], k * a[1], k * a[2], 0.0
    if m == LAMP:
        third = int(min(max((z / half[2] + 1.0) * 1.5, 0.0), 2.0))
        f = part((z / half[2] + 1.0) * 1.5)
        if abs(u) < 0.7 * half[1] and 0.2 < f < 0.8 and third == seed % 3:
            return (
                (0.05, 0.9, 0.25, 0.0)
                if third == 0
                else ((0.95, 0.6, 0.05, 0.0) if third == 1 else (0.95, 0.06, 0.04, 0.0))
            )
        return 0.02, 0.02, 0.02, 0.0
    if m == CLOTH or m == SKIN or m == METAL:
        k = 0.85 + 0.3 * noise(x * 6.0, z * 6.0 + y, seed)
        return k * a[0], k * a[1], k * a[2], 0.0
    r, g, bl = surface(m, u, v, a, b, seed, foot)
    return r, g, bl, 0.0
