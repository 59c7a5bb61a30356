"""The contract between data sets and everything else: frames, cameras, and what a reader has to answer.

Axes x forward, y left, z up, metres; `T_a_b` (4, 4) float64 maps points of frame b into a; labels are training ids.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import yaml
from numba import njit

from xkd import images
from xkd.errors import XkdError
from xkd.files import read_bytes
from xkd.geometry import invert

IGNORE = -1
FARTHEST = 10_000.0
"""Metres along an axis that a point may be from its sensor; a file with one further off holds something else."""


@dataclass(frozen=True, eq=False)
class Camera:
    """One image and everything needed to project points of a sweep into it. Camera axes: x right, y down, z forward."""

    name: str
    path: Path
    size: tuple[int, int]
    K: np.ndarray
    T_rig_cam: np.ndarray
    T_world_rig: np.ndarray
    """Where the rig was at the image's own time."""
    T_world_lidar: np.ndarray
    """Where the LiDAR was at the sweep's time."""
    timestamp: int | None = None
    """Microseconds."""
    model: str = "pinhole"
    distortion: tuple[float, ...] = ()
    """opencv: k1, k2, p1, p2[, k3[, k4, k5, k6]]; fisheye: k1 .. k4."""
    modality: str = "rgb"

    @cached_property
    def T_cam_lidar(self):
        """(4, 4): LiDAR points of the sweep into this camera, with the ego motion between the two times."""
        return invert(self.T_world_rig @ self.T_rig_cam) @ self.T_world_lidar

    def image(self):
        """(H, W, 3) uint8 RGB. Errors: a missing, unreadable or wrongly sized file."""
        return images.rgb(self.path, self.size, f"camera {self.name}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One sweep with its images. Arrays are read when first asked for and kept as long as the frame."""

    id: str
    scene: str
    split: str | None
    index: int
    """Position in the data set."""
    timestamp: int | None
    """Microseconds."""
    T_world_lidar: np.ndarray
    source: "Dataset" = field(repr=False)

    @cached_property
    def _scan(self):
        return self.source.read_scan(self.index)

    @cached_property
    def _annotation(self):
        return self.source.read_labels(self.index)

    @property
    def points(self):
        """(N, 3) float32, metres, LiDAR frame."""
        return self._scan[0]

    @property
    def attributes(self):
        """{name: (N,)}: `intensity` float32 0..1; `ring` where the data has it."""
        return self._scan[1]

    @property
    def labels(self):
        """(N,) int64 training ids, -1 = ignore; None where the frame has no labels."""
        return self._annotation[0]

    @property
    def instances(self):
        """(N,) int64, 0 = no instance; None where the frame has none."""
        return self._annotation[1]

    @cached_property
    def cameras(self):
        """The images of this sweep, in the order of the data set's `camera_names`."""
        return self.source.read_cameras(self.index)


class Dataset(Sequence):
    """A sequence of frames, ordered by scene and then time.

    A reader fills `scenes` and `camera_names` and has four methods: `frame(i)`, `read_scan(i)` -> points, attributes,
    `read_labels(i)` -> labels, instances, `read_cameras(i)` -> [Camera].
    """

    kind = None
    options = ()
    ignore_index = IGNORE

    def __init__(self, root, split):
        self.root, self.split = Path(root), split
        self.classes = list(self.facts()["classes"])
        self.colours = np.array(list(self.facts()["classes"].values()), np.uint8)
        self.scenes: list[str] = []
        self.camera_names: list[str] = []

    @classmethod
    def facts(cls):
        """The published facts of this data set: classes, colours, label map, splits."""
        return facts(cls.kind)

    @classmethod
    def splits(cls):
        """{split: set of scene numbers} from the facts."""
        return {name: numbers(text) for name, text in cls.facts()["splits"].items()}

    def __len__(self):
        return len(self.scenes)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self.frame(j) for j in range(len(self))[i]]
        return self.frame(range(len(self))[i])

    def neighbours(self, i, k):
        """Up to `k` frames before and `k` after frame `i`, of its scene, in time order, without `i` itself."""
        i = range(len(self))[i]
        near = range(max(i - k, 0), min(i + k + 1, len(self)))
        return [self.frame(j) for j in near if j != i and self.scenes[j] == self.scenes[i]]

    def __repr__(self):
        what = f"{len(self)} frames of {len(set(self.scenes))} scenes, cameras {self.camera_names}"
        return f"<{self.kind} {self.root} split={self.split}: {what}>"


