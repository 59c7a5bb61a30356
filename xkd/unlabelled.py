"""A fused network learns from the labelled frames, and its soft pseudo-labels of the unlabelled ones teach the student."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

import xkd
from xkd import finetune, fused, mixed, native
from xkd import student as students
from xkd.arrays import map_npy
from xkd.files import atomic, digest
from xkd.gathered import Gathered
from xkd.mixed import Draw, Source
from xkd.parallel import device, first, gather, meet, share, together
from xkd.prepared import Prepared, matching
from xkd.progress import progress
from xkd.train import fit

CODE = (*finetune.CODE, "fused.py", "fusion.py", "gathered.py", "mixed.py", "unlabelled.py")


@dataclass
class Place:
    """The folders that a training works on (paths) and the section `data` of params.yaml."""

    prepared: Path
    views: Path
    data: dict

    def split(self, name):
        return Prepared(self.prepared, name)

    def gathered(self, name):
        beside = self.views.with_name(f"{self.views.name}-validation")
        return Gathered(beside if name == self.data["validation"] else self.views, name)

    def facts(self, frames, most):
        """What `predicted` finds: [split, its digest, its frames]."""
        return [[name, self.split(name).digest, own] for name, own in self.predicted(frames, most)]

    def unlabelled(self, frames):
        """[(split, its frames)] that are not labelled when `frames` of the training split are: the others of its streets, but for the
        tuning streets, and all of the unlabelled splits."""
        train, labelled = self.split(self.data["train"]), set(map(int, frames))
        held = matching(train.scenes, self.data["tuning"])
        rest = [i for i in range(len(train)) if not held[i] and i not in labelled]
        further = [(name, list(range(len(self.split(name))))) for name in self.data["unlabelled"]]
        return [(name, own) for name, own in [(self.data["train"], rest), *further] if own]

    def predicted(self, frames, most):
        """[(split, its frames)] whose pseudo-labels a student learns from when `frames` are labelled: the unlabelled ones, `most` at most,
        evenly chosen. Where there is none, the labelled frames themselves, as if they were not."""
        found = [(name, i) for name, own in self.unlabelled(frames) for i in own]
        found = found or [(self.data["train"], int(i)) for i in frames]
        kept = [found[k] for k in np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)]
        return [(name, [i for split, i in kept if split == name]) for name in dict.fromkeys(split for split, _ in kept)]


def train_fused(place, frames, init, student, settings, sections, lr, seed, label):
    """A fused network that starts from the student in folder `init` and learns from `frames` of the training split and their images.

    settings: the section finetune of params.yaml; sections: fused and views, by name. -> (network, losses, the file of its state)."""
    return together(settings["processes"], _fused, place, frames, init, student, settings, sections, lr, seed, label)


def _fused(place, frames, init, student, settings, sections, lr, seed, label):
    source = Source(place.split(place.data["train"]), place.gathered(place.data["train"]))
    resume, sizes = fused_state(place, frames, init, student, settings, sections, lr, seed), sections["fused"]
    config = student | {"classes": source.prepared.classes}
    given = {name: sizes[name] for name in ("width", "heads", "early", "late")}
    network = fused.build(config, source.views.channels, seed + 1000, **given)
    fused.start_from(network, init)
    settings = settings | {"lr": lr, "steps": finetune.steps(len(frames), sections["fused"])}
    draws = [Draw([source], [(0, i) for i in frames])]
    own = settings | {"batch": len(share(list(range(settings["batch"]))))}

    def make(step):
        return mixed.batch(draws, 0.0, student, own, _generator(seed, step), sizes["dark"], sections["views"]["reach"])

    return network, fit(network.to(device()), make, _loss(network, settings), settings, resume, label), resume


def fused_state(place, frames, init, student, settings, sections, lr, seed):
    """Where the state of a fused network's training lies, with these arguments of `train_fused`."""
    train, encoder = place.data["train"], fused.beside(init)
    settings = settings | {"lr": lr, "steps": finetune.steps(len(frames), sections["fused"])}
    facts = ["fused", student, settings, sections["fused"], sections["views"], seed, list(map(int, frames))]
    facts += [place.split(train).digest, place.gathered(train).digest]
    return state_file(student, facts, init, *[encoder] * encoder.exists())


def predict(network, place, frames, most, folder, label):
    """The soft pseudo-labels that a fused network gives the frames of `Place.predicted`: `folder`/<split>.npy, (points of the split, C)
    float16 probabilities, zero for the frames it was not asked for."""
    network.eval()
    with atomic(folder, folder=True) as written:
        for name, own in place.predicted(frames, most):
            source = Source(place.split(name), place.gathered(name))
            shape = (int(source.offsets[-1]), len(source.prepared.classes))
            file = written / f"{name}.npy"
            array = open_memmap(file, "w+", np.float16, shape)
            with file.open("r+b") as opened:  # a full disk is an error here, and would be a crash later
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
            for i in progress(own, f"{label}-{name}", len(own)):
                array[source.rows(i)] = mixed.whole(network, source, i).softmax(1).half().numpy()
            del array


