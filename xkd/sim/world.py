"""Procedural streets: what stands where, and how it moves. A street is a function of its seed alone.

Which cue separates which classes (the distillation experiment rests on it):

- *Texture separates, geometry hardly*: driveable surface, other flat ground, sidewalk and terrain. They differ in
  space by kerbs of 0 to 15 cm (some are flush), bumps of a few centimetres on grass and soil (the range noise is as
  large) and their place in a cross-section that changes from street to street; in a picture asphalt, slabs, cobbles,
  hatching and grass look nothing alike.
- *Texture separates, geometry does in the end*: walls, hedges, fences and barriers (same heights and extents; hedges
  are porous and ragged, walls flat, barriers short and tapered), house fronts against crowns, trunks against poles
  against signs, parked lorries against trailers, buses and construction machines (composites of boxes on wheels with
  overlapping sizes).
- *Geometry separates at once*: ground against what stands on it, cars against people, thin poles against bulky
  things.
- *Both are hard*: small things with few returns (cones, bicycles, motorcycles), for which pictures help once they are
  near.

Intensity is a weak cue: reflectivities overlap and are multiplied by gains drawn per object, strip and street.
"""

import numpy as np

from xkd.errors import XkdError
from xkd.sim.builder import CORNERS, Builder, pose, rotation
from xkd.sim.layout import Layout
from xkd.sim.populate import populate
from xkd.sim.traffic import EGO_START

PROFILES = ("default", "smoke")


class Street:
    """Ground, primitives in their objects' frames, and poses by time. Made by `street`."""

    def __init__(self, seed, profile, layout=Layout, fill=None):
        self.seed, self.profile = seed, profile
        rng = np.random.default_rng([7919, seed])
        self.layout = layout(rng)
        self.ground, self.strips = self.layout.tables()
        self.speed = rng.uniform(3.5, 8.5)
        self.ego_d = -(self.layout.median_width / 2 + self.layout.lane * 0.5)
        self.sway = rng.uniform(0, 6.28, 3)
        self.rng, self.taken, self.count = rng, np.empty((20000, 3)), 0
        self.builder = Builder(rng)
        (fill or populate)(self)
        self.arrays = self.builder.arrays()
        self.moving = np.abs(self.arrays["objects"][:, 4:6]).sum(1) > 0
        self.cache = {}  # what depends on the street alone and is made when first needed
        stretch = 1 + np.maximum(-self.arrays["taper"], 0)
        self.hull = np.repeat(CORNERS[None], len(stretch), 0)
        self.hull[:, :, :2] *= stretch[:, None]

    def free(self, s, d, radius, length=0.0):
        """Claim a round (or, with a length, a lengthwise row of round) place; False if it is taken already."""
        steps = np.arange(-length / 2, length / 2 + 0.01, max(radius, 0.5)) if length else np.zeros(1)
        taken = self.taken[: self.count]
        gap = (s + steps[:, None] - taken[:, 0]) ** 2 + (d - taken[:, 1]) ** 2
        if (gap < (radius + taken[:, 2]) ** 2).any():
            return False
        self.taken[self.count : self.count + len(steps)] = np.stack([s + steps, 0 * steps + d, 0 * steps + radius], 1)
        self.count += len(steps)
        return True

    def put(self, label, s, d, yaw=0.0, speed=0.0, across=0.0):
        """Start an object of this label on the ground at s, d."""
        self.builder.place(label, s, d, self.layout.at(s, d)[1], yaw, speed, across)

    def ego(self, time):
        """(4, 4) T_world_rig at `time` seconds: on the ground, in the right lane, with a little sway."""
        s = EGO_START + self.speed * time
        y, yaw = self.layout.heading(s)
        a, b, c = (round(float(v), 9) for v in np.sin(self.sway + np.array([0.7, 2.1, 2.9]) * time))
        place = (round(s, 6), round(y + self.ego_d / np.cos(yaw) + 0.15 * a, 6), 0.0)
        return pose(rotation(yaw + 0.01 * a, 0.004 * b, 0.004 * c), place)

    def forward(self, time):
        """(P, 4, 4) unit shapes -> world at `time` seconds, with what moves where it is by then."""
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
        solids = (
            inverse,
            arrays["kind"],
            arrays["taper"],
            arrays["porous"],
            arrays["share"],
            arrays["half"],
            arrays["texture"],
        )
        return solids, corners, t.copy(), radius


def street(seed, profile="default"):
    """The street of this seed (an integer >= 0). The profile changes how densely it is looked at, not what is there."""
    if profile not in PROFILES:
        raise XkdError(f"profile={profile!r} is not one of {', '.join(PROFILES)}.")
    if int(seed) != seed or seed < 0:
        raise XkdError(f"street seed={seed!r} is not an integer >= 0.")
    return Street(int(seed), profile)
