"""One folder of scans with what belongs to each: its images, its label file, its time and its pose, as `xkd.yaml` matches them."""

import re
from functools import cached_property

import numpy as np

from xkd import calibration, images, layout, trajectory
from xkd.datasets.frame import Camera
from xkd.errors import XkdError
from xkd.geometry import invert
from xkd.motion import deskewed

WITHIN = 0.1
"""Seconds between a scan and the image nearest in time at most, where xkd.yaml says nothing: one turn of a LiDAR at 10 Hz."""
WIDEST = np.iinfo(np.int16).max
"""Rows or columns of an image at most: a pair keeps its pixel in two bytes a number (`xkd.geometry.Pairs`)."""


class SceneFolder:
    """`scans` of a folder, in order; `labels`: a file or None for each; `times`: (M,) int64 microseconds or None; `trajectory`, or None.

    about: the layout; path: its file. Errors: see the functions below; a file that a scan has not and that may not be missing."""

    def __init__(self, folder, scans, about, path):
        self.folder, self.scans, self._axes = folder, scans, about["scans"]["axes"]
        self._deskew = about["scans"].get("deskew")
        by_stem(scans)
        self.times = file_times(folder, scans, about["scans"])
        self.trajectory = self._poses(path, about["poses"]) if "poses" in about else None
        if self.times is None and self.trajectory is not None:
            self.times = self.trajectory.times
        self._cameras = layout.cameras(path, about.get("cameras", {}), folder)
        self._images = {name: self._matched(section) for name, section in self._cameras.items()}
        self.labels = self._label_files(f"{path}: labels", about.get("labels", {}))

    @property
    def camera_names(self):
        """Those that any scan has an image of."""
        return [name for name, images in self._images.items() if any(image is not None for image, _ in images)]

    def _poses(self, path, about):
        layout.needed(path, "poses", about, "file")
        self._T_body_lidar = np.eye(4)
        if "T_body_lidar" in about or "T_lidar_body" in about:
            self._T_body_lidar = calibration.extrinsic(f"{path}: poses", about, "body", "lidar")
        file, unit = self.folder / about["file"], about.get("unit", "s")
        return trajectory.read_poses(file, self.scans, about.get("match"), self.times, unit)

    def _label_files(self, where, about):
        if "files" not in about:
            return [None] * len(self.scans)
        allowed = about.get("missing") == "allowed"
        known = by_stem(listed(self.folder, about["files"], f"{where}.files", allowed))
        found = [known.get(stem(scan)) for scan in self.scans]
        if not allowed:
            self._present(where, self.folder / about["files"], "label file", found)
        return found

    def _matched(self, section):
        """[(image, its time in microseconds or None)], one a scan; (None, None) where there is none."""
        where, how, pattern = section["where"], section.get("match", "stem"), self.folder / section["images"]
        allowed = section.get("missing") == "allowed"
        images = listed(self.folder, section["images"], f"{where}.images", allowed)
        times = file_times(self.folder, images, section) if images else None
        if how == "stem":
            places = {name: k for k, name in enumerate(by_stem(images))}
            chosen = [places.get(stem(scan)) for scan in self.scans]
        elif how == "order":
            chosen = range(len(images))
            if len(images) != len(self.scans):
                raise XkdError(
                    f"{pattern}: {len(images)} images for {len(self.scans)} scans; {where}.match: order takes as many."
                )
        else:
            chosen = self._nearest(where, times, images, section.get("within", WITHIN))
        found = [(None, None) if c is None else (images[c], None if times is None else int(times[c])) for c in chosen]
        if not allowed:
            self._present(where, pattern, "image", [image for image, _ in found], how == "time")
        return found

    def _nearest(self, where, times, images, within):
        """The place of the image nearest in time to each scan, None where that is more than `within` seconds off."""
        if images and (times is None or self.times is None):
            raise XkdError(f"{where}: match: time needs timestamps of the scans and of the images.")
        chosen = []
        for time in self.times if images else []:
            after = int(np.searchsorted(times, time))
            best = min(range(max(after - 1, 0), min(after + 1, len(times))), key=lambda k: abs(times[k] - time))
            chosen.append(best if abs(times[best] - time) <= within * 1e6 else None)
        return chosen if images else [None] * len(self.scans)

    def _present(self, where, pattern, what, found, by_time=False):
        """Errors: a scan that has none of `found`."""
        for scan, file in zip(self.scans, found, strict=True):
            if file is None and by_time:
                raise XkdError(
                    f"{scan}: no image of {pattern} is near enough in time ({where}.within, .missing: allowed)."
                )
            if file is None:
                expected = str(pattern).replace("*", stem(scan))
                raise XkdError(
                    f"{expected}: no such {what} of {scan}; if some may be missing, say {where}.missing: allowed."
                )

    def time(self, k):
        """Microseconds, or None."""
        return None if self.times is None else int(self.times[k])

    def T_world_lidar(self, k):
        """(4, 4) of scan k, in the contract's axes; the identity where there are no poses."""
        if self.trajectory is None:
            return np.eye(4)
        pose = self.trajectory.poses[k] if self.trajectory.of_scans else self.trajectory.at(self.time(k))
        return pose @ self._T_body_lidar @ self._axes

    def deskewed(self, k, points, after):
        """(N, 3) points of scan k where they are at its time, by the motion between poses. after: (N,) seconds from that time to when each
        was measured, or None.

        As they are where xkd.yaml says `deskew: false`, or where points, scans or poses have no times. Errors: this and `deskew: true`."""
        absent = [] if after is not None else ["points"]
        absent += [] if self.times is not None else ["scans"]
        absent += [] if self.trajectory is not None and self.trajectory.times is not None else ["poses"]
        if self._deskew and absent:
            raise XkdError(f"{self.scans[k]}: xkd.yaml says scans.deskew: true, and there are no times of {absent[0]}.")
        if self._deskew is False or absent:
            return points
        T_body_points, time = self._T_body_lidar @ self._axes, self.time(k)
        times = time + np.asarray(after, np.float64) * 1e6
        moved = deskewed(points, times, lambda own: self.trajectory.at(own) @ T_body_points, self.T_world_lidar(k))
        return moved.astype(np.float32)

    def shows(self, name, k):
        """Whether scan k has an image of this camera."""
        return name in self._images and self._images[name][k][0] is not None

    def camera(self, name, k):
        """The `Camera` of scan k; the rig is the LiDAR, at the image's own time where poses and image have times."""
        section, (image, time) = self._cameras[name], self._images[name][k]
        T_world_lidar = T_world_rig = self.T_world_lidar(k)
        if time is not None and self.trajectory is not None and self.trajectory.times is not None:
            T_world_rig = self.trajectory.at(time) @ self._T_body_lidar @ self._axes
        model, distortion = section["lens"]
        return Camera(
            name=name, path=image, size=self._sizes[name], K=section["K"], timestamp=time, model=model, distortion=distortion,
            T_rig_cam=invert(section["T_camera_lidar"] @ self._axes), T_world_rig=T_world_rig, T_world_lidar=T_world_lidar,
        )  # fmt: skip

    @cached_property
    def _sizes(self):
        """{camera: (H, W)}: what the layout says, else that of the folder's first image, whose header alone is read."""
        sizes = {name: self._cameras[name]["size"] or self._first_size(name) for name in self.camera_names}
        for name, size in sizes.items():
            if max(size) > WIDEST:
                where = self._cameras[name]["where"]
                raise XkdError(f"{where}: its images are {size[1]} x {size[0]}; a side has {WIDEST} pixels at most.")
        return sizes

    def _first_size(self, name):
        first = next(image for image, _ in self._images[name] if image is not None)
        size = images.size(first)
        calibration.check_centre(self._cameras[name]["where"], self._cameras[name]["K"], size)
        return size


