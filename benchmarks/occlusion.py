"""`python benchmarks/occlusion.py`: how well `geometry.pair` tells which points a camera cannot see, beside what is known of made streets.

The streets are those of the made data: of nuScenes' rig the validation streets, of KITTI's those of its sequences. A point's own place is
where its ray meets the street, without the noise of its range; it is hidden from a camera if the ray from the camera's centre at the
image's time to that place meets something before it, by more than what the caster is sure of (`sure`). The street stands as it was at
the sweep's time: what moved until the image was taken is another error.

precision: the share of what the test drops that is hidden; recall: the share of the hidden that it drops; clear: the same, of the hidden
whose occluder is nearer by what the test asks for (`OCCLUSION`). Over all pairs, with quartiles over streets.
"""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from unittest import mock

import numpy as np
from markdown import number, table
from timing import QUICK, keep

from xkd.datasets.frame import Camera
from xkd.geometry import OCCLUSION, pair

STREETS = 1 if QUICK else 40
RIGS = {
    "six cameras, 32 beams, as made": ("nuscenes", "val", 660, (180, 320)),
    "six cameras, 32 beams, as published": ("nuscenes", "val", 1084, (900, 1600)),
    "camera ahead, 64 beams, as made": ("kitti", "kitti", 900, (125, 414)),
    "camera ahead, 64 beams, as published": ("kitti", "kitti", 1900, (376, 1241)),
}
"""The rig, the role of its streets, steps of a turn, and size of the images; nuScenes and KITTI as published have the larger ones."""
NOISE = 0.7
"""Metres between a return and the surface that it is of, at most: noise, depth of leaves and glass."""


def sure(distance):
    """Metres by which something has to be nearer to hide: the ground is met to some millimetres of height, a grazing ray far off that."""
    return 0.05 + 0.006 * distance


@cache
def kernel():
    """Imported and compiled when it is first needed: the page is written without it."""
    from xkd.sim.ground import hit_ground, jit
    from xkd.sim.raycast import cast
    from xkd.sim.tiles import SECTORS

    @jit
    def first(origin, rays, limit, bins, near, solids, ground):
        """(M, 3) unit rays of the world, (M,) metres -> (M,) metres to the first thing on each, or its limit."""
        ids, start = bins
        found = np.empty(len(rays))
        x, y, z = origin
        for i in range(len(rays)):
            u, v, w = rays[i]
            s = int(np.floor(np.arctan2(v, u) / (2.0 * np.pi) * SECTORS)) % SECTORS
            floor = hit_ground(x, y, z, u, v, w, ground, limit[i])
            found[i] = cast(x, y, z, u, v, w, ids, start[s], start[s + 1], near, solids, floor)[0]
        return found

    return first


class Town:
    """A street at one time, for rays."""

    def __init__(self, street, time, reach):
        self.ground, self.reach, self._first = street.ground, reach, kernel()
        self.solids, self._corners, self._centre, self._radius = street.solids(time)

    def first(self, origin, rays, limit):
        from xkd.sim.tiles import sectors

        origin = np.ascontiguousarray(origin)
        near = np.maximum(np.sqrt(((self._centre - origin) ** 2).sum(1)) - self._radius, 0)
        order = np.argsort(near, kind="stable")
        bins = sectors(origin, self._corners, self._centre, near, order, self.reach)
        return self._first(origin, np.ascontiguousarray(rays), limit, bins, near, self.solids, self.ground)


def hidden(town, centre, places):
    """(M,) metres by which something stands nearer to a camera's centre than each of (M, 3) places of the world, 0 where nothing does."""
    away = places - centre
    distance = np.sqrt((away**2).sum(1))
    limit = distance - sure(distance)
    found = town.first(centre, away / distance[:, None], limit)
    return np.where(found < limit, distance - found, 0.0)


def measured(street, name, index, seed):
    """Of every pair of one key frame: whether the test drops it, metres by which it is hidden, its depth; and the share of returns that
    are left out, because no surface was found where they are."""
    from xkd.sim import sensors

    rig, time = sensors.RIGS[name], index * sensors.RIGS[name].step
    sweep = sensors.scan(street, name, index, seed)
    town = Town(street, time, rig.reach + 10)
    away = np.sqrt((sweep.points**2).sum(1))
    rays, origin = (sweep.points / away[:, None]) @ sweep.T_world_lidar[:3, :3].T, sweep.T_world_lidar[:3, 3]
    found = town.first(origin, rays, away + 1)
    known = np.abs(found - away) < NOISE
    places = origin + found[:, None] * rays
    eyes = rig.eyes if name == "nuscenes" else rig.eyes[:1]
    cameras = [camera(street, rig.size, eye, time, sweep.T_world_lidar) for eye in eyes]
    frame = SimpleNamespace(id=index, points=sweep.points.astype(np.float32), cameras=cameras)
    every, seen = pair(frame, occlusion=False), pair(frame)
    keys = [pairs.camera.astype(np.int64) * len(away) + pairs.point for pairs in (every, seen)]
    drops, nearer = ~np.isin(*keys), np.zeros(len(every))
    for k, own in enumerate(cameras):
        mine = every.camera == k
        nearer[mine] = hidden(town, (own.T_world_rig @ own.T_rig_cam)[:3, 3], places[every.point[mine]])
    kept = known[every.point]
    return drops[kept], nearer[kept], every.depth[kept], 1 - known.mean()


