"""Whether the world stands still: what stands in a scan stands at the same place in the next one, if the poses are those of the scans.

Where axes of the scans are swapped that neither the ground nor a textureless image shows, or poses are the other way round, it does not.
"""

import numpy as np
from scipy.spatial import KDTree

from xkd.bearings import cells, ground
from xkd.findings import Finding, counted
from xkd.geometry import invert, transform
from xkd.rivals import AXES

REACH, LEAST, FEWEST, NEAR, OVER = 25.0, 2.5, 100, 0.4, 0.75
"""Metres of what is compared, less at the vehicle itself; cells without which nothing is told; metres apart that count as the same place,
and over the ground: along it everything looks alike."""
STEP = (0.5, 15.0)
"""Metres between two scans that tell something."""
LIMITS = {"there": 0.5, "margin": 0.15}
"""Share of what stands that another pose has to find again, and by how much more than the given one. Where the samples have poses
(SemanticKITTI, PandaSet, `xkd.sim`) the given ones found 0.67 to 0.89, and none of the others more than 0.02 beyond that; in one
of 23 pairs, on SemanticKITTI's sequence 01, neither found anything."""
PAIRS = 3


TURNS = {name: turn for name, turn in AXES.items() if turn[2, 2] == 1}
"""Axes that a scan may be given in by mistake, with the ground still below."""


def structure(points):
    """(N, 3) metres -> (M, 3), the cells near the LiDAR that stand over its ground; all of them where it has none."""
    reach = np.linalg.norm(points, axis=1)
    found, below = cells(points[(reach > LEAST) & (reach < REACH)]), ground(points)
    return found if below is None else found[found @ below.up + below.height > OVER]


def share(one, other, T):
    """Of the cells `other` (M, 3), taken to the LiDAR of `one` by T (4, 4), the share that is near one of its cells; NaN for too few."""
    there = transform(T, other)
    there = there[np.linalg.norm(there, axis=1) < REACH]
    if min(len(one), len(there)) < FEWEST:
        return np.nan
    return float((KDTree(one).query(there)[0] < NEAR).mean())


def shares(before, after, T):
    """{name, None for T itself: share} of two scans (N, 3), and T (4, 4) from the second one's LiDAR to the first one's."""
    one, other = structure(before), structure(after)
    others = {name: turn @ T @ turn.T for name, turn in TURNS.items()} | {"the poses the other way round": invert(T)}
    return {name: share(one, other, pose) for name, pose in ({None: T} | others).items()}


def standing(pairs):
    """The finding of [(frame, the next one of its scene)], from `PAIRS` of them; None where they tell nothing."""
    told = []
    for before, after in pairs:
        T = invert(before.T_world_lidar) @ after.T_world_lidar
        if STEP[0] <= np.linalg.norm(T[:3, 3]) <= STEP[1]:
            told.append((before, after, T))
    chosen = [told[i] for i in np.unique(np.linspace(0, len(told) - 1, PAIRS).round().astype(int))] if told else []
    rows, where = [], ""
    for before, after, T in chosen:
        try:
            found = shares(before.points, after.points, T)
        except Exception:  # `xkd.check` reads the frames it looks at, and says so where one cannot be read
            continue
        if np.isfinite(list(found.values())).all():
            rows, where = [*rows, found], where or f"frame {after.id}"
    if not rows:
        return None
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    own, best = mean.pop(None), max(mean.values())
    text = f"{own:.2f} of what stands in a scan is there in the next, by the poses of {counted(len(rows), 'pair')}"
    if best >= LIMITS["there"] and best > own + LIMITS["margin"]:
        names = " or ".join(name for name, value in mean.items() if value > best - LIMITS["margin"] / 3)
        return Finding("world", f"{text}; with {names} it is {best:.2f}", "bad", where)
    return Finding("world", text, "good" if max(own, best) >= LIMITS["there"] else "look", where)
