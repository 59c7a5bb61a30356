"""PandaSet (Xiao et al., ITSC 2021): eight-second scenes of a spinning and a forward-facing solid-state LiDAR and six cameras.

Layout: `<scene>/lidar/NN.pkl.gz`, `camera/<name>/{NN.jpg, intrinsics.json}`, in both folders `poses.json` and `timestamps.json`, row NN;
`annotations/semseg/{NN.pkl.gz, classes.json}` in some scenes. `meta/gps.json` tells the splits, which are ScaLR's (`labels/pandaset.yaml`).
Points are in the world on disk, each where it was when it was measured, so that their own times leave nothing to correct; here they are
in the frame of the sweep's pose, which is x right, y forward on disk and turned into x forward, y left. Its origin is not in a sensor but
under it, near the ground: in scene 002 the road is 0.2 to 0.4 m lower. Images are published rectified, so the cameras are pinholes.
Cuboids are not read.
"""

import math
from pathlib import Path

import numpy as np

from xkd.datasets.frame import FARTHEST, Camera, Dataset, Frame, refuse, same_length, training_ids
from xkd.errors import XkdError
from xkd.files import read_json
from xkd.geometry import invert, numeric, rigid, transform
from xkd.motion import Motion
from xkd.pickles import read_table

SENSORS = {"both": (0, 1), "spinning": (0,), "solid": (1,)}
"""Which of the two LiDARs, by their number in column d of a scan."""
T_DISK_LIDAR = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
"""Contract axes (x forward, y left) to the axes of the poses on disk (x right, y forward)."""


class PandaSet(Dataset):
    """Scans of the scenes that are there, of both LiDARs or of one; without labels where a scan has no file of them.

    A split holds labelled scenes only; without a split, all scenes. Cameras are the six published ones, less those without a folder.
    """

    kind = "pandaset"
    options = ("sensor",)

    def __init__(self, root, split=None, sensor="both"):
        super().__init__(root, split)
        if sensor not in SENSORS:
            raise XkdError(f"pandaset has no sensor {sensor!r}; its sensors are {', '.join(SENSORS)}.")
        self.sensor = sensor
        facts = self.facts()
        labels = facts["labels"]
        self._training = {raw: self.classes.index(c) if c else self.ignore_index for raw, (_, c) in labels.items()}
        folders = sorted(path.parent for path in root.glob("*/lidar"))
        if not folders:
            raise XkdError(f"{root}: holds no folder of a scene, which would have a folder lidar.")
        self._splits = {folder.name: self._split_of(folder) for folder in folders}
        wanted = [folder for folder in folders if split in (None, self._splits[folder.name])]
        self._scenes = {folder.name: Scene(folder, facts) for folder in wanted}
        self._scans = [(name, scan) for name, scene in self._scenes.items() for scan in scene.scans]
        if not self._scans:
            raise XkdError(f"{root}: holds no lidar scan of split {split or '(any)'}.")
        self.scenes = [name for name, _ in self._scans]
        self.camera_names = [c for c in facts["cameras"] if any(c in s.cameras for s in self._scenes.values())]

    @classmethod
    def splits(cls):
        """{split: (above, up to) degrees of latitude}: PandaSet has no lists of scenes."""
        return {name: tuple(ends) for name, ends in cls.facts()["splits"].items()}

    def _split_of(self, folder):
        """The split of a scene; None without labels, or without a position where no split is asked for."""
        path = folder / "meta" / "gps.json"
        if not (folder / "annotations" / "semseg").is_dir() or (self.split is None and not path.is_file()):
            return None
        latitude = number(path, read_json(path), 0, "lat")
        return next((name for name, (above, most) in self.splits().items() if above < latitude <= most), None)

    def frame(self, i):
        name, scan = self._scans[i]
        lidar = self._scenes[name].lidar
        time, T_world_lidar = lidar.microseconds(int(scan)), lidar.T_world(int(scan))
        return Frame(f"{name}/{scan}", name, self._splits[name], i, time, T_world_lidar, self)

    def read_scan(self, i):
        name, scan = self._scans[i]
        return read_sweep(self._scenes[name].scan(scan), self._scenes[name].lidar, self.sensor)

    @staticmethod
    def scan_file(path):
        """One `lidar/NN.pkl.gz`, of both LiDARs: (N, 3) float32 metres, and its attributes. Errors: no poses or timestamps beside it."""
        return read_sweep(path, Track(Path(path).parent, [scan_number(path)], T_DISK_LIDAR), "both")

    def read_labels(self, i):
        name, scan = self._scans[i]
        path = self._scenes[name].folder / "annotations" / "semseg" / f"{scan}.pkl.gz"
        if not path.is_file():
            return None, None
        (raw,), (d,) = read_table(path, ["class"]), read_table(self._scenes[name].scan(scan), ["d"])
        same_length(path, len(raw), self._scenes[name].scan(scan), len(d))
        raw = raw.astype(np.float64)
        refuse(path, ~((raw >= 0) & (raw < 2**31) & (raw == np.floor(raw))), "have a label that is no id", raw[:, None])
        ids = training_ids(raw.astype(np.int64), self._training, path)
        return ids[np.isin(d, SENSORS[self.sensor])], None

    def read_cameras(self, i):
        name, scan = self._scans[i]
        cameras = self._scenes[name].cameras
        return [self._camera(name, scan, camera) for camera in self.camera_names if camera in cameras]

    def _camera(self, name, scan, camera):
        """The files say where a camera was, not how it is mounted: that is taken from the LiDAR's pose at the image's time."""
        scene, row = self._scenes[name], int(scan)
        track = scene.cameras[camera]
        T_world_rig = scene.lidar.T_world_at(track.times[row])
        return Camera(
            name=camera, path=track.folder / f"{scan}.jpg", size=tuple(self.facts()["image_size"]), K=scene.K[camera],
            T_rig_cam=invert(T_world_rig) @ track.T_world(row), T_world_rig=T_world_rig,
            T_world_lidar=scene.lidar.T_world(row), timestamp=track.microseconds(row),
        )  # fmt: skip


