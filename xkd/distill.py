"""Stage 3: the student learns to predict frozen image features from the scan alone. No label is read."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

import xkd
from xkd import companion, native, params
from xkd import student as students
from xkd.augment import augment, crop
from xkd.errors import XkdError
from xkd.feature_cache import verify
from xkd.files import digest, write_json
from xkd.native import NormReLU
from xkd.objectives import objective
from xkd.parallel import before, device, first, gather, meet, share, together
from xkd.prepared import Prepared, TeacherFeatures, matching
from xkd.retrieval import retrieval
from xkd.train import fit, nothing, order, pinned

PAIRS = ("point", "features", "superpixel", "superpixel_features")


class Projection(nn.Module):
    """Student features (P, C) -> (P, D) in the teacher's space: two layers, thrown away after distillation.

    A non-linear head keeps what is particular to the teacher's channels out of the student (CleverDistiller 2025).
    """

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), NormReLU(hidden), nn.Linear(hidden, outputs))

    def forward(self, features):
        return self.layers(features)


class Pool:
    """The unlabelled frames of several splits as one list of (scan, intensity, pairs with teacher features).

    `facts`: {"teacher": SHA-256} of one that came trained, for metrics and checkpoints; {} for our own."""

    def __init__(self, data, settings, prepared, teacher):
        names = [data["train"], *data["unlabelled"]]
        self.splits = [(Prepared(prepared, name), TeacherFeatures(teacher, name, data["train"])) for name in names]
        first = self.splits[0][1]
        facts = (first.mean, first.scale, first.whitening(settings["whiten"]))
        self.mean, self.scale, self.whitening = (torch.from_numpy(fact).to(device()) for fact in facts)
        tuning = matching(self.splits[0][0].scenes, data["tuning"])
        self.index = [(s, i) for s, (p, _) in enumerate(self.splits) for i in range(len(p)) if s or not tuning[i]]
        self.tuning = [(0, int(i)) for i in np.flatnonzero(tuning)]
        self.dim, self.classes = self.splits[0][1].dim, self.splits[0][0].classes
        self.digest = [part.digest for split in self.splits for part in split]
        teachers = {features.teacher for _, features in self.splits}
        if len(teachers) > 1:
            raise XkdError(f"{teacher}: its splits hold features of {len(teachers)} teachers; extract them again.")
        self.facts = {"teacher": min(teachers)} if all(teachers) else {}
        if not self.index:
            raise XkdError(f"{prepared}: no frame is left to distil from.")

    def __len__(self):
        return len(self.index)

    def held(self):
        """The frames of the tuning streets, which no training reads, as a pool of their own; this pool where there are none."""
        if not self.tuning:
            return self
        other = copy.copy(self)
        other.index = self.tuning
        return other

    def crops(self, indices, settings, rng):
        """Augmented crops of frames -> scans [(points, intensity)]; their pairs: point (P,) rows of the batch's points, features (P, C)
        float16, superpixel (P,) rows of superpixel_features (S, C) float16; and [(split, frame, rows)]: where the points of each frame are
        in the batch, -1 for those cut away."""
        scans, parts, places, first, segment = [], [], [], 0, 0
        for s, i in (self.index[k] for k in indices):
            prepared, teacher = self.splits[s]
            point, superpixel, features, means = teacher.stored(i)
            kept = crop(prepared.points(i), settings["crop"], rng, point if len(point) else None)
            rows = np.full(len(prepared.points(i)), -1)
            rows[kept] = np.arange(first, first + len(kept))
            inside = rows[point] >= 0
            parts.append((rows[point[inside]], features[inside], superpixel[inside] + segment, means))
            scans.append(augment(prepared.points(i)[kept], prepared.intensity(i)[kept], settings["augment"], rng))
            places.append((s, i, rows))
            first, segment = first + len(kept), segment + len(means)
        return scans, {n: np.concatenate(a) for n, a in zip(PAIRS, zip(*parts, strict=True), strict=True)}, places

    def asked(self, scans, pairs, student, rng):
        """What `crops` gives -> the voxels, with a feature asked for at one of each voxel's pairs, these pairs, whitened, and the rows of
        the batch's points that they lie at."""
        voxels = students.voxels(scans, student)
        chosen = voxels.one_each(pairs["point"], rng)
        rows = pairs["point"][chosen]
        found = {name: torch.from_numpy(pairs[name][chosen]) for name in ("features", "superpixel")}
        found["superpixel_features"] = torch.from_numpy(pairs["superpixel_features"])
        whitened = {name: self.whitened(found[name]) for name in ("features", "superpixel_features")}
        return voxels.only(rows), found | whitened, rows

    def whitened(self, features):
        """(P, C) float16 as the teacher gave them -> (P, C) float32 standardised and whitened; on the GPU, where there is one, for this
        would keep the cores from making batches."""
        if self.mean.is_cuda:
            features = pinned(features).to(self.mean.device, non_blocking=True)
        return ((features.float() - self.mean) * self.scale) @ self.whitening

    def batch(self, indices, student, settings, rng):
        """Frames -> voxels of augmented crops, with a feature asked for at one of each voxel's pairs, and these pairs: features (P, D),
        superpixel (P,) rows of superpixel_features (S, D)."""
        scans, pairs, _ = self.crops(indices, settings, rng)
        return self.asked(scans, pairs, student, rng)[:2]


