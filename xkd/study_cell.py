"""One cell of the study: the init it starts from, its training, and the counts on the validation frames that all its numbers come from."""

import base64
import shutil
import zlib

import numpy as np

import xkd
from xkd import distill, finetune, lidar_ssl, mixed, probe, self_training, unlabelled, xmodel
from xkd import student as students
from xkd.errors import XkdError
from xkd.files import digest, write_json
from xkd.metrics import iou
from xkd.mixed import Source
from xkd.prepared import Prepared
from xkd.study import START
from xkd.subsets import subset
from xkd.train import predict, tally

INIT_CODE = (*distill.CODE, "fusion.py", "gather.py", "lidar_ssl.py", "xmodel.py")
CODE = tuple(sorted({*unlabelled.CODE, *INIT_CODE, "probe.py", "self_training.py", "study_cell.py"}))
DISTANCES = (0, 10, 20, 30, 50)
"""Metres from the sensor, horizontally, at which the bins begin that points are counted in."""


def place_of(params, out):
    root = xkd.ROOT / out
    return unlabelled.Place(root / "prepared", root / "views", params["data"])


def made_of(params, cell, out):
    """What the numbers of a cell hang on: parameters, code and data, as one digest."""
    study, data, place = params["study"], params["data"], place_of(params, out)
    facts = [cell.block, cell.row, cell.fraction, cell.seed, study["lr"], init_path(params, cell, out).name]
    facts += [params[name] for name in ("data", "student", "finetune")] + [
        study[n] for n in ("views", "fused", "mixing")
    ]
    facts += [place.split(data[name]).digest for name in ("train", "validation")]
    facts += [place.gathered(data[name]).digest for name in ("train", "validation")]
    return digest(facts, *(xkd.ROOT / "xkd" / name for name in CODE))


def init_path(params, cell, out):
    """The folder of the init that a cell starts from, named after all that it is made from."""
    name, data, settings = START.get(cell.row, cell.row), params["data"], params["distill"]
    prepared, teacher = xkd.ROOT / out / "prepared", xkd.ROOT / out / "teacher"
    facts = [name, params["student"], cell.seed, Prepared(prepared, data["train"]).classes]
    if name != "scratch":
        facts += [settings | {"objective": name}, distill.Pool(data, settings, prepared, teacher).digest]
    if name == "xmodel":
        place = place_of(params, out)
        facts += [params["study"][key] for key in ("views", "xmodel", "fused")]
        facts += [place.gathered(split).digest for split in (data["train"], *data["unlabelled"])]
    key = digest(facts, *(xkd.ROOT / "xkd" / code for code in INIT_CODE))[:16]
    return xkd.ROOT / out / "study" / f"{name}-{cell.seed}-{key}"


def initial(params, cell, out):
    """Makes a cell's init if it is not there, and returns its folder."""
    path, name, seed = init_path(params, cell, out), START.get(cell.row, cell.row), cell.seed
    if path.exists() or cell.row == "teacher-probe":
        return path
    data, student, settings = params["data"], params["student"], params["distill"]
    prepared, teacher = xkd.ROOT / out / "prepared", xkd.ROOT / out / "teacher"
    arguments = (data, student, settings | {"objective": name}, seed, prepared, teacher)
    if name == "scratch":
        finetune.scratch(student, Prepared(prepared, data["train"]).classes, seed, path)
    elif name == "lidar-ssl":
        network, _, resume = lidar_ssl.pretrain(*arguments, f"study-{name}-{seed}")
        students.save(network, path, init=name, objective=name, seed=seed)
        resume.unlink(missing_ok=True)
    elif name == "xmodel":
        arguments = (data, student, settings, params["study"], seed, prepared, teacher, place_of(params, out).views)
        network, _, _, resume = xmodel.pretrain(*arguments, f"study-{name}-{seed}")
        students.save(network, path, init=name, objective=name, seed=seed)
        resume.unlink(missing_ok=True)
    else:
        distill.distill(*arguments, path, f"study-{name}-{seed}")
    return path


