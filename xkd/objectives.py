"""What the student is taught: an objective is a function (student features and teacher features at pairs) -> loss.

A new objective is one function here and its line in OBJECTIVES; `params.yaml` chooses it by that word.
"""

from torch_scatter import scatter_mean

from xkd import contrast, losses
from xkd.errors import XkdError

MATCHES = 4096
"""Pairs of a batch that are contrasted point by point, as many as PPKT draws; more are thinned evenly."""


def cosine(points, pairs, settings):
    """Each paired point predicts the teacher's feature at its pixel (ScaLR, CleverDistiller)."""
    return losses.cosine(points, pairs["features"])


def superpixel(points, pairs, settings):
    """Superpixel InfoNCE (SLidR, Sautier et al. 2022): points and pixels averaged per superpixel, each against all others of the batch."""
    return contrast.info_nce(*superpixels(points, pairs), settings["temperature"])


def ppkt(points, pairs, settings):
    """Point-pixel InfoNCE (Liu et al. 2021): each paired point against the pixels of all others."""
    step = -(-len(points) // MATCHES)
    return contrast.info_nce(points[::step], pairs["features"][::step], settings["temperature"])


def tolerant(points, pairs, settings):
    """Superpixel InfoNCE that bears with alike superpixels and weighs rare ones more (ST-SLidR, Mahmoud et al. 2023)."""
    means, keys = superpixels(points, pairs)
    return contrast.info_nce(means, keys, settings["temperature"], keys, contrast.rarity(keys))


def relational(points, pairs, settings):
    """Superpixels are to be as like each other in the scan as they are in the images (CMCMD, Yang et al. 2026)."""
    return contrast.relational(*superpixels(points, pairs))


def superpixels(points, pairs):
    """The student's mean over the points of each superpixel that has some, and the teacher's features of these, both (S, D).

    Superpixels that no point falls on do not count, as positives or as negatives."""
    used, row = pairs["superpixel"].unique(return_inverse=True)
    return scatter_mean(points, row, 0), pairs["superpixel_features"][used]


OBJECTIVES = {
    "cosine": cosine,
    "ppkt": ppkt,
    "superpixel": superpixel,
    "tolerant": tolerant,
    "relational": relational,
}


def objective(name):
    """The objective of that name; an unknown one is refused with the names there are."""
    if name not in OBJECTIVES:
        raise XkdError(
            f"params.yaml: distill.objective {name!r} is unknown; there are {', '.join(sorted(OBJECTIVES))}."
        )
    return OBJECTIVES[name]
