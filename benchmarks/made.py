"""Inputs that are made for the measurements: sweeps of any size, cameras around them, splits as the stages leave them."""

from types import SimpleNamespace

import numpy as np

from xkd.datasets.frame import Camera
from xkd.files import write_json

CLASSES = [f"class {i}" for i in range(16)]
PAIRS, CHANNELS, SEGMENTS = 4096, 384, 900


def sweep(rng, columns=1084):
    """Points (N, 3) of a street of ground, walls and boxes as 32 beams see it, in so many columns; 1084 are as many as nuScenes'."""
    azimuth, elevation = np.meshgrid(
        np.linspace(-np.pi, np.pi, columns, endpoint=False), np.radians(np.linspace(-30, 10, 32))
    )
    azimuth, elevation = azimuth.ravel(), elevation.ravel()
    sector = ((azimuth + np.pi) / (2 * np.pi) * 120).astype(int)
    wall, top = rng.uniform(4, 45, 120)[sector], rng.uniform(0.5, 9, 120)[sector]
    ground = np.where(elevation < 0, 1.8 / np.tan(np.maximum(-elevation, 1e-6)), np.inf)
    standing = np.where(wall * np.tan(elevation) < top, wall, np.inf)
    away = np.minimum(ground, standing)
    away = away + rng.normal(0, 0.03, len(away))
    kept = away < 80
    away, azimuth, elevation = away[kept], azimuth[kept], elevation[kept]
    return np.stack([away * np.cos(azimuth), away * np.sin(azimuth), away * np.tan(elevation)], 1).astype(np.float32)


def street(points, seed=0):
    """(N, 3) of a sweep's form, of exactly so many points."""
    found = sweep(np.random.default_rng(seed), -(-points // 20))
    return np.ascontiguousarray(found[np.linspace(0, len(found) - 1, points).astype(int)])


def rig(points, cameras=6, size=(900, 1600)):
    """What `geometry.pair` takes of a frame: the points, and cameras in a ring, of nuScenes' image size and field of view."""
    K = np.array([[1266.0, 0, size[1] / 2], [0, 1266.0, size[0] / 2], [0, 0, 1]])
    ring = []
    for i in range(cameras):
        turn = 2 * np.pi * i / cameras
        T = np.eye(4)
        # Camera axes: x right, y down, z forward.
        T[:3, 0], T[:3, 1] = (np.sin(turn), -np.cos(turn), 0), (0, 0, -1)
        T[:3, 2] = np.cos(turn), np.sin(turn), 0
        ring.append(Camera(f"camera {i}", None, size, K, T, np.eye(4), np.eye(4)))
    return SimpleNamespace(id="made", points=points, cameras=ring)


def picture(seed=0, size=(900, 1600)):
    """(H, W, 3) uint8 of blocks, shades and noise: as hard to encode as a photograph of a street, about."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3), np.float32) + np.linspace(90, 160, size[0])[:, None, None]
    for _ in range(60):
        row, column = rng.integers(size[0]), rng.integers(size[1])
        tall, wide = rng.integers(20, 200, 2)
        image[row : row + tall, column : column + wide] = rng.uniform(20, 230, 3)
    return (image + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)


def written(folder, count, channels=CHANNELS):
    """Splits `prepared/train` and `teacher/train` of so many frames in the form that the stages leave; -> mean points a frame."""
    rng = np.random.default_rng(0)
    scans = [sweep(rng) for _ in range(min(count, 64))]
    scans = [scans[i % len(scans)] for i in range(count)]
    offsets = np.cumsum([0, *map(len, scans)])
    points, total = np.concatenate(scans), int(offsets[-1])
    labels = (np.abs(points // 4).sum(1) % len(CLASSES)).astype(np.int16)
    prepared, teacher = folder / "prepared" / "train", folder / "teacher" / "train"
    prepared.mkdir(parents=True), teacher.mkdir(parents=True)
    for name, array in {
        "points": points,
        "intensity": rng.random(total, np.float32),
        "labels": labels,
        "offsets": offsets,
    }.items():
        np.save(prepared / f"{name}.npy", array)
    frames = [
        {"id": str(i), "scene": f"street-{i // 4}", "points": len(s), "labelled": True} for i, s in enumerate(scans)
    ]
    about = {"frames": frames, "classes": CLASSES, "cameras": [], "colours": [[0, 0, 0]] * len(CLASSES)}
    write_json(prepared / "frames.json", about | {"labelled": True, "paired": False, "digest": "made"})
    point = np.concatenate([np.sort(rng.choice(len(s), PAIRS, replace=False)) for s in scans])
    segment = np.concatenate([np.sort(rng.integers(SEGMENTS, size=PAIRS)) + i * SEGMENTS for i in range(count)])
    # Written frame by frame: what making them takes is not to count as what a stage takes.
    features = np.lib.format.open_memmap(teacher / "features.npy", "w+", np.float16, (len(point), channels))
    for start in range(0, len(point), PAIRS):
        features[start : start + PAIRS] = rng.standard_normal((PAIRS, channels), np.float32)
    features.flush()
    for name, array in {
        "point": point,
        "superpixel": segment,
        "offsets": np.arange(count + 1) * PAIRS,
        "superpixel_features": rng.standard_normal((count * SEGMENTS, channels), np.float32).astype(np.float16),
        "superpixel_offsets": np.arange(count + 1) * SEGMENTS,
        "correlation": np.eye(channels),
    }.items():
        np.save(teacher / f"{name}.npy", array)
    write_json(
        teacher / "features.json",
        {"dim": channels, "digest": "made", "mean": [0.0] * channels, "std": [1.0] * channels},
    )
    return total / count
