"""The numbers of the study: every row against the strongest that saw no image."""

import zlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

import xkd
from xkd import statistics
from xkd.errors import XkdError
from xkd.kept import facts
from xkd.study import AS_LONG, LIDAR_ONLY, LINES, METRICS, ROWS, SIDE, cells, precision
from xkd.study_count import unpacked
from xkd.study_start import place_of

AGAINST = {
    ("ablation", "few-superpixels"): ("ablation", "superpixels"),
    ("ablation", "one-camera"): ("ablation", "own-images"),
    ("teachers", "cosine-shuffled"): ("pretraining", "lidar-ssl"),
}
"""Rows (block, row) that are compared with one that is not their block's: another row with one thing changed; the control whose pairs say
nothing, which is to earn nothing over pretraining without images."""
SHOWN = {
    "further": [("pretraining", "scratch"), ("pretraining", "scratch-long")],
    "teachers": [("pretraining", row) for row in ("scratch", "lidar-ssl", "cosine")],
    "ablation": [("unlabelled", "xmodel")],
}
"""Rows of other blocks that a block's table has too, for the seeds that it has: what its own rows are compared with or differ from."""


@dataclass
class Study:
    """All cells that are there. `table`: one line a cell (block, row, fraction, seed, miou, frames, steps, lr; of inits that were
    pretrained first and last, their loss, and hit, point, among and held, see `xkd.retrieval`); `counts` {(block, row,
    fraction, seed): {streets, distance, coverage}} hits, misses, false alarms (..., C, 3); `classes`; `stale`: cells that were left out,
    because they are of other parameters, code or data than these; `missing` {(block, row): cells of this study that are not there};
    `fractions`: shares of the labels that the study has; `features`: digests of the image features that cells learnt from, several where
    the pipeline trained its teacher on several machines; `precisions`: what the cells' convolutions were computed in -> how many."""

    table: pd.DataFrame
    counts: dict
    classes: list
    stale: int = 0
    missing: dict = field(default_factory=dict)
    fractions: tuple = ()
    features: frozenset = frozenset()
    precisions: dict = field(default_factory=dict)

    @property
    def streets(self):
        """How many streets the validation frames are of."""
        return len(next(iter(self.counts.values()))["streets"])

    def seeds(self, fraction, *rows):
        """The seeds for which every one of the rows (block, row) is there at this fraction: what can be paired."""
        sets = [{s for b, r, f, s in self.counts if (b, r, f) == (*row, fraction)} for row in rows]
        return sorted(set.intersection(*sets))

    def scores(self, fraction, row, seeds=None):
        """mIoU of a row (block, row), one a seed; of `seeds` alone, where these are given."""
        mine = (self.table.block == row[0]) & (self.table.row == row[1]) & (self.table.fraction == fraction)
        return self.table.miou[mine if seeds is None else mine & self.table.seed.isin(seeds)]

    def shown(self, fraction, block):
        """The seeds for which any row of a block is there at this fraction."""
        return {s for b, _, f, s in self.counts if (b, f) == (block, fraction)}

    def stack(self, name, fraction, row, seeds):
        return np.stack([self.counts[*row, fraction, seed][name] for seed in seeds])


