"""The ground of a street: rows of strips from left to right, one row for each stretch along it.

What a strip is does not follow from where it lies: carriageways, parking bays, pavements, separators, plazas, lawns
and islands come in many orders, widths and kerb heights (0 to 15 cm, often flush), and slopes and bumps overlap.
"""

import math

import numpy as np

from xkd.sim.ground import COARSE, CURVE_STEP, coarse_top
from xkd.sim.materials import MATERIALS
from xkd.sim.palette import palette

X0, X1 = -60.0, 200.0  # metres: the extent of the tables
Y0, Y1 = -64.0, 64.0
STRIPS = 44
BUMPS = {"grass": 1.0, "soil": 0.8, "cobbles": 0.12, "pavers": 0.05, "slabs": 0.04}  # relative height of the bumps
GROUNDS = {
    "sidewalk": ("pavers", "slabs", "slabs"),
    "terrain": ("grass", "grass", "soil"),
    "other_flat": ("cobbles", "hatch", "concrete"),
}
KERBS = (0.0, 0.03, 0.06, 0.08, 0.1, 0.12, 0.15)


def strip(rng, what, low, high, kerb=0.0):
    """One strip: `low` to `high` metres wide, a step `kerb` up at its near edge; lawns may rise or fall across."""
    rise = rng.choice([0.0, rng.uniform(-0.3, 0.7), rng.uniform(-0.1, 0.2)]) if what == "terrain" else 0.0
    return dict(what=what, width=rng.uniform(low, high), material=rng.choice(GROUNDS[what]), kerb=kerb, rise=rise)


def roadside(rng):
    """Strips outward from the carriageway; their order, widths and steps vary, so that place alone tells little."""
    kerb = float(rng.choice(KERBS))
    bays = dict(what="parking", width=rng.uniform(2.1, 2.8), material="bays", kerb=float(rng.choice([0.0, 0.0, 0.03])))
    strips = [bays] if rng.random() < 0.6 else []
    kind = rng.choice(["city", "plaza", "verge", "lawn", "rural", "separator"], p=[0.23, 0.18, 0.23, 0.15, 0.08, 0.13])
    if kind == "city":
        strips += [strip(rng, "sidewalk", 1.8, 5.0, kerb)]
    elif kind == "plaza":
        first, second = strip(rng, "sidewalk", 1.3, 3.0, kerb), strip(rng, "other_flat", 1.5, 6.0, 0.0)
        strips += [first, second] if rng.random() < 0.6 else [{**second, "kerb": kerb}, {**first, "kerb": 0.0}]
    elif kind == "verge":
        strips += [
            strip(rng, "terrain", 0.9, 2.8, kerb),
            strip(rng, "sidewalk", 1.4, 3.0),
            strip(rng, "terrain", 1.0, 7.0),
        ]
    elif kind == "lawn":
        strips += [strip(rng, "sidewalk", 1.4, 3.0, kerb), strip(rng, "terrain", 2.0, 8.0)]
    elif kind == "rural":
        strips += [
            strip(rng, "terrain", 4.0, 9.0, float(rng.choice([0.0, 0.0, -0.04]))),
            strip(rng, "sidewalk", 1.2, 2.0) if rng.random() < 0.5 else strip(rng, "terrain", 1, 4),
        ]
    else:
        strips = [
            strip(rng, "other_flat", 0.8, 2.2, kerb),
            {**bays, "kerb": -kerb},
            strip(rng, "sidewalk", 1.4, 3.5, kerb),
        ]
        strips += [strip(rng, "terrain", 1.0, 5.0)] if rng.random() < 0.5 else []
    return strips


