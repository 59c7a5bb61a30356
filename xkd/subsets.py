"""Which frames are labelled: whole frames, spread over streets and nested from one fraction to the next; or as published."""

import numpy as np

from xkd.errors import XkdError


def check_fraction(fraction):
    """The fraction as a float; refuses what is outside (0, 1]."""
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise XkdError(f"fraction: {fraction!r} is outside (0, 1].")
    return float(fraction)


def subset(scenes, fraction, seed, kind="spread"):
    """The scene of each frame -> sorted indices of the labelled frames; kind: a key of `SUBSETS`. Errors: no frame, an unknown kind."""
    fraction = check_fraction(fraction)
    if len(scenes) == 0:
        raise XkdError("No labelled frame to draw a subset from.")
    if kind not in SUBSETS:
        raise XkdError(f"params.yaml: finetune.subset {kind!r} is unknown; there are {', '.join(SUBSETS)}.")
    return SUBSETS[kind](scenes, fraction, seed)


def spread(scenes, fraction, seed):
    """max(1, round(fraction * frames)) frames.

    Scenes are shuffled by `seed` and give one random frame each, round after round, so that a small subset comes from as many
    streets as it has frames. The order does not depend on the fraction: a smaller subset lies within every larger one.
    """
    rng = np.random.default_rng(seed)
    members = {}
    for index, scene in enumerate(scenes):
        members.setdefault(scene, []).append(index)
    turns = []
    for place, scene in enumerate(rng.permutation(sorted(members))):
        turns += [(turn, place, index) for turn, index in enumerate(rng.permutation(members[scene]).tolist())]
    ordered = [index for _, _, index in sorted(turns)]
    return np.sort(ordered[: max(1, round(fraction * len(scenes)))])


def every_scene(scenes, fraction, seed):
    """All frames of every n-th scene, n = round(1 / fraction), from scene number `seed` on; SLidR (Sautier et al. 2022) and those after it
    count from 1 and keep scenes n, 2n ..., which is seed 99 for their 1, 5, 10 and 25 % of nuScenes."""
    names, step = sorted(set(scenes)), round(1 / fraction)
    chosen = set(names[seed % min(step, len(names)) :: step])
    return np.flatnonzero([scene in chosen for scene in scenes])


def every_scan(scenes, fraction, seed):
    """Every n-th frame, n = round(1 / fraction), from frame number `seed` on; with seed 0 the 1 % of SemanticKITTI of SLidR."""
    step = round(1 / fraction)
    return np.arange(len(scenes))[seed % min(step, len(scenes)) :: step]


SUBSETS = {"spread": spread, "scenes": every_scene, "scans": every_scan}
