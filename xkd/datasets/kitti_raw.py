"""KITTI raw recordings, synchronised and rectified (Geiger et al. 2013): scans with images, and no point labels.

Layout: `<date>/<date>_drive_<number>_sync/{image_00 .. image_03, velodyne_points, oxts}/{data/<number>.*, timestamps.txt}` and
`<date>/calib_{cam_to_cam, velo_to_cam, imu_to_velo}.txt`. A number names the same moment in every folder, and its line (from 0) in each
`timestamps.txt`. The velodyne has the contract's axes on disk and is the rig, too; the world is the IMU at the drive's first packet.

KITTI raw has no splits: every drive is of `train`. SemanticKITTI labels some of these drives: its validation sequence 08 is
2011_09_30_drive_0028, which nothing may learn from that is scored there.
"""

import fnmatch
import math
from functools import cached_property

import numpy as np

from xkd.datasets.frame import Camera, Dataset, Frame, facts, read_points
from xkd.errors import XkdError
from xkd.files import read_text
from xkd.geometry import invert, rigid
from xkd.kitti_files import entries, mercator, moment, motion, numbered, pictures, projection, read_times, rotation
from xkd.motion import Motion
from xkd.tables import floats

CAMERAS = ("image_00", "image_01", "image_02", "image_03")
COLOUR = CAMERAS[2:]


class KittiRaw(Dataset):
    """A frame is a scan; a number that has images and no scan (four of drive 0009) is none. `labels` is None throughout.

    cameras: of image_00 (grey, left) to image_03; default: those of the colour cameras that have images. val: names or patterns of
    drives that make up the split `val` instead of `train`: what only asks for a validation split, such as `xkd.prepare`, gets one.

    A scan is taken to be of one moment, `velodyne_points/timestamps.txt`, when it looked forward; the points' own motion in the tenth of
    a second around it is not undone. Scans and images have the car's pose at their own times. A drive without `oxts` has no poses:
    the world of a frame is then its own velodyne and nothing moves between scan and image; its `neighbours` raise, since no one knows
    where they are. Its timestamps are optional, too.
    """

    kind = "kitti_raw"
    options = ("cameras", "val")

    def __init__(self, root, split=None, cameras=None, val=()):
        super().__init__(root, split)
        wanted = listed(cameras or COLOUR)
        for camera in set(wanted) - set(CAMERAS):
            raise XkdError(f"kitti_raw has no camera {camera!r}; its cameras are {', '.join(CAMERAS)}.")
        folders = {f.parent.name: f.parent for f in sorted(root.glob("*/*_drive_*_sync/velodyne_points")) if f.is_dir()}
        if not folders:
            raise XkdError(f"{root}: holds no <date>/<date>_drive_<number>_sync/velodyne_points of KITTI raw data.")
        held = {pattern: fnmatch.filter(folders, pattern) for pattern in listed(val)}
        for pattern in (pattern for pattern, found in held.items() if not found):
            raise XkdError(f"{root}: holds no drive {pattern}, which the option val names.")
        self._splits = dict.fromkeys(folders, "train") | {name: "val" for found in held.values() for name in found}
        drives = [Drive(folder, wanted) for name, folder in folders.items() if split in (None, self._splits[name])]
        self._scans = [(drive, scan) for drive in drives for scan in drive.scans]
        if not self._scans:
            where = f" of split {split} (the option val names the drives of val)" if split else ""
            raise XkdError(f"{root}: holds no velodyne scan{where}.")
        self.scenes = [drive.name for drive, _ in self._scans]
        self.camera_names = [c for c in wanted if any(c in drive.cameras for drive in drives)]
        if cameras and len(self.camera_names) < len(wanted):
            raise XkdError(f"{root}: no drive has images of {min(set(wanted) - set(self.camera_names))}.")

    @classmethod
    def facts(cls):
        """Its own, with SemanticKITTI's classes: a network is made with classes before there is any label."""
        return facts(cls.kind) | {"classes": facts("semantickitti")["classes"]}

    def neighbours(self, i, k):
        """As `Dataset.neighbours`. Errors: there are some, and the drive has no poses."""
        near, (drive, scan) = super().neighbours(i, k), self._scans[i]
        if near and not drive.posed:
            raise XkdError(
                f"{drive.folder}: has no oxts, so nothing says where the car was at scan {scan} and its neighbours; "
                "without them (teacher.reach: 0, views.reach: 0) the drive can be used."
            )
        return near

    def frame(self, i):
        drive, scan = self._scans[i]
        time = drive.time("velodyne_points", scan)
        return Frame(f"{drive.name}/{scan}", drive.name, self._splits[drive.name], i, time, drive.pose(time), self)

    def read_scan(self, i):
        drive, scan = self._scans[i]
        return self.scan_file(drive.folder / "velodyne_points" / "data" / f"{scan}.bin")

    @staticmethod
    def scan_file(path):
        """One `velodyne_points/data/*.bin`: (N, 3) float32 metres, and its attributes."""
        raw = read_points(path, 4, 1)
        return raw[:, :3].copy(), {"intensity": raw[:, 3].copy()}

    def read_labels(self, i):
        return None, None

    def read_cameras(self, i):
        drive, scan = self._scans[i]
        return [drive.camera(name, scan) for name in self.camera_names if name in drive.cameras]


