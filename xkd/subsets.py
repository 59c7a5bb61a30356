"""Which frames are labelled: whole frames, spread over streets, nested from one fraction to the next."""

import numpy as np

from xkd.errors import XkdError


def check_fraction(fraction):
    """The fraction as a float; refuses what is outside (0, 1]."""
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise XkdError(f"fraction: {fraction!r} is outside (0, 1].")
    return float(fraction)


def subset(scenes, fraction, seed):
    """The scene of each frame -> sorted indices of the labelled frames: max(1, round(fraction * frames)) of them.

    Scenes are shuffled by `seed` and give one random frame each, round after round, so that a small subset comes from as many
    streets as it has frames. The order does not depend on the fraction: a smaller subset lies within every larger one.
    """
    fraction = check_fraction(fraction)
    if len(scenes) == 0:
        raise XkdError("No labelled frame to draw a subset from.")
    rng = np.random.default_rng(seed)
    members = {}
    for index, scene in enumerate(scenes):
        members.setdefault(scene, []).append(index)
    turns = []
    for place, scene in enumerate(rng.permutation(sorted(members))):
        turns += [(turn, place, index) for turn, index in enumerate(rng.permutation(members[scene]).tolist())]
    ordered = [index for _, _, index in sorted(turns)]
    return np.sort(ordered[: max(1, round(fraction * len(scenes)))])
