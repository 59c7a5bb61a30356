"""`python -m xkd check ROOT`: what a data set holds, and whether its scans lie on its images, before anything is trained on it."""

import re
from dataclasses import replace

import numpy as np

from xkd import bearings
from xkd.errors import XkdError
from xkd.findings import Finding, counted, spread
from xkd.geometry import invert
from xkd.looked import Looked
from xkd.progress import progress
from xkd.standing import standing

SPEED = 70.0
"""Metres a second from pose to pose that no vehicle has."""
TURN = 180.0
"""Degrees a second from pose to pose that no vehicle turns: twice what the quickest robots do."""
SLOW, LONG = 0.001, 10.0
"""Of a scene that moves: metres a second at most, with seconds from frame to frame at least, that tell of times in a smaller unit."""


def check(dataset, frames=10):
    """[Finding] of a data set, from `frames` of its frames, evenly chosen. What cannot be read is a finding, not an error.

    Errors: not one frame is to be looked at."""
    if frames < 1:
        raise XkdError(f"{frames} frames to look at; there has to be one at least.")
    chosen = np.linspace(0, len(dataset) - 1, min(frames, len(dataset))).round().astype(int)
    readings, looked, unread = [], Looked(dataset), set()
    for i in progress(chosen.tolist(), "check", len(chosen)):
        name = number(dataset, i)
        try:
            frame = dataset[i]
            name = f"frame {frame.id}"
            looked.frame(frame)
        except Exception as error:  # of whatever kind: that this frame cannot be read is what was asked
            unread.add(i)
            readings.append(Finding("reading", said(error), "bad", name))
    found = looked.findings() if looked.points else []
    return [index(dataset), *once(readings), *found, *motion(dataset, unread)]


def once(readings):
    """Of findings that differ in nothing but files and numbers the first alone, with how many more there are: one cause is one line."""
    alike = {}
    for one in readings:
        alike.setdefault(re.sub(r"\S*/\S*|[\d.]+", "", one.found), []).append(one)
    return [
        replace(first, found=f"{first.found} {counted(len(more), 'more frame')} alike.") if more else first
        for first, *more in alike.values()
    ]


def index(dataset):
    """What there is, without reading a scan."""
    size = f"{counted(len(dataset), 'frame')} of {counted(len(set(dataset.scenes)), 'scene')}"
    text = f"{dataset.kind}: {size}; cameras: {', '.join(dataset.camera_names) or 'none'}"
    return Finding("data set", text, "good" if dataset.camera_names else "bad", str(dataset.root))


def motion(dataset, known=()):
    """[Finding] of time and way from frame to frame, over all of them: poses and timestamps only. known: numbers of frames of which a
    finding says already that they cannot be opened."""
    frames, failed = [], []
    for i in range(len(dataset)):
        try:
            frames.append(dataset[i])
        except Exception as error:  # as above
            failed += [] if i in known else [(said(error), number(dataset, i))]
    found = []
    if failed:
        text = f"{counted(len(failed), 'frame')} cannot be opened; the first: {failed[0][0]}"
        found.append(Finding("opening", text, "bad", failed[0][1]))
    pairs = [pair for pair in zip(frames, frames[1:], strict=False) if pair[0].scene == pair[1].scene]
    told = bearings.heading([(step(*pair), f"frame {pair[1].id}") for pair in pairs]), standing(pairs)
    found.append(speed(pairs, f"frame {frames[0].id}" if frames else str(dataset.root)))
    return found + [one for one in told if one is not None]


def step(before, after):
    """(3,) metres from one frame's LiDAR to the next one's, in the axes of the first."""
    return (invert(before.T_world_lidar) @ after.T_world_lidar)[:3, 3]


def speed(pairs, first):
    """The finding of [(frame, the next one of its scene)]; first: the frame to look at where no other is."""
    gaps, speeds, turns, still = [], [], [], 0
    for before, after in pairs:
        if before.timestamp is None or after.timestamp is None:
            continue
        way, gap = float(np.linalg.norm(step(before, after))), (after.timestamp - before.timestamp) / 1e6
        turn = before.T_world_lidar[:3, :3].T @ after.T_world_lidar[:3, :3]
        if gap <= 0:
            text = f"frame {after.id} is {gap:g} s after the frame before it"
            return Finding("motion", text, "bad", f"frame {after.id}")
        still += way == 0
        gaps.append(gap)
        speeds.append((way / gap, after.id))
        turns.append((np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) / gap, after.id))
    if not gaps:
        text = "no timestamps, so that no speed is known" if pairs else "no two frames of a scene"
        return Finding("motion", text, "look" if pairs else "good", first)
    fastest, where = max(speeds)
    text = f"{spread(gaps, '{:.3g}')} s from frame to frame, {spread([s for s, _ in speeds], '{:.1f}')} m/s"
    if fastest > SPEED:
        return Finding("motion", f"{text}: a pose jumps", "bad", f"frame {where}")
    quickest, turned = max(turns)
    if quickest > TURN:
        text = f"{text}: a pose turns by {quickest:.0f} degrees a second; is its quaternion in the layout's order?"
        return Finding("motion", text, "bad", f"frame {turned}")
    if still == len(gaps):
        text = f"{text}: no pose moves, so neighbouring frames' images are of no use"
        return Finding("motion", text, "look", f"frame {where}")
    if fastest < SLOW and min(gaps) > LONG:
        return Finding("motion", f"{text}: are the times in the layout's unit?", "bad", f"frame {where}")
    return Finding("motion", text, "good", f"frame {where}")


def number(dataset, i):
    """A frame that may not be opened, in words."""
    return f"frame number {i}, of scene {dataset.scenes[i]}"


def said(error):
    """An error as the sentence of a finding; of one that no reader meant to raise, with its kind."""
    return str(error) if isinstance(error, XkdError) else f"{type(error).__name__}: {error}"
