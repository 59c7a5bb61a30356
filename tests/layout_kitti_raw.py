"""KITTI raw's layout with small files: a drive eastward along the equator, cameras on their side, sensors at times of their own."""

import math

import numpy as np
from PIL import Image

EARTH = 6378137.0
DATE, DRIVE, SECOND = "2011_09_26", "2011_09_26_drive_0001_sync", "2011_09_26_drive_0002_sync"
SCAN, OXTS = f"{DRIVE}/velodyne_points/data/0000000001.bin", f"{DRIVE}/oxts/data/0000000001.txt"
POINTS = np.array([[10, 1, 0.5, 0.25], [5, -1, -1, 1.0], [-4, 0, 0, 0.0]], np.float32)
LATE = {"oxts": 0.0, "velodyne_points": 0.02, "image_02": 0.03, "image_03": 0.05}
"""Seconds after the packet of the same number."""
CAMERA = """calib_time: 09-Jan-2012 13:57:47
R_rect_00: 0 -1 0 1 0 0 0 0 1
S_rect_02: 1.6e+02 9e+01
P_rect_02: 100 0 80 20 0 100 45 10 0 0 1 0.5
S_rect_03: 1.6e+02 9e+01
P_rect_03: 100 0 80 -30 0 100 45 0 0 0 1 0
"""
"""R_rect_00 turns x right, y down into x down, y left: a camera on its side."""
LIDAR = "calib_time: 15-Mar-2012 11:37:16\nR: 0 -1 0 0 0 -1 1 0 0\nT: 0.1 -0.2 -0.3\n"
IMU = "calib_time: 25-May-2012 16:47:16\nR: 1 0 0 0 1 0 0 0 1\nT: -1 0 -1\n"
"""The velodyne is 1 m in front of the IMU and 1 m above it."""


def degrees(metres):
    """Of longitude along the equator."""
    return math.degrees(metres / EARTH)


def packet(latitude=0.0, longitude=0.0, altitude=100.0, roll=0.0, pitch=0.0, yaw=0.0):
    return " ".join(map(repr, [latitude, longitude, altitude, roll, pitch, yaw, *[0.5] * 19, *[4] * 5])) + "\n"


def timestamps(stream, frames):
    return "".join(f"2011-09-26 13:02:25.{round((0.1 * i + LATE[stream]) * 1e9):09d}\n" for i in range(frames))


def layout(root, drives=(DRIVE, SECOND), frames=3, points=POINTS, image=None):
    """Eastward along the equator, one metre from packet to packet, ten packets a second."""
    date = root / DATE
    for drive in drives:
        for stream in LATE:
            (date / drive / stream / "data").mkdir(parents=True)
            (date / drive / stream / "timestamps.txt").write_text(timestamps(stream, frames))
            for i in range(frames):
                path = date / drive / stream / "data" / f"{i:010d}"
                if stream == "oxts":
                    path.with_suffix(".txt").write_text(packet(longitude=8.5 + degrees(i)))
                elif stream == "velodyne_points":
                    points.tofile(path.with_suffix(".bin"))
                else:
                    (image or Image.new("RGB", (160, 90), (10, 20, 30))).save(path.with_suffix(".png"))
    (date / "calib_cam_to_cam.txt").write_text(CAMERA)
    (date / "calib_velo_to_cam.txt").write_text(LIDAR)
    (date / "calib_imu_to_velo.txt").write_text(IMU)
    return root


def moved(x, y=0.0, z=0.0):
    T = np.eye(4)
    T[:3, 3] = [x, y, z]
    return T
