"""What stands on a street, and where: counts, places and speeds drawn from the street's generator."""

import numpy as np

from xkd.sim import fixtures, things
from xkd.sim.places import FAR, NEAR, somewhere, spot
from xkd.sim.traffic import EGO_START, parked, site, traffic

POSTS = (
    (fixtures.lamp_post, "pole", (3, 8)),
    (fixtures.sign, "pole", (4, 10), "traffic_sign"),
    (fixtures.furniture, "furniture", (2, 6)),
    (fixtures.wheelie_bin, "bin", (0, 5)),
)  # maker, label, least and most on a street, label of a part


def populate(street):
    """Everything that stands or moves on a street, the rarest first so that it finds a place near the ego's way."""
    keep_lane(street)
    site(street)
    traffic(street)
    parked(street)
    avenue(street)
    pavement(street)
    fronts(street)
    backdrop(street)


def keep_lane(street):
    """Nothing may be put on the ego's own lane."""
    street.free(EGO_START + 25, street.ego_d, 1.35, 68.0)


def avenue(street):
    """Trees in a row beside the carriageway, on one side, both or neither."""
    rng, layout = street.rng, street.layout
    for side in (1, -1):
        if rng.random() < 0.45:
            continue
        gap, d = rng.uniform(6, 13), layout.road_half + rng.uniform(0.6, 4.5)
        for s in np.arange(rng.uniform(0, gap), 150, gap):
            what = layout.at(s, side * d)[0]
            if (
                what not in ("parking", "road")
                and not layout.inside(s, 4)
                and rng.random() < 0.85
                and street.free(s, side * d, 0.45)
            ):
                street.put("trunk", s, side * (d + rng.uniform(-0.2, 0.2)), rng.uniform(0, 6.28))
                things.tree(street.builder, rng, "crown")


def pavement(street):
    """People, trees, posts, signs and furniture."""
    rng, b = street.rng, street.builder
    for _ in range(rng.integers(6, 17)):
        place = somewhere(
            street, ["sidewalk", "other_flat"] if rng.random() < 0.8 else ["other_flat", "terrain"], 0.45, 38, 100
        )
        if place:
            s, d, _ = place
            stands, child = rng.random() < 0.3, rng.random() < 0.15
            speed = 0.0 if stands else rng.choice([-1, 1]) * rng.uniform(0.6, 1.7)
            label = "child_moving" if child else ("pedestrian" if stands else "pedestrian_moving")
            street.put(label, s, d, rng.uniform(0, 6.28) if stands else (0.0 if speed > 0 else np.pi), speed)
            things.person(b, rng, rng.uniform(1.0, 1.4) if child else rng.uniform(1.5, 1.95), not stands)
    if street.layout.zebra is not None and rng.random() < 0.6:
        side = int(rng.choice([1, -1]))
        street.put(
            "pedestrian_moving",
            street.layout.zebra,
            side * street.layout.road_half,
            -side * np.pi / 2,
            0.0,
            -side * 1.2,
        )
        things.person(b, rng, rng.uniform(1.5, 1.9))
    for _ in range(rng.integers(6, 17)):
        place = somewhere(street, ["terrain", "other_flat", "sidewalk"], 0.6, NEAR - 30, FAR + 40, edge=0.7)
        if place:
            street.put("trunk", *place[:2], rng.uniform(0, 6.28))
            things.tree(b, rng, "crown")
    for maker, label, count, *part in POSTS:
        for _ in range(rng.integers(*count)):
            place = somewhere(street, ["sidewalk", "terrain", "other_flat"], 0.5, NEAR - 10, FAR + 20, edge=0.45)
            if place:
                s, d, side = place
                facing = 0.0 if side < 0 else np.pi
                street.put(label, s, d, facing + rng.normal(0, 0.08))
                maker(b, rng, *part)
    if street.layout.zebra is not None and rng.random() < 0.7:
        for side in (1, -1):
            street.put(
                "pole",
                street.layout.zebra - side * -2.2,
                side * (street.layout.road_half + 0.5),
                0.0 if side < 0 else np.pi,
            )
            fixtures.traffic_light(b, rng, "traffic_light")


def fronts(street):
    """Hedges, walls and fences along the inner edge of gardens, shrubs, and rows of houses behind."""
    rng, b, layout = street.rng, street.builder, street.layout
    for side in (1, -1):
        line = layout.road_half + sum(strip["width"] for strip in layout.sides[side])
        s, built = -45.0, rng.uniform(0.35, 0.95)
        while s < 175:
            width, depth = rng.uniform(7, 20), rng.uniform(7, 12)
            middle = s + width / 2
            if rng.random() < built and not layout.inside(middle, width / 2 + 2):
                # Houses face the street: their local -y towards it.
                street.put("building", middle, side * (line + rng.uniform(0.6, 3.5)), 0.0 if side > 0 else np.pi)
                fixtures.building(b, rng, width, depth)
            s += width + rng.choice([0.3, rng.uniform(2, 12)])
        inner = [line - rng.uniform(0.3, 0.8)]
        if len(layout.sides[side]) > 1:
            inner.append(layout.road_half + sum(strip["width"] for strip in layout.sides[side][:-1]) + 0.4)
        for where in inner:
            s = rng.uniform(-10, 10)
            while s < 135:
                length = rng.uniform(3, 11)
                kind = rng.choice(["hedge", "wall", "fence", "shrubs", "none"], p=[0.33, 0.15, 0.14, 0.13, 0.25])
                if (
                    kind != "none"
                    and not layout.inside(s + length / 2, length / 2 + 3)
                    and street.free(s + length / 2, side * where, 0.4, length)
                ):
                    yaw = np.pi * (rng.random() < 0.5)
                    if kind == "shrubs":
                        for step in np.arange(0.5, length, 1.8):
                            street.put("hedge", s + step, side * where)
                            things.shrub(b, rng)
                    else:
                        street.put(kind, s + length / 2, side * where, yaw)
                        {"hedge": things.hedge, "wall": fixtures.wall, "fence": fixtures.fence}[kind](b, rng, length)
                s += length + rng.choice([0.0, rng.uniform(1, 6)])
        for _ in range(rng.integers(1, 5)):
            place = spot(street, "terrain", 0.8, 30, 110)
            if place:
                street.put("hedge", *place[:2])
                things.shrub(b, rng)


def backdrop(street):
    """Houses and trees that close the view at both ends, and tall trees behind the gardens."""
    rng, b = street.rng, street.builder
    for end, yaw in ((-75, np.pi / 2), (205, -np.pi / 2)):
        for d in np.arange(-60, 61, 22):
            street.builder.place("building", end, d + rng.uniform(-4, 4), 0.0, yaw)
            fixtures.building(b, rng, rng.uniform(14, 22), 10)
    for side in (1, -1):
        for _ in range(rng.integers(2, 7)):
            s, d = rng.uniform(-40, 170), side * (street.layout.road_half + rng.uniform(14, 28))
            if not street.layout.inside(s, 4):
                street.put("trunk", s, d, rng.uniform(0, 6.28))
                things.tree(b, rng, "crown")
