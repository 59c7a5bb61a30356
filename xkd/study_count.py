"""What a cell of the study leaves: its numbers, and the counts on the validation frames that all of them come from."""

import base64
import zlib

import numpy as np

from xkd.errors import XkdError
from xkd.files import write_json
from xkd.metrics import iou
from xkd.train import tally

DISTANCES = (0, 10, 20, 30, 50)
"""Metres from the sensor, horizontally, at which the bins begin that points are counted in."""


def write(file, result, validation, seen, guesses):
    """A cell's file, whole: its numbers and, packed, the counts they come from (`unpacked`)."""
    if not validation.labelled:
        raise XkdError(f"{validation.path}: this split has no labels to evaluate on.")
    total, streets = tally(validation, guesses)
    score = iou(total.sum(0))
    values = [None if np.isnan(v) else round(100 * float(v), 4) for v in score]
    result |= {"miou": round(100 * float(np.nanmean(score)), 4), "streets": streets}
    result |= {"iou": dict(zip(validation.classes, values, strict=True))}
    result |= {"counts": packed(count(validation, seen, guesses, total))}
    write_json(file, result)


def packed(counts):
    """{name: int32 array} -> {name: [shape, text]}: a file of a cell is a tenth of what the numbers would be, and has them all."""
    return {
        name: [list(array.shape), base64.b64encode(zlib.compress(array.astype("<i4").tobytes(), 9)).decode()]
        for name, array in counts.items()
    }


def unpacked(counts):
    """What `packed` was given."""
    return {
        name: np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i4").reshape(shape)
        for name, (shape, text) in counts.items()
    }


def count(validation, seen, guesses, total):
    """{streets (S, C, 3), distance (D, C, 3), coverage (2, C, 3)} int32: hits, misses and false alarms of each class, by street, by
    `DISTANCES` and by whether an image of the point's own sweep shows it (0: none does)."""
    classes = len(validation.classes)
    distance, coverage = (
        np.zeros((len(DISTANCES), classes, classes), np.int64),
        np.zeros((2, classes, classes), np.int64),
    )
    for i, guess in guesses.items():
        true, points = np.asarray(validation.labels(i)), validation.points(i)
        known = true >= 0
        pair = true[known].astype(np.int64) * classes + guess[known]
        far = np.digitize(np.hypot(points[known, 0], points[known, 1]), DISTANCES) - 1
        shown = np.zeros(len(points), bool)
        shown[seen.views.views(i, reach=0)[0]] = True
        for table, bins in ((distance, far), (coverage, shown[known].astype(int))):
            table += np.bincount(bins * classes**2 + pair, minlength=table.size).reshape(table.shape)
    return {name: three(table) for name, table in (("streets", total), ("distance", distance), ("coverage", coverage))}


def three(confusion):
    """(..., C, C) counts, rows truth -> (..., C, 3) int32 hits, misses, false alarms."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.stack([hit, confusion.sum(-1) - hit, confusion.sum(-2) - hit], -1).astype(np.int32)
