"""Procedural streets: what stands where, and how it moves. A street is a function of its seed alone.

Which cue separates which classes (the distillation experiment rests on it):

- *Texture separates, geometry hardly*: driveable surface, other flat ground, sidewalk and terrain. They differ in space by kerbs of 0 to
  15 cm (many are flush), bumps of a few centimetres on grass and soil (the range noise is as large) and their place in a
  cross-section that changes from street to street; in a picture asphalt, slabs, cobbles, hatching and grass look nothing alike.
- *Texture separates, geometry does in the end*: walls, hedges, fences and barriers (same heights and extents; hedges are porous and
  ragged, walls flat, barriers short and tapered), house fronts against crowns, trunks against poles against signs, parked lorries
  against trailers, buses and construction machines (composites of boxes on wheels with overlapping sizes).
- *Geometry separates at once*: ground against what stands on it, cars against people, thin poles against bulky things.
- *Both are hard*: small things with few returns (cones, bicycles, motorcycles), for which pictures help once they are near.

Intensity is a weak cue: reflectivities overlap and are multiplied by gains drawn per object, strip and street.
"""

import numpy as np

from xkd.errors import XkdError
from xkd.sim import things, vehicles
from xkd.sim.builder import CORNERS, Builder, pose, rotation
from xkd.sim.layout import Layout

PROFILES = ("default", "smoke")
EGO_START, NEAR, FAR = 42.0, 30.0, 112.0  # metres along the street: the ego's start, and the part that its sensors see well


class Street:
    """Ground, primitives in their objects' frames, and poses by time. Made by `street`."""

    def __init__(self, seed, profile):
        self.seed, self.profile = seed, profile
        rng = np.random.default_rng([7919, seed])
        self.layout = Layout(rng)
        self.ground, self.strips = self.layout.tables()
        self.speed = rng.uniform(3.5, 8.5)
        self.ego_d = -(self.layout.median_width / 2 + self.layout.lane * 0.5)
        self.sway = rng.uniform(0, 6.28, 3)
        self.rng, self.taken = rng, []
        self.builder = Builder(rng)
        populate(self)
        self.arrays = self.builder.arrays()
        stretch = 1 + np.maximum(-self.arrays["taper"], 0)
        self.hull = np.repeat(CORNERS[None], len(stretch), 0)
        self.hull[:, :, :2] *= stretch[:, None]

    def free(self, s, d, radius, length=0.0):
        """Claim a round (or, with a length, a lengthwise row of round) place; False if it is taken already."""
        places = np.arange(-length / 2, length / 2 + 0.01, max(radius, 0.5)) if length else (0.0,)
        for step in places:
            for a, b, r in self.taken:
                if (s + step - a) ** 2 + (d - b) ** 2 < (radius + r) ** 2:
                    return False
        self.taken += [(s + step, d, radius) for step in places]
        return True

    def put(self, label, s, d, yaw=0.0, speed=0.0, across=0.0):
        """Start an object of this label on the ground at s, d."""
        self.builder.place(label, s, d, self.layout.at(s, d)[1], yaw, speed, across)

    def ego(self, time):
        """(4, 4) T_world_rig at `time` seconds: on the ground, in the right lane, with a little sway."""
        s = EGO_START + self.speed * time
        y, yaw = self.layout.heading(s)
        a, b, c = (round(float(v), 9) for v in np.sin(self.sway + np.array([0.7, 2.1, 2.9]) * time))
        return pose(rotation(yaw + 0.01 * a, 0.004 * b, 0.004 * c), (s, y + self.ego_d / np.cos(yaw) + 0.15 * a, 0.0))

    def forward(self, time):
        """(P, 4, 4) unit shapes -> world at `time` seconds; objects with a speed have moved along or across the street."""
        table = self.arrays["objects"]
        s, d = table[:, 0] + table[:, 4] * time, table[:, 1] + table[:, 5] * time
        layout = self.layout
        y = np.interp(s, layout.curve_x, layout.curve_y)
        slope = np.interp(s + 0.5, layout.curve_x, layout.curve_y) - np.interp(s - 0.5, layout.curve_x, layout.curve_y)
        turn = np.round(np.arctan(slope), 9) + table[:, 3]
        c, n = np.round(np.cos(turn), 9), np.round(np.sin(turn), 9)
        T = np.zeros((len(table), 4, 4))
        T[:, 0, 0], T[:, 0, 1], T[:, 1, 0], T[:, 1, 1] = c, -n, n, c
        T[:, 2, 2] = T[:, 3, 3] = 1
        T[:, 0, 3], T[:, 1, 3], T[:, 2, 3] = s, y + d * np.sqrt(1 + slope**2), table[:, 2]
        return np.einsum("pij,pjk->pik", T[self.arrays["owner"]], self.arrays["matrix"])

    def solids(self, time):
        """(solids tuple for `raycast`, corners (P, 8, 3), centres (P, 3), radii (P,)) at `time` seconds."""
        arrays, F = self.arrays, self.forward(time)
        R, t = F[:, :3, :3], F[:, :3, 3]
        inverse = np.empty((len(F), 3, 4))
        # The columns of R are orthogonal, with lengths equal to the half sizes.
        inverse[:, :, :3] = R.transpose(0, 2, 1) / (arrays["half"] ** 2)[:, :, None]
        inverse[:, :, 3] = -np.einsum("pij,pj->pi", inverse[:, :, :3], t)
        corners = np.einsum("pij,pcj->pci", R, self.hull) + t[:, None]
        radius = np.sqrt(((corners - t[:, None]) ** 2).sum(2).max(1))
        solids = (inverse, arrays["kind"], arrays["taper"], arrays["porous"], arrays["share"], arrays["half"], arrays["texture"])
        return solids, corners, t.copy(), radius


