"""Vehicles: cars, trucks, trailers, buses, machines and two-wheelers, as a few primitives each with wide, overlapping
sizes.
"""

import numpy as np

from xkd.sim.palette import tint
from xkd.sim.raycast import HOOP

PAINTS = [
    (0.75, 0.75, 0.75),
    (0.04, 0.04, 0.05),
    (0.32, 0.33, 0.35),
    (0.14, 0.15, 0.17),
    (0.5, 0.03, 0.03),
    (0.04, 0.1, 0.35),
    (0.1, 0.25, 0.14),
    (0.6, 0.45, 0.08),
    (0.3, 0.2, 0.12),
    (0.15, 0.35, 0.5),
    (0.55, 0.52, 0.45),
]
YELLOW, ORANGE = (0.75, 0.45, 0.02), (0.8, 0.22, 0.02)


def paint(rng):
    return tint(rng, PAINTS[rng.integers(len(PAINTS))], 0.25)


def car(b, rng):
    """Saloon, hatchback, estate, off-roader, van or pick-up; the object's frame is set by the caller."""
    kind = rng.choice(["saloon", "hatch", "estate", "suv", "van", "pickup"], p=[0.25, 0.25, 0.17, 0.17, 0.1, 0.06])
    colour = paint(rng)
    length = {"saloon": 4.6, "hatch": 3.9, "estate": 4.6, "suv": 4.6, "van": 4.9, "pickup": 5.2}[kind] * rng.uniform(
        0.92, 1.08
    )
    width = rng.uniform(1.65, 1.95)
    height = {"saloon": 1.43, "hatch": 1.48, "estate": 1.5, "suv": 1.75, "van": 1.95, "pickup": 1.8}[
        kind
    ] * rng.uniform(0.95, 1.06)
    clear = 0.22 if kind in ("suv", "pickup") else 0.16
    waist = clear + (height - clear) * rng.uniform(0.52, 0.6)
    b.wedge((0, 0, (clear + waist) / 2), (length, width, waist - clear), "body", colour, taper=(0.04, 0.07))
    share, shift, rake = {
        "saloon": (0.58, -0.05, 0.42),
        "hatch": (0.66, -0.12, 0.3),
        "estate": (0.7, -0.13, 0.25),
        "suv": (0.68, -0.12, 0.22),
        "van": (0.82, -0.05, 0.14),
        "pickup": (0.4, 0.05, 0.25),
    }[kind]
    high = height - waist
    b.wedge(
        (shift * length, 0, waist + high / 2), (share * length, width * 0.94, high), "cabin", colour, taper=(rake, 0.2)
    )
    radius = rng.uniform(0.29, 0.36)
    for x in (0.31, -0.3):
        b.wheel(x * length, 0, radius, width + 0.03)
    if rng.random() < 0.15:
        b.box((shift * length, 0, height + 0.12), (1.4, 0.9, 0.24), "cargo", (0.05,) * 3)
    return length


def wheels(b, width, radius, *places):
    for x in places:
        b.wheel(x, 0, radius * 0.3, width - 0.2)
        for y in (-1, 1):
            b.wheel(x, y * (width / 2 - 0.14), radius, 0.28)