def train(params, cell, out):
    """Trains and evaluates one cell and writes its file: the keys of the sweep's metrics, and `counts`, see `count`."""
    place, student, study = place_of(params, out), params["student"], params["study"]
    data, settings, row, seed = params["data"], params["finetune"], cell.row, cell.seed
    train_set, validation = place.split(data["train"]), place.split(data["validation"])
    own = finetune.labelled(train_set, data["tuning"])
    frames = [own[k] for k in subset([train_set.scenes[i] for i in own], cell.fraction, seed)]
    init = initial(params, cell, out)
    label = f"study-{cell.block}-{row}-{cell.fraction:g}-{seed}"
    rate = None if row == "teacher-probe" else study["lr"]["fused" if row == "fused" else START.get(row, row)]
    count = finetune.steps(len(frames), settings)
    seen = Source(validation, place.gathered(data["validation"]))
    arguments = (student, settings, study, rate, seed, label)
    if row == "teacher-probe":
        guesses, steps = teacher_probe(place, frames, seed), 0
    elif row == "fused":
        network, losses, resume = unlabelled.train_fused(place, frames, init, *arguments)
        network.eval()
        guesses = {i: mixed.whole(network, seen, i).argmax(1).numpy() for i in range(len(validation))}
    else:
        if cell.block == "pretraining":
            factor = 2 if row == "scratch-long" else 1
            longer = settings | {"steps": {"base": factor * count, "per_frame": 0, "most": factor * count}}
            network, losses, resume = finetune.train(train_set, frames, init, student, longer, rate, seed, label)
        elif row == "xmodel":
            network, losses, resume = taught(place, frames, init, arguments, study["lr"]["fused"], out)
        else:
            network, losses, resume = self_training.train(place, frames, init, *arguments)
        guesses = dict(predict(network, validation))
    if row != "teacher-probe":
        steps = len(losses)
    result = {"miou": None, "fraction": cell.fraction, "init": row, "block": cell.block, "seed": seed, "lr": rate}
    result |= {
        "objective": START.get(row, row),
        "frames": len(frames),
        "steps": steps,
        "made_of": made_of(params, cell, out),
    }
    write(cell, result, validation, seen, guesses)
    if row != "teacher-probe":
        resume.unlink(missing_ok=True)
    return result


def taught(place, frames, init, arguments, rate, out):
    """The student of `xmodel`: a fused network learns from the labelled frames, its predictions of all others teach the student."""
    student, settings, study, own_rate, seed, label = arguments
    network, _, state = unlabelled.train_fused(
        place, frames, init, student, settings, study, rate, seed, f"{label}-fused"
    )
    folder = state.parent / "predictions"
    if not folder.exists():
        unlabelled.predict(network, place, frames, folder)
    found = unlabelled.train_student(place, frames, folder, init, student, settings, study, own_rate, seed, label)
    state.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return found


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
    guess = probe.linear(*probe.drawn(prepared, frames, features, points, seed), len(prepared.classes))
    validation, features = embed(place.data["validation"])
    return {i: guess(features(i)).numpy() for i in range(len(validation))}


def write(cell, result, validation, seen, guesses):
    """A cell's file, whole: its numbers and, packed, the counts they come from (`unpacked`)."""
    if not validation.labelled:
        raise XkdError(f"{validation.path}: this split has no labels to evaluate on.")
    total, streets = tally(validation, guesses)
    score = iou(total.sum(0))
    values = [None if np.isnan(v) else round(100 * float(v), 4) for v in score]
    result |= {"miou": round(100 * float(np.nanmean(score)), 4), "streets": streets}
    result |= {"iou": dict(zip(validation.classes, values, strict=True))}
    result |= {"counts": packed(count(validation, seen, guesses, total))}
    write_json(cell.file, result)


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