def train_student(place, frames, predictions, init, student, settings, sections, lr, seed, label):
    """The student in folder `init`, trained on `frames` and their labels and on the predictions in the folder `predictions` (of
    `predict`, for the same frames). -> (network, losses, the file of its state)."""
    return together(
        settings["processes"], _student, place, frames, predictions, init, student, settings, sections, lr, seed, label
    )


def _student(place, frames, predictions, init, student, settings, sections, lr, seed, label):
    resume = student_state(place, frames, predictions, init, student, settings, sections, lr, seed)
    network, settings, labelled, parts = begin(place, frames, init, student, settings, sections, lr, seed)
    files = [predictions / f"{name}.npy" for name, _ in parts]
    taught = [Source(place.split(name), None, map_npy(file)) for (name, _), file in zip(parts, files, strict=True)]
    draws = [labelled, Draw(taught, everything(parts))]
    own = settings | {"batch": len(share(list(range(settings["batch"]))))}

    def make(step):
        return mixed.batch(draws, sections["mixing"]["share"], student, own, _generator(seed, step))

    return network, fit(network.to(device()), make, _loss(network, settings), settings, resume, label), resume


def student_state(place, frames, predictions, init, student, settings, sections, lr, seed):
    """Where the state of a student's training lies, with these arguments of `train_student`; the predictions, which may not be there yet,
    count by the names of their folder and the one it lies in."""
    facts = facts_of(place, frames, student, settings, sections, lr, seed)
    return state_file(student, ["student", *facts, predictions.parent.name, predictions.name], init)


def facts_of(place, frames, student, settings, sections, lr, seed):
    """What every training with unlabelled frames hangs on, besides its start."""
    settings = settings | {"lr": lr, "steps": finetune.steps(len(frames), settings)}
    train = place.split(place.data["train"]).digest
    return [
        student,
        settings,
        sections["mixing"],
        seed,
        list(map(int, frames)),
        train,
        place.facts(frames, sections["mixing"]["frames"]),
    ]


def begin(place, frames, init, student, settings, sections, lr, seed):
    """What every way to learn from unlabelled frames begins with: the student of `init`, the settings with its rate and steps, the `Draw`
    of the labelled frames, and the unlabelled ones [(split, its frames)]."""
    train = place.split(place.data["train"])
    network = students.build(student | {"classes": train.classes}, seed + 1000)
    students.start_from(network, init)
    settings = settings | {"lr": lr, "steps": finetune.steps(len(frames), settings)}
    return (
        network,
        settings,
        Draw([Source(train)], [(0, i) for i in frames]),
        place.predicted(frames, sections["mixing"]["frames"]),
    )


def teach(place, frames, init, student, settings, sections, lr, seed, label):
    """A fused network learns from `frames` and pseudo-labels the others; the student in folder `init` learns from labels and pseudo-labels.

    -> (the student, its losses, the fused network's, what is the caller's to remove once the result is kept: files and a folder)."""
    arguments = (place, frames, init, student, settings, sections, lr, seed)
    network, of_fused, state = train_fused(*arguments, f"{label}-fused")
    folder = predictions_of(*arguments)
    if not folder.exists() and first():
        predict(network, place, frames, sections["mixing"]["frames"], folder, f"{label}-predict")
    meet()
    network, losses, resume = train_student(place, frames, folder, *arguments[2:], label)
    return network, losses, of_fused, [resume, folder, state]


def predictions_of(place, frames, init, student, settings, sections, lr, seed):
    """The folder of the predictions in `teach` with these arguments."""
    key = digest(place.facts(frames, sections["mixing"]["frames"]))[:16]
    return fused_state(place, frames, init, student, settings, sections, lr, seed).with_name(f"predicted-{key}")


def remove(*paths):
    """Removes what `teach` leaves: files and folders."""
    for path in paths:
        if path.is_dir():
            gone = path.with_name(f"{path.name}-removed")
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)  # at once: half a folder would be taken for a whole one
            shutil.rmtree(gone)
        else:
            path.unlink(missing_ok=True)


def everything(parts):
    """[(split, its frames)] -> [(place of the split, frame)]."""
    return [(s, i) for s, (_, own) in enumerate(parts) for i in own]


def _loss(network, settings):
    def loss_of(batch):
        batch = batch.to(device())
        logits = network(batch.voxels, *([batch.seen] if batch.seen else []))[1]
        return mixed.loss(
            gather(logits.float()), gather(batch.targets), gather(batch.weight), settings["lovasz_points"]
        )

    return loss_of


def _generator(seed, step):
    return np.random.default_rng([seed, 5, step, share(list(range(64)))[0]])


def state_file(student, facts, init, *files):
    """Where the state of this very training lies, under a name made of all that it hangs on."""
    parts = [init / "weights.safetensors", *files, *students.code(student, CODE)]
    return xkd.ROOT / "out" / "resume" / digest([*facts, native.has_half()], *parts) / "mixed.pt"
