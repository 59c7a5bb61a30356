"""How well points are labelled: confusion counts, intersection over union per class, and their mean.

A class that is in neither the truth nor the predictions has no score (NaN): it is left out of the mean, never
counted as 0 or 1.
"""

import numpy as np
from numba import njit

from xkd.errors import XkdError

IGNORE = -1


def confusion(pred, true, classes):
    """Counts of points by (true class, predicted class), (C, C) int64: rows are the truth, columns the prediction.

    `pred` and `true` hold class ids of the same shape, `classes` is C or the list of class names. Points whose truth is
    -1 are left out. An id outside 0..C-1 raises XkdError.
    """
    count = classes if isinstance(classes, int | np.integer) else len(classes)
    pred, true = np.asarray(pred).reshape(-1), np.asarray(true).reshape(-1)
    if pred.shape != true.shape:
        raise XkdError(f"{pred.size} predictions for {true.size} labels: one prediction a point is needed.")
    for what, ids in (("prediction", pred), ("label", true)):
        if not np.issubdtype(ids.dtype, np.integer):
            raise XkdError(f"{what}s are {ids.dtype}, not integer class ids.")
    counts = np.zeros((count, count), np.int64)
    wrong = _count(pred, true, counts)
    if wrong >= 0:
        what, ids = ("label", true) if 0 <= pred[wrong] < count else ("prediction", pred)
        raise XkdError(f"{what} {ids[wrong]} is no class: ids go from 0 to {count - 1}.")
    return counts


@njit(cache=True, nogil=True)
def _count(pred, true, counts):
    """Adds to `counts`; the first point with an id that is none, or -1."""
    classes = len(counts)
    for i in range(len(pred)):
        p, t = np.int64(pred[i]), np.int64(true[i])
        if not 0 <= p < classes or not IGNORE <= t < classes:
            return i
        if t != IGNORE:
            counts[t, p] += 1
    return -1


def iou(confusion):
    """(..., C, C) counts -> (..., C) intersection over union, 0..1: TP / (TP + FP + FN), NaN where all three are
    zero."""
    confusion = np.asarray(confusion, dtype=np.float64)
    if confusion.ndim < 2 or confusion.shape[-1] != confusion.shape[-2]:
        raise XkdError(f"a confusion matrix is square, this one is {confusion.shape}.")
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hit
    return np.divide(hit, union, out=np.full(hit.shape, np.nan), where=union > 0)


def miou(confusion):
    """(..., C, C) counts -> (...) mean IoU in percent over the classes that have one; NaN where none has."""
    scores = iou(confusion)
    there = ~np.isnan(scores)
    count = there.sum(-1)
    total = np.where(there, scores, 0.0).sum(-1)
    mean = np.divide(100.0 * total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return mean if mean.ndim else float(mean)


def shares(confusion):
    """(C, C) counts -> (C, C) share of each true class's points by predicted class, 0..1; NaN rows for absent
    classes."""
    confusion = np.asarray(confusion, dtype=np.float64)
    rows = confusion.sum(-1, keepdims=True)
    return np.divide(confusion, rows, out=np.full(confusion.shape, np.nan), where=rows > 0)
