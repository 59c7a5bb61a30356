"""Vehicles, riders and road works: what stands or moves on and beside the carriageway."""

import numpy as np

from xkd.sim import fixtures, things, vehicles
from xkd.sim.places import FAR, NEAR, somewhere

EGO_START = 42.0  # metres along the street
MAKERS = {"car": vehicles.car, "truck": vehicles.truck, "bus": vehicles.bus, "trailer": vehicles.trailer}


def site(street):
    """Road works: a machine, barriers and cones around it, workers; on the carriageway's edge, a verge or a plaza."""
    rng, b, layout = street.rng, street.builder, street.layout
    if rng.random() < 0.92:
        s, side = rng.uniform(50, 80), int(rng.choice([1, -1]))
        d = side * (layout.road_half + rng.uniform(-0.5, 3.0) + (2.0 if layout.lanes == 1 and side < 0 else 0.0))
        for _ in range(1 + (rng.random() < 0.3)):
            street.put("construction_vehicle", s, d, rng.uniform(-0.5, 0.5) + np.pi * (rng.random() < 0.5))
            length = vehicles.machine(b, rng)
            street.free(s, d, 1.7, length)
            around(street, s, d, side, length)
            s, side = rng.uniform(85, 105), -side
            d = side * (layout.road_half + rng.uniform(0.5, 4.0))
    if rng.random() < 0.75:
        # A row of barriers along an edge, or cones that close a lane.
        s, side = rng.uniform(45, 85), int(rng.choice([1, -1]))
        row(street, s, side * (layout.road_half + rng.uniform(0.0, 1.2)), rng.integers(3, 9))
    for _ in range(rng.integers(1, 4)):
        s, side, step = rng.uniform(44, 95), int(rng.choice([1, -1])), rng.uniform(1.5, 3.5)
        d = side * (layout.road_half + rng.uniform(-0.6, 0.6))
        for n in range(rng.integers(2, 6)):
            if street.free(s + n * step, d, 0.35):
                street.put("traffic_cone", s + n * step, d + rng.uniform(-0.2, 0.2))
                fixtures.traffic_cone(b, rng)


def row(street, s, d, count):
    """Barriers of one kind, end to end along the street."""
    rng = street.rng
    kind = rng.choice(["jersey", "plastic", "board", "crowd"])
    length = {"jersey": 2.6, "plastic": 1.5, "board": 2.0, "crowd": 2.2}[kind] * rng.uniform(0.8, 1.3)
    for n in range(count):
        if street.free(s + n * length * 1.06, d, 0.45, length * 0.6):
            street.put("barrier", s + n * length * 1.06, d, rng.normal(0, 0.04))
            fixtures.barrier(street.builder, rng, kind, length)


def around(street, s, d, side, length):
    rng = street.rng
    row(street, s - length / 2, d - side * rng.uniform(2.2, 2.8), rng.integers(2, 6))
    for _ in range(rng.integers(2, 7)):
        a, c = s + rng.uniform(-1, 1) * length, d + rng.uniform(-3, 3)
        if street.free(a, c, 0.35):
            street.put("traffic_cone", a, c)
            fixtures.traffic_cone(street.builder, rng)
    for _ in range(rng.integers(0, 4)):
        a, c = s + rng.uniform(-1, 1) * length, d + side * rng.uniform(1.5, 4)
        if street.free(a, c, 0.5):
            street.put("worker", a, c, rng.uniform(0, 6.28))
            things.person(street.builder, rng, rng.uniform(1.6, 1.9), walking=rng.random() < 0.5, worker=True)


def lanes(street):
    """[(d, direction)] of the driving lanes other than the ego's."""
    layout, half = street.layout, street.layout.median_width / 2
    found = [(half + (n + 0.5) * layout.lane, -1) for n in range(layout.lanes)]
    return found + [(-(half + (n + 0.5) * layout.lane), 1) for n in range(1, layout.lanes)]