def collect(params, out="out", folder=METRICS):
    """`Study` of the cells of params.study that are there and of these parameters, this code and these data. Errors: none at all; cells of
    other classes or streets than these data have or the first; scores that its counts do not give."""
    wanted = [cell for row in LINES for cell in cells(params, *row, folder)]
    there = [cell for cell in wanted if cell.file.is_file()]
    precisions = {cell.file: found for cell in there if (found := precision(params, cell, out))}
    files = list(precisions)
    lines, counts, first, seen = [], {}, None, set()
    classes = classes_of(params, out) if files else []
    for file in files:
        cell = facts(file, streets=[str], iou=dict, counts=dict)
        if (file.parent.name, file.stem) != (cell["block"], f"{cell['init']}-{cell['fraction']:g}-{cell['seed']}"):
            held = f"{cell['block']}/{cell['init']}-{cell['fraction']:g}-{cell['seed']}"
            raise XkdError(f"{file}: holds the cell {held}, not what its name says.")
        first = first or (file, cell["streets"])
        if set(cell["iou"]) != set(classes) or cell["streets"] != first[1]:
            raise XkdError(f"{file}: was measured on other classes or streets than these data have or {first[0].name}.")
        try:
            found = unpacked({name: cell["counts"][name] for name in ("streets", "distance", "coverage")})
        except (ValueError, TypeError, zlib.error) as error:  # of base64, zlib and numpy
            raise XkdError(f"{file}: its counts cannot be unpacked ({error}).") from None
        scores = iou(found["streets"].sum(0))
        said = {"mIoU": cell["miou"]} | {
            name: cell["iou"][name] for name in classes
        }  # JSON has the names in another order
        for (name, value), score in zip(said.items(), (np.nanmean(scores), *scores), strict=True):
            if not np.isclose(score, np.nan if value is None else value, rtol=0, atol=0.01, equal_nan=True):
                raise XkdError(f"{file}: its counts give {name} {score:.2f}, it says {value}.")
        names = ("block", "fraction", "seed", "miou", "frames", "steps", "lr")
        before = cell.get("pretraining", {})
        seen |= {cell["features"]} if "features" in cell else set()
        lines.append({"row": cell["init"]} | {name: cell[name] for name in names})
        lines[-1] |= {name: before.get(name) for name in ("hit", "point", "among", "held")}
        lines[-1] |= dict(zip(("first", "last"), before.get("loss", (None, None)), strict=True))
        counts[cell["block"], cell["init"], cell["fraction"], cell["seed"]] = found
    if not lines:
        left = f" but {len(there)} of other parameters, code or data" if there else ""
        raise XkdError(f"{xkd.ROOT / folder}: holds no cell of this study{left}; run it first (make study).")
    known, fractions = set(files), tuple(params["study"]["fractions"])
    missing = Counter((cell.block, cell.row) for cell in wanted if cell.file not in known)
    return Study(
        pd.DataFrame(lines),
        counts,
        classes,
        len(there) - len(files),
        dict(missing),
        fractions,
        frozenset(seen),
        dict(Counter(precisions.values())),
    )


def classes_of(params, out):
    """The names of the classes in the order of their ids, which counts have."""
    return place_of(params, out).split(params["data"]["validation"]).classes


def iou(counts):
    """(..., C, 3) hits, misses, false alarms -> (..., C) IoU in percent, NaN where there is nothing."""
    counts = np.asarray(counts, np.float64)
    union = counts.sum(-1)
    return np.divide(100 * counts[..., 0], union, out=np.full(union.shape, np.nan), where=union > 0)


def strongest(study, block, fraction, long=False):
    """The `best` of a block's `LIDAR_ONLY`, (block, row); None where none is there. long: those of `AS_LONG` count too."""
    rivals = [row for row in LIDAR_ONLY[block] if long or row not in AS_LONG]
    return best(study, rivals, fraction, study.shown(fraction, block))


def best(study, rows, fraction, shown):
    """The row (block, row) of the highest mean, over the seeds that they share, among those of `rows` that have more than half as many of
    the seeds `shown` as the one that has the most; None where none is there."""
    seeds = {row: shown & set(study.seeds(fraction, row)) for row in rows}
    most = max(map(len, seeds.values()))
    there = [row for row, own in seeds.items() if 2 * len(own) > most]
    shared = set.intersection(*(seeds[row] for row in there)) if there else set()
    return max(there, key=lambda row: study.scores(fraction, row, shared or seeds[row]).mean(), default=None)


def differences(study, pairs, draws=1000, seed=0, careful=True):
    """Paired differences in mIoU and their 95 % intervals (`xkd.statistics.paired`), the deviation over seeds pooled over all that are
    given. pairs: {key: (a, b)}, each (block, row, fraction) -> {key: {difference (a - b), low, high, spread (sd of its own differences),
    pairs (seeds)}}, without those that share no seed. careful: as in `paired`."""
    gains, variances = {}, {}
    for key, (a, b) in pairs.items():
        seeds = sorted(set(study.seeds(a[2], a[:2])) & set(study.seeds(b[2], b[:2])))
        if seeds:
            own, other = (study.stack("streets", fraction, row, seeds) for *row, fraction in (a, b))
            gains[key] = np.nanmean(iou(own.sum(1)), 1) - np.nanmean(iou(other.sum(1)), 1)
            variances[key] = _street_variance(own, other, np.random.default_rng(seed), draws)
    if not gains:
        return {}
    # By place: a key may be of several parts, which an index would take apart.
    found = statistics.paired(dict(enumerate(gains.values())), dict(enumerate(variances.values())), careful=careful)
    lines = zip(gains, found["mean"], found.low, found.high, found.sd, found.n, strict=True)
    names = ("difference", "low", "high", "spread", "pairs")
    return {key: dict(zip(names, (*numbers, int(n)), strict=True)) for key, *numbers, n in lines}


