"""Outputs of a sweep with scores that can be worked out on paper."""

import numpy as np

from xkd.files import read_json, write_json
from xkd.made_cells import made_cells


def cells_of(folder, right, streets=("a", "b")):
    """A folder of cells given by `right` {(fraction, init, seed): points found of 10, one a street}.

    One class is scored, the other only wrongly predicted, so that mIoU = 50 % of the share of points found.
    """
    made_cells(folder, fractions=(1.0,), seeds=1, streets=2)
    about = read_json(folder / "prepared" / "val" / "frames.json")
    write_json(
        folder / "prepared" / "val" / "frames.json", about | {"classes": ["road", "car"], "colours": [[9, 9, 9]] * 2}
    )
    for file in (folder / "metrics").glob("*.json"):
        file.unlink()
    for (fraction, init, seed), found in right.items():
        key = f"{fraction:g}-{init}-{seed}"
        counts = np.array([[[n, 10 - n], [0, 0]] for n in found])
        (folder / "finetune" / key).mkdir(exist_ok=True)
        np.save(folder / "finetune" / key / "confusion.npy", counts)
        cell = {
            "fraction": fraction,
            "init": init,
            "seed": seed,
            "objective": "cosine",
            "frames": 4,
            "steps": 9,
            "lr": 0.1,
        }
        cell |= {
            "miou": 50 * sum(found) / (10 * len(found)),
            "streets": list(streets),
            "classes_seen": {"road": 7, "car": 0},
        }
        write_json(folder / "metrics" / f"finetune-{key}.json", cell)
    return folder


def change(folder, key, **values):
    path = folder / "metrics" / f"finetune-{key}.json"
    write_json(path, read_json(path) | values)
