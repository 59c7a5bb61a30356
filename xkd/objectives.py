"""What the student is taught: an objective is a function (student features and teacher features at pairs) -> loss.

A new objective is one function here and its line in OBJECTIVES; `params.yaml` chooses it by that word.
"""

from xkd import losses
from xkd.errors import XkdError


def cosine(points, pairs, settings):
    """Each paired point predicts the teacher's feature at its pixel (ScaLR, CleverDistiller)."""
    return losses.cosine(points, pairs["features"])


def superpixel(points, pairs, settings):
    """Superpixel InfoNCE (SLidR): see `losses.superpixel_info_nce`."""
    return losses.superpixel_info_nce(
        points, pairs["superpixel"], pairs["superpixel_features"], settings["temperature"]
    )


OBJECTIVES = {"cosine": cosine, "superpixel": superpixel}


def objective(name):
    """The objective of that name; an unknown one is refused with the names there are."""
    if name not in OBJECTIVES:
        raise XkdError(
            f"params.yaml: distill.objective {name!r} is unknown; there are {', '.join(sorted(OBJECTIVES))}."
        )
    return OBJECTIVES[name]