Reader = KittiRaw


class Drive:
    """One drive's folder: its scans, its cameras, its clocks and, where `oxts` is there, where the car was."""

    def __init__(self, folder, wanted):
        self.folder, self.name = folder, folder.name
        self.scans = numbered(folder / "velodyne_points" / "data", "bin")
        self.cameras = {c: None for c in wanted if pictures(folder / c / "data")}
        if self.cameras:
            path = folder.parent / "calib_cam_to_cam.txt"
            lines, T_unrectified_lidar = entries(path), motion(folder.parent / "calib_velo_to_cam.txt")
            T_cam0_lidar = rigid(rotation(lines, "R_rect_00", path), [0, 0, 0]) @ T_unrectified_lidar
            self.cameras = {c: projection(lines, c, path, T_cam0_lidar) for c in self.cameras}
        self.posed = (folder / "oxts").is_dir()
        self._times = {}
        for stream in ("velodyne_points", *self.cameras):
            path = folder / stream / "timestamps.txt"
            if self.posed or path.is_file():
                self._times[stream] = dict(zip(self.scans, read_times(path, self.scans), strict=True))
        if self.posed:
            self._T_imu_lidar = invert(motion(folder.parent / "calib_imu_to_velo.txt"))
            packets = numbered(folder / "oxts" / "data", "txt")
            path = folder / "oxts" / "timestamps.txt"
            times, first = np.unique(read_times(path, packets), return_index=True)
            self._packets = [packets[k] for k in first]
            self._motion = Motion(path, times, self._packet, moment)
            if len(times) < 2:
                raise XkdError(f"{folder / 'oxts'}: has packets of {len(times)} times, and a pose takes two.")

    def time(self, stream, scan):
        """Microseconds; None where the stream has no `timestamps.txt`."""
        return int(self._times[stream][scan]) if stream in self._times else None

    def camera(self, name, scan):
        K, size, T_rig_cam = self.cameras[name]
        time = self.time(name, scan)
        return Camera(
            name=name, path=self.folder / name / "data" / f"{scan}.png", size=size, K=K, timestamp=time, T_rig_cam=T_rig_cam,
            T_world_rig=self.pose(time), T_world_lidar=self.pose(self.time("velodyne_points", scan)),
        )  # fmt: skip

    def pose(self, time):
        """T_world_rig (4, 4) at a time in microseconds, between or beyond the packets (`xkd.motion`); the identity without `oxts`.

        Errors: no packets near by."""
        return self._motion.at(time) @ self._T_imu_lidar if self.posed else np.eye(4)

    def _packet(self, k):
        """T_world_imu (4, 4) at packet k."""
        scale, T_first_mercator = self._origin
        return T_first_mercator @ mercator(self._read_packet(k), scale)

    @cached_property
    def _origin(self):
        """The projection's scale, by the first packet's latitude, and the (4, 4) that puts the world's origin there."""
        first = self._read_packet(0)
        scale = math.cos(math.radians(first[0]))
        return scale, invert(mercator(first, scale))

    def _read_packet(self, k):
        """(30,) numbers of packet k: latitude and longitude (degrees), altitude (metres), roll, pitch, yaw (radians), and others."""
        path = self.folder / "oxts" / "data" / f"{self._packets[k]}.txt"
        packet = floats(read_text(path), 30, path, "the packet")
        if abs(packet[0]) >= 90 or abs(packet[1]) > 180:
            raise XkdError(f"{path}: latitude {packet[0]:g} and longitude {packet[1]:g} are nowhere.")
        return packet


def listed(words):
    """One word or a list of words, as a list."""
    return [str(word) for word in (words if isinstance(words, list | tuple) else [words])]
