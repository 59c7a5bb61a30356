"""nuScenes and nuScenes-lidarseg (Caesar et al. 2020; Fong et al. 2021): key frames with six images around the car.

Layout: `v1.0-*/*.json` (tables), `samples/<sensor>/*`, `lidarseg/v1.0-*/*.bin`, `panoptic/v1.0-*/*.npz`.
LIDAR_TOP is x right, y forward on disk; here points and extrinsics are turned into x forward, y left.
"""

import re
from pathlib import Path

import numpy as np
from numba import njit

from xkd.arrays import read_npz
from xkd.calibration import camera_matrix
from xkd.columns import kept
from xkd.datasets.frame import (
    FARTHEST,
    Camera,
    Dataset,
    Frame,
    read_rows,
    refuse,
    refuse_points,
    same_length,
    training_ids,
)
from xkd.errors import XkdError
from xkd.files import digest, overwritten, read_bytes
from xkd.geometry import numeric, rigid

VERSIONS = {
    "train": "v1.0-trainval",
    "val": "v1.0-trainval",
    "test": "v1.0-test",
    "mini_train": "v1.0-mini",
    "mini_val": "v1.0-mini",
}
T_DISK_LIDAR = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
"""Contract axes (x forward, y left) to the axes on disk (x right, y forward)."""
LARGEST = 1 << 16
"""Pixels along a side of an image."""
BRIGHTEST = 255
"""Of an intensity on disk."""
LARGE = 1 << 26
"""Bytes of a table from which on the index is kept: small ones are read as fast."""
MADE_BY = ("columns", "files", "json_scan", "nuscenes_index", "nuscenes_scan", "transforms")
"""Modules of xkd that what is kept depends on, besides this one, the facts and how they are read."""


class NuScenes(Dataset):
    """Key frames of one version's tables, of the scenes of one split or of all; labels if lidarseg is there."""

    kind = "nuscenes"
    options = ("version",)

    def __init__(self, root, split=None, version=None):
        super().__init__(root, split)
        self.version = version or choose_version(root, split)
        self._tables = root / self.version
        if not self._tables.is_dir():
            raise XkdError(f"{self._tables}: no such folder, so there are no tables of {self.version}.")
        self._rows = self._index()
        self.scenes, self.camera_names = list(self._rows["scene"]), list(self._rows["cameras"])
        splits = self._split_of_numbers()
        self._splits = {name: splits.get(scene_number(name)) for name in dict.fromkeys(self.scenes)}
        self._training = self._training_ids()
        self._mounts, self._matrices = {}, {}

    def _index(self):
        """The columns of `xkd.nuscenes_index`, which are kept from one opening to the next where the tables are large."""

        def build():
            # Imported here, because what is kept needs none of what it is made with.
            from xkd.nuscenes_index import build

            numbers = self._split_of_numbers()
            return build(
                self._tables, self.split, lambda name: self.split is None or scene_number(name) in numbers, self.facts()["sensors"]
            )  # fmt: skip

        if max((path.stat().st_size for path in self._tables.glob("*.json")), default=0) < LARGE:
            return build()
        return kept([self.kind, str(self._tables.resolve()), self.split], self._about, build)

    def _about(self):
        """What the index depends on: the tables, by size and times of change, and the code that reads them."""
        here, stats = Path(__file__), {}
        for path in sorted(self._tables.glob("*.json")):
            stat = path.stat()
            stats[path.name] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        code = [here, here.parent / "frame.py", here.parent / "labels" / "nuscenes.yaml"]
        return [digest(*code, *(here.parents[1] / f"{name}.py" for name in MADE_BY)), stats]

    def _split_of_numbers(self):
        """{scene number: split} of the split, or of all splits of this kind of version."""
        if self.split is not None:
            return dict.fromkeys(self.splits()[self.split], self.split)
        mini = self.version.endswith("mini")
        return {n: s for s, part in self.splits().items() if s.startswith("mini_") == mini for n in part}

    def _training_ids(self):
        """{lidarseg number: training id}, by the numbers in this data set's own category.json; {} where there is no lidarseg."""
        if "category" not in self._rows:
            return {}
        names, known = list(self._rows["category"]), self.facts()["categories"]
        if unknown := set(names) - set(known):
            raise XkdError(f"{self._tables / 'category.json'}: unknown category {min(unknown)!r}.")
        ids = [self.ignore_index if known[name] is None else self.classes.index(known[name]) for name in names]
        return dict(zip(self._rows["number"].tolist(), ids, strict=True))

    def frame(self, i):
        scan, scene = self._rows["first"][i], self.scenes[i]
        time = int(self._rows["timestamp"][scan])
        return Frame(self._rows["sample"][i], scene, self._splits[scene], i, time, self._T_world_lidar(scan), self)

    def _T_world_lidar(self, scan):
        return self._ego(scan) @ self._mount(scan) @ T_DISK_LIDAR

    def _ego(self, row):
        """T_world_rig at the time of a scan or image."""
        return self._pose("ego_pose", self._rows["pose"], row, "ego_")

    def _mount(self, row):
        """T_rig_sensor of a scan or image, in the sensor's axes on disk; made once for all that one mounting took."""
        mount = int(self._rows["mount"][row])
        if mount not in self._mounts:
            self._mounts[mount] = self._pose("calibrated_sensor", self._rows["calibration"], mount, "")
        return self._mounts[mount].copy()

    def _intrinsic(self, mount):
        """K (3, 3) of a mounting. Errors: what is no camera's matrix."""
        if mount not in self._matrices:
            where = f"{self._tables / 'calibrated_sensor.json'}: row {self._rows['calibration'][mount]}"
            given = self._rows["K"][mount]
            K = numeric(given)
            if K.shape != (3, 3) or not np.isfinite(K).all():
                raise XkdError(f"{where}: {given} is no camera_intrinsic of 3 x 3 finite numbers.")
            self._matrices[mount] = camera_matrix(f"{where}: camera_intrinsic", K)
        return self._matrices[mount].copy()

    def _pose(self, name, tokens, place, before):
        """(4, 4) of a table's row. Errors: no quaternion, no three finite numbers."""
        try:
            return rigid(self._rows[f"{before}rotation"][place], self._rows[f"{before}translation"][place])
        except XkdError as error:
            raise XkdError(f"{self._tables / name}.json: row {tokens[place]}: {error}") from None

    def read_scan(self, i):
        return self.scan_file(self.root / self._rows["filename"][self._rows["first"][i]])

    @staticmethod
    def scan_file(path):
        """One `.pcd.bin`: (N, 3) float32 metres in the contract's axes, and its attributes."""
        raw = read_rows(path, 5, overwritten)
        points, intensity, ring, sound = _parted(raw, FARTHEST)
        if not sound:
            refuse_points(path, raw, BRIGHTEST)
            refuse(path, ~((raw[:, 4] >= 0) & (raw[:, 4] < 256)), "have a ring outside 0..255", raw[:, 4:])
        return points, {"intensity": intensity, "ring": ring}

    def read_labels(self, i):
        labels, panoptic = (self._rows[task][i] or None for task in ("lidarseg", "panoptic"))
        path, points = self.root / self._rows["filename"][self._rows["first"][i]], None
        if labels or panoptic:
            points = len(read_bytes(path)) // 20
        if labels:
            file = self.root / labels
            raw = np.frombuffer(read_bytes(file), np.uint8)
            same_length(file, len(raw), path, points)
            labels = training_ids(raw, self._training, file)
        if panoptic:
            file = self.root / panoptic
            panoptic = read_panoptic(file)
            same_length(file, len(panoptic), path, points)
        return labels, panoptic

    def read_cameras(self, i):
        scan, end = self._rows["first"][i], self._rows["first"][i + 1]
        T_world_lidar = self._T_world_lidar(scan)
        return [self._camera(row, T_world_lidar) for row in range(scan + 1, end)]

    def _camera(self, row, T_world_lidar):
        mount, height, width = int(self._rows["mount"][row]), self._rows["height"][row], self._rows["width"][row]
        K, size = self._intrinsic(mount), numeric([height, width])
        if size.shape != (2,) or not ((size > 0) & (size < LARGEST) & (size % 1 == 0)).all():
            raise XkdError(
                f"{self._tables / 'sample_data.json'}: row {self._rows['token'][row]}: height {height} and width {width} "
                "are no image's size."
            )
        return Camera(
            name=self._rows["channel"][mount], path=self.root / self._rows["filename"][row], size=(int(height), int(width)),
            K=K, T_rig_cam=self._mount(row), T_world_rig=self._ego(row), T_world_lidar=T_world_lidar,
            timestamp=int(self._rows["timestamp"][row]),
        )  # fmt: skip


