"""Batches of labelled frames and of frames whose labels are another network's soft predictions, with images where they are asked for."""

from dataclasses import dataclass

import numpy as np
import torch

from xkd import student as students
from xkd.augment import augment, crop
from xkd.errors import XkdError
from xkd.fused import early
from xkd.gathered import Gathered, Seen
from xkd.losses import lovasz_softmax
from xkd.parallel import half
from xkd.prepared import Prepared
from xkd.sparse import Voxels

SURE = 0.5
"""The least weight with which a point counts in Lovasz-softmax: of a prediction, its largest probability."""


@dataclass
class Source:
    """One split that batches are drawn from: its scans, its views for a network that sees images, and what stands in for its labels."""

    prepared: Prepared
    views: Gathered | None = None
    predicted: np.ndarray | None = None
    """(points of the split, C) float16 probabilities, as `xkd.unlabelled.predict` leaves them; None: the labels count."""
    hidden: bool = False
    """Whether the labels, though there may be some, are not to be known."""

    def __post_init__(self):
        self.offsets = np.cumsum([0] + [frame["points"] for frame in self.prepared.frames])

    def rows(self, i):
        return slice(*self.offsets[i : i + 2])

    def targets(self, i):
        """(N, C) float32 probabilities of frame i's classes, zero where nothing is known, and (N,) weights: 1 for a label, the largest
        probability for a prediction."""
        if self.predicted is not None:
            values = self.predicted[self.rows(i)].astype(np.float32)
            return values, values.max(1)
        labels = self.classes(i)
        values = np.zeros((len(labels), len(self.prepared.classes)), np.float32)
        known = np.flatnonzero(labels >= 0)
        values[known, labels[known]] = 1
        return values, (labels >= 0).astype(np.float32)

    def classes(self, i):
        """(N,) labels of frame i that may be known, -1 where there is none."""
        labels = np.asarray(self.prepared.labels(i))
        return labels if self.predicted is None and not self.hidden else np.full_like(labels, -1)


@dataclass
class Batch:
    """`voxels` with a feature asked for at M points, `targets` (M, C) probabilities, `weight` (M,), what images show of these points."""

    voxels: Voxels
    targets: torch.Tensor
    weight: torch.Tensor
    seen: Seen | None

    def to(self, device):
        targets, weight = (own.to(device, non_blocking=True) for own in (self.targets, self.weight))
        return Batch(self.voxels.to(device), targets, weight, self.seen and self.seen.to(device))


class Draw:
    """Frames to draw crops from: `frames` [(source, i)]; a share `balanced` of the crops shows a class, all classes alike."""

    def __init__(self, sources, frames):
        if not frames:
            raise XkdError("No frame to train on.")
        self.sources, self.frames, self.holders = sources, frames, {}
        for s, i in frames:
            for c in np.unique(sources[s].classes(i)).tolist():
                if c >= 0:
                    self.holders.setdefault(c, []).append((s, i))
        self.holders = dict(sorted(self.holders.items()))

    def __call__(self, balanced, rng):
        """(source, i, indices of points that the crop may be centred on, None for any); frames without labels are drawn evenly."""
        if rng.random() >= balanced or not self.holders:
            return *self.frames[rng.integers(len(self.frames))], None
        wanted = list(self.holders)[rng.integers(len(self.holders))]
        s, i = self.holders[wanted][rng.integers(len(self.holders[wanted]))]
        return s, i, np.flatnonzero(self.sources[s].classes(i) == wanted)