def street(seed, profile="default"):
    """The street of this seed (an integer >= 0). The profile changes how densely it is looked at, not what is there."""
    if profile not in PROFILES:
        raise XkdError(f"profile={profile!r} is not one of {', '.join(PROFILES)}.")
    if int(seed) != seed or seed < 0:
        raise XkdError(f"street seed={seed!r} is not an integer >= 0.")
    return Street(int(seed), profile)


def populate(street):
    """Everything that stands or moves on a street, the rarest first so that it finds a place near the ego's way."""
    keep_lane(street)
    site(street)
    traffic(street)
    parked(street)
    pavement(street)
    fronts(street)
    backdrop(street)


def keep_lane(street):
    """Nothing may be put on the ego's own lane."""
    for s in np.arange(EGO_START - 8, EGO_START + 60, 2.0):
        street.taken.append((s, street.ego_d, 1.35))


def ranges(street, what, side, s):
    """[(low, high)] of |d| of the strips of this kind on one side at s, nearest first."""
    d, found = street.layout.road_half, []
    for width, _, _, _, kind in street.layout.outward(s, side):
        width = min(width, 6.0)
        if kind == what:
            found.append((d, d + width))
        d += width
    return found


def spot(street, what, radius, low=NEAR, high=FAR, length=0.0, edge=0.0, tries=25):
    """A free place (s, d, side) on ground of this kind, or None; `edge` > 0 keeps to that many metres from its near edge."""
    rng = street.rng
    for _ in range(tries):
        s, side = rng.uniform(low, high), int(rng.choice([1, -1]))
        if street.layout.inside(s, 3.0 + length / 2):
            continue
        strips = ranges(street, what, side, s)
        if not strips:
            continue
        a, b = strips[rng.integers(len(strips))]
        if b - a < 2 * min(radius, 0.4):
            continue
        d = side * (a + edge if edge else rng.uniform(a + min(radius, 0.4), b - min(radius, 0.4)))
        if street.free(s, d, radius, length):
            return s, d, side
    return None


def somewhere(street, kinds, *args, **options):
    """The first free spot over several kinds of ground."""
    for what in kinds:
        place = spot(street, what, *args, **options)
        if place:
            return place
    return None


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
                things.traffic_cone(b, rng)


def row(street, s, d, count):
    """Barriers of one kind, end to end along the street."""
    rng = street.rng
    kind = rng.choice(["jersey", "plastic", "board", "crowd"])
    length = {"jersey": 2.6, "plastic": 1.5, "board": 2.0, "crowd": 2.2}[kind] * rng.uniform(0.8, 1.3)
    for n in range(count):
        if street.free(s + n * length * 1.06, d, 0.45, length * 0.6):
            street.put("barrier", s + n * length * 1.06, d, rng.normal(0, 0.04))
            things.barrier(street.builder, rng, kind, length)


def around(street, s, d, side, length):
    rng = street.rng
    row(street, s - length / 2, d - side * rng.uniform(2.2, 2.8), rng.integers(2, 6))
    for _ in range(rng.integers(2, 7)):
        a, c = s + rng.uniform(-1, 1) * length, d + rng.uniform(-3, 3)
        if street.free(a, c, 0.35):
            street.put("traffic_cone", a, c)
            things.traffic_cone(street.builder, rng)
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
    makers = {"car": vehicles.car, "truck": vehicles.truck, "bus": vehicles.bus}
    queue = ["bus"] * (rng.random() < 0.6) + ["truck"] * (rng.random() < 0.5) + ["car"] * int(rng.integers(2, 6))
    for kind in queue:
        for _ in range(12):
            d, way = lanes(street)[rng.integers(len(lanes(street)))]
            s = rng.uniform(55, 130) if way < 0 else rng.uniform(20, 95)
            long = {"car": 5.0, "truck": 9.5, "bus": 12.5}[kind]
            if street.free(s, d, 1.3, long):
                speed = way * rng.uniform(2, 9)
                street.put(kind + "_moving", s, d, 0.0 if way > 0 else np.pi, speed)
                length = makers[kind](b, rng)
                if kind != "bus" and rng.random() < 0.3 and street.free(s - way * (length / 2 + 5), d, 1.0, 7):
                    builder_trailer(street, s, d, way, length, speed)
                break
    if rng.random() < 0.9:
        # One vehicle ahead in the ego's lane, at about its speed.
        kind = rng.choice(["car", "car", "truck", "bus"])
        s = EGO_START + rng.uniform(14, 28)
        street.put(kind + "_moving", s, street.ego_d, 0.0, street.speed * rng.uniform(0.95, 1.2))
        makers[kind](b, rng)
    for _ in range(rng.integers(1, 4)):
        ride(street, "bicyclist", rng.uniform(2.5, 5.5))
    for _ in range(rng.integers(1, 3)):
        ride(street, "motorcyclist", rng.uniform(3, 9))


