"""What the simulated sensors hand to the writers. Frames and units are those of `xkd.datasets.frame`: metres, x
forward, y left, z up.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Sweep:
    """One turn of the LiDAR; only returned points are kept."""

    points: np.ndarray  # (N, 3) float64 metres, LiDAR frame, x forward, y left, z up
    intensity: np.ndarray  # (N,) float64 in 0..1
    ring: np.ndarray  # (N,) uint8, 0 = lowest beam
    label: np.ndarray  # (N,) uint8 index into the list of taxonomy.yaml
    instance: np.ndarray  # (N,) uint16, 0 = none
    T_world_lidar: np.ndarray  # (4, 4)
    T_world_rig: np.ndarray  # (4, 4), rig = ego frame at the time of the sweep
    T_rig_lidar: np.ndarray  # (4, 4)
    timestamp: int  # microseconds


@dataclass
class Shot:
    """One image, with exact labels and depths for tests and for the teacher corpus."""

    name: str  # CAM_FRONT ... or image_2 ...
    image: np.ndarray  # (H, W, 3) uint8 RGB
    label: np.ndarray  # (H, W) uint8 index into the list of taxonomy.yaml, 255 = sky
    depth: np.ndarray  # (H, W) float32 metres along the optical axis, inf = sky
    K: np.ndarray  # (3, 3)
    T_rig_cam: np.ndarray  # (4, 4), camera axes x right, y down, z forward
    T_world_rig: np.ndarray  # (4, 4) at the image's own time
    timestamp: int  # microseconds
