"""What was built or put up: walls, fences, barriers, cones, posts, signs, furniture and houses."""

import numpy as np

from xkd.sim.palette import tint
from xkd.sim.raycast import PICKETS, WIRE
from xkd.sim.things import ORANGE, WHITE, cloth

RED = (0.6, 0.03, 0.03)
PLATES = [
    ((0.8, 0.8, 0.78), RED),
    ((0.02, 0.1, 0.5), WHITE),
    ((0.75, 0.55, 0.02), (0.02,) * 3),
    ((0.02, 0.3, 0.12), WHITE),
    ((0.6, 0.03, 0.03), WHITE),
]  # inside and rim of signs


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
        b.box(
            (0, 0, high / 2), (length, 0.05, high), "wood", a, porous=PICKETS, share=0.5 if kind == "pickets" else 0.06
        )
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
        b.wedge(
            (0, 0, high / 2),
            (length, 0.5, high),
            "stripes",
            RED if rng.random() < 0.6 else ORANGE,
            WHITE,
            taper=(0.03, 0.55),
        )
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


def lamp_post(b, rng):
    high, r = rng.uniform(4.0, 8.0), rng.uniform(0.05, 0.11)
    grey = tint(rng, (0.28, 0.29, 0.29), 0.5)
    b.cone((0, 0, high / 2), (2 * r, 2 * r, high), "metal", grey, taper=0.4)
    if rng.random() < 0.75:
        b.box((0, 0.8, high), (0.12, 1.7, 0.08), "metal", grey)
        b.box((0, 1.6, high - 0.05), (0.28, 0.7, 0.12), "metal", (0.6,) * 3)


def sign(b, rng, plate):
    """A post (current label) with a plate of the label `plate`, facing the traffic (-x)."""
    post, high = b.label, rng.uniform(1.9, 3.0)
    inside, ring = PLATES[rng.integers(len(PLATES))]
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
    """A front along x facing -y at y = 0, `depth` behind it, with bays, balconies, steps and a roof in front of or on
    it.
    """
    high = rng.uniform(4, 8) if rng.random() < 0.5 else rng.uniform(8, 17)
    a = tint(
        rng,
        [(0.5, 0.44, 0.35), (0.6, 0.58, 0.54), (0.38, 0.2, 0.14), (0.45, 0.35, 0.2), (0.3, 0.3, 0.32)][rng.integers(5)],
        0.25,
    )
    trim = tint(rng, (0.5, 0.48, 0.45), 0.3)
    b.box((0, depth / 2, high / 2 - 0.4), (width, depth, high + 0.8), "facade", a, trim)
    if high < 9 and rng.random() < 0.8:
        roof = rng.uniform(1.5, 3.5)
        b.wedge(
            (0, depth / 2, high + roof / 2),
            (width + 0.6, depth + 0.8, roof),
            "tiles",
            tint(rng, (0.3, 0.11, 0.07), 0.4),
            taper=(rng.choice([0.0, 0.35]), 0.97),
        )
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
