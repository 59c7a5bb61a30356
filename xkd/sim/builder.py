"""Collects primitives object by object and turns them into the arrays that the kernels read."""

import math

import numpy as np

from xkd.sim.materials import MATERIALS
from xkd.sim.raycast import BALL, BOX, CONE, LEAVES, SOLID, WEDGE
from xkd.sim.taxonomy import INDEX, THINGS

CORNERS = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], float)


def rotation(yaw=0.0, pitch=0.0, roll=0.0):
    """(3, 3) R = Rz(yaw) Ry(pitch) Rx(roll); a positive pitch lowers the nose. Rounded, so that no math library shows
    through.
    """
    (cy, sy), (cp, sp), (cr, sr) = ((round(math.cos(a), 9), round(math.sin(a), 9)) for a in (yaw, pitch, roll))
    z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    return np.round(z @ y @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]]), 12)


def pose(R, t):
    """(4, 4) rigid transform."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, t
    return T


class Builder:
    """`place` starts an object in its own frame (x forward, origin on the ground); `box`, `ball`, `cone`, `wedge` add
    to it.
    """

    def __init__(self, rng):
        self.rng = rng
        self.objects = []  # (s, d, z, yaw, speed along, speed across)
        self.matrices, self.rows, self.colours = [], [], []
        self.label = 0

    def place(self, label, s, d, z, yaw=0.0, speed=0.0, across=0.0):
        self.objects.append((s, d, z, yaw, speed, across))
        self.label = INDEX[label]
        self.texture = int(self.rng.integers(1 << 20))

    def relabel(self, label):
        self.label = INDEX[label]

    def _add(self, kind, centre, size, material, a, b, yaw, pitch, roll, taper, porous, share):
        half = np.asarray(size, float) / 2
        matrix = pose(rotation(yaw, pitch, roll) * half, centre)
        owner = len(self.objects) - 1
        thing = owner + 1 if self.label in THINGS else 0
        self.matrices.append(matrix)
        self.rows.append(
            (kind, owner, self.label, thing, MATERIALS[material], porous, self.texture, *half, *taper, share)
        )
        a = np.asarray(a, float)
        self.colours.append((a, a if b is None else np.asarray(b, float)))

    def box(self, centre, size, material, a, b=None, yaw=0.0, pitch=0.0, roll=0.0, porous=SOLID, share=0.0):
        self._add(BOX, centre, size, material, a, b, yaw, pitch, roll, (0, 0), porous, share)

    def wedge(self, centre, size, material, a, b=None, taper=(0.2, 0.2), yaw=0.0, pitch=0.0, roll=0.0):
        self._add(WEDGE, centre, size, material, a, b, yaw, pitch, roll, taper, SOLID, 0.0)

    def ball(self, centre, size, material, a, b=None, yaw=0.0, pitch=0.0, share=0.0):
        self._add(BALL, centre, size, material, a, b, yaw, pitch, 0.0, (0, 0), LEAVES if share else SOLID, share)

    def cone(self, centre, size, material, a, b=None, taper=0.0, yaw=0.0, pitch=0.0, roll=0.0, porous=SOLID, share=0.0):
        self._add(CONE, centre, size, material, a, b, yaw, pitch, roll, (taper, 0), porous, share)

    def wheel(self, x, y, radius, width, porous=SOLID, share=0.0):
        """A wheel (or, if wide, an axle with both its wheels) that turns about y."""
        r = 2 * radius
        self.cone((x, y, radius), (r, r, width), "tyre", (0.02,) * 3, roll=math.pi / 2, porous=porous, share=share)

    def arrays(self):
        """Dict of arrays over the P primitives, object frames; and the (objects, 6) table."""
        table = np.array(self.rows, float)
        whole = table[:, :7].astype(np.int64)
        return dict(
            matrix=np.array(self.matrices),
            kind=whole[:, 0],
            owner=whole[:, 1],
            label=whole[:, 2].astype(np.uint8),
            instance=whole[:, 3].astype(np.uint16),
            material=whole[:, 4],
            porous=whole[:, 5],
            texture=whole[:, 6] + np.arange(len(whole)) * (whole[:, 4] == MATERIALS["leaf"]),
            half=table[:, 7:10].copy(),
            taper=table[:, 10:12].copy(),
            share=table[:, 12].copy(),
            colour=np.array(self.colours),
            objects=np.array(self.objects),
        )
