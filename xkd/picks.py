"""Which points of a frame are shown, which of them are worth a look, and which one is picked first."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from xkd.errors import XkdError
from xkd.palette import IGNORED

SHOWN_AT = 12.0
"""Metres: near enough to be large in images, far enough to lie inside them."""
RAISED = (0.5, 2.5)
"""Metres above the lowest point within one to two: off the road and below the crowns of trees."""
WITHIN, AROUND, CROWD = 0.15, 0.5, 20
"""Share of an image on each side that is its border; metres around a point that are taken for the same thing; points off the road in there
that make it one."""


def overlap(frame, pairs):
    """(N,) in how many images each point is seen."""
    return np.bincount(pairs.point, minlength=len(frame.points))


def thin(seen, most, asked=None):
    """Which of a frame's points are kept, at most `most` of them, evenly spread, and the honest words for it.

    seen: (N,) bool, in an image: these come first, but leave a fifth to the others; asked: a point that is kept in any case.
    """
    inside, outside = np.flatnonzero(seen), np.flatnonzero(~seen)
    first = min(len(inside), most - min(len(outside), most // 5))
    counts = (first, min(len(outside), most - first))
    groups = [
        group[np.linspace(0, len(group) - 1, count).astype(np.int64)]
        for group, count in zip((inside, outside), counts, strict=True)
    ]
    kept = np.unique(np.concatenate([*groups, np.array([] if asked is None else [asked], np.int64)]))
    if len(kept) == len(seen):
        return kept, f"showing all {len(seen):,} points, {len(inside):,} of them in images"
    words = f"showing {len(kept):,} of {len(seen):,} points"
    return kept, f"{words}, among these {seen[kept].sum():,} of the {len(inside):,} that are in images"


def image_colours(frame, pairs, images):
    """(N, 3) uint8: the mean image colour of each point over the cameras that see it; light grey where none does."""
    total, count = np.zeros((len(frame.points), 3)), overlap(frame, pairs)
    for k, image in enumerate(images):
        here = pairs.camera == k
        rows, columns = pairs.pixel[here].T
        np.add.at(total, pairs.point[here], image[rows, columns].astype(np.float64))
    colours = np.round(total / np.maximum(count, 1)[:, None]).astype(np.uint8)
    colours[count == 0] = int(IGNORED[1:3], 16)
    return colours


def picked(frame, point=None, pixel=None):
    """What is picked first: {point, camera (its number), row, column}, None where it is not said. Errors: the frame has it not."""
    if point is not None and not 0 <= point < len(frame.points):
        raise XkdError(f"point {point}: frame {frame.id} has {len(frame.points)} points, counted from 0.")
    if pixel is None:
        return {"point": point, "camera": None, "row": None, "column": None}
    name, row, column = pixel
    names = [camera.name for camera in frame.cameras]
    if name not in names:
        raise XkdError(f"pixel: {name!r} is no camera of frame {frame.id}; it has {', '.join(names)}.")
    height, width = frame.cameras[names.index(name)].size
    if not (0 <= row < height and 0 <= column < width):
        raise XkdError(f"pixel ({row}, {column}) lies outside {name}, {height} x {width} (rows x columns).")
    return {"point": None, "camera": names.index(name), "row": row, "column": column}


def places(frame, pairs, classes, kept, count=6):
    """{name: point} of places worth a look, among the points `kept`: in the image with the most points the middle one of each of its
    commonest classes; where there are no labels a near, a middle and a far one, off the road where there are such."""
    own = np.flatnonzero(np.isin(pairs.point, kept))
    here = own[pairs.camera[own] == np.bincount(pairs.camera[own]).argmax()]
    if frame.labels is None:
        up = raised(frame.points)[pairs.point[here]]
        here = here[up] if up.any() else here
        order = pairs.point[here[np.argsort(pairs.depth[here], kind="stable")]]
        return {name: int(order[int(part * (len(order) - 1))]) for name, part in NEAR.items()}
    ids, chosen = frame.labels[pairs.point[here]], {}
    for k in np.argsort(-np.bincount(ids[ids >= 0], minlength=len(classes)), kind="stable")[:count]:
        rows = here[ids == k]
        if len(rows):
            middle = np.abs(pairs.pixel[rows] - np.median(pairs.pixel[rows], 0)).sum(1).argmin()
            chosen[classes[k].replace("_", " ")] = int(pairs.point[rows[middle]])
    return chosen


NEAR = {"near": 0.05, "middle": 0.5, "far": 0.95}


def raised(points):
    """(N, 3) metres, LiDAR frame -> (N,) bool: so high above the lowest point of the metre around as `RAISED` says."""
    cell = np.floor(points[:, :2]).astype(np.int64)
    cell = np.clip(cell, -200, 199) + 200
    low = np.full((400, 400), np.inf)
    np.minimum.at(low, tuple(cell.T), points[:, 2])
    above = points[:, 2] - ndimage.minimum_filter(low, 3)[tuple(cell.T)]
    return (above > RAISED[0]) & (above < RAISED[1])


def first_pick(found, frame, edges):
    """A point of a thing that stands free: a neighbour of it is at a jump in range, it is off the road and well inside all images of its
    own frame that show it, at 5 to 25 m. Of several one with the most views; of these the one nearest to `SHOWN_AT`. What no point has
    is not asked of any.

    found: `Views` of the frame's points; edges: (N,) bool, `xkd.alignment.range_edges`.
    """
    count = np.bincount(found.point, minlength=len(frame.points))
    size = np.array([camera.size for camera in frame.cameras])
    own = found.frame == frame.index
    place = (found.pixel[own] + 0.5) / size[found.camera[own]]
    outer = found.point[own][((place < WITHIN) | (place > 1 - WITHIN)).any(1)]
    inside = np.zeros(len(count), bool)
    inside[found.point[own]] = True
    inside[outer] = False
    distance, off = np.linalg.norm(frame.points, axis=1), raised(frame.points)
    thing = np.zeros(len(count), bool)
    if (inside & off).any():
        # Many points together: one that is off the road alone may be a stray return.
        tree, rows = cKDTree(frame.points[off]), np.flatnonzero(inside & off)
        thing[rows] = tree.query_ball_point(frame.points[rows], AROUND, return_length=True) >= CROWD
    choice = count > 0
    for asked in (inside, off, thing, (distance > 5) & (distance < 25), edges):
        choice = choice & asked if (choice & asked).any() else choice
    most = np.flatnonzero(choice & (count == count[choice].max()))
    first = most[np.abs(distance[most] - SHOWN_AT).argmin()]
    # Not on the outline itself, where half of what is around the ring is something else.
    same = np.linalg.norm(frame.points - frame.points[first], axis=1) < AROUND
    same = np.flatnonzero(same & inside & off & ~edges & (count >= count[first]))
    if not len(same):
        return int(first)
    middle = np.median(frame.points[same], axis=0)
    return int(same[np.linalg.norm(frame.points[same] - middle, axis=1).argmin()])
