"""Stage 4, one cell of the sweep: (fraction, init, seed) -> a LiDAR-only network trained on that share of the labels."""

import numpy as np
import torch

import xkd
from xkd import companion, native, params
from xkd import student as students
from xkd.augment import augment, crop
from xkd.errors import XkdError
from xkd.files import atomic, digest, read_json, write_json
from xkd.losses import segmentation
from xkd.metrics import iou
from xkd.parallel import device, first, gather, meet, share, together
from xkd.prepared import Prepared, matching
from xkd.subsets import subset
from xkd.train import evaluate, fit, order

CODE = (
    "augment.py",
    "finetune.py",
    "losses.py",
    "native.cpp",
    "native.py",
    "optim.py",
    "parallel.py",
    "prepared.py",
    "sparse.py",
    "student.py",
    "subsets.py",
    "train.py",
)


def key(fraction, init, seed):
    """The name of a cell, as in its files: fraction-init-seed."""
    return f"{fraction:g}-{init}-{seed}"


def steps(frames, settings):
    """Training steps for so many labelled frames: settings.steps = {base, per_frame, most}: base + per_frame * frames, `most` at most."""
    base, per_frame, most = (settings["steps"][name] for name in ("base", "per_frame", "most"))
    return round(min(base + per_frame * frames, most))


def rate(settings, init, fraction):
    """The learning rate of an init at a share of the labels: settings.lr[init] is one, or two, of which the first holds up to the share
    settings.few. Errors: more than two, or none."""
    given = settings["lr"][init]
    if not isinstance(given, list):
        return given
    if len(given) != 2:
        raise XkdError(
            f"params.yaml: finetune.lr.{init} is {given}; it has to be one rate, or two: for few labels and for many."
        )
    return given[fraction > settings["few"]]


def scratch(student, classes, seed, out):
    """Writes the init without any pretraining: fresh weights drawn from the seed."""
    students.save(
        students.build(student | {"classes": classes}, seed), out, init="scratch", objective="none", seed=seed
    )


def labelled(prepared, skip=()):
    """Indices of the frames that labels may be drawn from: those that have labels, but for the scenes that `skip` names."""
    if not prepared.labelled:
        raise XkdError(f"{prepared.path}: this split has no labels to train on.")
    skipped = matching(prepared.scenes, skip)
    own = [i for i, frame in enumerate(prepared.frames) if frame["labelled"] and not skipped[i]]
    if not own:
        raise XkdError(f"{prepared.path}: no frame of a street that is not held out has labels.")
    return own


def classes_of(prepared, frames):
    """{class id: the frames, of those given, that have a labelled point of it}."""
    holders = {}
    for i in frames:
        for label in np.unique(prepared.labels(i)).tolist():
            if label >= 0:
                holders.setdefault(label, []).append(i)
    return dict(sorted(holders.items()))


def batch(prepared, frames, holders, student, settings, rng):
    """Frames -> voxels of their augmented crops, with a feature asked for at one labelled point of each voxel, and the labels there (P,).

    `holders`: see `classes_of`; a crop that is to show a certain class comes from any frame that has it.
    """
    scans, labels = [], []
    for i in frames:
        around = None
        if rng.random() < settings["balanced"] and holders:
            wanted = rng.choice(list(holders))
            i = rng.choice(holders[wanted])
            around = np.flatnonzero(prepared.labels(i) == wanted)
        kept = crop(prepared.points(i), settings["crop"], rng, around)
        scans.append(augment(prepared.points(i)[kept], prepared.intensity(i)[kept], settings["augment"], rng))
        labels.append(prepared.labels(i)[kept])
    labels = np.concatenate(labels)
    voxels, known = students.voxels(scans, student), np.flatnonzero(labels >= 0)
    chosen = known[voxels.one_each(known, rng)]
    if len(chosen) < 2:  # too few for a norm
        chosen = np.arange(len(labels))
    return voxels.only(chosen), torch.from_numpy(labels[chosen]).long()


def train(prepared, frames, init, student, settings, lr, seed, label):
    """The network of folder `init`, trained on `frames` of a split; returns it, the losses (one a step) and the resume file,
    which is the caller's to remove once it has kept the result."""
    return together(settings["processes"], _train, prepared.path, frames, init, student, settings, lr, seed, label)


def _train(path, frames, init, student, settings, lr, seed, label):
    prepared = Prepared(path.parent, path.name)
    network = students.build(student | {"classes": prepared.classes}, seed + 1000)
    students.start_from(network, init)
    network.to(device())
    resume = state_file(prepared, frames, init, student, settings, lr, seed)
    settings = settings | {"lr": lr, "steps": steps(len(frames), settings)}
    holders = classes_of(prepared, frames)

    def make(step):
        own = [frames[k] for k in share(order(len(frames), seed, settings["batch"], step))]
        member = share(range(settings["batch"]))[0]
        return batch(prepared, own, holders, student, settings, np.random.default_rng([seed, 3, step, member]))

    def loss_of(made):
        logits, labels = network(made[0].to(device()))[1], made[1].to(device(), non_blocking=True)
        return segmentation(gather(logits.float()), gather(labels), settings["lovasz_points"])

    return network, fit(network, make, loss_of, settings, resume, label), resume


def state_file(prepared, frames, init, student, settings, lr, seed):
    """Where the state of this very training lies: outside every stage's outs, under a name made of all that it hangs on."""
    facts = [student, settings, lr, seed, list(map(int, frames)), prepared.digest, native.has_half()]
    parts = [init / "weights.safetensors", *students.code(student, CODE)]
    return xkd.ROOT / "out" / "resume" / digest(facts, *parts) / "finetune.pt"


