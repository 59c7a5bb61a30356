"""What no image tells of: where the ground lies in a scan, where cameras stand and look, which way the vehicle goes by its poses.

x is forward, y left, z up. Images see a calibration that does not fit; they see nothing where scan and extrinsics are turned together.
"""

import re
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from xkd.findings import Finding, counted, spread
from xkd.geometry import invert

REACH, CELL, THICK = 15.0, 0.5, 0.25
"""Metres: what is near the LiDAR, the edge of its cells, and how far from a plane a cell still lies on it."""
CLEAR = 0.5
"""Metres between the LiDAR and the ground from which the LiDAR's side is up, where few cells lie on either side; else the one with more."""
SURFACES, NEAR, FEWEST = 300, 12, 100
"""Places whose surface is tried as the ground, cells that tell its slope, and cells without which nothing is told."""
LIMITS = {"ground": 0.3, "under": 0.05, "few": 0.1, "tilt": 15.0, "wrong": 60.0, "height": -0.3}
"""Share of the cells near the LiDAR that the ground has at least, and that lie under it at most, and that are few on either side; degrees
between its upright and z from which it is looked at, and is wrong; metres of the LiDAR above it. On frames of the samples of
SemanticKITTI, PandaSet (either LiDAR and both), KITTI raw, nuScenes, RELLIS-3D and OpenCalib and of `xkd.sim` these were 0.40 to 0.91,
0.007 at most (0.06 on a road with a bank), 0 to 3 degrees, 0.2 (PandaSet) to 2.0 m, and the largest other plane had 0.23."""
MOUNT = {"far": 10.0, "lost": 50.0, "up": 45.0, "upright": 30.0, "pitch": 45.0, "named": 60.0}
"""Metres from the LiDAR at which a camera is looked at and is wrong; degrees from upright, and of what counts as upright; up or down of
level; between where a camera looks and where one of its name would. The 16 cameras of the samples had 2.2 m, 2, 2 and 26 degrees."""
WAY = {"least": 0.5, "steady": 0.7, "ahead": 45.0}
"""Metres between frames that tell a direction; the length of the mean of the directions (1: all are one); degrees of it from x. The
samples of SemanticKITTI and PandaSet had 2 degrees at most."""
NAMES = {"front": 0, "forward": 0, "left": 90, "back": 180, "rear": 180, "right": -90}
"""Degrees to the left of x that a camera of this name looks; of two words, the one between. `left` or `right` alone may be of a stereo
pair."""
AXES = ("+x", "+y", "+z", "-x", "-y", "-z")
WAYS = {
    "with the extrinsics the other way round": np.eye(4),
    "with the extrinsics the other way round in axes turned by 180 degrees": np.diag([-1.0, -1.0, 1.0, 1.0]),
}
"""Axes (4, 4) that files may be in whose extrinsics are the other way round: RELLIS-3D's x is backward."""


@dataclass(frozen=True)
class Ground:
    """up: (3,) its upright, away from it, of length 1; height: metres of the LiDAR above it; share: of the cells near the LiDAR."""

    up: np.ndarray
    height: float
    share: float