class Layout:
    """The cross-sections of one street and where they change. `row(s)` lists (right edge to left edge) strips at s."""

    def __init__(self, rng):
        self.lane = rng.uniform(2.9, 3.7)
        self.lanes = int(rng.choice([1, 1, 2]))
        self.sides = {+1: roadside(rng), -1: roadside(rng)}
        self.median = rng.choice(["none", "island", "hatch", "grass"], p=[0.42, 0.25, 0.17, 0.16])
        self.median_width = 0.0 if self.median == "none" else rng.uniform(1.0, 3.2)
        self.median_height = 0.0 if self.median == "hatch" else float(rng.choice([0.02, 0.06, 0.1, 0.15, 0.2]))
        self.crossing = (rng.uniform(60, 105), rng.uniform(3.0, 5.0)) if rng.random() < 0.65 else None
        self.zebra = self.crossing[0] - self.crossing[1] - rng.uniform(4, 7) if self.crossing else rng.uniform(50, 100)
        self.zebra = self.zebra if rng.random() < 0.8 else None
        gap = rng.uniform(30, 110)
        self.gaps = [(gap, gap + rng.uniform(8, 25))]
        self.drives = {side: sorted(rng.uniform(0, 150, rng.integers(0, 4))) for side in (1, -1)}
        self.ends = {side: rng.choice(["terrain", "sidewalk", "other_flat"], p=[0.55, 0.3, 0.15]) for side in (1, -1)}
        # A small plaza or island somewhere along a side, so that the rarest ground is met in most streets.
        self.patch = (
            rng.uniform(45, 85),
            rng.uniform(12, 25),
            int(rng.choice([1, -1])),
            rng.choice(["cobbles", "hatch", "concrete"]),
        )
        a, b = rng.uniform(0, 5, 2) * rng.choice([0, 1, 1])
        p, q = rng.uniform(0, 6.28, 2)
        self.waves = (a, 45, p), (0.4 * b, 23, q)  # amplitude, wavelength over 2 pi, phase
        self.rough = rng.uniform(0.04, 0.14)
        self.seed = int(rng.integers(1 << 30))
        self.colours = palette(rng)
        self.road_half = self.median_width / 2 + self.lanes * self.lane

    def inside(self, s, margin=0.0):
        """Whether s lies on the crossing street."""
        return self.crossing is not None and abs(s - self.crossing[0]) < self.crossing[1] + margin

    def cuts(self):
        """The places along s where the cross-section changes."""
        cuts = [X0, X1, self.patch[0], self.patch[0] + self.patch[1]]
        if self.crossing:
            c, w = self.crossing
            cuts += [c - w - 2.5, c - w, c + w, c + w + 2.5]
        if self.zebra is not None:
            cuts += [self.zebra - 1.7, self.zebra + 1.7]
        cuts += [e for gap in self.gaps for e in gap]
        cuts += [e for drives in self.drives.values() for d in drives for e in (d, d + 3.5)]
        return sorted(cuts)

    def outward(self, s, side):
        """Strips of one side at s: [(width, low, high, material, what)], heights in metres."""
        strips, height = [], 0.0
        near_crossing = self.crossing is not None and abs(s - self.crossing[0]) < self.crossing[1] + 2.5
        drive = any(d < s < d + 3.5 for d in self.drives[side])
        gap = any(a < s < b for a, b in self.gaps)
        for n, strip in enumerate(self.sides[side]):
            what, material, kerb = strip["what"], strip["material"], strip["kerb"]
            if (
                what == "parking"
                and n == 0
                and (gap or near_crossing or self.zebra is not None and abs(s - self.zebra) < 2)
            ):
                # A kerb extension: the pavement behind the bays comes forward.
                behind = self.sides[side][1]
                what, material, kerb = behind["what"], behind["material"], behind["kerb"]
                strips.append((strip["width"], height + kerb, height + kerb, material, what))
                height += kerb - behind["kerb"]
                continue
            if drive and what in ("terrain", "sidewalk") and n < 3:
                what, material = "road", "asphalt"
            begin, patch, patch_side, ground = self.patch
            if begin < s < begin + patch and side == patch_side and what in ("sidewalk", "terrain"):
                what, material = "other_flat", ground
            height += kerb
            low = height
            height += strip.get("rise", 0.0)
            if abs(kerb) > 0.01 and kerb > 0:
                strips.append((0.15, low, low, "concrete", what))
                strips.append((max(strip["width"] - 0.15, 0.3), low, height, material, what))
            else:
                strips.append((strip["width"], low, height, material, what))
        end = "sidewalk" if near_crossing else self.ends[side]
        strips.append(
            (np.inf, height, height, {"terrain": "grass", "sidewalk": "slabs", "other_flat": "cobbles"}[end], end)
        )
        return strips

    def row(self, s):
        """[(left edge d, low, high, material, what)] from right to left; low is the height at the right edge."""
        road = ("asphalt", "road")
        if self.inside(s):
            return [(np.inf, 0.0, 0.0, *road)]
        zebra = self.zebra is not None and abs(s - self.zebra) < 1.7
        near_crossing = self.inside(s, 2.5)
        carriage = []
        half = self.median_width / 2
        if zebra:
            carriage = [(self.road_half, 0, 0, "zebra", "lane_marking")]
        else:
            if half and not near_crossing:
                h = self.median_height
                material = {"island": "concrete", "hatch": "hatch", "grass": "grass"}[self.median]
                carriage = [(half, h, h, material, "terrain" if self.median == "grass" else "other_flat")]
            elif half:
                carriage = [(half, 0, 0, *road)]
            else:
                carriage = [(0.07, 0, 0, "dash", "lane_marking")]
            for n in range(1, self.lanes):
                carriage += [
                    (half + n * self.lane - 0.07, 0, 0, *road),
                    (half + n * self.lane + 0.07, 0, 0, "dash", "lane_marking"),
                ]
            carriage += [(self.road_half - 0.3, 0, 0, *road), (self.road_half - 0.16, 0, 0, "line", "lane_marking")]
            carriage += [(self.road_half, 0, 0, *road)]
        left, right = list(carriage), list(carriage)
        for side, strips in ((1, left), (-1, right)):
            d = self.road_half
            for width, low, high, material, what in self.outward(s, side):
                d += width
                strips.append((d, low, high, material, what))
        row, edges = [], [-d for d, *_ in right[:-1]][::-1]
        for edge, (_, low, high, material, what) in zip(edges, right[:0:-1], strict=True):
            row.append((edge, high, low, material, what))
        return row + left

    def tables(self):
        """(ground tuple for `raycast`, strips tuple for `render`, rows) and keeps the rows for `height`."""
        from xkd.sim.taxonomy import INDEX

        cuts = self.cuts()
        self.rows = [self.row((a + b) / 2) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
        count = len(self.rows)
        edge = np.full((count, STRIPS), np.inf)
        low, high, bump = (np.zeros((count, STRIPS)) for _ in range(3))
        material, label, seed = (np.zeros((count, STRIPS), np.int64) for _ in range(3))
        colour = np.zeros((count, STRIPS, 2, 3))
        for g, row in enumerate(self.rows):
            for k, (e, a, b, m, what) in enumerate(row):
                edge[g, k], low[g, k], high[g, k], bump[g, k] = e, a, b, self.rough * BUMPS.get(m, 0.0)
                material[g, k], label[g, k] = MATERIALS[m], INDEX[what]
                seed[g, k], colour[g, k] = self.seed + 16 * MATERIALS[m], self.colours[m]
        xs = X0 + CURVE_STEP * np.arange(int((X1 - X0) / CURVE_STEP) + 1)
        self.curve_x, self.curve_y = xs, np.round(sum(a * np.sin(xs / w + p) for a, w, p in self.waves), 6)
        slope = np.gradient(self.curve_y, CURVE_STEP)
        curve = np.stack([self.curve_y, 1 / np.sqrt(1 + slope**2)], 1)
        segment = np.clip(np.searchsorted(cuts, xs + CURVE_STEP / 2) - 1, 0, count - 1)
        self.cut_list = cuts
        ground = (X0, curve, segment, edge, low, high, bump, self.seed)
        rows, columns = int((X1 - X0) / COARSE), int((Y1 - Y0) / COARSE)
        top = coarse_top(ground, X0, Y0, rows, columns, self.rough * 0.85)
        strips = (material.ravel(), colour.reshape(-1, 2, 3), label.ravel(), seed.ravel())
        return (*ground, float(top.max()) + 0.01, top, X0, Y0), strips

    def at(self, s, d):
        """(what, height) of the ground at s, d, without its bumps."""
        row = self.rows[int(np.clip(np.searchsorted(self.cut_list, s) - 1, 0, len(self.rows) - 1))]
        right = -np.inf
        for edge, low, high, _, what in row:
            if d <= edge:
                share = (d - right) / (edge - right) if math.isfinite(edge) and math.isfinite(right) else 0.0
                return what, low + share * (high - low)
            right = edge
        return row[-1][4], row[-1][2]

    def heading(self, s):
        """(y of the centre line, yaw of the street) at s."""
        y = float(np.interp(s, self.curve_x, self.curve_y))
        slope = float(np.interp(s + 0.5, self.curve_x, self.curve_y)) - float(
            np.interp(s - 0.5, self.curve_x, self.curve_y)
        )
        return y, math.atan(slope)
