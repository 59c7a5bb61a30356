"""The outputs of the sweep, read back and checked: one cell is one (label fraction, init, seed)."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from xkd import metrics
from xkd.arrays import read_npy, read_npz
from xkd.errors import XkdError
from xkd.files import read_json
from xkd.palette import BASELINE
from xkd.prepared import Prepared

COLUMNS = ["fraction", "init", "objective", "seed", "frames", "miou", "steps", "lr"]
NEEDED = [*COLUMNS, "streets", "classes_seen"]
TAUGHT = "xmodel"
"""The cells of the stage `xmodel`, beside those of `sweep.inits`."""


@dataclass
class Cells:
    """What a report is made from.

    `split`: the prepared validation split. `table`: one row a cell (COLUMNS; `miou` 0..100). `confusions`:
    {(fraction, init, seed): (S, C, C) points by validation street, rows = truth}. `seen`: {(fraction, seed): {class:
    labelled points of the subset}}. `made_up`: the note of a trial folder whose numbers were invented, else None.
    """

    folder: Path
    split: str
    table: pd.DataFrame
    confusions: dict
    seen: dict
    streets: list
    classes: list
    colours: np.ndarray
    made_up: str | None

    @property
    def inits(self):
        """The baseline first, then the others by name."""
        return sorted(self.table.init.unique(), key=lambda init: (init != BASELINE, init))

    @property
    def fractions(self):
        return sorted(self.table.fraction.unique().tolist())

    def seeds(self, fraction, *inits):
        """The seeds for which every one of `inits` was run at this fraction: what can be paired."""
        sets = [{seed for f, i, seed in self.confusions if (f, i) == (fraction, init)} for init in inits]
        return sorted(set.intersection(*sets))

    def stack(self, fraction, init, seeds):
        """(n, S, C, C) counts of the runs of some seeds."""
        return np.stack([self.confusions[fraction, init, seed] for seed in seeds])


@dataclass
class Example:
    """A validation scan and what each init made of it: `points` (N, 3) m, `true` (N,), `predictions` {init: (N,)}."""

    frame: str
    fraction: float
    seed: int
    points: np.ndarray
    true: np.ndarray
    predictions: dict

    def right(self, init):
        """Percent of the labelled points that `init` labels as the truth does."""
        known = self.true >= 0
        return 100 * float(np.mean(self.predictions[init][known] == self.true[known])) if known.any() else float("nan")


def collect(folder, split="val", sweep=None):
    """`folder`/metrics/finetune-*.json with their confusions in `folder`/finetune -> Cells; `split` was validated on.

    `sweep`: the section of params.yaml; exactly its cells, and those of `xmodel`, are read, so that one left over from another sweep does
    not count and a missing one is an error. None: all that are there.

    Raises XkdError where cells do not belong together: other streets, other label subsets for the same fraction and
    seed, or a score that its confusion counts do not give.
    """
    folder = Path(folder)
    files = sorted((folder / "metrics").glob("finetune-*.json"))
    if sweep and files:
        axes = product(sweep["fractions"], [*sweep["inits"], TAUGHT], sweep["seeds"])
        files = [folder / "metrics" / f"finetune-{fraction:g}-{init}-{seed}.json" for fraction, init, seed in axes]
    if not files:
        raise XkdError(f"{folder / 'metrics'}: no finetune-*.json; run the sweep first (dvc repro).")
    prepared = Prepared(folder / "prepared", split)
    made = folder / "made.json"
    rows, confusions, seen, first, frames = [], {}, {}, None, {}
    for file in files:
        cell = read_json(file)
        missing = [key for key in NEEDED if key not in cell]
        if missing:
            raise XkdError(f"{file}: lacks {', '.join(missing)}.")
        if file.stem != f"finetune-{cell['fraction']:g}-{cell['init']}-{cell['seed']}":
            raise XkdError(
                f"{file}: holds the cell {cell['fraction']:g}-{cell['init']}-{cell['seed']}, not what its name says."
            )
        first = first or (file, cell["streets"])
        if cell["streets"] != first[1]:
            raise XkdError(f"{file}: was measured on other streets than {first[0].name}.")
        subset, key = (cell["fraction"], cell["seed"]), (cell["fraction"], cell["init"], cell["seed"])
        if seen.setdefault(subset, cell["classes_seen"]) != cell["classes_seen"] or (
            frames.setdefault(subset, cell["frames"]) != cell["frames"]
        ):
            raise XkdError(f"{file}: another label subset than the other init's at the same fraction and seed.")
        confusions[key] = _confusion(
            folder / "finetune" / file.stem.removeprefix("finetune-"), cell, len(prepared.classes)
        )
        rows.append({column: cell[column] for column in COLUMNS})
    table = pd.DataFrame(rows).sort_values(["fraction", "init", "seed"], ignore_index=True)
    note = read_json(made)["note"] if made.is_file() else None
    return Cells(
        folder, split, table, confusions, seen, first[1], list(prepared.classes), np.asarray(prepared.colours), note
    )


def examples(cells, fraction, seed, inits, count=2):
    """The first `count` stored validation frames of the runs of one (fraction, seed), in the order they were stored."""
    stored = {}
    for init in inits:
        path = cells.folder / "finetune" / f"{fraction:g}-{init}-{seed}" / "predictions.npz"
        if not path.is_file():
            raise XkdError(f"{path}: no such file.")
        frames = read_npz(path, "frame")[:count]
        stored[init] = {int(i): read_npz(path, f"pred_{i}").astype(np.int64) for i in frames}
    prepared = Prepared(cells.folder / "prepared", cells.split)
    result = []
    for i in stored[inits[0]]:
        name, points, true = (
            prepared.frames[i]["id"],
            np.array(prepared.points(i)),
            np.array(prepared.labels(i), np.int64),
        )
        for init in inits:
            if i not in stored[init] or len(stored[init][i]) != len(points):
                raise XkdError(f"frame {name}: {init} has no prediction for each of its {len(points)} points.")
        predictions = {init: stored[init][i] for init in inits}
        result.append(Example(name, fraction, seed, points, true, predictions))
    return result


def _confusion(folder, cell, classes):
    path = folder / "confusion.npy"
    if not path.is_file():
        raise XkdError(f"{path}: no such file.")
    counts = read_npy(path)
    if counts.shape != (len(cell["streets"]), classes, classes):
        raise XkdError(f"{path}: {counts.shape} is not ({len(cell['streets'])} streets, {classes}, {classes} classes).")
    score = metrics.miou(counts.sum(0))
    if not abs(score - cell["miou"]) < 0.01:
        raise XkdError(f"{path}: its counts give a mIoU of {score:.2f}, the metrics file says {cell['miou']}.")
    return counts
