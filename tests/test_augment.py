"""Crops and augmentation of a scan: which points stay, and what moves how."""

import numpy as np
import pytest

from xkd.augment import augment, crop

AUGMENT = {"turn": 3.1416, "flip": 0.5, "scale": 0.1, "jitter": 0.0, "gain": 0.2}


def test_crop_keeps_a_sector_around_a_chosen_point():
    angles = np.linspace(-np.pi, np.pi, 360, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
    kept = crop(ring, 90, np.random.default_rng(0), around=np.array([0]))
    # Point 0 lies at -180 degrees: the 90 nearest directions are within 45 degrees of it, on both sides of the seam.
    assert len(kept) == 90 and (np.abs(np.abs(np.degrees(angles[kept])) - 180) <= 45).all()
    assert (crop(ring, 360, np.random.default_rng(0)) == np.arange(360)).all()


@pytest.mark.parametrize("seed", range(20))
def test_crop_takes_the_nearest_where_directions_repeat(seed):
    """A spinning sensor's columns: 20 points in each of 101 directions."""
    angles = np.tile(np.linspace(-3, 3, 101), 20)
    points = np.stack([np.cos(angles), np.sin(angles), np.repeat(np.arange(20), 101)], 1)
    centre = np.random.default_rng([seed, 1]).integers(len(points))
    kept = crop(points, 90, np.random.default_rng(seed), around=np.array([centre]))
    away = np.abs((angles - angles[centre] + np.pi) % (2 * np.pi) - np.pi)
    assert len(np.unique(kept)) == 90 and centre in kept and (np.diff(kept) > 0).all()
    assert np.sort(away[kept]) == pytest.approx(np.sort(away)[:90], abs=1e-6)


def test_augment_moves_rigidly_but_for_scale():
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    moved, gain = augment(points, np.full(50, 0.5, np.float32), AUGMENT, np.random.default_rng(1))
    distance = np.linalg.norm(points[:25] - points[25:], axis=1)
    ratio = np.linalg.norm(moved[:25] - moved[25:], axis=1) / distance
    assert ratio == pytest.approx(np.full(25, ratio[0]), abs=1e-4) and abs(ratio[0] - 1) <= 0.1
    assert (0 <= gain).all() and (gain <= 1).all()
