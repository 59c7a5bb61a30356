"""One cell of the study: the network with images that it may need, its training, its evaluation."""

import numpy as np
import torch

import xkd
from xkd import finetune, fused, mixed, native, probe, self_training, unlabelled
from xkd import student as students
from xkd.arrays import read_npy
from xkd.errors import XkdError
from xkd.files import atomic, digest, read_json
from xkd.mixed import Source
from xkd.parallel import device
from xkd.study_count import write
from xkd.study_inputs import features, inputs, learnt_from
from xkd.study_start import (
    TAUGHT,
    aligned,
    frames_of,
    init_name,
    initial,
    kind_of,
    place_of,
    rate,
    rate_of,
    rates,
    recipe,
    settings_of,
    start_of,
)
from xkd.study_variants import variant_of
from xkd.train import predict

CODE = {
    "labels": finetune.CODE,
    "self": (*unlabelled.CODE, "self_training.py"),
    "fused": unlabelled.CODE,
    "taught": unlabelled.CODE,
    "probe": ("gathered.py", "probe.py", "subsets.py"),
    "frozen": ("prepared.py", "probe.py", "sparse.py", "student.py", "subsets.py"),
}
"""The modules that a kind of training hangs on, besides those of its init and its backbone."""

LONGER = dict.fromkeys(("scratch-long", "self-training-long", "xmodel-long", "lidar-ssl-long"), 2) | {
    "labels-long": 3.5
}
"""Rows that are trained for so many times the steps; labels-long: for about the time that `xmodel` takes on two cores, with its fused
network and what that says of the unlabelled frames (`xkd.study_cost`). Cells that are there do not hang on these numbers, whose change
takes new names."""
ALIGNED = ("pretraining", "teachers", "ablation")
"""Blocks whose files say what became of an init's pretraining; others start from inits of these."""
NEIGHBOURS = 250
"""Points of a labelled frame that k-NN looks among, of the 2000 that a linear probe learns from: its cost is the product of both."""


def made_of(params, cell, out, half=None):
    """What the numbers of a cell hang on, as one digest: its own parameters and code, its data, its init; half: as in `init_name`."""
    half = native.has_half() if half is None else half
    study, data, place, kind = params["study"], params["data"], place_of(params, out), kind_of(cell)
    settings = recipe(settings_of(params, cell), *["steps"] * (kind in ("fused", "probe", "frozen")))
    frames = frames_of(params, cell, out)
    facts = [cell.block, cell.row, cell.seed, frames, rate_of(params, cell), params["student"], settings]
    facts += [place.split(data[name]).digest for name in ("train", "validation")] + [half]
    if kind != "probe":
        facts.append(init_name(params, cell, out, half))
    if kind in ("self", "taught"):
        facts += [params["mixing"], place.facts(frames, params["mixing"]["frames"])] + [study["momentum"]] * (
            kind == "self"
        )
    if variant := variant_of(cell):
        facts += [variant.hard, inputs(params, cell, out).recipe]
    if kind in ("fused", "taught", "probe"):
        facts += [
            params["views"],
            params["fused"],
            rates(params, "fused", cell.fraction),
            learnt_from(params, out, True),
        ]
    return digest(facts, *students.code(params["student"], (*CODE[kind], "metrics.py", "study_count.py")))


def fused_of(params, cell, out):
    """The fused network of a cell's labelled frames and seed, trained if it is not there yet: one for all the rows that need it."""
    place, frames = place_of(params, out, cell), frames_of(params, cell, out)
    init, settings = initial(params, cell, out), params["finetune"]
    lr = rate(params, "fused", cell.fraction)
    facts = [frames, init.name, params["student"], recipe(settings, "steps"), params["views"], params["fused"]]
    facts += [place.split(params["data"]["train"]).digest, place.gathered(params["data"]["train"]).digest]
    facts += [lr, cell.seed, native.has_half()]
    key = digest(facts, *students.code(params["student"], unlabelled.CODE))[:16]
    path = xkd.ROOT / out / "study" / f"fused-{cell.fraction:g}-{cell.seed}-{key}"
    if not path.exists():
        label = f"study-fused-{cell.fraction:g}-{cell.seed}"
        network, _, resume = unlabelled.train_fused(
            place, frames, init, params["student"], settings, params, lr, cell.seed, label
        )
        fused.save(network, path, fraction=cell.fraction, seed=cell.seed)
        resume.unlink(missing_ok=True)
    return fused.load(path, device()), path


