"""People, plants and street furniture, as a few primitives each.

Hedges, walls and barriers share heights and extents; trunks, poles and signs share girths. What sets them apart in three dimensions is
small (porous and ragged, or flat and sharp), in a picture it is plain.
"""

import numpy as np

from xkd.sim.layout import tint
from xkd.sim.raycast import LEAVES, PICKETS, WIRE

SKINS = [(0.55, 0.36, 0.26), (0.35, 0.2, 0.12), (0.14, 0.08, 0.05), (0.65, 0.45, 0.35)]
GREEN, OLIVE, DARK, RUST = (0.07, 0.16, 0.03), (0.14, 0.19, 0.05), (0.03, 0.09, 0.03), (0.3, 0.15, 0.03)
RED, WHITE, ORANGE = (0.6, 0.03, 0.03), (0.8, 0.8, 0.78), (0.85, 0.2, 0.02)


def cloth(rng):
    return tint(rng, rng.uniform(0.02, 0.5, 3) if rng.random() < 0.6 else (rng.uniform(0.02, 0.6),) * 3, 0.1, 0.02)


def person(b, rng, height, walking=True, worker=False, riding=False):
    """Somebody on foot, or (riding) seated at the origin's height and leaning forward; a worker wears orange."""
    k = height / 1.75
    top, legs, skin = (ORANGE if worker else cloth(rng)), cloth(rng), SKINS[rng.integers(4)]
    stout, lean = rng.uniform(0.85, 1.25), (rng.uniform(0.2, 0.6) if riding else rng.uniform(0.0, 0.08))
    swing = rng.uniform(0.1, 0.45) if walking else 0.03
    hip = 0.0 if riding else 0.88 * k
    for side in (-1, 1):
        if riding:
            b.cone((0.22 * k, side * 0.12, -0.18), (0.17, 0.17, 0.62 * k), "cloth", legs, taper=0.3, pitch=-0.9)
            b.cone((0.36 * k, side * 0.12, -0.45), (0.13, 0.13, 0.5 * k), "cloth", legs, taper=0.3)
        else:
            angle = side * swing
            b.cone((-0.44 * k * np.sin(angle), side * 0.1 * k, 0.44 * k), (0.19 * k, 0.19 * k, 0.9 * k), "cloth", legs, taper=-0.25,
                   pitch=round(angle, 6))  # fmt: skip
        arm = -1.0 if riding else -side * swing
        b.cone((0.24 * k if riding else 0.2 * np.sin(side * swing), side * 0.25 * k * stout, hip + 0.32 * k),
               (0.1 * k, 0.1 * k, 0.62 * k), "cloth", top, taper=-0.2, pitch=round(arm, 6))  # fmt: skip
    shift = 0.3 * k * lean
    skirt = not riding and not worker and rng.random() < 0.25
    b.cone((shift, 0, hip + 0.3 * k), (0.28 * k * stout, 0.44 * k * stout, 0.64 * k), "cloth", top, taper=0.12 if skirt else -0.08, pitch=lean)
    if skirt:
        b.cone((0, 0, hip - 0.15 * k), (0.5 * k, 0.5 * k, 0.6 * k), "cloth", top, taper=0.45)
    b.ball((2.2 * shift, 0, hip + 0.76 * k), (0.21 * k, 0.19 * k, 0.26 * k), "skin", skin)
    if worker or riding and rng.random() < 0.6:
        b.ball((2.2 * shift, 0, hip + 0.83 * k), (0.27 * k, 0.25 * k, 0.2 * k), "metal", WHITE if rng.random() < 0.5 else cloth(rng))
    elif rng.random() < 0.7:
        b.ball((2.2 * shift - 0.02, 0, hip + 0.81 * k), (0.23 * k, 0.22 * k, 0.2 * k), "cloth", tint(rng, (0.09, 0.06, 0.03), 0.6))
    if not riding and rng.random() < 0.35:
        b.box((-0.2 * k, 0, hip + 0.36 * k), (0.2, 0.3, 0.42), "cloth", cloth(rng))


def leaves(rng):
    return tint(rng, [GREEN, OLIVE, DARK, GREEN, RUST][rng.choice(5, p=[0.35, 0.3, 0.15, 0.15, 0.05])], 0.25, 0.015), tint(rng, (0.22, 0.26, 0.06))


