"""SemanticKITTI: KITTI odometry sequences with a label for every point (Behley et al. 2019; Geiger et al. 2012).

Layout: `sequences/<seq>/{velodyne/*.bin, labels/*.label, image_2/*.png, image_3/*.png}` and `calib.txt`, `poses.txt`,
`times.txt`, in the root or in its folder `dataset`. The velodyne has the contract's axes on disk and is the rig, too.
The world is camera 0's first frame, as in `poses.txt`.
"""

import numpy as np

from xkd import images
from xkd.calibration import camera_matrix
from xkd.datasets.frame import Camera, Dataset, Frame, read_points, same_length, training_ids
from xkd.errors import XkdError
from xkd.files import read_bytes
from xkd.geometry import check_rotations, four, invert
from xkd.kitti_files import entries, pictures
from xkd.tables import floats, read_table

CAMERAS = {"image_2": "P2", "image_3": "P3"}


class SemanticKitti(Dataset):
    """Frames of the sequences that are there; a frame's number in its file name is its line in `poses.txt`."""

    kind = "semantickitti"

    def __init__(self, root, split=None):
        super().__init__(root, split)
        folder = next((f for f in (root / "dataset" / "sequences", root / "sequences") if f.is_dir()), None)
        if folder is None:
            raise XkdError(
                f"{root}: holds neither dataset/sequences nor sequences, so it is not a SemanticKITTI data set."
            )
        self._splits = {f"{number:02d}": name for name, part in self.splits().items() for number in part}
        wanted = [
            name for name, part in sorted(self._splits.items()) if split in (None, part) and (folder / name).is_dir()
        ]
        self._sequences = {name: Sequence(folder / name) for name in wanted}
        self._scans = [(name, scan) for name in wanted for scan in self._sequences[name].scans]
        if not self._scans:
            raise XkdError(f"{folder}: holds no velodyne scan of split {split or 'train, val or test'}.")
        self.scenes = [name for name, _ in self._scans]
        self.camera_names = [c for c in CAMERAS if any(c in s.cameras for s in self._sequences.values())]
        labels = self.facts()["labels"]
        self._training = {raw: self.classes.index(c) if c else self.ignore_index for raw, (_, c) in labels.items()}

    def frame(self, i):
        name, scan = self._scans[i]
        sequence = self._sequences[name]
        return Frame(f"{name}/{scan}", name, self._splits[name], i, sequence.time(scan), sequence.pose(scan), self)

    def read_scan(self, i):
        name, scan = self._scans[i]
        return self.scan_file(self._sequences[name].path("velodyne", scan, "bin"))

    @staticmethod
    def scan_file(path):
        """One `velodyne/*.bin`: (N, 3) float32 metres, and its attributes."""
        raw = read_points(path, 4, 1)
        return raw[:, :3].copy(), {"intensity": raw[:, 3].copy()}

    def read_labels(self, i):
        name, scan = self._scans[i]
        sequence = self._sequences[name]
        if not sequence.labelled:
            return None, None
        path, points = sequence.path("labels", scan, "label"), sequence.path("velodyne", scan, "bin")
        data = read_bytes(path)
        same_length(path, len(data) / 4, points, len(read_bytes(points)) // 16)
        raw = np.frombuffer(data, "<u4")
        return training_ids(raw & 0xFFFF, self._training, path), (raw >> 16).astype(np.int64)

    def read_cameras(self, i):
        name, scan = self._scans[i]
        sequence = self._sequences[name]
        pose = sequence.pose(scan)
        return [sequence.camera(camera, scan, pose) for camera in self.camera_names if camera in sequence.cameras]


Reader = SemanticKitti


class Sequence:
    """One sequence's folder: which scans it has, its calibration, its poses."""

    def __init__(self, folder):
        self.folder = folder
        self.scans = sorted(path.stem for path in (folder / "velodyne").glob("*.bin"))
        for scan in self.scans:
            if not scan.isdecimal():
                raise XkdError(f"{self.path('velodyne', scan, 'bin')}: is no scan's name, which is a number.")
        self.labelled = (folder / "labels").is_dir()
        self._calibration = read_calibration(folder / "calib.txt")
        self._poses = read_table(folder / "poses.txt", 12).reshape(-1, 3, 4)
        self._times = read_table(folder / "times.txt", 1)[:, 0] if (folder / "times.txt").is_file() else None
        for file, rows in (("poses.txt", self._poses), ("times.txt", self._times)):
            missing = [s for s in self.scans if rows is not None and int(s) >= len(rows)]
            if missing:
                raise XkdError(f"{folder / file}: has {len(rows)} lines and so none for scan {missing[0]}.")
        check_rotations(self._poses[:, :, :3], lambda k: f"{folder / 'poses.txt'}: line {k + 1}")
        for k in np.flatnonzero(np.diff(self._times) < 0)[:1] if self._times is not None else ():
            raise XkdError(
                f"{folder / 'times.txt'}: {self._times[k + 1]:g} s in line {k + 2} is earlier than the line before it."
            )
        self.cameras = {c: None for c in CAMERAS if pictures(folder / c)}
        for camera in self.cameras:
            entry(self._calibration, CAMERAS[camera], folder)
        self._T_cam0_lidar = four(entry(self._calibration, "Tr", folder))
        check_rotations(self._T_cam0_lidar[None, :3, :3], lambda _: f"{folder / 'calib.txt'}: line Tr")

    def path(self, kind, scan, ending):
        return self.folder / kind / f"{scan}.{ending}"

    def time(self, scan):
        """Microseconds from the sequence's start; None without `times.txt`."""
        return None if self._times is None else round(self._times[int(scan)] * 1e6)

    def pose(self, scan):
        """T_world_lidar (4, 4): the line of `poses.txt` is camera 0's pose."""
        return four(self._poses[int(scan)]) @ self._T_cam0_lidar

    def camera(self, name, scan, pose):
        """P = K [I | t]: the optical centre is off camera 0's by t, which belongs into the extrinsics."""
        P = self._calibration[CAMERAS[name]]
        height, width = self.size(name)
        where = f"{self.folder / 'calib.txt'}: {CAMERAS[name]}"
        K = camera_matrix(where, P[:, :3])
        if not (width / 4 < K[0, 2] < width * 3 / 4 and height / 4 < K[1, 2] < height * 3 / 4):
            raise XkdError(
                f"{where} has its centre at column {K[0, 2]:g}, row {K[1, 2]:g}, which is no calibration of images of {width} x {height}."
            )
        T_cam_cam0 = np.eye(4)
        T_cam_cam0[:3, 3] = np.linalg.solve(K, P[:, 3])
        return Camera(
            name=name, path=self.path(name, scan, "png"), size=self.size(name), timestamp=self.time(scan), K=K,
            T_rig_cam=invert(T_cam_cam0 @ self._T_cam0_lidar), T_world_rig=pose, T_world_lidar=pose,
        )  # fmt: skip

    def size(self, name):
        """(H, W) of this camera's images: the calibration does not say, so the first image's header does."""
        if self.cameras[name] is None:
            self.cameras[name] = images.size(min((self.folder / name).glob("*.png")))
        return self.cameras[name]


def entry(calibration, key, folder):
    """One (3, 4) matrix of a calibration. Errors: the line is missing."""
    if key not in calibration:
        raise XkdError(f"{folder / 'calib.txt'}: has no line {key}.")
    return calibration[key]


def read_calibration(path):
    """{name: (3, 4)} of `calib.txt`: lines such as `P2: ` and twelve numbers."""
    lines = entries(path).items()
    return {name: floats(values, 12, path, f"line {name}").reshape(3, 4) for name, values in lines}
