"""Stage 4b, one cell of `xmodel`: (fraction, seed) -> a LiDAR-only network, from labels and the pseudo-labels of one that sees images."""

import numpy as np

from xkd import companion, finetune, limits, params, unlabelled
from xkd import student as students
from xkd.errors import XkdError
from xkd.files import atomic, read_json, write_json
from xkd.metrics import iou
from xkd.subsets import subset
from xkd.train import evaluate

NAME = "xmodel"
"""What the cells are called."""


def cell(settings, sections, fraction, seed, place, init_path, out, metrics):
    """Trains and evaluates one cell; writes what `xkd.finetune.cell` does: the folder `out` and the file `metrics`.

    settings: the section finetune; sections: student, views, fused and mixing, by name; place: `xkd.unlabelled.Place`; init_path:
    the folder <name>-<seed> of the student that both networks start from.
    -> (metrics, losses of the student, losses of the network with images)."""
    limits.check(sections)
    train_set, validation = place.split(place.data["train"]), place.split(place.data["validation"])
    if not validation.labelled:
        raise XkdError(f"{validation.path}: this split has no labels to evaluate on.")
    own = finetune.labelled(train_set, place.data["tuning"])
    frames, lr = chosen(train_set, own, fraction, seed), settings["lr"][NAME]
    arguments = (sections["student"], settings, sections, lr)
    with companion.beside(ahead(place, train_set, own, init_path, arguments, fraction, seed)):
        network, losses, first, left = unlabelled.teach(
            place, frames, init_path, *arguments, seed, label(fraction, seed)
        )
    total, streets, guesses = evaluate(network, validation)
    score = iou(total.sum(0))
    values = [None if np.isnan(v) else round(100 * float(v), 4) for v in score]
    facts = {"init": NAME, "objective": NAME, "fraction": fraction, "seed": seed}
    result = {"miou": round(100 * float(np.nanmean(score)), 4), **facts, "lr": lr, "frames": len(frames)}
    result |= {"iou": dict(zip(validation.classes, values, strict=True)), "steps": len(losses), "streets": streets}
    result["classes_seen"] = dict(zip(validation.classes, seen(train_set, frames), strict=True))
    result["labelled_frames"] = [train_set.frames[i]["id"] for i in frames]
    start = read_json(init_path / "network.json")["facts"]["objective"]
    pseudo = [len(some) for _, some in place.predicted(frames, sections["mixing"]["frames"])]
    result |= {"start": start, "fused_steps": len(first), "pseudo_labelled_frames": sum(pseudo)}
    students.save(network, out, kind=place.data["kind"], **facts)
    shown = np.linspace(0, len(validation) - 1, min(settings["shown"], len(validation))).astype(int)
    with atomic(out / "confusion.npy") as temporary:
        np.save(temporary, total)
    with atomic(out / "predictions.npz") as temporary:
        np.savez(temporary, frame=shown, **{f"pred_{i}": guesses[i].astype(np.int16) for i in shown})
    write_json(metrics, result)
    left[0].with_name(companion.DONE).touch()
    unlabelled.remove(*left)
    return result, losses, first


def label(fraction, seed):
    return f"xmodel-{fraction:g}-{seed}"


def chosen(train_set, own, fraction, seed):
    """The labelled frames of a cell, those of every other cell with this fraction and seed."""
    return [own[k] for k in subset([train_set.scenes[i] for i in own], fraction, seed)]


def seen(prepared, frames):
    """Labelled points of each class in these frames."""
    labels = [prepared.labels(i) for i in frames]
    return sum(np.bincount(some[some >= 0], minlength=len(prepared.classes)) for some in labels).tolist()


def ahead(place, train_set, own, init_path, arguments, fraction, seed):
    """The work of the next cell that is not done yet, for `companion.beside`; None where there is none or no core for it."""
    sweep, settings, start_name = params.profile()["sweep"], arguments[1], init_path.name.rpartition("-")[0]
    cells = [(part, number) for part in sweep["fractions"] for number in sweep["seeds"]]
    if not companion.idle(settings) or (fraction, seed) not in cells:
        return None

    def training(item):
        part, number = item
        frames, start = chosen(train_set, own, part, number), init_path.with_name(f"{start_name}-{number}")
        if not (start / "weights.safetensors").exists():
            return None
        own_arguments = (place, frames, start, *arguments, number)
        folder = unlabelled.predictions_of(*own_arguments)
        state = unlabelled.student_state(place, frames, folder, *own_arguments[2:])
        return state, finetune.steps(len(frames), settings), (unlabelled.teach, *own_arguments, label(part, number))

    return companion.following(cells, (fraction, seed), training)