def tree(b, rng, crown):
    """A trunk (current label) under a crown of porous balls, a conifer, or a nearly bare tree; `crown` is the label's name."""
    trunk, r, (a, c) = b.label, rng.uniform(0.08, 0.32), leaves(rng)
    high, wide = rng.uniform(1.8, 4.0), rng.uniform(1.6, 4.2)
    kind = rng.choice(["round", "conifer", "column"], p=[0.7, 0.15, 0.15])
    brown = tint(rng, (0.17, 0.12, 0.08), 0.4)
    b.cone((0, 0, high * 0.65), (2 * r, 2 * r, high * 1.3), "bark", brown, taper=0.35, pitch=rng.uniform(-0.06, 0.06))
    b.relabel(crown)
    share = rng.uniform(0.25, 0.55)
    if kind == "conifer":
        base = rng.uniform(0.4, 1.2)
        for n in range(3):
            size = wide * (1 - 0.25 * n)
            b.cone((0, 0, base + 1.3 + 1.4 * n), (size, size, 2.8), "leaf", a, c, taper=0.92, porous=LEAVES, share=share * 0.7)
    elif kind == "column":
        b.ball((0, 0, high + 1.6), (wide * 0.6, wide * 0.6, rng.uniform(4, 7)), "leaf", a, c, share=share)
    else:
        for _ in range(rng.integers(3, 7)):
            x, y, z = rng.uniform(-0.32, 0.32, 3) * wide
            size = wide * rng.uniform(0.5, 0.85)
            b.ball((x, y, high + 0.3 * wide + z), (size, size, size * rng.uniform(0.65, 0.95)), "leaf", a, c, share=share)
    b.label = trunk


def hedge(b, rng, length):
    """A clipped or a ragged hedge, or a row of shrubs, as tall as a garden wall."""
    high, thick, (a, c) = rng.uniform(0.5, 2.0), rng.uniform(0.5, 1.2), leaves(rng)
    share, ragged = rng.uniform(0.12, 0.35), rng.random()
    if ragged < 0.7:
        b.box((0, 0, high * 0.46), (length, thick, high * 0.92), "leaf", a, c, porous=LEAVES, share=share)
    if ragged > 0.3:
        for x in np.arange(-length / 2, length / 2, rng.uniform(0.8, 1.6)):
            size = rng.uniform(0.8, 1.3)
            b.ball((x + 0.4, rng.uniform(-0.1, 0.1), high * 0.55), (1.5 * size, thick * 1.2 * size, high * size), "leaf", a, c, share=share)


def shrub(b, rng):
    (a, c), size = leaves(rng), rng.uniform(0.5, 1.6)
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(-0.4, 0.4, 2) * size
        b.ball((x, y, 0.4 * size), (size, size, size * rng.uniform(0.7, 1.2)), "leaf", a, c, share=rng.uniform(0.1, 0.35))


def wall(b, rng, length):
    """A garden wall, smooth and sharp-edged; some with a cap."""
    high, thick = rng.uniform(0.5, 2.1), rng.uniform(0.2, 0.4)
    material = rng.choice(["brick", "plaster", "concrete"])
    a = {"brick": (0.33, 0.13, 0.09), "plaster": (0.55, 0.5, 0.42), "concrete": (0.34, 0.34, 0.33)}[material]
    b.box((0, 0, high / 2), (length, thick, high), material, tint(rng, a), (0.45, 0.43, 0.4))
    if rng.random() < 0.5:
        b.box((0, 0, high + 0.04), (length + 0.05, thick + 0.1, 0.08), "concrete", tint(rng, (0.4, 0.38, 0.35)))


def fence(b, rng, length):
    """Pickets, wire between posts, or rails."""
    high, kind = rng.uniform(0.7, 1.9), rng.choice(["pickets", "boards", "wire", "rails"])
    a = tint(rng, [(0.45, 0.32, 0.18), (0.75, 0.75, 0.72), (0.12, 0.25, 0.15), (0.2, 0.2, 0.2)][rng.integers(4)])
    if kind == "wire":
        b.box((0, 0, high / 2), (length, 0.03, high), "metal", a, porous=WIRE, share=0.72)
    elif kind == "rails":
        for z in (0.3, 0.65, 0.97):
            b.box((0, 0, z * high), (length, 0.05, 0.12), "metal", a)
    else:
        b.box((0, 0, high / 2), (length, 0.05, high), "wood", a, porous=PICKETS, share=0.5 if kind == "pickets" else 0.06)
    for x in np.arange(-length / 2, length / 2 + 0.1, 2.4):
        b.box((x, 0.05, high / 2 + 0.04), (0.1, 0.1, high + 0.08), "metal", a)


