"""Splits in which all that is known of a point says which point it is: its intensity, its prediction, and what each view shows of it."""

import numpy as np
import torch
from torch import nn

from xkd import finetune, self_training, unlabelled
from xkd import student as students
from xkd.files import write_json
from xkd.gathered import FIELDS
from xkd.params import profile
from xkd.unlabelled import Place

CLASSES, HIDDEN = ["a", "b", "hidden"], 2
FRAMES = {"train": 3, "test": 2, "val": 1}
LABELLED = 1
"""The only frame of `train` without a point of the class `hidden`, which all points of all others but the validation's are of."""
CELLS, POINTS = 20, 40
STUDENT = {"backbone": "unet", "voxel": 1.0, "widths": [4, 8]}
DATA = {"train": "train", "validation": "val", "unlabelled": ["test"], "tuning": []}
ONE = 1024
"""The number of a point that would have an intensity of 1."""
STEPS = {"base": 4, "per_frame": 0, "most": 4}
SECTIONS = {
    "views": {"reach": 1},
    "fused": {"width": 8, "heads": 2, "dark": 0.0, "early": True, "late": True, "steps": STEPS},
    "mixing": {"share": 0.5, "frames": 1000},
    "study": {"momentum": 0.99},
}


def numbers(split, i):
    """(POINTS,) the numbers of a frame's points: 1, 2, 3, ... over the splits."""
    before = sum(list(FRAMES.values())[: list(FRAMES).index(split)])
    return np.arange(POINTS) + 1 + POINTS * (before + i)


def label(number):
    """Class of a point that may be known: 0 or 1 in no order; of every fifth none."""
    return np.where(number % 5 == 0, -1, number * 7 % 11 % 2)


def labelled(number):
    """Whether points are of the labelled frame."""
    return np.isin(number, numbers("train", LABELLED))


def said(number):
    """(N, 3) what is predicted of a point: class 1 by its number, class `hidden` never. Half precision holds it to the last bit."""
    share = np.asarray(number)[:, None] / ONE
    return np.hstack([1 - share, share, 0 * share])


def shown(number):
    """How many views show a point, 0 to 2; the two points of a cell have as many each."""
    return (number - 1) % CELLS * 7 % 11 % 3


def own(voxels):
    """The numbers of the points that a feature is asked for."""
    return (voxels.inputs[:, 0] * ONE).round().long()


def made(folder):
    """The `Place` of these splits. A scan is 20 cells of 1 m on a circle, in no order, its first 20 points one in each, its last 20 too."""
    for split, count in FRAMES.items():
        number = np.concatenate([numbers(split, i) for i in range(count)])
        known = labelled(number) if split == "train" else np.full(len(number), split == "val")
        angle = (number - 1) % CELLS * 7 % CELLS / CELLS * 2 * np.pi
        points = np.floor(10 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)) + 0.4
        points += 0.1 * ((number - 1) % POINTS >= CELLS)[:, None]
        arrays = {"points": points.astype(np.float32), "intensity": (number / ONE).astype(np.float32)}
        arrays["labels"] = np.where(known, label(number), HIDDEN).astype(np.int16)
        arrays["offsets"] = np.arange(count + 1) * POINTS
        (folder / "prepared" / split).mkdir(parents=True)
        for name, array in arrays.items():
            np.save(folder / "prepared" / split / f"{name}.npy", array)
        frames = [{"id": f"{split}-{i}", "scene": split, "points": POINTS, "labelled": True} for i in range(count)]
        about = {"frames": frames, "classes": CLASSES, "cameras": ["front", "back"], "colours": [[9, 9, 9]] * 3}
        about |= {"labelled": True, "paired": False, "digest": split}
        write_json(folder / "prepared" / split / "frames.json", about)
        _views(folder / ("views-validation" if split == "val" else "views") / split, number, count)
    return Place(folder / "prepared", folder / "views", DATA)


def _views(folder, number, frames):
    """What a view shows is the point's number. The first is of the sweep's own image, a second of another camera's, later."""
    folder.mkdir(parents=True)
    offsets = [0] + [shown(number)[: (i + 1) * POINTS].sum() for i in range(frames)]
    np.save(folder / "offsets.npy", np.array(offsets))
    number, step = np.repeat(number, shown(number)), np.concatenate([np.arange(k) for k in shown(number)])
    parts = {"point": (number - 1) % POINTS, "camera": step, "step": step, "depth": 10 + 0 * step}
    for name, array in parts.items():
        (folder / f"{name}.bin").write_bytes(array.astype(FIELDS[name]).tobytes())
    (folder / "values.bin").write_bytes(number.astype(np.float16).tobytes())
    write_json(folder / "views.json", {"channels": 1, "digest": folder.name})


class Reader(nn.Module):
    """In the place of a network: its logits say which point was asked for, and twice what its views say of that."""

    config = STUDENT

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def voxels(self, scans):
        return students.voxels(scans, STUDENT)

    def features(self, voxels):
        return own(voxels)[:, None].float()

    def forward(self, voxels, seen=None):
        logits = voxels.inputs.new_zeros(len(voxels.inputs), 3)
        logits[:, 1] = own(voxels) / 100
        if seen is not None:
            logits[:, 2].index_add_(0, seen.point, seen.values[:, 0] / 50)
        return None, logits * self.scale


def settings():
    """The section finetune: a crop is of 30 of the 40 points; the intensity, which says which they are, is not changed."""
    own = profile("smoke")["finetune"]
    return own | {"batch": 4, "crop": 30, "augment": own["augment"] | {"gain": 0.0}, "steps": STEPS}


def trainings(place, folder):
    """What begins each training of `LABELLED` from the student in the folder `init` of `folder`, by name; what was said lies beside it."""
    finetune.scratch(STUDENT, CLASSES, 0, folder / "init")
    (folder / "said").mkdir()
    for split in ("train", "test"):
        rows = np.concatenate([said(numbers(split, i)) for i in range(FRAMES[split])])
        np.save(folder / "said" / f"{split}.npy", rows.astype(np.float16))
    start, rest = (folder / "init", STUDENT, settings()), (0.1, 0, "test")
    more = (*start, SECTIONS, *rest)
    return {
        "labels": lambda: finetune.train(place.split("train"), [LABELLED], *start, *rest),
        "fused": lambda: unlabelled.train_fused(place, [LABELLED], *more),
        "taught": lambda: unlabelled.train_student(place, [LABELLED], folder / "said", *more),
        "self": lambda: self_training.train(place, [LABELLED], *more),
    }


def handed(monkeypatch):
    """A list that takes what the next of the `trainings` hands to `fit`, which trains nothing: the network, batches by step, the loss."""
    found = []
    for module in (finetune, self_training, unlabelled):
        monkeypatch.setattr(module, "fit", lambda *arguments: found.extend(arguments[:3]) or [])
    return found
