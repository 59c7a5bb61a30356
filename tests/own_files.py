"""A folder of one's own that can be checked on paper: three scans, 0.1 s apart, each 50 ms before its image."""

import copy

import cloud_files
import numpy as np
import yaml
from PIL import Image

HALF = 0.5**0.5
T_CAMERA_LIDAR = [[1, 0, 0, 0.1], [0, 0, -1, -0.2], [0, 1, 0, -0.3], [0, 0, 0, 1]]
"""From a LiDAR with x right, y forward, z up into camera axes."""
CAMERA = {
    "images": "front/*.png", "model": "pinhole", "fx": 100, "fy": 100, "cx": 80, "cy": 45, "T_camera_lidar": T_CAMERA_LIDAR,
    "timestamps": {"from": "front.txt", "unit": "ms"},
}  # fmt: skip
LAYOUT = {
    "scans": {
        "files": "lidar/*.pcd", "axes": "x right, y forward, z up", "intensity_max": 255,
        "timestamps": {"from": "lidar.txt", "unit": "ms"},
    },
    "cameras": {"front": CAMERA},
    "labels": {"files": "labels/*.label"},
    "classes": {"road": {"ids": [40, 60], "colour": [255, 0, 255]}, "car": {"ids": [10]}},
    "ignored": [0],
    "poses": {"file": "poses.txt"},
}  # fmt: skip
RAW = np.array([40 | 7 << 16, 10, 0], np.uint32)
STEMS = ["8", "9", "10"]
"""In this order, which is not that of letters."""


def layout(**changes):
    """`LAYOUT` with other sections, laid over those that are there; None takes a section or a key of one away."""
    about = copy.deepcopy(LAYOUT)
    for name, change in changes.items():
        if change is None:
            del about[name]
        elif isinstance(change, dict) and name not in ("splits", "classes"):
            about[name] = {k: v for k, v in (about.get(name, {}) | change).items() if v is not None}
        else:
            about[name] = change
    return about


def camera(**changes):
    """`CAMERA` with other keys; None takes one away."""
    return {k: v for k, v in (CAMERA | changes).items() if v is not None}


def say(root, **changes):
    """Writes `xkd.yaml`."""
    (root / "xkd.yaml").write_text(yaml.safe_dump(layout(**changes), sort_keys=False))
    return root


def folder(root, **changes):
    """The LiDAR goes 2 m along its y, the world's too, from scan to scan."""
    for name in ("lidar", "front", "labels"):
        (root / name).mkdir(parents=True)
    for name in STEMS:
        (root / "lidar" / f"{name}.pcd").write_bytes(cloud_files.pcd("binary"))
        RAW.tofile(root / "labels" / f"{name}.label")
        Image.new("RGB", (160, 90), (int(name), 0, 0)).save(root / "front" / f"{name}.png")
    (root / "lidar.txt").write_text("1000\n1100\n1200\n")
    (root / "front.txt").write_text("1050\n1150\n1250\n")
    (root / "poses.txt").write_text("".join(f"1 0 0 5 0 1 0 {2 * k} 0 0 1 0\n" for k in range(3)))
    return say(root, **changes)


def tum(count=3, step=0.1, turn=0.0):
    """Poses with times from 1 s on, 2 m along y and `turn` radians to the left from one to the next."""
    lines = ["# t x y z qx qy qz qw"]
    for k in range(count):
        lines.append(f"{1 + k * step} 5 {2 * k} 0 0 0 {np.sin(k * turn / 2):.9f} {np.cos(k * turn / 2):.9f}")
    return "\n".join(lines) + "\n"