def barrier(b, rng, kind, length):
    """Jersey wall of concrete, water-filled plastic, striped board on feet, or a crowd barrier of wire."""
    if kind == "jersey":
        high, grey = rng.uniform(0.75, 1.1), tint(rng, (0.45, 0.44, 0.42))
        b.wedge((0, 0, high / 2), (length, 0.6, high), "concrete", grey, taper=(0.0, 0.6))
        b.box((0, 0, high * 0.72), (length * 0.98, 0.40, 0.14), "stripes", RED, WHITE)
    elif kind == "plastic":
        high = rng.uniform(0.7, 1.05)
        b.wedge((0, 0, high / 2), (length, 0.5, high), "stripes", RED if rng.random() < 0.6 else ORANGE, WHITE, taper=(0.03, 0.55))
    elif kind == "board":
        for z in (0.45, 0.9):
            b.box((0, 0, z), (length, 0.05, 0.26), "stripes", RED, WHITE)
        for x in (-0.42, 0.42):
            b.box((x * length, 0, 0.52), (0.08, 0.08, 1.04), "metal", (0.4,) * 3)
            b.box((x * length, 0, 0.05), (0.25, 0.8, 0.1), "tyre", (0.05,) * 3)
    else:
        b.box((0, 0, 0.65), (length, 0.04, 0.85), "stripes", RED, WHITE, porous=PICKETS, share=0.55)
        for z in (0.2, 1.08):
            b.box((0, 0, z), (length, 0.06, 0.07), "stripes", RED, WHITE)


def traffic_cone(b, rng):
    high = rng.uniform(0.5, 1.0)
    b.box((0, 0, 0.03), (high * 0.6, high * 0.6, 0.06), "tyre", (0.05,) * 3)
    b.cone((0, 0, high / 2 + 0.05), (high * 0.5, high * 0.5, high), "cone", tint(rng, ORANGE), taper=0.8)


def lamp_post(b, rng, towards):
    high, r = rng.uniform(4.0, 8.0), rng.uniform(0.05, 0.11)
    grey = tint(rng, (0.28, 0.29, 0.29), 0.5)
    b.cone((0, 0, high / 2), (2 * r, 2 * r, high), "metal", grey, taper=0.4)
    if rng.random() < 0.75:
        b.box((0, towards * 0.8, high), (0.12, 1.7, 0.08), "metal", grey)
        b.box((0, towards * 1.6, high - 0.05), (0.28, 0.7, 0.12), "metal", (0.6,) * 3)


def sign(b, rng, plate):
    """A post (current label) with a plate of the label `plate`, facing the traffic (-x)."""
    post, high = b.label, rng.uniform(1.9, 3.0)
    inside, ring = [((0.8, 0.8, 0.78), RED), ((0.02, 0.1, 0.5), WHITE), ((0.75, 0.55, 0.02), (0.02,) * 3), ((0.02, 0.3, 0.12), WHITE),
                    ((0.6, 0.03, 0.03), WHITE)][rng.integers(5)]  # fmt: skip
    wide, tall = rng.uniform(0.55, 1.0), rng.uniform(0.55, 1.1)
    large = rng.random() < 0.3
    for y in (-0.8, 0.8) if large else (0,):
        b.cone((0, y, high / 2), (0.09, 0.09, high), "metal", (0.4,) * 3)
    b.relabel(plate)
    if large:
        b.box((-0.06, 0, high - 0.3), (0.06, rng.uniform(1.8, 2.8), rng.uniform(0.9, 1.6)), "sign", inside, ring)
    else:
        b.box((-0.07, 0, high - tall / 2), (0.04, wide, tall), "sign", inside, ring)
        if rng.random() < 0.4:
            b.box((-0.07, 0, high - tall - 0.22), (0.04, wide * 0.8, 0.3), "sign", (0.75,) * 3, (0.1,) * 3)
    b.label = post


def traffic_light(b, rng, lamp):
    post, high = b.label, rng.uniform(2.6, 3.6)
    b.cone((0, 0, high / 2), (0.14, 0.14, high), "metal", (0.1,) * 3)
    b.relabel(lamp)
    b.box((-0.15, 0, high - 0.3), (0.25, 0.36, 1.0), "lamp", (0.02,) * 3)
    b.label = post


