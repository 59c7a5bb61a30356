"""`xmodel`, ours: a backbone learns from pixels or superpixels, and from a fusion encoder that is kept consistent over all views."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

import xkd
from xkd import contrast, losses, native
from xkd import student as students
from xkd.augment import augment
from xkd.distill import CODE, Pool, Projection, of_all
from xkd.files import digest
from xkd.fusion import Fusion
from xkd.gathered import Gathered, Seen
from xkd.lidar_ssl import loss as two_looks
from xkd.objectives import MATCHES, superpixels
from xkd.parallel import before, device, gather, share, together
from xkd.sparse import Voxels
from xkd.train import fit, nothing, order


@dataclass
class Batch:
    """`voxels` asked at P paired points; `pairs` as `xkd.distill.Pool.batch` gives them; `seen`: the views of these points, of which those
    that are `held` (bool) are kept from the fusion encoder, which is to tell what they show; `again`: a second look at the same crops,
    or None."""

    voxels: Voxels
    pairs: dict
    seen: Seen
    held: torch.Tensor
    again: Voxels | None = None

    def to(self, where):
        pairs = {name: value.to(where, non_blocking=True) for name, value in self.pairs.items()}
        again = self.again and self.again.to(where)
        return Batch(self.voxels.to(where), pairs, self.seen.to(where), self.held.to(where, non_blocking=True), again)


class Heads(nn.Module):
    """What teaches the student and is then thrown away, but for the fusion encoder, which the fused network starts from.

    pixel: student (P, C) -> teacher's features (P, D); view: unified (P, width) -> a view's values (P, channels); unify: student (P, C)
    -> unified (P, width); look: student (P, C) -> (P, D), compared between two looks at the scan."""

    def __init__(self, inputs, hidden, outputs, channels, width, heads):
        super().__init__()
        self.pixel, self.fusion = Projection(inputs, hidden, outputs), Fusion(inputs, channels, width, heads)
        self.view, self.unify = nn.Linear(width, channels), Projection(inputs, hidden, width)
        self.look = Projection(inputs, hidden, outputs)


def terms(features, heads, batch, temperature, weights):
    """(P, C) student features -> {name: loss} of the terms whose weight is above 0.

    pixel: cosine of the prediction with the mean of all views; superpixel: InfoNCE of superpixel means (SLidR); view: InfoNCE between
    what the fusion encoder makes of the point and its other views and the held-out view; unified: cosine of the prediction from the scan
    alone with the unified feature of all views, which takes no gradient from it."""
    found, seen = {}, batch.seen
    if weights["pixel"] or weights["superpixel"]:
        predicted, pairs = of_all(heads.pixel(features).float(), batch.pairs)
    if weights["pixel"]:
        found["pixel"] = losses.cosine(predicted, pairs["features"])
    if weights["superpixel"]:
        found["superpixel"] = contrast.info_nce(*superpixels(predicted, pairs), temperature)
    if weights["view"]:
        held = batch.held.nonzero()[:, 0]
        held, known = held[:: -(-max(len(held), 1) // MATCHES)], ~batch.held
        unified = heads.fusion(features, seen.values[known], seen.point[known], seen.facts[known])
        said, meant = (gather(part) for part in (heads.view(unified[seen.point[held]]).float(), seen.values[held]))
        if len(said):
            found["view"] = contrast.info_nce(said, meant, temperature)
    if weights["unified"]:
        with torch.no_grad():
            unified = heads.fusion(features, seen.values, seen.point, seen.facts)
        found["unified"] = losses.cosine(*(gather(part.float()) for part in (heads.unify(features), unified)))
    return found


def batch(pool, gathered, indices, student, settings, hold, reach, rng, twice=False):
    """Frames of a `Pool` -> `Batch`; gathered: the views of each of the pool's splits; hold: share of the views that are kept back; twice:
    whether there is a second look at the scan."""
    scans, pairs, places = pool.crops(indices, settings, rng)
    voxels, pairs, asked = pool.asked(scans, pairs, student, rng)
    row, views = np.full(sum(len(points) for points, _ in scans), -1), []
    row[asked] = np.arange(len(asked))
    for s, i, rows in places:
        point, values, facts = gathered[s].views(i, reach)
        own = rows[point] >= 0
        own[own] = row[rows[point[own]]] >= 0
        views.append((row[rows[point[own]]], values[own], facts[own]))
    seen = Seen(*(torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*views, strict=True)))
    held, again = torch.from_numpy(rng.random(len(seen.point)) < hold), None
    if twice:
        # Augmented once more: what comes out differs from the first look by an augmentation.
        other = [augment(points, intensity, settings["augment"], rng) for points, intensity in scans]
        again = students.voxels(other, student).only(asked)
    return Batch(voxels, pairs, seen, held, again)


def pretrain(data, student, settings, seed, prepared, teacher, sections, views, label):
    """A student that learnt from the frames and in the steps that a distillation of the section distill has. sections: study (its
    `xmodel`), fused and views of params.yaml; views: folder of `xkd.gather`.

    -> (network, heads, losses, the file of the training's state)."""
    arguments = (data, student, settings, seed, prepared, teacher, sections, views, label)
    return together(settings["processes"], _train, *arguments)


def _train(data, student, settings, seed, prepared, teacher, sections, views, label):
    pool = Pool(data, settings, prepared, teacher)
    gathered = [Gathered(views, name) for name in (data["train"], *data["unlabelled"])]
    network = students.build(student | {"classes": pool.classes}, seed)
    ours, sizes = sections["study"]["xmodel"], sections["fused"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = Heads(network.dim, settings["hidden"], pool.dim, gathered[0].channels, sizes["width"], sizes["heads"])
    both = nn.ModuleList([network, heads]).to(device())

    def make(step):
        frames, member = share(order(len(pool), seed, settings["batch"], step)), share(range(settings["batch"]))[0]
        rng = np.random.default_rng([seed, 8, step, member])
        given = (ours["hold"], sections["views"]["reach"], rng, ours["look"] > 0)
        return batch(pool, gathered, frames, student, settings, *given)

    def loss_of(made):
        made = made.to(device())
        if before(len(made.pairs["features"]))[1] < 2:  # too few for a norm
            return nothing(heads)
        features = network.features(made.voxels)
        found = terms(features, heads, made, settings["temperature"], ours)
        if made.again is not None:
            looks = (gather(heads.look(own).float()) for own in (features, network.features(made.again)))
            found["look"] = two_looks(*looks, settings["temperature"])
        return sum((ours[name] * value for name, value in found.items()), nothing(heads.view))  # no term: no error

    facts = [
        "xmodel",
        student,
        settings,
        sections["views"],
        ours,
        sizes["width"],
        sizes["heads"],
        seed,
        pool.digest,
        pool.index,
        native.has_half(),
    ]
    facts += [split.digest for split in gathered]
    parts = students.code(student, (*CODE, "fusion.py", "gathered.py", "lidar_ssl.py", "xmodel.py"))
    resume = xkd.ROOT / "out" / "resume" / digest(facts, *parts) / "xmodel.pt"
    return network, heads, fit(both, make, loss_of, settings, resume, label), resume
