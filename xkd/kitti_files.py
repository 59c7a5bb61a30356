"""Files of a KITTI raw recording: calibration lines, clocks, numbered files, and a packet's pose (Geiger et al. 2013)."""

import math
import re

import numpy as np
from scipy.spatial.transform import Rotation

from xkd.calibration import camera_matrix
from xkd.errors import XkdError
from xkd.files import read_text
from xkd.geometry import check_rotations, invert, rigid
from xkd.tables import floats

EARTH = 6_378_137.0
"""Metres: the radius that the development kit projects with."""
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})?")


def moment(time):
    """Microseconds since 1970 as `timestamps.txt` has them."""
    return str(np.datetime64(int(time), "us"))


def mercator(packet, scale):
    """A packet -> (4, 4), the IMU in metres east and north on Mercator's map at `scale`, and up: the development kit's
    `convertOxtsToPose.m`, whose orientation is yaw about z, then pitch about y, then roll about x."""
    latitude, longitude, altitude, roll, pitch, yaw = packet[:6]
    east = scale * EARTH * math.radians(longitude)
    north = scale * EARTH * math.log(math.tan(math.radians(90 + latitude) / 2))
    return rigid(Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_matrix(), [east, north, altitude])


def projection(lines, name, path, T_cam0_lidar):
    """K (3, 3), size (H, W) and T_rig_cam (4, 4) of one camera in `calib_cam_to_cam.txt`: the development kit's P_rect R_rect_00 (R | T).

    P_rect = K (I | t): the optical centre is off camera 0's by t, which belongs into the extrinsics."""
    number = name.removeprefix("image_")
    P = matrix(lines, f"P_rect_{number}", (3, 4), path)
    width, height = matrix(lines, f"S_rect_{number}", (2,), path)
    where = f"{path}: P_rect_{number}"
    K = camera_matrix(where, P[:, :3])
    if not (0 < K[0, 2] < width and 0 < K[1, 2] < height):
        raise XkdError(
            f"{where} has its centre at column {K[0, 2]:g}, row {K[1, 2]:g}, which is no calibration of images of {width:g} x {height:g}."
        )
    T_cam_cam0 = rigid(np.eye(3), np.linalg.solve(K, P[:, 3]))
    return K, (int(height), int(width)), invert(T_cam_cam0 @ T_cam0_lidar)


def motion(path):
    """(4, 4) of a calibration file with the lines R and T."""
    lines = entries(path)
    return rigid(rotation(lines, "R", path), matrix(lines, "T", (3,), path))


def rotation(lines, name, path):
    """(3, 3) of one line. Errors: no rotation."""
    R = matrix(lines, name, (3, 3), path)
    check_rotations(R[None], lambda _: f"{path}: line {name}")
    return R


def matrix(lines, name, shape, path):
    """The numbers of one line in this shape. Errors: no such line, another count, something else than finite numbers."""
    if name not in lines:
        raise XkdError(f"{path}: has no line {name}.")
    return floats(lines[name], math.prod(shape), path, f"line {name}").reshape(shape)


def entries(path):
    """{name: text} of a calibration file: lines such as `R: ` and numbers. Errors: a line that is there twice."""
    found = {}
    for line in filter(str.strip, read_text(path).splitlines()):
        name, _, values = line.partition(":")
        if name.strip() in found:
            raise XkdError(f"{path}: has two lines {name.strip()}.")
        found[name.strip()] = values
    return found


def read_times(path, numbers):
    """(len(numbers),) int64 microseconds since 1970 of these files' lines, the clock being taken for UTC. Lines of files that were lost
    are empty. Errors: no time in a file's line, a time before that of the file before."""
    lines = [line.strip() for line in read_text(path).split("\n")]
    try:
        for k, line in enumerate(lines, 1):
            if line and TIME.fullmatch(line) is None:
                raise ValueError(f"{line!r} in line {k} is no time")
        times = np.array(lines, "datetime64[ns]")
    except ValueError as error:
        raise XkdError(f"{path}: {error}.") from None
    rows = [int(number) for number in numbers]
    for row in rows:
        if row >= len(times) or np.isnat(times[row]):
            raise XkdError(f"{path}: has no time in line {row + 1}, which is that of number {row:010d}.")
    times = (times[rows].astype(np.int64) + 500) // 1000
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        row = rows[back[0] + 1]
        raise XkdError(f"{path}: {lines[row]} in line {row + 1} is earlier than the time before it.")
    return times


def pictures(folder):
    """Whether a camera's folder has images. Errors: files and not one `.png`, which both layouts' images are."""
    there = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if there and not any(path.suffix == ".png" for path in there):
        raise XkdError(f"{there[0]}: is no .png, as the images of this layout are, and {folder} holds none.")
    return bool(there)


def numbered(folder, ending):
    """The names, without ending, of the numbered files of a folder, in their order. Errors: a name that is no number."""
    names = sorted(path.stem for path in folder.glob(f"*.{ending}"))
    for name in names:
        if not name.isdecimal():
            raise XkdError(f"{folder / name}.{ending}: is no file's name, which is a number.")
    return names
