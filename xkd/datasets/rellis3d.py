"""RELLIS-3D: off-road sequences with a label for every point of an Ouster OS1-64, and one camera (Jiang et al. 2021).

Layout: `<sequence>/{os1_cloud_node_kitti_bin/<number>.bin, os1_cloud_node_semantickitti_label_id/<number>.label,
pylon_camera_node/frame<number>-<seconds>_<milliseconds>.jpg, poses.txt, camera_info.txt, transforms.yaml}` and `pt_train.lst`,
`pt_val.lst`, `pt_test.lst`, in the root or in its folder `Rellis-3D`; or the published example, where all lies in one folder.

On disk x is backward and y right, as the camera shows: it looks along -x. Points and extrinsics are turned about z into x forward,
y left. The LiDAR is the rig, too; the world is that of `poses.txt`, which are the scans' own (`calib.txt` is the identity throughout,
says issue 22 of the data set's repository, and is not read).
"""

import re

import numpy as np

from xkd.datasets.frame import Camera, Dataset, Frame, read_points, same_length, training_ids
from xkd.errors import XkdError
from xkd.files import read_bytes, read_text, read_yaml
from xkd.geometry import check_rotations, four, invert, rigid
from xkd.tables import floats, read_table

T_DISK_LIDAR = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Contract axes (x forward, y left) to the axes on disk (x backward, y right), and back."""
SCANS, LABELS = "os1_cloud_node_kitti_bin", "os1_cloud_node_semantickitti_label_id"
IMAGE = re.compile(r"frame(\d+)-(\d+)_(\d{3})\.jpg")


class Rellis3D(Dataset):
    """Scans of the sequences that are there, without their zero returns (directions in which nothing came back, 41 % of the example's
    points), which have no label but void.

    A scene is a stretch of a sequence that is all of one split, `<sequence>-<its first scan>`: the official lists cut sequences, and
    the neighbours of a training frame must not be those that are scored. Without a list its scans have no split. A sequence that a list
    names and that is not there is left out.

    The layout has no times of scans. An image, whose name has its time, gets the pose of the scan of its number: the published pair
    of the example is 21 ms apart. Without `poses.txt` the world of a frame is its own LiDAR, and its `neighbours` raise.
    """

    kind = "rellis3d"

    def __init__(self, root, split=None):
        super().__init__(root, split)
        places = [place for place in (root, root / "Rellis-3D") if place.is_dir()]
        folders = sorted(scans.parent for place in places for scans in place.glob(f"*/{SCANS}"))
        sequences = [Sequence(folder, folder.name, SCANS, LABELS, self._camera) for folder in folders]
        if not folders and any(path.stem.isdecimal() for path in root.glob("*.bin")):
            sequences = [Sequence(root, "example", "", "", "")]
        lists = {name: next((p / f for p in places if (p / f).is_file()), None) for name, f in self.splits().items()}
        if split and not lists[split]:
            raise XkdError(f"{root}: has no {self.splits()[split]}, which would say what is of split {split!r}.")
        split_of = membership(lists, {sequence.name: set(sequence.scans) for sequence in sequences})
        self._scans, self.scenes = [], []
        for sequence in sequences:
            before = scene = None
            for scan in sequence.scans:
                own = split_of.get((sequence.name, scan))
                if scene is None or own != before:
                    before, scene = own, f"{sequence.name}-{scan}"
                if split in (None, own):
                    self._scans.append((sequence, scan, own))
                    self.scenes.append(scene)
        if not self._scans:
            raise XkdError(f"{root}: holds no scan in <sequence>/{SCANS}" + (f" of split {split}." if split else "."))
        if any(sequence.images for sequence, _, _ in self._scans):
            self.camera_names = [self._camera]
        labels = self.facts()["labels"]
        self._training = {raw: self.classes.index(c) if c else self.ignore_index for raw, (_, c) in labels.items()}

    @property
    def _camera(self):
        return self.facts()["camera"]["name"]

    @classmethod
    def splits(cls):
        """{split: name of the file that lists its scans}"""
        return cls.facts()["splits"]

    def neighbours(self, i, k):
        """As `Dataset.neighbours`. Errors: there are some, and the sequence has no poses."""
        near, sequence = super().neighbours(i, k), self._scans[i][0]
        if near and sequence.poses is None:
            raise XkdError(
                f"{sequence.folder}: has no poses.txt, so nothing says where the LiDAR was at scan {self._scans[i][1]} and its "
                "neighbours; without them (teacher.reach: 0, views.reach: 0) the sequence can be used."
            )
        return near

    def frame(self, i):
        sequence, scan, split = self._scans[i]
        return Frame(f"{sequence.name}/{scan}", self.scenes[i], split, i, None, sequence.pose(scan), self)

    def read_scan(self, i):
        sequence, scan, _ = self._scans[i]
        path = sequence.path(scan)
        points, attributes = self.scan_file(path)
        kept = returned(points, path)
        return points[kept], {name: values[kept] for name, values in attributes.items()}

    @staticmethod
    def scan_file(path):
        """One `.bin`: (N, 3) float32 metres in the contract's axes, and its attributes (intensity: the sensor's, of 65535).

        With the zero returns, so that labels for its points are labels for the file's."""
        raw = read_points(path, 4, 1)
        return raw[:, :3] * np.float32([-1, -1, 1]), {"intensity": raw[:, 3].copy()}

    def read_labels(self, i):
        sequence, scan, _ = self._scans[i]
        if not sequence.labelled:
            return None, None
        path, points = sequence.labels / f"{scan}.label", self.scan_file(sequence.path(scan))[0]
        data = read_bytes(path)
        same_length(path, len(data) / 4, sequence.path(scan), len(points))
        raw = np.frombuffer(data, "<u4")[returned(points, sequence.path(scan))]
        return training_ids(raw, self._training, path), None

    def read_cameras(self, i):
        sequence, scan, _ = self._scans[i]
        if not sequence.images:
            return []
        if scan not in sequence.images:
            raise XkdError(f"{sequence.folder}: has no image frame{scan}-*.jpg for scan {scan}.")
        path, time = sequence.images[scan]
        facts, pose = self.facts()["camera"], sequence.pose(scan)
        return [
            Camera(
                name=facts["name"], path=path, size=tuple(facts["size"]), K=sequence.K, timestamp=time, model="opencv",
                distortion=tuple(facts["distortion"]), T_rig_cam=sequence.T_rig_cam, T_world_rig=pose, T_world_lidar=pose,
            )
        ]  # fmt: skip