def furniture(b, rng):
    """Bench, bus shelter, advertising column, cabinet, planter or bollards."""
    kind = rng.choice(["bench", "shelter", "column", "cabinet", "bollards", "planter"])
    a = tint(rng, [(0.12, 0.2, 0.14), (0.3, 0.3, 0.3), (0.35, 0.22, 0.1)][rng.integers(3)])
    if kind == "bench":
        b.box((0, 0, 0.45), (1.7, 0.45, 0.07), "wood", (0.35, 0.22, 0.1))
        b.box((0, 0.22, 0.75), (1.7, 0.06, 0.4), "wood", (0.35, 0.22, 0.1))
        for x in (-0.7, 0.7):
            b.box((x, 0, 0.22), (0.08, 0.4, 0.44), "metal", a)
    elif kind == "shelter":
        b.box((0, 0, 2.45), (3.6, 1.5, 0.14), "metal", a)
        b.box((0, 0.68, 1.3), (3.5, 0.06, 2.0), "cabin", a)
        b.box((1.72, 0.2, 1.25), (0.1, 1.0, 2.1), "sign", tint(rng, (0.4, 0.3, 0.3), 0.5, 0.3), a)
        for x in (-1.7, 1.7):
            b.box((x, -0.6, 1.2), (0.08, 0.08, 2.4), "metal", a)
    elif kind == "column":
        b.cone((0, 0, 1.5), (1.2, 1.2, 3.0), "sign", tint(rng, (0.5, 0.4, 0.3), 0.4, 0.2), a)
    elif kind == "cabinet":
        b.box((0, 0, 0.65), (rng.uniform(0.8, 1.8), 0.45, 1.3), "metal", a)
    elif kind == "planter":
        b.box((0, 0, 0.3), (1.4, 0.7, 0.6), "concrete", (0.4,) * 3)
    else:
        for x in (-3, -1.5, 0, 1.5, 3):
            b.cone((x, 0, 0.45), (0.2, 0.2, 0.9), "metal", a)


def wheelie_bin(b, rng):
    a = tint(rng, [(0.05, 0.12, 0.06), (0.08, 0.08, 0.09), (0.02, 0.08, 0.3), (0.5, 0.4, 0.03)][rng.integers(4)])
    b.wedge((0, 0, 0.52), (0.62, 0.58, 1.04), "metal", a, taper=(-0.15, -0.1))
    b.box((0.05, 0, 1.08), (0.75, 0.66, 0.08), "metal", a)


def building(b, rng, width, depth):
    """A front along x facing -y at y = 0, `depth` behind it, with bays, balconies, steps and a roof in front of or on it."""
    high = rng.uniform(4, 8) if rng.random() < 0.5 else rng.uniform(8, 17)
    a = tint(rng, [(0.5, 0.44, 0.35), (0.6, 0.58, 0.54), (0.38, 0.2, 0.14), (0.45, 0.35, 0.2), (0.3, 0.3, 0.32)][rng.integers(5)], 0.25)
    trim = tint(rng, (0.5, 0.48, 0.45), 0.3)
    b.box((0, depth / 2, high / 2 - 0.4), (width, depth, high + 0.8), "facade", a, trim)
    if high < 9 and rng.random() < 0.8:
        roof = rng.uniform(1.5, 3.5)
        b.wedge((0, depth / 2, high + roof / 2), (width + 0.6, depth + 0.8, roof), "tiles", tint(rng, (0.3, 0.11, 0.07), 0.4),
                taper=(rng.choice([0.0, 0.35]), 0.97))  # fmt: skip
    if rng.random() < 0.45:
        x, w = rng.uniform(-0.3, 0.3) * width, rng.uniform(2, 3.5)
        b.box((x, -0.3, high * 0.35), (w, 0.9, high * 0.7), "facade", a, trim)
    if high > 7 and rng.random() < 0.6:
        for z in np.arange(3.0, high - 2.0, 3.0):
            for x in rng.choice([-0.3, 0.0, 0.3], 2, replace=False) * width:
                b.box((x, -0.5, z + 0.5), (2.4, 1.0, 1.0), "plaster", trim)
    if rng.random() < 0.6:
        b.box((rng.uniform(-0.35, 0.35) * width, -0.5, 0.15), (1.8, 1.0, 0.34), "concrete", trim)
    if rng.random() < 0.35:
        b.box((rng.uniform(-0.2, 0.2) * width, -0.7, 2.9), (rng.uniform(2.5, 6), 1.4, 0.18), "metal", cloth(rng))