Reader = NuScenes


def scene_number(name):
    """ "scene-0061" -> 61; 0 where there is none."""
    return int(re.sub(r"\D", "", name)[:18] or 0)


@njit(cache=True, nogil=True)
def _parted(raw, farthest):
    """(N, 5) as on disk -> points (N, 3) in the contract's axes, intensity (N,) 0..1, ring (N,) uint8, and whether all of it can be so."""
    points, intensity = np.empty((len(raw), 3), np.float32), np.empty(len(raw), np.float32)
    ring, sound = np.empty(len(raw), np.uint8), True
    for i in range(len(raw)):
        x, y, z, bright, beam = raw[i, 0], raw[i, 1], raw[i, 2], raw[i, 3], raw[i, 4]
        # Comparisons of NaN are false.
        sound &= (abs(x) <= farthest) & (abs(y) <= farthest) & (abs(z) <= farthest)
        sound &= (0 <= bright) & (bright <= BRIGHTEST) & (0 <= beam) & (beam < 256)
        points[i, 0], points[i, 1], points[i, 2], intensity[i] = y, -x, z, bright / np.float32(BRIGHTEST)
        ring[i] = np.uint8(np.int32(beam)) if sound else 0
    return points, intensity, ring, sound


def choose_version(root, split):
    """The version of a split; without a split the only one in the folder."""
    if split is not None:
        return VERSIONS[split]
    found = sorted(path.name for path in root.glob("v1.0-*") if path.is_dir())
    if len(found) != 1:
        raise XkdError(
            f"{root}: holds tables of {', '.join(found) or 'no version'}; say which with split= or version=."
        )
    return found[0]


def read_panoptic(path):
    """(N,) int64: category * 1000 + instance, 0 where a point belongs to no instance."""
    value = read_npz(path, "data")
    if value.ndim != 1 or value.dtype.kind not in "iu":
        raise XkdError(f"{path}: is no list of whole numbers but {value.dtype} of shape {value.shape}.")
    value = value.astype(np.int64)
    return np.where(value % 1000 > 0, value, 0)