def beginner(pool, student, settings, seed):
    """A student with fresh weights, and the head that takes its features to the teacher's."""
    network = students.build(student | {"classes": pool.classes}, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network, Projection(network.dim, settings["hidden"], pool.dim)


def distill(data, student, settings, seed, prepared, teacher, out, metrics, label=None):
    """Distils one student; writes its checkpoint, the folder `out`, and what became of its loss (`ends`) and how well it is aligned with
    the teacher (`xkd.retrieval`), the JSON file `metrics`. Returns the losses, one a step.

    data, student, settings: the sections data, student, distill of params.yaml; prepared, teacher: folders of stages 1 and 2.
    The tuning streets take no part, but that the student is then looked at on them. Errors: features that are not those that stage 2 wrote.
    """
    objective(settings["objective"])
    for name in (data["train"], *data["unlabelled"]):
        verify(Path(teacher) / name)
    arguments = (data, student, settings, seed, prepared, teacher)
    with companion.beside(ahead(*arguments)):
        both, losses, resume = pretrain(*arguments, label or f"distill-{seed}")
    if first():
        pool = Pool(data, settings, prepared, teacher)
        about = {"objective": settings["objective"], "seed": seed, "loss": ends(losses)} | pool.facts
        write_json(metrics, about | retrieval(*both, pool, student))
        made = {"objective": settings["objective"], "seed": seed, "frames": len(pool)} | pool.facts
        students.save(both[0], out, init="distilled", **made)
        companion.done(resume)
    meet()
    return losses


def pretrain(data, student, settings, seed, prepared, teacher, label):
    """A student that learnt from a teacher's features. -> (network and projection, losses, the file of the training's state)."""
    return together(settings["processes"], _train, data, student, settings, seed, prepared, teacher, label)


def ends(losses):
    """Means of the first and of the last tenth of the steps."""
    tenth = -(-len(losses) // 10)
    return [round(float(np.mean(part)), 4) for part in (losses[:tenth], losses[-tenth:])]


def _train(data, student, settings, seed, prepared, teacher, label):
    """The distilled student and its projection, the losses, and the file of the training's state."""
    loss_of_pairs = objective(settings["objective"])
    pool = Pool(data, settings, prepared, teacher)
    network, projection = beginner(pool, student, settings, seed)
    both = nn.ModuleList([network, projection]).to(device())

    def make(step):
        frames, member = share(order(len(pool), seed, settings["batch"], step)), share(range(settings["batch"]))[0]
        return pool.batch(frames, student, settings, np.random.default_rng([seed, 2, step, member]))

    def loss_of(batch):
        voxels = batch[0].to(device())
        pairs = {k: v.to(device(), non_blocking=True) for k, v in batch[1].items()}
        if before(len(pairs["features"]))[1] < 2:  # too few for a norm
            return nothing(projection)
        return loss_of_pairs(*of_all(projection(network.features(voxels)).float(), pairs), settings)

    resume = state_file(pool, student, settings, seed)
    return both, fit(both, make, loss_of, settings, resume, label), resume


def of_all(predicted, pairs):
    """(P, D) predictions and their pairs of this process -> those of all processes."""
    pairs = pairs | {"superpixel": pairs["superpixel"] + before(len(pairs["superpixel_features"]))[0]}
    return gather(predicted), {name: gather(values) for name, values in pairs.items()}


def state_file(pool, student, settings, seed):
    """Where the state of this very training lies: outside every stage's outs, under a name made of all that it hangs on."""
    facts = [student, settings, seed, pool.digest, pool.index, native.has_half()]
    return xkd.ROOT / "out" / "resume" / digest(facts, *students.code(student, CODE)) / "distill.pt"


def ahead(data, student, settings, seed, prepared, teacher):
    """The distillation of another seed of the sweep that is not done yet, for `companion.beside`, or a cell of scratch where there is none;
    None where there is no core for it, or where this seed's own is over."""
    seeds = params.profile()["sweep"]["seeds"]
    if not companion.idle(settings) or seed not in seeds:
        return None
    pool = Pool(data, settings, prepared, teacher)

    def training(number):
        job = (_train, data, student, settings, number, prepared, teacher, f"distill-{number}")
        return state_file(pool, student, settings, number), settings["steps"], job

    job = companion.following(seeds, seed, training)
    return job or (None if companion.over(*training(seed)[:2]) else ("xkd.finetune:spare", data, prepared))


def features_of(init, prepared, split, i):
    """Frame i of a split as the student in folder `init` sees it: its points (N, 3) and their features (N, C)."""
    prepared, network = Prepared(prepared, split), students.load(init)
    with torch.inference_mode():
        values = network.features(network.voxels([(prepared.points(i), prepared.intensity(i))])).numpy()
    return prepared.points(i), values


CODE = (
    "augment.py",
    "contrast.py",
    "distill.py",
    "losses.py",
    "native.cpp",
    "native.py",
    "objectives.py",
    "optim.py",
    "parallel.py",
    "prepared.py",
    "sparse.py",
    "student.py",
    "train.py",
)
"""The modules whose change makes a half-trained state worthless."""