def train(params, cell, out):
    """Trains and evaluates one cell and writes its file: the keys of the sweep's metrics, and what `xkd.study_count.write` adds."""
    made, kind, place = made_of(params, cell, out), kind_of(cell), place_of(params, out)
    data, student, settings, seed = (params["data"], params["student"], settings_of(params, cell), cell.seed)
    validation, frames, lr = place.split(data["validation"]), frames_of(params, cell, out), rate_of(params, cell)
    seen = Source(validation, place.gathered(data["validation"]))
    count, resume, said = round(finetune.steps(len(frames), settings) * LONGER.get(cell.row, 1)), None, None
    settings = settings | {"steps": {"base": count, "per_frame": 0, "most": count}}
    arguments = (
        initial(params, cell, out),
        student,
        settings,
        params,
        lr,
        seed,
        f"study-{cell.block}-{cell.row}-{cell.fraction:g}-{seed}",
    )
    if kind == "probe":
        guesses, count = teacher_probe(place, frames, seed), 0
    elif kind == "frozen":
        guesses, count = frozen(place, frames, seed, arguments[0], cell.block), 0
    elif kind == "fused":
        network, count = fused_of(params, cell, out)[0], finetune.steps(len(frames), params["fused"])
        guesses = {i: mixed.whole(network, seen, i).argmax(1).numpy() for i in range(len(validation))}
    else:
        if kind == "labels":
            init, label = arguments[0], arguments[-1]
            network, _, resume = finetune.train(
                place.split(data["train"]), frames, init, student, settings, lr, seed, label
            )
        elif kind == "taught":
            network, resume, said = taught(params, cell, out, frames, arguments)
        else:
            network, _, resume = self_training.train(place, frames, *arguments)
        guesses = dict(predict(network, validation))
    result = {
        "fraction": cell.fraction,
        "init": cell.row,
        "block": cell.block,
        "seed": seed,
        "lr": lr,
        "made_of": made,
    }
    result |= {"objective": start_of(cell), "frames": len(frames), "steps": count}
    if cell.block in ALIGNED and aligned(arguments[0]).exists():
        result["pretraining"] = read_json(aligned(arguments[0]))
    if kind in ("fused", "taught", "probe") or start_of(cell) in TAUGHT:
        result["features"] = digest(features(params, out, views=False))[:16]
    if made != made_of(params, cell, out):
        raise XkdError(
            f"{cell.file.name}: the code or the data of the study changed while it was trained; run it again."
        )
    write(cell.file, result, validation, seen, guesses)
    if resume:
        resume.unlink(missing_ok=True)
    if said:
        unlabelled.remove(said)
    return result


def taught(params, cell, out, frames, arguments):
    """The student of `xmodel`, which learns from the fused network's pseudo-labels too; the file of its state, and
    the folder of the predictions, a third of a gigabyte on the default data: both are for the caller to remove."""
    place, variant = place_of(params, out, cell), variant_of(cell)
    network, path = fused_of(params, cell, out)
    key = digest(place.facts(frames, params["mixing"]["frames"]))[:16]
    folder = path.with_name(f"{path.name}-{key}")
    if not folder.exists():
        unlabelled.predict(network, place, frames, params["mixing"]["frames"], folder, f"{arguments[-1]}-predict")
    if variant and variant.hard:
        soft, folder = folder, folder.with_name(f"{folder.name}-hard")
        if not folder.exists():
            harden(soft, folder)
        if soft.exists():
            unlabelled.remove(soft)
    network, _, resume = unlabelled.train_student(place, frames, folder, *arguments)
    return network, resume, folder


def harden(soft, out):
    """Predictions as `unlabelled.predict` leaves them -> the same with 1 for the likeliest class and 0 for all others."""
    with atomic(out, folder=True) as folder:
        for file in soft.glob("*.npy"):
            said = read_npy(file)
            known = np.flatnonzero(said.max(1) > 0)
            hard = np.zeros_like(said)
            hard[known, said[known].argmax(1)] = 1
            np.save(folder / file.name, hard)


def frozen(place, frames, seed, init, kind, points=2000):
    """Predictions of a probe, `linear` or `nearest`, on the features of the student in folder `init`, fitted on the labelled frames."""
    network, train, validation = (
        students.load(init),
        place.split(place.data["train"]),
        place.split(place.data["validation"]),
    )

    @torch.inference_mode()
    def features(prepared, i):
        return network.features(network.voxels([(prepared.points(i), prepared.intensity(i))]))

    torch.set_num_threads(1)
    count = NEIGHBOURS if kind == "nearest" else points
    known = probe.drawn(train, frames, lambda i: features(train, i), count, seed)
    guess = {"linear": probe.linear, "nearest": probe.nearest}[kind](*known, len(train.classes))
    return {i: guess(features(validation, i)).numpy() for i in range(len(validation))}


def teacher_probe(place, frames, seed, points=2000):
    """Predictions of a linear probe on the image features alone, the mean over a point's views, fitted on the labelled frames; a point that
    no image shows has the features' mean."""

    def embed(split):
        prepared, views = place.split(split), place.gathered(split)

        def features(i):
            point, values, _ = views.views(i)
            total = np.zeros((len(prepared.points(i)), views.channels), np.float32)
            np.add.at(total, point, values)
            return total / np.maximum(np.bincount(point, minlength=len(total)), 1)[:, None]

        return prepared, features

    prepared, features = embed(place.data["train"])
    torch.set_num_threads(1)
    guess = probe.linear(*probe.drawn(prepared, frames, features, points, seed), len(prepared.classes))
    validation, features = embed(place.data["validation"])
    return {i: guess(features(i)).numpy() for i in range(len(validation))}
