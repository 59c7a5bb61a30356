"""Every view of a point: all cameras of its sweep, and the images of neighbouring frames through the ego poses."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from xkd.geometry import in_view, pair

SAME = {"absolute": 0.3, "relative": 0.03, "cell": 1.0, "nearest": 4}
"""A neighbour's image shows a point if the neighbour's own scan has a surface at its depth and pixel: one of the `nearest` scan points
that are at most `cell` mean spacings of the scan in that image away lies within absolute (metres) + relative * depth of it."""


@dataclass
class Views:
    """P times a point of frame `i` in an image, ordered by frame, camera and point."""

    point: np.ndarray
    """(P,) int32 index into the points of frame i."""
    frame: np.ndarray
    """(P,) int32 index of the image's frame in the data set; i itself for the sweep's own cameras."""
    camera: np.ndarray
    """(P,) int16 index into that frame's cameras."""
    pixel: np.ndarray
    """(P, 2) int16 row, col."""
    depth: np.ndarray
    """(P,) float32 metres along that camera's optical axis."""

    def __len__(self):
        return len(self.point)


def views(dataset, i, reach=1, only=None, same=None):
    """Frame `i` of a data set in its own images and in those of up to `reach` frames before and after it -> `Views`.

    only: (K,) indices of the points asked for, None for all.

    What hides a point in an image is left out there. Between frames things move, and nothing tells a moved car from a hidden wall
    but the neighbour's own scan: a point counts in a neighbour's image where that scan has a surface at the same place, as `SAME` says
    (values in `same` replace them). Seen through, in front of, or where the scan has no point, it does not. No label or box is read.
    Errors: a frame none of whose points falls into any of its own images.
    """
    settings = SAME | (same or {})
    frame = dataset[i]
    i = frame.index  # also where `i` counts from the end
    asked = np.arange(len(frame.points)) if only is None else np.unique(only)
    own = pair(frame)  # of all points: what hides one may not be asked for
    wanted = np.isin(own.point, asked)
    parts = [(i, own.point[wanted], own.camera[wanted], own.pixel[wanted], own.depth[wanted])]
    for other in dataset.neighbours(i, reach):
        parts += [(other.index, *part) for part in _in_images_of(other, frame, asked, settings)]
    parts.sort(key=lambda part: part[0])
    frames = np.concatenate([np.full(len(part[1]), part[0], np.int32) for part in parts])
    point, camera, pixel, depth = (np.concatenate(arrays) for arrays in list(zip(*parts, strict=True))[1:])
    return Views(point, frames, camera, pixel, depth)


def _in_images_of(other, frame, asked, settings):
    """(point, camera, pixel, depth) of the points `asked` of `frame` that each camera of the frame `other` shows."""
    for position, camera in enumerate(other.cameras):
        point, pixel, depth = in_view(frame.points[asked], replace(camera, T_world_lidar=frame.T_world_lidar))
        _, scan_pixel, scan_depth = in_view(other.points, camera)
        if len(point) and len(scan_pixel):
            kept = _same_surface(pixel, depth, scan_pixel, scan_depth, camera.size, settings)
            yield asked[point[kept]].astype(np.int32), np.full(kept.sum(), position, np.int16), pixel[kept], depth[kept]


def _same_surface(pixel, depth, scan_pixel, scan_depth, size, settings):
    """(P,) bool: whether one of the scan's points is near by, in the image and in depth."""
    radius = max(settings["cell"] * (size[0] * size[1] / len(scan_pixel)) ** 0.5, 1.0)
    count = settings["nearest"]
    _, nearest = cKDTree(scan_pixel).query(pixel, count, distance_upper_bound=radius)
    there = np.append(scan_depth, np.float32(np.inf))[np.reshape(nearest, (len(pixel), count))]
    tolerance = settings["absolute"] + settings["relative"] * depth
    return (np.abs(there - depth[:, None]) <= tolerance[:, None]).any(1)