def batch(draws, share, student, settings, rng, dark=0.0, reach=None):
    """Crops -> `Batch`. draws: `Draw`s of labelled frames and, where share > 0, of predicted ones, which each crop is of with probability
    `share`. Labelled crops show a class, all classes alike, with probability settings.balanced; predicted ones, whose classes are not
    known, any place. dark: probability that a crop, and beside that each camera of it, gives no images."""
    scans, targets, weights, seen, first = [], [], [], [], 0
    for _ in range(settings["batch"]):
        which = int(rng.random() < share)
        draw = draws[which]
        s, i, around = draw(settings["balanced"], rng)
        source = draw.sources[s]
        points = source.prepared.points(i)
        kept = crop(points, settings["crop"], rng, around)
        scans.append(augment(points[kept], source.prepared.intensity(i)[kept], settings["augment"], rng))
        values, weight = source.targets(i)
        targets.append(values[kept])
        weights.append(weight[kept])
        if source.views is not None:
            seen.append(_views(source, i, kept, len(points), dark, reach, rng, first))
        first += len(kept)
    voxels = students.voxels(scans, student)
    known = np.flatnonzero(np.concatenate(weights) > 0)
    chosen = known[voxels.one_each(known, rng)]
    if len(chosen) < 2:  # too few for a norm
        chosen = np.arange(first)
    parts = [torch.from_numpy(np.concatenate(a)[chosen]) for a in (targets, weights)]
    asked, views = voxels.only(chosen), None
    if seen:
        asked, views = look(
            voxels, chosen, Seen(*(torch.from_numpy(np.concatenate(a)) for a in zip(*seen, strict=True)))
        )
    return Batch(asked, *parts, views)


def _views(source, i, kept, count, dark, reach, rng, first):
    """What images show of the points `kept` of frame i, as rows from `first` on."""
    off = rng.random(len(source.prepared.cameras)) < (1 if rng.random() < dark else dark)
    point, values, facts = source.views.views(i, reach, np.flatnonzero(off).tolist())
    place = np.full(count, -1)
    place[kept] = np.arange(first, first + len(kept))
    own = place[point] >= 0
    return place[point][own], values[own], facts[own]


def look(voxels, chosen, seen):
    """Voxels of a whole batch, M chosen points and the views of all points -> the voxels as the fused network takes them, asked at these
    points, and the views of these points."""
    voxels = early(voxels, seen.point, seen.values)
    place = torch.full((len(voxels.inverse),), -1)
    place[torch.as_tensor(chosen)] = torch.arange(len(chosen))
    row = place[seen.point]
    own = row >= 0
    return voxels.only(chosen), Seen(row[own], seen.values[own], seen.facts[own])


def loss(logits, targets, weight, lovasz_points):
    """(M, C) logits, (M, C) target probabilities, (M,) weights -> weighted cross-entropy to the probabilities + Lovasz-softmax to the
    likeliest class where the weight is at least `SURE`; of labels, which have weight 1, it is `losses.segmentation`. 0 where no weight is
    above 0."""
    known = weight > 0
    if not known.any():
        return logits.sum() * 0
    logits, targets, weight = logits[known], targets[known], weight[known]
    entropy = -(targets * logits.log_softmax(1)).sum(1)
    found, sure = (entropy * weight).sum() / weight.sum(), weight >= SURE
    if not sure.any():
        return found
    logits, targets = logits[sure], targets[sure]
    step = -(-len(logits) // lovasz_points)
    return found + lovasz_softmax(logits[::step].softmax(1), targets[::step].argmax(1))


@torch.inference_mode()
def whole(network, source, i, dark=(), reach=None):
    """(N, C) logits of frame i, the whole scan, on the CPU; of a fused network where the source has views."""
    student, prepared, where = network.config, source.prepared, next(network.parameters()).device
    voxels = students.voxels([(prepared.points(i), prepared.intensity(i))], student)
    if source.views is None:
        with half():
            return network(voxels.to(where))[1].float().cpu()
    point, values, facts = source.views.views(i, reach, dark)
    seen = Seen(torch.from_numpy(point), torch.from_numpy(values), torch.from_numpy(facts))
    voxels, seen = look(voxels, np.arange(len(voxels.inverse)), seen)
    with half():
        return network(voxels.to(where), seen.to(where))[1].float().cpu()