Reader = PandaSet


class Scene:
    """One scene's folder: which scans it has, where its sensors were, and the calibration of its cameras."""

    def __init__(self, folder, facts):
        self.folder = folder
        self.scans = sorted(path.name.removesuffix(".pkl.gz") for path in (folder / "lidar").glob("*.pkl.gz"))
        rows = [scan_number(self.scan(scan)) for scan in self.scans]
        self.lidar = Track(folder / "lidar", rows, T_DISK_LIDAR)
        folders = {name: folder / "camera" / name for name in facts["cameras"]}
        self.cameras = {name: Track(path, rows) for name, path in folders.items() if path.is_dir()}
        self.K = {name: intrinsics(folders[name], facts["image_size"]) for name in self.cameras}
        path = folder / "annotations" / "semseg" / "classes.json"
        known = {str(raw): name for raw, (name, _) in facts["labels"].items()}
        if path.is_file() and (found := read_json(path)) != known:
            raise XkdError(f"{path}: holds {str(found)[:60]} ..., not the names of PandaSet's {len(known)} classes.")

    def scan(self, scan):
        return self.folder / "lidar" / f"{scan}.pkl.gz"


class Track:
    """Where a sensor was at every frame of its scene, by `poses.json` and `timestamps.json` of its folder.

    rows: numbers of the frames that are needed. T_disk_axes (4, 4): the axes wanted into those on disk. Errors: lists too short, times
    that do not grow; a pose that is none when it is asked for.
    """

    def __init__(self, folder, rows, T_disk_axes=None):
        self.folder, self.T_disk_axes = folder, np.eye(4) if T_disk_axes is None else T_disk_axes
        self._poses, times = (read_json(folder / f"{name}.json") for name in ("poses", "timestamps"))
        self.times = numeric(times)
        """(rows,) float64 seconds."""
        path = folder / "timestamps.json"
        if not isinstance(times, list) or self.times.shape != (len(times),) or not np.isfinite(self.times).all():
            raise XkdError(f"{path}: is not a list of finite numbers of seconds.")
        if not isinstance(self._poses, list):
            raise XkdError(f"{folder / 'poses.json'}: is not a list of poses.")
        for name, values in (("poses", self._poses), ("timestamps", self.times)):
            if rows and max(rows) >= len(values):
                raise XkdError(f"{folder / name}.json: has {len(values)} rows and so none for frame {max(rows):02d}.")
        late = np.flatnonzero(np.diff(self.times) <= 0) + 1
        if len(late):
            time = self.times[late[0]]
            raise XkdError(f"{path}: row {late[0]} is at {time:.6f} s and not later than the row before it.")
        self._motion = Motion(path, self.times * 1e6, self.T_world)

    def microseconds(self, row):
        return round(self.times[row] * 1e6)

    def T_world(self, row):
        """(4, 4): the sensor into the world."""
        path, wanted = self.folder / "poses.json", [("heading", "wxyz"), ("position", "xyz")]
        parts = [[number(path, self._poses, row, part, axis) for axis in axes] for part, axes in wanted]
        try:
            return rigid(*parts) @ self.T_disk_axes
        except XkdError as error:
            raise XkdError(f"{path}: row {row}: heading: {error}") from None

    def T_world_at(self, time):
        """(4, 4) at a time in seconds, between or beyond the rows (`xkd.motion`)."""
        return self._motion.at(time * 1e6)


