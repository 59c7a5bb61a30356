"""Random views of a scan. Every draw comes from the generator that is handed in."""

import numpy as np


def crop(points, keep, rng, around=None):
    """Indices of the `keep` points nearest in azimuth to a random direction (all, if the scan has no more).

    A sector keeps whole objects at every distance, which dropping single points would thin out. `around`: indices of points one of
    which gives the direction (those that a camera sees, say).
    """
    if len(points) <= keep:
        return np.arange(len(points))
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    centre = rng.uniform(-np.pi, np.pi) if around is None else azimuth[rng.choice(around)]
    away = np.abs((azimuth - centre + np.pi) % (2 * np.pi) - np.pi)
    edge = np.partition(away, keep - 1)[keep - 1]
    kept = away < edge
    kept[np.flatnonzero(away == edge)[: keep - np.count_nonzero(kept)]] = True
    return np.flatnonzero(kept)


def augment(points, intensity, settings, rng):
    """(N, 3) metres and (N,) -> the same, turned about z, mirrored, scaled and jittered. settings: turn (radians, +-), flip
    (probability of each mirror), scale (+-), jitter (m, standard deviation), gain (+- of the intensity)."""
    angle, scale = (
        rng.uniform(-settings["turn"], settings["turn"]),
        1 + rng.uniform(-settings["scale"], settings["scale"]),
    )
    mirror = np.where(rng.random(2) < settings["flip"], -1.0, 1.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * mirror[None]
    moved = np.empty_like(points)
    moved[:, :2] = points[:, :2] @ (turn.T * scale).astype(np.float32)
    moved[:, 2] = points[:, 2] * scale
    moved += rng.standard_normal(points.shape, np.float32) * np.float32(settings["jitter"])
    gain = 1 + rng.uniform(-settings["gain"], settings["gain"])
    return moved, np.clip(intensity * np.float32(gain), 0, 1)