@cache
def facts(kind):
    """The facts of `labels/<kind>.yaml`."""
    return yaml.safe_load((Path(__file__).parent / "labels" / f"{kind}.yaml").read_text())


def numbers(text):
    """ "1-3 8" -> {1, 2, 3, 8}: the compact lists of scene numbers in the label files."""
    ends = [[int(end) for end in part.split("-")] for part in text.split()]
    return {number for end in ends for number in range(end[0], end[-1] + 1)}


def read_points(path, columns, brightest):
    """(N, columns) float32 of a headerless scan file: x, y, z in metres, intensity in 0..brightest, what else there is.

    Errors: missing, cut off, empty, NaN or infinite, a coordinate beyond `FARTHEST`, an intensity of another layout.
    """
    scan = read_rows(path, columns)
    if not _sound(scan, FARTHEST, brightest):
        refuse_points(path, scan, brightest)
    return scan


def read_rows(path, columns, read=Path.read_bytes):
    """(N, columns) float32 of a headerless file, whatever they are. read: see `xkd.files.read_bytes`. Errors: missing, cut off, empty."""
    data = read_bytes(path, read=read)
    if len(data) % (4 * columns) or not data:
        raise XkdError(
            f"{path}: {len(data)} bytes are not a whole number of points of {columns} float32 (or none at all)."
        )
    return np.frombuffer(data, "<f4").reshape(-1, columns)


def refuse_points(path, scan, brightest):
    """Errors: what is wrong with points of a scan file, if anything: see `read_points`."""
    refuse(path, ~np.isfinite(scan).all(axis=1), "are not finite", scan)
    xyz, intensity = scan[:, :3], scan[:, 3:4]
    refuse(path, (np.abs(xyz) > FARTHEST).any(axis=1), f"are more than {FARTHEST:.0f} m away along an axis", xyz)
    outside = ((intensity < 0) | (intensity > brightest))[:, 0]
    refuse(path, outside, f"have an intensity outside 0..{brightest}", intensity)


@njit(cache=True, nogil=True)
def _sound(scan, farthest, brightest):
    """Whether nothing is wrong with any point of a scan (N, 4 or more): one look at every number, where what is wrong takes several."""
    sound = True
    for i in range(len(scan)):
        for k in range(scan.shape[1]):
            sound &= math.isfinite(scan[i, k])
        for k in range(3):
            sound &= abs(scan[i, k]) <= farthest
        sound &= 0 <= scan[i, 3] <= brightest
    return sound


def refuse(path, bad, what, values):
    """Errors: a point of a scan file marked in `bad` (N,) bool; the first is told with its row of `values` (N, k)."""
    if bad.any():
        first = np.argmax(bad)
        row = ", ".join(f"{value:g}" for value in values[first])
        raise XkdError(f"{path}: {bad.sum()} points {what}, the first is point {first} with {row}.")


def same_length(path, labels, scan, points):
    """Errors: a label file whose length is not its scan's."""
    if labels != points:
        raise XkdError(f"{path}: {labels:g} labels for {points} points of {scan}.")


def training_ids(raw, table, path):
    """(N,) raw ids, negative ones too, and {raw id: training id} -> (N,) int64. Errors: an id that the table does not have."""
    first, last = min(table, default=0), max(table, default=0)
    if last - first < 1 << 20:
        lookup = np.full(last - first + 2, IGNORE - 1, np.int64)
        lookup[np.array(list(table), np.int64) - first] = list(table.values())
        place = raw.astype(np.int64) - first
        ids = lookup[np.where((place < 0) | (place >= len(lookup)), len(lookup) - 1, place)]
    else:
        values, back = np.unique(raw, return_inverse=True)
        ids = np.array([table.get(value, IGNORE - 1) for value in values.tolist()], np.int64)[back]
    unknown = ids < IGNORE
    if unknown.any():
        listed = np.unique(raw[unknown]).tolist()
        raise XkdError(f"{path}: unknown label id {', '.join(map(str, listed[:5]))} ({unknown.sum()} points).")
    return ids