def builder_trailer(street, s, d, way, length, speed):
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
    makers = {"car": vehicles.car, "truck": vehicles.truck, "bus": vehicles.bus, "trailer": vehicles.trailer}
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
            makers[kind](b, rng)
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


def pavement(street):
    """People, trees, posts, signs and furniture."""
    rng, b = street.rng, street.builder
    for _ in range(rng.integers(6, 17)):
        place = somewhere(street, ["sidewalk", "other_flat"] if rng.random() < 0.8 else ["other_flat", "terrain"], 0.45, 38, 100)
        if place:
            s, d, _ = place
            stands, child = rng.random() < 0.3, rng.random() < 0.15
            speed = 0.0 if stands else rng.choice([-1, 1]) * rng.uniform(0.6, 1.7)
            label = "child_moving" if child else ("pedestrian" if stands else "pedestrian_moving")
            street.put(label, s, d, rng.uniform(0, 6.28) if stands else (0.0 if speed > 0 else np.pi), speed)
            things.person(b, rng, rng.uniform(1.0, 1.4) if child else rng.uniform(1.5, 1.95), not stands)
    if street.layout.zebra is not None and rng.random() < 0.6:
        side = int(rng.choice([1, -1]))
        street.put("pedestrian_moving", street.layout.zebra, side * street.layout.road_half, -side * np.pi / 2, 0.0, -side * 1.2)
        things.person(b, rng, rng.uniform(1.5, 1.9))
    for _ in range(rng.integers(3, 13)):
        place = somewhere(street, ["terrain", "other_flat", "sidewalk"], 0.6, NEAR - 30, FAR + 40, edge=0.7)
        if place:
            street.put("trunk", *place[:2], rng.uniform(0, 6.28))
            things.tree(b, rng, "crown")
    for maker, label, count, part in ((things.lamp_post, "pole", (3, 8), None), (things.sign, "pole", (4, 10), "traffic_sign"),
                                      (things.furniture, "furniture", (2, 6), None), (things.wheelie_bin, "bin", (0, 5), None)):  # fmt: skip
        for _ in range(rng.integers(*count)):
            place = somewhere(street, ["sidewalk", "terrain", "other_flat"], 0.5, NEAR - 10, FAR + 20, edge=0.45)
            if place:
                s, d, side = place
                facing = 0.0 if side < 0 else np.pi
                street.put(label, s, d, facing + rng.normal(0, 0.08))
                if maker is things.lamp_post:
                    maker(b, rng, 1)
                elif part:
                    maker(b, rng, part)
                else:
                    maker(b, rng)
    if street.layout.zebra is not None and rng.random() < 0.7:
        for side in (1, -1):
            street.put("pole", street.layout.zebra - side * -2.2, side * (street.layout.road_half + 0.5), 0.0 if side < 0 else np.pi)
            things.traffic_light(b, rng, "traffic_light")


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
                things.building(b, rng, width, depth)
            s += width + rng.choice([0.3, rng.uniform(2, 12)])
        inner = [line - rng.uniform(0.3, 0.8)]
        if len(layout.sides[side]) > 1:
            inner.append(layout.road_half + sum(strip["width"] for strip in layout.sides[side][:-1]) + 0.4)
        for where in inner:
            s = rng.uniform(-10, 10)
            while s < 135:
                length = rng.uniform(3, 11)
                kind = rng.choice(["hedge", "wall", "fence", "shrubs", "none"], p=[0.27, 0.17, 0.16, 0.1, 0.3])
                if kind != "none" and not layout.inside(s + length / 2, length / 2 + 3) and street.free(s + length / 2, side * where, 0.4, length):
                    yaw = np.pi * (rng.random() < 0.5)
                    if kind == "shrubs":
                        for step in np.arange(0.5, length, 1.8):
                            street.put("hedge", s + step, side * where)
                            things.shrub(b, rng)
                    else:
                        street.put(kind, s + length / 2, side * where, yaw)
                        {"hedge": things.hedge, "wall": things.wall, "fence": things.fence}[kind](b, rng, length)
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
            things.building(b, rng, rng.uniform(14, 22), 10)
    for side in (1, -1):
        for _ in range(rng.integers(2, 7)):
            s, d = rng.uniform(-40, 170), side * (street.layout.road_half + rng.uniform(14, 28))
            if not street.layout.inside(s, 4):
                street.put("trunk", s, d, rng.uniform(0, 6.28))
                things.tree(b, rng, "crown")