def fitting(folder, pattern, where):
    """What of a folder fits a pattern, in natural order (2 before 10), but for names that begin with a dot. Errors: no pattern."""
    try:
        found = [path for path in folder.glob(pattern) if not path.name.startswith(".")]
    except (ValueError, NotImplementedError, IndexError) as error:
        raise XkdError(f"{where} is {pattern!r}, which is no pattern of names below {folder} ({error}).") from None
    return sorted(found, key=natural)


def listed(folder, pattern, where, empty=False):
    """The files that fit. Errors: none, unless they may be `empty`."""
    found = [path for path in fitting(folder, pattern, where) if path.is_file()]
    if not found and not empty:
        raise XkdError(f"{folder / pattern}: there is no such file ({where}).")
    return found


def natural(path):
    """What paths are sorted by, so that 2 comes before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.as_posix())]


def stem(path):
    """A file's name without its ending; `.pcd.bin` is one."""
    return path.stem.removesuffix(".pcd")


def by_stem(files):
    """{stem: file}. Errors: two files of one."""
    known = {}
    for file in files:
        if known.setdefault(stem(file), file) != file:
            raise XkdError(f"{file}: has the same name but for its ending as {known[stem(file)]}.")
    return known


def file_times(folder, files, section):
    """(M,) int64 microseconds of M files, or None where the section has no `timestamps`. Errors: see `xkd.trajectory`."""
    about = section.get("timestamps")
    if about is None:
        return None
    source, unit = about.get("from", "stem"), about.get("unit", "s")
    if source == "stem":
        return trajectory.times_of_names(files, unit)
    return trajectory.read_times(folder / source, files, unit, about.get("match", "order"))
