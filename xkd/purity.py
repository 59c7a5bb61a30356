"""How well superpixels keep to things, as far as the labels of the points in them can tell: a log's images have no labels of their own."""

import numpy as np
from scipy.spatial import cKDTree


def pairs_each(prepared):
    """(S,) how many pairs each superpixel of a prepared split holds."""
    counts = []
    for i in range(len(prepared)):
        start, stop = prepared.superpixels(i)
        counts.append(np.bincount(prepared.pairs(i).superpixel - start, minlength=stop - start))
    return np.concatenate(counts)


def purity(prepared):
    """Share of the labelled pairs that have the commonest label of their superpixel; NaN without a label.

    What a segmentation could reach that gives each superpixel one class: Achanta et al. 2012 call it achievable accuracy. It grows with
    the number of superpixels, so compare at equal numbers.
    """
    right = labelled = 0
    classes = len(prepared.classes)
    for i in range(len(prepared)):
        start, stop = prepared.superpixels(i)
        pairs = prepared.pairs(i)
        label = prepared.labels(i)[pairs.point].astype(np.int64)
        known = label >= 0
        counts = np.bincount(
            (pairs.superpixel[known] - start) * classes + label[known], minlength=(stop - start) * classes
        )
        right, labelled = right + counts.reshape(-1, classes).max(1).sum(), labelled + known.sum()
    return float(right / labelled) if labelled else float("nan")


def parted(prepared, frames=40):
    """How often two neighbours lie in different superpixels: (where their labels differ, where they are the same); NaN without such.

    Neighbours: a paired point and the one nearest to it in the image, both labelled. The first is a recall of the boundaries between
    things, where points see them; the second is what it costs, and what superpixels that know nothing would have for both. Of `frames`
    frames at most, evenly chosen.
    """
    cut, count = np.zeros(2), np.zeros(2)
    for i in np.linspace(0, len(prepared) - 1, min(frames, len(prepared))).astype(int):
        pairs = prepared.pairs(i)
        label = prepared.labels(i)[pairs.point]
        for camera in np.unique(pairs.camera[label >= 0]):
            here = (label >= 0) & (pairs.camera == camera)
            if here.sum() > 1:
                found = cKDTree(pairs.pixel[here]).query(pairs.pixel[here], k=2)[1]
                # Of two points on one pixel each may be named first.
                other = np.where(found[:, 1] == np.arange(len(found)), found[:, 0], found[:, 1])
                same = (label[here] == label[here][other]).astype(int)
                away = pairs.superpixel[here] != pairs.superpixel[here][other]
                count += np.bincount(same, minlength=2)
                cut += np.bincount(same, away, minlength=2)
    return tuple(float(part / whole) if whole else float("nan") for part, whole in zip(cut, count, strict=True))


def table(prepared):
    """{what: value} of a prepared split, for people; shares in per cent."""
    counts, (differ, same) = pairs_each(prepared), parted(prepared)
    return {
        "superpixels": len(counts),
        "without a pair (%)": round(100 * float((counts == 0).mean()), 1),
        "pairs in one of the others (median)": float(np.median(counts[counts > 0])) if counts.any() else float("nan"),
        "purity (%)": round(100 * purity(prepared), 1),
        "neighbours of different labels in different superpixels (%)": round(100 * differ, 1),
        "neighbours of one label in different superpixels (%)": round(100 * same, 1),
    }
