"""A tiny PandaSet, written out by hand: numbers that can be checked on paper."""

import json

import numpy as np
import pandas as pd
from PIL import Image
from test_pickles import write

from xkd.datasets import reader

HALF = 0.5**0.5
START = 1557539956.5
"""Seconds of row 0; a row is 0.1 s later than the one before, and an image 0.05 s earlier than its sweep."""
POINTS = np.array([[1, 10, 0.2], [-2, 8, -1.0], [0, -6, 0.5], [3, 12, 1.0]])
"""Of every sweep in the axes of its pose on disk: x right, y forward, z up."""
TIMES, SENSOR, RAW = [-0.1, 0.0, -0.08, 0.01], [0, 0, 1, 1], [7, 42, 4, 31]
LATITUDES = {"002": 37.77, "004": 37.77, "101": 37.41}
"""Scene 004 has no labels."""
MOUNTS = {"front_camera": ([1.5, 1.6], [0.5, -0.5, -0.5, 0.5]), "back_camera": ([-0.5, 1.6], [-0.5, 0.5, -0.5, 0.5])}
"""Metres ahead of the pose's origin and above it; quaternion in the world."""


def pose(ahead, height, heading):
    """The car looks along the world's -x from (10, 20)."""
    position = dict(zip("xyz", [10 - ahead, 20, height], strict=True))
    return {"position": position, "heading": dict(zip("wxyz", heading, strict=True))}


def dump(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def table(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, pd.DataFrame(columns))


def scan(path, row, points=POINTS, i=(0, 51, 102, 255), t=TIMES, d=SENSOR):
    """Disk axes into the world: the car's right is the world's y, and it is `row` metres along its way."""
    x, y, z = np.asarray(points, float).T
    time = START + 0.1 * row + np.array(t)
    table(path, x=10 - row - y, y=20 + x, z=z, i=np.array(i, float), t=time, d=np.array(d))


def layout(root):
    """Three scenes of three rows, with scans 00 and 02; the car drives 1 m a row."""
    Image.new("RGB", (1920, 1080), (90, 90, 90)).save(root / "grey.jpg")
    names = {str(raw): name for raw, (name, _) in reader("pandaset").facts()["labels"].items()}
    for scene, latitude in LATITUDES.items():
        folder = root / "data" / scene
        dump(folder / "meta" / "gps.json", [{"lat": latitude, "long": -122.4}] * 3)
        dump(folder / "lidar" / "poses.json", [pose(row, 0, [HALF, 0, 0, HALF]) for row in range(3)])
        dump(folder / "lidar" / "timestamps.json", [START + 0.1 * row for row in range(3)])
        for camera, ((ahead, height), heading) in MOUNTS.items():
            own = folder / "camera" / camera
            dump(own / "poses.json", [pose(row - 0.5 + ahead, height, heading) for row in range(3)])
            dump(own / "timestamps.json", [START + 0.1 * row - 0.05 for row in range(3)])
            dump(own / "intrinsics.json", {"fx": 1000, "fy": 1000, "cx": 960, "cy": 540})
            for row in (0, 2):
                (own / f"{row:02d}.jpg").hardlink_to(root / "grey.jpg")
        for row in (0, 2):
            scan(folder / "lidar" / f"{row:02d}.pkl.gz", row)
            if scene != "004":
                table(folder / "annotations" / "semseg" / f"{row:02d}.pkl.gz", **{"class": RAW})
                dump(folder / "annotations" / "semseg" / "classes.json", names)
    return root / "data"
