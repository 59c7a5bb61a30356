"""What a difference between two trainings is worth: intervals over seeds, and over the streets it was measured on.

Two things vary. Another seed means another label subset and another distillation; another set of validation streets
would have given another score. An interval over seeds alone leaves the second out, so both are added here.
"""

import numpy as np
import pandas as pd
from scipy import stats

from xkd import metrics
from xkd.errors import XkdError


def paired(differences, street_variance, level=0.95, careful=False):
    """Paired t intervals of the mean difference at each fraction.

    `differences`: {fraction: (n,) differences in points, one a seed}; `street_variance`: {fraction: variance of the
    mean difference over validation streets, points squared}. -> DataFrame indexed by fraction with `mean`, `sd` (of
    this fraction's differences), `n`, `low`, `high` (the interval), and what it is made of: `sd_pooled`, `df`,
    `street_sd`.

    The standard deviation is pooled over the fractions, s^2 = sum (d - mean_f)^2 / sum (n_f - 1), because a few
    seeds a fraction estimate it badly; the interval is mean +- t(df) sqrt(s^2 / n + street variance). NaN where no
    fraction has two seeds.

    careful: where a list's own deviation is larger than the pooled one, that counts, with its own degrees of freedom. For lists that vary
    by more or less than each other, and for differences to one and the same baseline: what its seeds add is in all of them, and the pooled
    deviation knows less than its degrees of freedom say (tests/test_study_report.py).
    """
    differences = {fraction: np.asarray(values, dtype=np.float64) for fraction, values in differences.items()}
    for fraction, values in differences.items():
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise XkdError(f"fraction {fraction}: the paired differences are not a list of numbers: {values.tolist()}.")
        if not street_variance[fraction] >= 0:
            raise XkdError(f"fraction {fraction}: a variance cannot be {street_variance[fraction]}.")
    df = sum(values.size - 1 for values in differences.values())
    squares = sum(((values - values.mean()) ** 2).sum() for values in differences.values())
    pooled = np.sqrt(squares / df) if df else np.nan
    rows = []
    for fraction, values in differences.items():
        mean, n = values.mean(), values.size
        sd = values.std(ddof=1) if n > 1 else np.nan
        spread, known = (sd, n - 1) if careful and sd > pooled else (pooled, df)
        quantile = stats.t.ppf(0.5 + level / 2, known) if known else np.nan
        half = quantile * np.sqrt(spread**2 / n + street_variance[fraction])
        rows.append(
            {
                "mean": mean,
                "sd": sd,
                "n": n,
                "low": mean - half,
                "high": mean + half,
                "sd_pooled": pooled,
                "df": known,
                "street_sd": street_variance[fraction] ** 0.5,
            }
        )
    return pd.DataFrame(rows, index=pd.Index(list(differences), name="fraction"))


def resample(confusions, rng, draws):
    """(n, S, C, C) counts of n runs on S streets -> iterator of (n, C, C) sums over S streets drawn with replacement.

    All runs share a draw, so that differences between them stay paired. Whole streets are drawn because frames of one
    street resemble each other.
    """
    confusions = np.asarray(confusions, dtype=np.float64)
    if confusions.ndim != 4:
        raise XkdError(f"confusions are (runs, streets, classes, classes), not {confusions.shape}.")
    streets = confusions.shape[1]
    if streets < 2:
        raise XkdError(f"{streets} validation street: the variance over streets needs at least two.")
    for counts in rng.multinomial(streets, np.full(streets, 1.0 / streets), size=draws):
        yield np.tensordot(confusions, counts.astype(np.float64), axes=(1, 0))


def street_scores(confusions, rng, draws=1000):
    """(n, S, C, C) counts -> (draws, n, C) IoU in points of each run, had the validation set been another draw of
    streets."""
    return np.array([100 * metrics.iou(drawn) for drawn in resample(confusions, rng, draws)])


def over_streets(values, streets):
    """(draws, ...) bootstrapped statistics -> (...) their variance over streets; draws in which one is NaN are left
    out.

    Bootstrap variance (Efron & Tibshirani 1993, chapter 6) times S / (S - 1), which makes it unbiased where the
    statistic is a mean over S streets. NaN where fewer than two draws have a value.
    """
    values = np.asarray(values, dtype=np.float64)
    there = np.isfinite(values)
    count = there.sum(0)
    mean = np.where(there, values, 0).sum(0) / np.maximum(count, 1)
    squares = np.where(there, (values - mean) ** 2, 0).sum(0)
    return np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan) * streets / (streets - 1)


def street_variance(conf_a, conf_b, rng, draws=1000):
    """Variance over validation streets of the mean paired difference in mIoU (a - b), in points squared.

    `conf_a`, `conf_b` (n, S, C, C): counts of n seeds' runs on the same S streets.
    """
    conf_a, conf_b = np.asarray(conf_a), np.asarray(conf_b)
    if conf_a.shape != conf_b.shape:
        raise XkdError(f"paired runs have the same seeds, streets and classes: {conf_a.shape} is not {conf_b.shape}.")
    scores = nanmean(street_scores(np.concatenate([conf_a, conf_b]), rng, draws))
    return float(over_streets((scores[:, : len(conf_a)] - scores[:, len(conf_a) :]).mean(1), conf_a.shape[1]))


def street_error(confusions, rng, draws=1000):
    """One standard error over validation streets of a single run's mIoU, in points, averaged over the (n, S, C, C)
    runs."""
    scores = nanmean(street_scores(confusions, rng, draws))
    return float(np.sqrt(over_streets(scores, np.shape(confusions)[1])).mean())


def nanmean(values, axis=-1):
    """Mean over an axis of the values that are numbers; NaN, and no warning, where there is none."""
    there = ~np.isnan(values)
    count = there.sum(axis)
    return np.where(count > 0, np.where(there, values, 0).sum(axis) / np.maximum(count, 1), np.nan)


def matching_fraction(fractions, scores, target):
    """The label fraction at which a curve reaches `target`, read off straight lines over log(fraction).

    NaN where the curve starts above it or never gets there: nothing is read beyond what was measured.
    """
    order = np.argsort(fractions)
    x, y = np.log(np.asarray(fractions, dtype=np.float64)[order]), np.asarray(scores, dtype=np.float64)[order]
    if y[0] == target:
        return float(np.exp(x[0]))
    reached = np.flatnonzero(y >= target)
    if not reached.size or reached[0] == 0:
        return float("nan")
    i = reached[0] - 1
    return float(np.exp(x[i] + (x[i + 1] - x[i]) * (target - y[i]) / (y[i + 1] - y[i])))