def ahead(prepared, own, init_path, student, settings, fraction, init, seed):
    """The training of another cell of the sweep, with as many frames, that is not done yet: for `companion.beside`.

    None where there is none, or no core for it, or where this cell's own training is over.
    """
    sweep = params.profile()["sweep"]
    cells = [(name, number) for name in sweep["inits"] for number in sweep["seeds"]]
    if not companion.idle(settings) or (init, seed) not in cells:
        return None

    def training(item):
        name, number = item
        frames, start = (
            chosen(prepared, own, fraction, number, settings["subset"]),
            init_path.parent / f"{name}-{number}",
        )
        if not (start / "weights.safetensors").exists():
            return None
        arguments = (frames, start, student, settings, rate(settings, name, fraction), number)
        job = (_train, prepared.path, *arguments, f"finetune-{key(fraction, name, number)}")
        return state_file(prepared, *arguments), steps(len(frames), settings), job

    return companion.following(cells, (init, seed), training)


def spare(data, prepared):
    """Trains the longest cell of scratch that is not done yet, for a stage that leaves a core: its own stage takes it up. None where the
    sweep has no such cells."""
    sections = params.profile()
    train_set, sweep, settings = Prepared(prepared, data["train"]), sections["sweep"], sections["finetune"]
    own = labelled(train_set, data["tuning"])
    for fraction in sorted(sweep["fractions"], reverse=True) if "scratch" in sweep["inits"] else ():
        for seed in sweep["seeds"]:
            frames, start = (
                chosen(train_set, own, fraction, seed, settings["subset"]),
                prepared.parent / "init" / f"scratch-{seed}",
            )
            if not (start / "weights.safetensors").exists():
                continue
            arguments = (frames, start, sections["student"], settings, rate(settings, "scratch", fraction), seed)
            state = state_file(train_set, *arguments)
            if not companion.over(state, steps(len(frames), settings)):
                return _train(train_set.path, *arguments, f"finetune-{key(fraction, 'scratch', seed)}")
    return None


def cell(data, student, settings, fraction, init, seed, prepared, init_path, out, metrics):
    """Trains and evaluates one cell; writes the folder `out` (checkpoint, confusion.npy (S, C, C), predictions.npz) and the file
    `metrics`. Returns (metrics, losses)."""
    train_set, validation = Prepared(prepared, data["train"]), Prepared(prepared, data["validation"])
    own = labelled(train_set, data["tuning"])
    frames, lr, label = (
        chosen(train_set, own, fraction, seed, settings["subset"]),
        rate(settings, init, fraction),
        f"finetune-{key(fraction, init, seed)}",
    )
    check_labelled(validation)
    with companion.beside(ahead(train_set, own, init_path, student, settings, fraction, init, seed)):
        network, losses, resume = train(train_set, frames, init_path, student, settings, lr, seed, label)
    about = {"fraction": fraction, "init": init, "seed": seed, "lr": lr} | origin(init_path) | {"steps": len(losses)}
    result = keep(network, train_set, frames, validation, about, data["kind"], settings["shown"], out, metrics)
    if first():
        companion.done(resume)
    return result, losses


def origin(init):
    """What metrics repeat of the student in folder `init`: its objective and, where its teacher came trained, the SHA-256 of that."""
    facts = read_json(init / "network.json")["facts"]
    return {name: facts[name] for name in ("objective", "teacher") if name in facts}


def chosen(train_set, own, fraction, seed, kind):
    """The labelled frames of a cell, out of `own`: those of every cell with this fraction and seed. kind: of `xkd.subsets.SUBSETS`."""
    return [own[k] for k in subset([train_set.scenes[i] for i in own], fraction, seed, kind)]


def check_labelled(validation):
    if not validation.labelled:
        raise XkdError(f"{validation.path}: this split has no labels to evaluate on.")


def keep(network, train_set, frames, validation, about, kind, shown, out, metrics):
    """Evaluates a trained student and writes the folder `out` and the file `metrics` of its cell; returns the metrics, `about` among them.

    frames: the labelled ones; shown: of how many validation frames the predictions are kept."""
    total, streets, guesses = evaluate(network, validation)
    score = iou(total.sum(0))
    values = [None if np.isnan(v) else round(100 * float(v), 4) for v in score]
    seen = np.sum([np.bincount(train_set.labels(i)[train_set.labels(i) >= 0], minlength=len(score)) for i in frames], 0)
    result = {"miou": round(100 * float(np.nanmean(score)), 4), **about, "frames": len(frames), "streets": streets}
    result |= {"iou": dict(zip(validation.classes, values, strict=True))}
    result |= {"classes_seen": dict(zip(validation.classes, map(int, seen), strict=True))}
    result["labelled_frames"] = [train_set.frames[i]["id"] for i in frames]
    if first():
        students.save(
            network, out, kind=kind, **{name: about[name] for name in ("init", "objective", "fraction", "seed")}
        )
        places = np.linspace(0, len(validation) - 1, min(shown, len(validation))).astype(int)
        with atomic(out / "confusion.npy") as temporary:
            np.save(temporary, total)
        with atomic(out / "predictions.npz") as temporary:
            np.savez(temporary, frame=places, **{f"pred_{i}": guesses[i].astype(np.int16) for i in places})
        write_json(metrics, result)
    meet()
    return result
