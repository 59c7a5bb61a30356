"""Colours, as linear red, green and blue in 0..1."""

import numpy as np


def tint(rng, base, spread=0.15, shift=0.04):
    """A colour near `base`: brightness changed by `spread`, each channel by `shift`."""
    return np.clip(np.array(base) * (1 + rng.uniform(-spread, spread)) + rng.uniform(-shift, shift, 3), 0.01, 0.95)


def palette(rng):
    """Two colours for each ground material of this street."""

    def grey(value, spread=0.25):
        return tint(rng, (value,) * 3, spread, 0.012)

    white, asphalt = grey(0.72, 0.12), grey(0.11, 0.45)
    line = white if rng.random() < 0.7 else tint(rng, (0.75, 0.55, 0.12))
    lawn = [(0.10, 0.20, 0.04), (0.16, 0.24, 0.06), (0.20, 0.20, 0.07)][rng.integers(3)]
    stone = [(0.30, 0.28, 0.25), (0.36, 0.30, 0.25), (0.24, 0.25, 0.27), (0.40, 0.36, 0.30)][rng.integers(4)]
    plaza = [(0.34, 0.15, 0.10), (0.28, 0.12, 0.09), (0.22, 0.16, 0.14), (0.42, 0.24, 0.13)][rng.integers(4)]
    return {
        "asphalt": (asphalt, asphalt),
        "line": (asphalt, line),
        "dash": (asphalt, white),
        "zebra": (asphalt, white),
        "bays": (grey(0.15, 0.4), white),
        "pavers": (tint(rng, stone), grey(0.2)),
        "slabs": (grey(0.36), grey(0.2)),
        "grass": (tint(rng, lawn, 0.2, 0.015), tint(rng, (0.30, 0.26, 0.12), 0.3, 0.02)),
        "soil": (tint(rng, (0.24, 0.17, 0.10)), tint(rng, (0.18, 0.18, 0.08))),
        "cobbles": (tint(rng, plaza), grey(0.15)),
        "hatch": (tint(rng, [(0.13, 0.13, 0.13), (0.30, 0.09, 0.07), (0.08, 0.22, 0.12)][rng.integers(3)]), white),
        "concrete": (tint(rng, (0.46, 0.42, 0.33)), grey(0.3)),
    }
