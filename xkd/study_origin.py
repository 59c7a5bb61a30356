"""Where a gain of the study comes from: by distance, by whether an image shows the point, by class."""

import numpy as np
import pandas as pd

from xkd import statistics
from xkd.study_count import DISTANCES
from xkd.study_report import iou


def where(study, row, baseline, fraction, kind):
    """The mean gain of a row (block, row) over another, in mIoU, by `kind`: "distance" (labels such as "10-20 m") or "coverage"."""
    seeds = study.seeds(fraction, row, baseline)
    names = [f"{a}-{b} m" for a, b in zip(DISTANCES, DISTANCES[1:], strict=False)] + [f"{DISTANCES[-1]} m and more"]
    names = names if kind == "distance" else ["in no image", "in an image"]
    a, b = (study.stack(kind, fraction, which, seeds) for which in (row, baseline))
    there = a[..., :2].sum(-1) > 0  # a class that is not in a bin counts for neither
    gains = np.where(there, iou(a) - iou(b), np.nan)
    return pd.Series(statistics.nanmean(gains).mean(0), names)


def by_class(study, row, baseline, fraction):
    """One line a class: its points in the validation frames and the mean gain in IoU; the rarest first."""
    seeds = study.seeds(fraction, row, baseline)
    a, b = (study.stack("streets", fraction, which, seeds).sum(1) for which in (row, baseline))
    points = a[0, :, :2].sum(1)
    gain = statistics.nanmean(iou(a) - iou(b), 0)
    return pd.DataFrame({"points": points, "gain": gain}, study.classes).sort_values("points")