def intrinsics(folder, size):
    """(3, 3) of a camera's folder. Errors: no finite numbers, or not of an image of `size` (height, width)."""
    path = folder / "intrinsics.json"
    values = read_json(path)
    fx, fy, cx, cy = (number(path, values, key) for key in ("fx", "fy", "cx", "cy"))
    height, width = size
    if not (fx > 0 and fy > 0 and 0 < cx < width and 0 < cy < height):
        raise XkdError(
            f"{path}: focal lengths {fx:g}, {fy:g} and a centre at column {cx:g}, row {cy:g} are no calibration of images of "
            f"{width} x {height}."
        )
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def read_sweep(path, track, sensor):
    """One scan: (N, 3) float32 metres in the frame of its pose in `track`, contract axes; attributes `intensity`, `time`, `sensor`.

    time: float32 seconds after the sweep's timestamp, which is its end for the spinning LiDAR. sensor: uint8, 0 spinning, 1 solid-state.
    Errors: a damaged or empty file, values that are not finite, too far, or of another layout, no point of the sensor.
    """
    row = scan_number(path)
    scan = np.column_stack([column.astype(np.float64) for column in read_table(path, list("xyzitd"))])
    refuse(path, ~np.isfinite(scan).all(axis=1), "are not finite", scan)
    d, intensity = scan[:, 5], scan[:, 3]
    refuse(path, ~np.isin(d, SENSORS["both"]), "are of a sensor d other than 0 and 1", scan[:, 5:])
    refuse(path, (intensity < 0) | (intensity > 255), "have an intensity outside 0..255", scan[:, 3:4])
    scan = scan[np.isin(d, SENSORS[sensor])]
    if not len(scan):
        raise XkdError(f"{path}: has {len(d)} points and none of the sensor {sensor}.")
    points = transform(invert(track.T_world(row)), scan[:, :3])
    far = (np.abs(points) > FARTHEST).any(axis=1)
    refuse(path, far, f"are more than {FARTHEST:.0f} m from the sweep's pose", points)
    intensity, time, d = scan[:, 3] / 255, scan[:, 4] - track.times[row], scan[:, 5]
    attributes = {
        "intensity": intensity.astype(np.float32),
        "time": time.astype(np.float32),
        "sensor": d.astype(np.uint8),
    }
    return points.astype(np.float32), attributes


def scan_number(path):
    """43 of `lidar/43.pkl.gz`. Errors: a file that is named otherwise."""
    name = Path(path).name
    stem = name.removesuffix(".pkl.gz")
    if stem == name or not stem.isdecimal():
        raise XkdError(f"{path}: is no scan's name, which is a number and .pkl.gz.")
    return int(stem)


def number(path, value, *keys):
    """The finite number at value[key][key]... of a JSON file. Errors: anything else there."""
    try:
        for key in keys:
            value = value[key]
        found = float(value) if type(value) in (int, float) else math.nan
    except (KeyError, IndexError, TypeError, OverflowError):
        value, found = None, math.nan
    if not math.isfinite(found):
        raise XkdError(f"{path}: {'/'.join(map(str, keys))} is {value}, which is no finite number.")
    return found