def truck(b, rng):
    """Lorry with a cab and a box, tank, flat bed or tipper behind."""
    colour, load = paint(rng), tint(rng, [(0.7, 0.7, 0.68), (0.6, 0.6, 0.62), *PAINTS[4:8]][rng.integers(6)])
    width, cab, high = rng.uniform(2.1, 2.5), rng.uniform(1.6, 2.3), rng.uniform(2.2, 3.1)
    body = rng.uniform(3.2, 7.0)
    length, bed = cab + body + 0.2, rng.uniform(0.8, 1.1)
    front = length / 2 - cab / 2
    b.wedge((front, 0, 0.45 + 0.3 * high / 2), (cab, width * 0.96, 0.3 * high), "body", colour, taper=(0.02, 0.0))
    b.wedge(
        (front - 0.02, 0, 0.45 + 0.3 * high + 0.35 * (high - 0.45)),
        (cab - 0.05, width * 0.95, 0.7 * (high - 0.45)),
        "cabin",
        colour,
        taper=(0.12, 0.08),
    )
    centre, kind = -length / 2 + body / 2, rng.choice(["box", "box", "flat", "tank", "tipper"])
    b.box((centre, 0, bed - 0.12), (body, width * 0.9, 0.24), "metal", (0.06,) * 3)
    tall = rng.uniform(1.8, 2.7)
    if kind == "box":
        b.box(
            (centre, 0, bed + tall / 2),
            (body, width, tall),
            rng.choice(["cargo", "cargo", "container"]),
            load,
            paint(rng),
        )
    elif kind == "tank":
        b.cone((centre, 0, bed + 0.9), (1.8, 2.1, body), "metal", (0.6,) * 3, pitch=1.570796327)
    else:
        wall = rng.uniform(0.5, 1.1)
        for y in (-1, 1):
            b.box((centre, y * (width / 2 - 0.05), bed + wall / 2), (body, 0.1, wall), "cargo", load)
        b.box((centre - body / 2 + 0.05, 0, bed + wall / 2), (0.1, width, wall), "cargo", load)
        b.wedge(
            (centre, 0, bed + wall * 0.45),
            (body * 0.9, width - 0.2, wall * 0.9),
            "soil",
            (0.2, 0.15, 0.1),
            taper=(0.4, 0.3),
        )
    wheels(b, width, rng.uniform(0.4, 0.5), front - 0.1, -length / 2 + 0.9, *([-length / 2 + 1.9] if body > 5 else []))
    return length


def trailer(b, rng):
    """Semi-trailer without its tractor, or a small car trailer: a box, tarpaulin or flat bed on wheels at the rear."""
    big = rng.random() < 0.7
    length, width = (
        (rng.uniform(6, 11), rng.uniform(2.3, 2.55)) if big else (rng.uniform(2.6, 5.0), rng.uniform(1.5, 2.2))
    )
    floor, tall = (
        (rng.uniform(1.1, 1.3), rng.uniform(1.9, 2.8)) if big else (rng.uniform(0.5, 0.7), rng.uniform(0.9, 1.9))
    )
    load = tint(
        rng,
        [(0.1, 0.2, 0.45), (0.55, 0.1, 0.08), (0.1, 0.3, 0.15), (0.65, 0.65, 0.65), (0.6, 0.4, 0.1)][rng.integers(5)],
    )
    if rng.random() < 0.75:
        b.box((0, 0, floor + tall / 2), (length, width, tall), rng.choice(["container", "cargo"]), load, (0.7,) * 3)
    else:
        b.box((length / 2 - 0.1, 0, floor + 0.5), (0.15, width, 1.0), "metal", load)
        for x in rng.uniform(-0.4, 0.3, 3):
            b.box(
                (x * length, rng.uniform(-0.3, 0.3), floor + 0.4),
                (1.2, 1.1, rng.uniform(0.5, 1.0)),
                "wood",
                (0.4, 0.28, 0.15),
            )
    b.box((0, 0, floor - 0.12), (length, width * 0.9, 0.24), "metal", (0.08,) * 3)
    if big:
        wheels(b, width, 0.48, -length / 2 + 1.0, -length / 2 + 2.1)
        for y in (-0.7, 0.7):
            b.box((length / 2 - 2.2, y, floor / 2 - 0.1), (0.15, 0.15, floor - 0.2), "metal", (0.15,) * 3)
    else:
        wheels(b, width + 0.1, 0.32, -0.15 * length)
        b.box((length / 2 + 0.6, 0, 0.45), (1.3, 0.1, 0.1), "metal", (0.1,) * 3)
    return length


