"""A camera that looks ahead from the LiDAR's place, and frames of a few points."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from xkd.datasets import Camera

AXES = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
"""A camera that looks along the LiDAR's x from the LiDAR's place: right = -y, down = -z, forward = x."""


def camera(T_cam_lidar=AXES, size=(90, 160), K=((100, 0, 80), (0, 100, 45), (0, 0, 1)), **more):
    T_rig_cam = np.linalg.inv(T_cam_lidar)
    K = np.array(K, np.float64)
    return Camera("front", Path("front.png"), size, K, T_rig_cam, np.eye(4), np.eye(4), **more)


def frame(points, *cameras):
    return SimpleNamespace(id="f", points=np.asarray(points, np.float32), cameras=list(cameras))