def table(study, block, draws=1000, seed=0):
    """One line a (row, fraction) of a block: mean, sd, n; `baseline`, the strongest LiDAR-only row there (or that of `AGAINST`), and the
    paired difference to it with its interval; then the rows of `SHOWN`, named with their block. The deviation is pooled over the fractions
    of a row, in the blocks of `SIDE`, which have few seeds, over their rows as well, carefully (`differences`). `steps`: of fine-tuning."""
    fractions, pairs = sorted(study.table.fraction.unique()), {}
    rows = [(block, row) for row in ROWS[block]]
    for fraction in fractions:
        strong = {long: strongest(study, block, fraction, long) for long in (False, True)}
        for own in rows:
            baseline = AGAINST.get(own, strong[own[1].endswith("-long")])
            if baseline and baseline != own:
                pairs[*own, fraction] = ((*own, fraction), (*baseline, fraction))
    parts = [pairs] if block in SIDE else [{k: v for k, v in pairs.items() if k[1] == row} for row in ROWS[block]]
    found = {key: line for part in parts for key, line in differences(study, part, draws, seed).items()}
    lines = []
    for row in [*rows, *SHOWN.get(block, ())]:
        for fraction in fractions:
            scores = study.scores(fraction, row, study.shown(fraction, block))
            if len(scores):
                line = {
                    "row": row[1] if row[0] == block else " ".join(row),
                    "fraction": fraction,
                    "mean": scores.mean(),
                    "sd": scores.std(ddof=1),
                    "n": len(scores),
                    "steps": int(study.table.steps[scores.index].max()),
                }
                other = found.get((*row, fraction))
                line["baseline"] = " ".join(pairs[*row, fraction][1][:2]) if other else ""
                nothing = dict.fromkeys(("difference", "low", "high", "spread")) | {"pairs": 0}
                lines.append(line | (other or nothing))
    return pd.DataFrame(lines)


def size(study):
    """How much the numbers rest on."""
    frames = ", ".join(map(str, sorted(set(study.table.frames))))
    said = f"Labelled frames: {frames}; validation: {study.streets} {'street' if study.streets == 1 else 'streets'}."
    if study.streets == 1:
        said += " Of one street there is no spread to tell: intervals are over seeds alone, and too narrow."
    if len(study.features) > 1:
        said += (
            f" Made by one recipe on several machines, the teacher's features came out in {len(study.features)} ways."
        )
    if len(study.precisions) > 1:
        said += (
            f" Computed on different processors: {', '.join(f'{n} cells in {p}' for p, n in study.precisions.items())}."
        )
    if study.stale:
        said += f" {study.stale} cells are of other parameters, code or data and are left out."
    return said


def missing(study):
    """Which cells are not there, in one sentence; none where all are."""
    rows = [f"{block} {row} ({n})" for (block, row), n in study.missing.items()]
    more = f" and {len(rows) - 8} more rows" if len(rows) > 8 else ""
    return f"Not there: {sum(study.missing.values())} cells of {', '.join(rows[:8])}{more}." if rows else ""


def aligned(study):
    """One line a pretrained row (block, row), means over its seeds: the loss over the first and the last tenth of the steps; how often a
    superpixel of the scan, and a point, finds its own among those of a batch (per cent: means; sd: of the superpixels), what chance would
    find; whether on frames that no training read (held); n. A row that starts from the inits of one above it is not said twice."""
    # One init a seed, whatever the fraction; the same numbers are the same init.
    own = study.table.dropna(subset="first").drop_duplicates(["block", "row", "seed"])
    own = own.drop_duplicates(["seed", "first", "last", "hit"])
    numbers = own[["first", "last", "hit", "point", "among"]].astype(float)  # None is NaN
    rows = (
        own[["block", "row", "held"]]
        .join(numbers)
        .assign(hit=100 * numbers.hit, point=100 * numbers.point, chance=100 / numbers.among)
        .groupby(["block", "row"], sort=False)
    )
    means = rows[["first", "last", "hit", "point", "chance"]].mean().rename(columns={"hit": "found"})
    return means.assign(sd=rows.hit.std(ddof=1), held=rows.held.first(), n=rows.size())


def _street_variance(a, b, rng, draws):
    """Variance over streets of the mean paired difference in mIoU; a, b: (n, S, C, 3) counts on the same streets. 0 for one street."""
    streets = a.shape[1]
    if streets < 2:
        return 0.0
    drawn = rng.multinomial(streets, np.full(streets, 1 / streets), size=draws).astype(np.float64)
    scores = [statistics.nanmean(iou(np.tensordot(drawn, counts, axes=(1, 1)))) for counts in (a, b)]  # (draws, n)
    return float(statistics.over_streets((scores[0] - scores[1]).mean(1), streets))