def ground(points):
    """(N, 3) metres -> the `Ground` of a scan, None where none is found: the largest plane near the LiDAR, wherever it lies, if hardly
    anything lies on its other side. Robust to any turn of the axes."""
    reach = np.linalg.norm(points, axis=1)
    near = cells(points[(reach > 0.1) & (reach < REACH)])
    if len(near) < FEWEST:
        return None
    chosen = near[np.linspace(0, len(near) - 1, SURFACES).round().astype(int)]
    around = near[KDTree(near).query(chosen, NEAR)[1]]
    middles = around.mean(1)
    off = around - middles[:, None]
    uprights = np.linalg.eigh(np.einsum("kni,knj->kij", off, off))[1][:, :, 0]
    on = np.abs(near @ uprights.T - (uprights * middles).sum(1)) < THICK
    mine = on[:, on.sum(0).argmax()]
    for _ in range(3):
        middle = near[mine].mean(0)
        up = np.linalg.eigh(np.cov((near[mine] - middle).T))[1][:, 0]
        heights = (near - middle) @ up
        mine = np.abs(heights) < THICK
    over, under = (heights > 2 * THICK).mean(), (heights < -2 * THICK).mean()
    height = -middle @ up
    # On a road with little beside it but a bank, what lies lower may be more than what stands.
    few = max(over, under) < LIMITS["few"] and abs(height) > CLEAR
    if (height < 0) if few else (under > over):
        up, under, height = -up, over, -height
    if mine.mean() < LIMITS["ground"] or under > LIMITS["under"]:
        return None
    return Ground(up, float(height), float(mine.mean()))


def cells(points):
    """(N, 3) metres -> (M, 3) float64: the mean of the points in every cell, so that what is close by counts once."""
    points = np.asarray(points, np.float64)
    if not len(points):
        return points
    _, cell, count = np.unique(
        np.floor(points / CELL).astype(np.int64), axis=0, return_inverse=True, return_counts=True
    )
    return np.stack([np.bincount(cell.ravel(), column) for column in points.T], 1) / count[:, None]


def grounds(found, where):
    """The finding of the grounds of some scans: [Ground or None], and the frame of each."""
    there = [(angle(one.up, (0, 0, 1)), k) for k, one in enumerate(found) if one is not None]
    if 2 * len(there) < len(found) or not there:
        without = where[next(k for k, one in enumerate(found) if one is None)]
        text = f"none is found in {len(found) - len(there)} of {counted(len(found), 'frame')}: no plane has most of what is near"
        return Finding("ground", f"{text}; are points metres from the LiDAR?", "look", without)
    tilt, (worst, k) = float(np.median([tilt for tilt, _ in there])), max(there)
    heights = [found[k].height for _, k in there]
    if tilt > LIMITS["wrong"]:
        text = (
            f"lies towards {axis(-found[k].up)} of the scan and not {AXES[5]}: are its axes others, or turned around?"
        )
        return Finding("ground", text, "bad", where[k])
    text = f"{spread(heights, '{:.1f}')} m below the LiDAR, level to {counted(round(worst), 'degree')}"
    if worst > LIMITS["tilt"]:
        text = f"{text}, and falls towards {axis(found[k].up * (1, 1, 0))}: does z point up?"
        return Finding("ground", text, "look", where[k])
    if min(heights) < LIMITS["height"]:
        lowest = min((found[k].height, k) for _, k in there)[1]
        return Finding("ground", f"lies {-min(heights):.1f} m above the LiDAR", "look", where[lowest])
    return Finding("ground", text, "good", where[k])


def mounts(cameras):
    """Findings of {camera: [(T_lidar_cam (4, 4), its image)]}: one for each camera that stands or looks where none does, or one for all."""
    worst = {name: max((mount(name, T), path) for T, path in rows) for name, rows in cameras.items() if rows}
    if not worst:
        return
    named = [off for (_, _, off), _ in worst.values() if off is not None]
    aside = 2 * sum(off > MOUNT["named"] for off in named) >= len(named)
    bad = 0
    for name, ((weight, text, off), path) in worst.items():
        if weight == 0 and (off or 0) <= MOUNT["named"]:
            continue
        bad += 1
        yield Finding(f"{name}: mount", text, "bad" if weight == 2 or (weight == 0 and aside) else "look", path)
    if not bad:
        places = [np.linalg.norm(T[:3, 3]) for rows in cameras.values() for T, _ in rows]
        tilts = [angle(-T[:3, 1], (0, 0, 1)) for rows in cameras.values() for T, _ in rows]
        text = f"{counted(len(worst), 'camera')} within {max(places):.1f} m of the LiDAR, upright to {counted(round(max(tilts)), 'degree')}"
        yield Finding("mounts", text, "good", next(iter(worst.values()))[1])