def camera(street, size, eye, time, T_world_lidar):
    """As `xkd.sim.sensors.shoot` has it."""
    from xkd.sim.builder import pose, rotation
    from xkd.sim.sensors import OPTICAL, intrinsics

    T_rig_cam = pose(np.round(rotation(np.radians(eye.yaw), np.radians(eye.pitch)) @ OPTICAL, 9), eye.place)
    return Camera(
        eye.name, None, size, intrinsics(size, eye.fov), T_rig_cam, street.ego(time + eye.delay), T_world_lidar
    )


def counts(drops, nearer, depth):
    """How many pairs there are, are hidden, are dropped, are both; and of those that are hidden clearly, and of these dropped."""
    behind = nearer > 0
    clear = nearer > OCCLUSION["absolute"] + OCCLUSION["relative"] * depth
    return np.array([len(drops), behind.sum(), drops.sum(), (behind & drops).sum(), clear.sum(), (clear & drops).sum()])


def shares(count):
    """(..., 6) counts -> what the table has, in per cent."""
    every, behind, drops, both, clear, found = np.moveaxis(np.asarray(count, float), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "hidden": 100 * behind / every,
            "precision": 100 * both / drops,
            "recall": 100 * both / behind,
            "clear": 100 * found / clear,
            "lost": 100 * (drops - both) / (every - behind),
            "left": 100 * (behind - both) / (every - drops),
        }


def row(label):
    """The shares over all streets of one rig, and their quartiles over streets."""
    from xkd.sim import sensors, world
    from xkd.sim.write import plan

    name, role, steps, size = RIGS[label]
    streets = [street for street in plan(name) if street.role == role][:STREETS]
    rig = replace(sensors.RIGS[name], steps=steps, size=size)
    found, unknown, frames = [], [], 0
    with mock.patch.dict(sensors.RIGS, {name: rig}):
        for one in streets:
            street, total = world.street(one.seed), np.zeros(6, int)
            for index in range(1 if QUICK else one.frames):
                *own, share = measured(street, name, index, one.seed)
                total += counts(*own)
                unknown.append(share)
                frames += 1
            found.append(total)
    about = {"rig": label, "streets": len(streets), "frames": frames, "pairs": int(np.sum(found, 0)[0])}
    about["unknown"] = round(100 * float(np.mean(unknown)), 3)
    each = shares(found)
    for key, value in shares(np.sum(found, 0)).items():
        low, high = np.nanquantile(each[key], [0.25, 0.75])
        about |= {key: round(float(value), 2), f"{key}_low": round(float(low), 2), f"{key}_high": round(float(high), 2)}
    print(
        ", ".join(f"{key} {value}" for key, value in about.items() if not key.endswith(("_low", "_high"))), flush=True
    )
    return about


def section(results):
    """The section of docs/benchmarks.md."""
    own = results.get("occlusion")
    if not own:
        return ""
    rows = []
    for one in own["rows"]:
        cells = [f"{one[k]:.1f} [{one[f'{k}_low']:.1f}, {one[f'{k}_high']:.1f}]" for k in SHOWN]
        rows.append([one["rig"], one["frames"], f"{one['pairs']:,}", *cells])
    said = ", ".join(f"{key} {number(own['settings'][key])}" for key in OCCLUSION)
    text = f"""## Hidden points

How well `geometry.pair` tells which points a camera cannot see, on made streets, where rays tell it exactly; the same on every machine.
Settings: {said}. Per cent of all pairs, with quartiles over streets. *hidden*:
before the test. *precision*: of what is dropped, what is hidden. *recall*: of what is hidden, what is dropped; *clear*: the same where
what hides is nearer by what the test asks for. *lost*: of what is visible, what is dropped all the same. *left*: hidden, of what is kept.

"""
    return text + table(["rig", "frames", "pairs", *SHOWN], rows)


SHOWN = ("hidden", "precision", "recall", "clear", "lost", "left")


if __name__ == "__main__":
    keep("occlusion", [row(label) for label in RIGS], settings=OCCLUSION)