def bus(b, rng):
    """City bus or coach; short ones are as long as a lorry."""
    length, width, height = rng.uniform(7.0, 12.5), rng.uniform(2.4, 2.55), rng.uniform(2.7, 3.4)
    colour, stripe = paint(rng), paint(rng)
    b.wedge((0, 0, 0.3 + height / 2 - 0.15), (length, width, height - 0.3), "coach", colour, stripe, taper=(0.01, 0.04))
    if rng.random() < 0.6:
        b.box((rng.uniform(-0.2, 0.2) * length, 0, height + 0.12), (2.4, 1.7, 0.28), "metal", (0.6,) * 3)
    wheels(b, width + 0.02, 0.47, length / 2 - rng.uniform(1.6, 2.6), -length / 2 + rng.uniform(2.0, 3.2))
    for y in (-1, 1):
        b.box((length / 2 + 0.1, y * (width / 2 + 0.1), height * 0.75), (0.15, 0.18, 0.4), "metal", (0.03,) * 3)
    return length


def machine(b, rng):
    """Excavator, wheel loader, roller or dumper in a contractor's yellow, orange or another colour."""
    colour = tint(rng, [YELLOW, YELLOW, ORANGE, (0.6, 0.6, 0.58), (0.1, 0.3, 0.15)][rng.integers(5)])
    size, dark = rng.uniform(0.75, 1.2), (0.05,) * 3
    kind = rng.choice(["excavator", "loader", "roller", "dumper"])
    k = size
    if kind == "excavator":
        for y in (-1, 1):
            b.box((0, y * 1.0 * k, 0.42 * k), (3.6 * k, 0.55 * k, 0.84 * k), "tyre", dark)
        turn = rng.uniform(-0.9, 0.9)
        b.wedge((-0.5 * k, 0, 1.5 * k), (2.8 * k, 2.3 * k, 1.1 * k), "machine", colour, taper=(0.1, 0.05), yaw=turn)
        b.wedge((0.6 * k, 0.6 * k, 2.0 * k), (1.3 * k, 1.0 * k, 1.6 * k), "cabin", colour, taper=(0.15, 0.1), yaw=turn)
        b.box(
            (2.1 * k, -0.3 * k, 2.7 * k), (3.2 * k, 0.4 * k, 0.5 * k), "machine", colour, pitch=-rng.uniform(0.5, 0.9)
        )
        b.box(
            (3.8 * k, -0.3 * k, 2.4 * k), (0.35 * k, 0.35 * k, 2.6 * k), "machine", colour, pitch=rng.uniform(-0.4, 0.2)
        )
        b.wedge((3.9 * k, -0.3 * k, 0.9 * k), (0.9 * k, 1.1 * k, 0.8 * k), "metal", dark, taper=(0.4, 0.0))
        return 5.5 * k
    if kind == "loader":
        b.wedge((-1.2 * k, 0, 1.3 * k), (2.4 * k, 1.9 * k, 1.2 * k), "machine", colour, taper=(0.15, 0.1))
        b.wedge((0.1 * k, 0, 2.0 * k), (1.5 * k, 1.5 * k, 1.7 * k), "cabin", colour, taper=(0.2, 0.1))
        b.box((1.7 * k, 0, 1.3 * k), (2.6 * k, 1.0 * k, 0.4 * k), "machine", colour, pitch=rng.uniform(-0.1, 0.4))
        b.wedge(
            (3.1 * k, 0, rng.uniform(0.5, 1.1)), (1.0 * k, 2.4 * k, 0.9 * k), "metal", dark, taper=(0.5, 0.0), pitch=0.3
        )
        wheels(b, 2.3 * k, 0.7 * k, -1.5 * k, 1.2 * k)
        return 6.0 * k
    if kind == "roller":
        b.cone((1.4 * k, 0, 0.65 * k), (1.3 * k, 1.3 * k, 1.9 * k), "metal", (0.2,) * 3, roll=np.pi / 2)
        b.wedge((-0.9 * k, 0, 1.1 * k), (2.2 * k, 1.7 * k, 1.0 * k), "machine", colour, taper=(0.15, 0.1))
        b.box((0.3 * k, 0, 1.1 * k), (1.8 * k, 1.2 * k, 0.6 * k), "machine", colour)
        b.box((-0.1 * k, 0, 2.6 * k), (1.8 * k, 1.7 * k, 0.15 * k), "machine", colour)
        for x, y in ((-0.9, -0.7), (-0.9, 0.7), (0.7, -0.7), (0.7, 0.7)):
            b.box((x * k, y * k, 1.9 * k), (0.1, 0.1, 1.4 * k), "metal", dark)
        wheels(b, 1.9 * k, 0.65 * k, -1.3 * k)
        return 4.2 * k
    b.wedge((1.9 * k, 0, 1.3 * k), (1.6 * k, 2.0 * k, 1.2 * k), "machine", colour, taper=(0.1, 0.05))
    b.wedge((1.7 * k, 0, 2.3 * k), (1.2 * k, 1.6 * k, 1.0 * k), "cabin", colour, taper=(0.2, 0.1))
    b.wedge(
        (-1.0 * k, 0, 1.9 * k),
        (3.6 * k, 2.2 * k, 1.2 * k),
        "machine",
        colour,
        taper=(-0.25, -0.1),
        pitch=rng.uniform(-0.1, 0.3),
    )
    wheels(b, 2.3 * k, 0.62 * k, 1.9 * k, -0.8 * k, -2.0 * k)
    return 6.2 * k