def mount(name, T):
    """(0 nothing, 1 to look at or 2 bad; in words; degrees from where a camera of that name looks, None where its name says nothing)."""
    place, ahead, up = np.linalg.norm(T[:3, 3]), T[:3, 2], -T[:3, 1]
    looks, pitch = f"looks along {axis(ahead)}", 90 - angle(ahead, (0, 0, 1))
    wanted, off = headings(name), None
    if wanted and abs(pitch) < MOUNT["pitch"]:
        heading = np.degrees(np.arctan2(ahead[1], ahead[0]))
        off = float(min(abs((heading - one + 180) % 360 - 180) for one in wanted))
    if place > MOUNT["far"]:
        return 2 if place > MOUNT["lost"] else 1, f"stands {place:.1f} m from the LiDAR", off
    if angle(up, (0, 0, 1)) > MOUNT["up"]:
        text = f"{looks} of the LiDAR and its upper edge points to {axis(up)}"
        for way, other in inverses(T):
            if angle(-other[:3, 1], (0, 0, 1)) < MOUNT["upright"] and abs(other[2, 2]) < 0.5:
                return 2, f"{text}; {way} it is upright", off
        return 2 if wanted and abs(pitch) > MOUNT["pitch"] else 1, f"{text}: are the axes the camera's own?", off
    if abs(pitch) > MOUNT["pitch"]:
        return (
            2 if wanted else 1,
            f"{looks} of the LiDAR, {abs(pitch):.0f} degrees {'up' if pitch > 0 else 'down'}",
            off,
        )
    return 0, f"{looks} of the LiDAR, which its name does not say", off


def doubt(camera):
    """Whether a camera stands where its calibration says: 0 it may, 1 it is to be looked at, 2 it cannot."""
    return mount(camera.name, invert(camera.T_cam_lidar))[0]


def inverses(T):
    """(name, (4, 4)) of what extrinsics T_lidar_cam (4, 4) that were given the other way round should have been."""
    for name, axes in WAYS.items():
        yield name, axes @ invert(T) @ axes


def headings(name):
    """[degrees to the left of x] where a camera of this name may look, [] where its name does not say."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    found = [NAMES[word] for word in words if word in NAMES]
    if not found:
        return []
    mean = np.exp(1j * np.radians(found)).mean()
    return [float(np.degrees(np.angle(mean)))] + ([0.0] if set(words) & set(NAMES) <= {"left", "right"} else [])


def heading(steps):
    """The finding of the way from frame to frame: [((3,) metres, in the LiDAR's axes, where)]."""
    told = [(way / np.linalg.norm(way), where) for way, where in steps if np.linalg.norm(way) >= WAY["least"]]
    if not told:
        return None
    mean, where = np.mean([way for way, _ in told], axis=0), told[0][1]
    ahead = angle(mean, (1, 0, 0))
    if np.linalg.norm(mean) < WAY["steady"]:
        text = "frames lie in no steady direction from one to the next: are the poses those of the world in the LiDAR?"
        return Finding("way", text, "look", where)
    text = f"{counted(len(told), 'step')} towards {axis(mean)} of the LiDAR, {counted(round(ahead), 'degree')} from x"
    if ahead <= WAY["ahead"]:
        return Finding("way", text, "good", where)
    back = ahead > 180 - WAY["ahead"]
    what = (
        "does x point backward, or does the vehicle?"
        if back
        else "are the axes others, or the poses those of another sensor?"
    )
    return Finding("way", f"{text}: {what}", "look" if back else "bad", where)


def angle(one, other):
    """Degrees between two vectors."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other)), one @ other)))


def axis(vector):
    """The axis that a vector is nearest to, such as "+y"."""
    return AXES[int(np.argmax(np.concatenate([vector, -np.asarray(vector)])))]
