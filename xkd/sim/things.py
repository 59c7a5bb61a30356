"""People and plants, as a few primitives each.

Hedges share their heights and extents with walls and barriers, trunks their girths with poles. What sets them apart
in three dimensions is small (porous and ragged, or flat and sharp), in a picture it is plain.
"""

import numpy as np

from xkd.sim.palette import tint
from xkd.sim.raycast import LEAVES

SKINS = [(0.55, 0.36, 0.26), (0.35, 0.2, 0.12), (0.14, 0.08, 0.05), (0.65, 0.45, 0.35)]
GREEN, OLIVE, DARK, RUST = (0.07, 0.16, 0.03), (0.14, 0.19, 0.05), (0.03, 0.09, 0.03), (0.3, 0.15, 0.03)
WHITE, ORANGE = (0.8, 0.8, 0.78), (0.85, 0.2, 0.02)


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
            b.cone(
                (-0.44 * k * np.sin(angle), side * 0.1 * k, 0.44 * k),
                (0.19 * k, 0.19 * k, 0.9 * k),
                "cloth",
                legs,
                taper=-0.25,
                pitch=round(angle, 6),
            )
        arm = -1.0 if riding else -side * swing
        b.cone(
            (0.24 * k if riding else 0.2 * np.sin(side * swing), side * 0.25 * k * stout, hip + 0.32 * k),
            (0.1 * k, 0.1 * k, 0.62 * k),
            "cloth",
            top,
            taper=-0.2,
            pitch=round(arm, 6),
        )
    shift = 0.3 * k * lean
    skirt = not riding and not worker and rng.random() < 0.25
    b.cone(
        (shift, 0, hip + 0.3 * k),
        (0.28 * k * stout, 0.44 * k * stout, 0.64 * k),
        "cloth",
        top,
        taper=0.12 if skirt else -0.08,
        pitch=lean,
    )
    if skirt:
        b.cone((0, 0, hip - 0.15 * k), (0.5 * k, 0.5 * k, 0.6 * k), "cloth", top, taper=0.45)
    b.ball((2.2 * shift, 0, hip + 0.76 * k), (0.21 * k, 0.19 * k, 0.26 * k), "skin", skin)
    if worker or riding and rng.random() < 0.6:
        b.ball(
            (2.2 * shift, 0, hip + 0.83 * k),
            (0.27 * k, 0.25 * k, 0.2 * k),
            "metal",
            WHITE if rng.random() < 0.5 else cloth(rng),
        )
    elif rng.random() < 0.7:
        b.ball(
            (2.2 * shift - 0.02, 0, hip + 0.81 * k),
            (0.23 * k, 0.22 * k, 0.2 * k),
            "cloth",
            tint(rng, (0.09, 0.06, 0.03), 0.6),
        )
    if not riding and rng.random() < 0.35:
        b.box((-0.2 * k, 0, hip + 0.36 * k), (0.2, 0.3, 0.42), "cloth", cloth(rng))


def leaves(rng):
    return tint(
        rng, [GREEN, OLIVE, DARK, GREEN, RUST][rng.choice(5, p=[0.35, 0.3, 0.15, 0.15, 0.05])], 0.25, 0.015
    ), tint(rng, (0.22, 0.26, 0.06))


def tree(b, rng, crown):
    """A trunk (current label) under a crown of porous balls, a conifer, or a nearly bare tree; `crown` is the label's
    name.
    """
    trunk, r, (a, c) = b.label, rng.uniform(0.08, 0.32), leaves(rng)
    high, wide = rng.uniform(1.6, 4.0), rng.uniform(1.8, 5.5)
    kind = rng.choice(["round", "conifer", "column"], p=[0.7, 0.15, 0.15])
    brown = tint(rng, (0.17, 0.12, 0.08), 0.4)
    b.cone((0, 0, high * 0.65), (2 * r, 2 * r, high * 1.3), "bark", brown, taper=0.35, pitch=rng.uniform(-0.06, 0.06))
    b.relabel(crown)
    share = rng.uniform(0.25, 0.55)
    if kind == "conifer":
        base = rng.uniform(0.4, 1.2)
        for n in range(3):
            size = wide * (1 - 0.25 * n)
            b.cone(
                (0, 0, base + 1.3 + 1.4 * n),
                (size, size, 2.8),
                "leaf",
                a,
                c,
                taper=0.92,
                porous=LEAVES,
                share=share * 0.7,
            )
    elif kind == "column":
        b.ball((0, 0, high + 1.6), (wide * 0.6, wide * 0.6, rng.uniform(4, 7)), "leaf", a, c, share=share)
    else:
        for _ in range(rng.integers(3, 7)):
            x, y, z = rng.uniform(-0.32, 0.32, 3) * wide
            size = wide * rng.uniform(0.5, 0.85)
            b.ball(
                (x, y, high + 0.3 * wide + z), (size, size, size * rng.uniform(0.65, 0.95)), "leaf", a, c, share=share
            )
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
            b.ball(
                (x + 0.4, rng.uniform(-0.1, 0.1), high * 0.55),
                (1.5 * size, thick * 1.2 * size, high * size),
                "leaf",
                a,
                c,
                share=share,
            )


def shrub(b, rng):
    (a, c), size = leaves(rng), rng.uniform(0.5, 1.6)
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(-0.4, 0.4, 2) * size
        b.ball(
            (x, y, 0.4 * size), (size, size, size * rng.uniform(0.7, 1.2)), "leaf", a, c, share=rng.uniform(0.1, 0.35)
        )