def cycle(b, rng, motor):
    """Bicycle or motorcycle without a rider."""
    colour = paint(rng)
    if motor:
        r, half = rng.uniform(0.28, 0.34), rng.uniform(0.6, 0.75)
        for x in (-half, half):
            b.wheel(x, 0, r, rng.uniform(0.13, 0.2))
        b.wedge((0.0, 0, 0.5), (1.0, 0.36, 0.45), "metal", (0.12,) * 3, taper=(0.1, 0.2))
        b.ball((0.22, 0, 0.82), (0.6, 0.36, 0.34), "body", colour)
        b.box((-0.38, 0, 0.82), (0.75, 0.3, 0.14), "cloth", (0.03,) * 3)
        b.box((half - 0.12, 0, 0.72), (0.14, 0.14, 0.75), "metal", colour, pitch=-0.4)
        b.box((half - 0.3, 0, 1.05), (0.08, 0.72, 0.08), "metal", (0.05,) * 3)
        if rng.random() < 0.4:
            b.box((-0.75, 0, 1.0), (0.4, 0.42, 0.36), "cargo", colour)
        if rng.random() < 0.4:
            b.wedge((half - 0.05, 0, 1.0), (0.4, 0.5, 0.6), "body", colour, taper=(0.5, 0.4))
        return 2.1
    r, half = rng.uniform(0.28, 0.36), rng.uniform(0.46, 0.56)
    for x in (-half, half):
        b.wheel(x, 0, r, 0.06, porous=HOOP, share=(0.82 * r) ** 2)
    b.box((0.05, 0, r + 0.27), (0.75, 0.06, 0.06), "metal", colour, pitch=rng.uniform(-0.1, 0.1))
    b.box((0.12, 0, r + 0.05), (0.7, 0.06, 0.06), "metal", colour, pitch=-0.6)
    b.box((-0.2, 0, r + 0.18), (0.06, 0.06, 0.66), "metal", colour, pitch=-0.25)
    b.box((half - 0.1, 0, r + 0.2), (0.06, 0.06, 0.75), "metal", colour, pitch=-0.25)
    b.box((half - 0.2, 0, r + 0.6), (0.06, 0.55, 0.05), "metal", (0.04,) * 3)
    b.ball((-0.28, 0, r + 0.55), (0.28, 0.16, 0.1), "cloth", (0.03,) * 3)
    if rng.random() < 0.35:
        b.box((half, 0, r + 0.5), (0.35, 0.35, 0.25), "wood", (0.3, 0.2, 0.1))
    return 1.7