Reader = Rellis3D


class Sequence:
    """One sequence's folder: its scans and images by number, its calibration, its poses. In the example's folder lie a scan of another
    LiDAR and pictures of labels, too; they are not read."""

    def __init__(self, folder, name, scans, labels, images):
        self.folder, self.name, self.labels, self._places = folder, name, folder / labels, folder / scans
        self.scans = sorted(path.stem for path in self._places.glob("*.bin") if scans or path.stem.isdecimal())
        for scan in self.scans:
            if not scan.isdecimal():
                raise XkdError(f"{self.path(scan)}: is no scan's name, which is a number.")
        self.labelled = next(self.labels.glob("*.label"), None) is not None
        self.images = read_names(folder / images)
        if self.images:
            self.K = read_intrinsics(folder / "camera_info.txt")
            self.T_rig_cam = invert(T_DISK_LIDAR) @ read_mount(folder / "transforms.yaml")
        path = folder / "poses.txt"
        self.poses = read_table(path, 12).reshape(-1, 3, 4) if path.is_file() else None
        if self.poses is not None:
            missing = [scan for scan in self.scans if int(scan) >= len(self.poses)]
            if missing:
                raise XkdError(f"{path}: has {len(self.poses)} lines and so none for scan {missing[0]}.")
            check_rotations(self.poses[:, :, :3], lambda k: f"{path}: line {k + 1}")

    def path(self, scan):
        return self._places / f"{scan}.bin"

    def pose(self, scan):
        """T_world_lidar (4, 4)."""
        return np.eye(4) if self.poses is None else four(self.poses[int(scan)]) @ T_DISK_LIDAR


def returned(points, path):
    """(N,) bool: points that something came back from. Errors: none."""
    kept = (points != 0).any(axis=1)
    if not kept.any():
        raise XkdError(f"{path}: all {len(points)} points are zero returns.")
    return kept


def membership(lists, scans):
    """{(sequence, scan): split} of the lists {split: file or None}, for sequences {name: set of scans} that are there. Errors: a line that
    names no scan, a scan that is not there or in two lists."""
    found = {}
    for split, path in lists.items():
        for line in read_text(path).splitlines() if path else ():
            parts = re.fullmatch(rf"(?:.*/)?([^/]+)/{SCANS}/(\d+)\.bin", (line.split() or [""])[0])
            if not parts:
                raise XkdError(f"{path}: {line!r} names no <sequence>/{SCANS}/<number>.bin.")
            if parts[1] in scans and parts[2] not in scans[parts[1]]:
                raise XkdError(f"{path}: names {parts[1]}/{SCANS}/{parts[2]}.bin, and there is no such file.")
            if found.setdefault(parts.groups(), split) != split:
                raise XkdError(
                    f"{path}: names {parts[1]}/{parts[2]}, which is in the list of {found[parts.groups()]}, too."
                )
    return found


def read_names(folder):
    """{number: (file, microseconds since 1970)} of the images of a folder. Errors: a name without number and time, two of one number, times
    that do not grow with the numbers."""
    found, before = {}, None
    for path in sorted(folder.glob("frame*.jpg")):
        parts = IMAGE.fullmatch(path.name)
        if not parts:
            raise XkdError(f"{path}: is no image's name, which is frame<number>-<seconds>_<milliseconds>.jpg.")
        time = (int(parts[2]) * 1000 + int(parts[3])) * 1000
        if parts[1] in found:
            raise XkdError(f"{path}: has the number of {before[0].name}.")
        if before and time < before[1]:
            raise XkdError(f"{path}: is earlier than {before[0].name}.")
        found[parts[1]] = before = (path, time)
    return found


def read_intrinsics(path):
    """K (3, 3) of `camera_info.txt`: fx, fy, cx, cy."""
    fx, fy, cx, cy = floats(read_text(path), 4, path, "fx fy cx cy")
    if min(fx, fy, cx, cy) <= 0:
        raise XkdError(f"{path}: fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g} are no camera's.")
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def read_mount(path):
    """(4, 4) of `transforms.yaml`: camera points into the LiDAR's axes on disk."""
    found = read_yaml(path)
    try:
        pose = found["os1_cloud_node-pylon_camera_node"]
        rotation, translation = [pose["q"][axis] for axis in "wxyz"], [pose["t"][axis] for axis in "xyz"]
    except (KeyError, TypeError) as error:
        raise XkdError(f"{path}: holds no os1_cloud_node-pylon_camera_node with q and t ({error}).") from None
    try:
        return rigid(rotation, translation)
    except XkdError as error:
        raise XkdError(f"{path}: os1_cloud_node-pylon_camera_node: {error}") from None