def traffic(street):
    """Moving vehicles and riders: in other lanes, ahead of and behind the ego."""
    rng, b = street.rng, street.builder
    queue = ["bus"] * (rng.random() < 0.6) + ["truck"] * (rng.random() < 0.5) + ["car"] * int(rng.integers(2, 6))
    for kind in queue:
        for _ in range(12):
            d, way = lanes(street)[rng.integers(len(lanes(street)))]
            s = rng.uniform(55, 130) if way < 0 else rng.uniform(20, 95)
            long = {"car": 5.0, "truck": 9.5, "bus": 12.5}[kind]
            if street.free(s, d, 1.3, long):
                speed = way * rng.uniform(2, 9)
                street.put(kind + "_moving", s, d, 0.0 if way > 0 else np.pi, speed)
                length = MAKERS[kind](b, rng)
                if kind != "bus" and rng.random() < 0.3 and street.free(s - way * (length / 2 + 5), d, 1.0, 7):
                    tow(street, s, d, way, length, speed)
                break
    if rng.random() < 0.7:
        # One vehicle ahead in the ego's lane, at about its speed.
        kind = rng.choice(["car", "truck", "bus"], p=[0.6, 0.2, 0.2])
        s = EGO_START + rng.uniform(16, 36)
        street.put(kind + "_moving", s, street.ego_d, 0.0, street.speed * rng.uniform(0.95, 1.2))
        MAKERS[kind](b, rng)
    for _ in range(rng.integers(1, 4)):
        ride(street, "bicyclist", rng.uniform(2.5, 5.5))
    for _ in range(rng.integers(1, 3)):
        ride(street, "motorcyclist", rng.uniform(3, 9))


def tow(street, s, d, way, length, speed):
    """A trailer behind a moving vehicle."""
    rng = street.rng
    street.put("trailer", s - way * (length / 2 + 5.2), d, 0.0 if way > 0 else np.pi, speed)
    vehicles.trailer(street.builder, rng)


def ride(street, who, speed):
    """Somebody on a bicycle or motorcycle, near the edge of the carriageway or on a pavement."""
    rng, b, layout = street.rng, street.builder, street.layout
    side = int(rng.choice([1, -1]))
    edge = -0.7 if who == "motorcyclist" or rng.random() < 0.6 else 0.9
    way = -side
    s = rng.uniform(35, 70) if way > 0 else rng.uniform(60, 100)
    if edge < 0 and side < 0 and layout.lanes == 1:
        # In the ego's own lane: ahead, and no slower than the ego.
        s, speed = EGO_START + rng.uniform(9, 20), street.speed * rng.uniform(1.0, 1.15)
    d = side * (layout.road_half + edge + rng.uniform(-0.3, 0.3))
    machine, saddle = ("bicycle", 0.92) if who == "bicyclist" else ("motorcycle", 0.86)
    street.put(f"{who}_{machine}", s, d, 0.0 if way > 0 else np.pi, way * speed)
    vehicles.cycle(b, rng, who == "motorcyclist")
    b.relabel(f"{who}_rider")
    first = len(b.matrices)
    things.person(b, rng, rng.uniform(1.55, 1.85), riding=True)
    for matrix in b.matrices[first:]:
        matrix[:3, 3] += (-0.25, 0, saddle)


def parked(street):
    """Standing vehicles in bays, at the kerb, on verges and plazas; two-wheelers on pavements."""
    rng, b = street.rng, street.builder
    kinds = ["trailer"] * (1 + (rng.random() < 0.5)) * (rng.random() < 0.85) + ["truck"] * (1 + (rng.random() < 0.4))
    kinds += ["bus"] * (rng.random() < 0.35) + ["car"] * int(rng.integers(6, 16))
    for kind in kinds:
        long, wide = (4.6, 1.05) if kind == "car" else (8.5, 1.4)
        ground = ["parking", "terrain", "other_flat"] if rng.random() < 0.8 else ["terrain", "other_flat", "parking"]
        low, high = (NEAR - 20, FAR + 20) if kind == "car" else (48, 90)
        place = somewhere(street, ground, wide, low, high, length=long)
        if place is None and kind != "car":
            place = kerbside(street, long)
        if place:
            s, d, side = place
            street.put(kind, s, d, (0.0 if side < 0 else np.pi) + rng.normal(0, 0.04) + np.pi * (rng.random() < 0.15))
            MAKERS[kind](b, rng)
    for kind in ["bicycle"] * int(rng.integers(2, 7)) + ["motorcycle"] * int(rng.integers(2, 5)):
        place = somewhere(street, ["sidewalk", "other_flat", "parking"], 0.7, 44, 90)
        if place:
            street.put(kind, *place[:2], rng.choice([0.0, 1.57]) + rng.normal(0, 0.3))
            vehicles.cycle(b, rng, kind == "motorcycle")


def kerbside(street, length):
    """Half on the carriageway where there is no better place."""
    rng = street.rng
    for _ in range(20):
        s, side = rng.uniform(48, 100), int(rng.choice([1, -1]))
        d = side * (street.layout.road_half + rng.uniform(0.4, 3.5))
        if not street.layout.inside(s, 6) and street.free(s, d, 1.3, length):
            return s, d, side
    return None
