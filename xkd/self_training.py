"""LiDAR-only self-training: the average of the student's own past weights says what unlabelled frames are (mean teacher)."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

import xkd
from xkd import mixed
from xkd import student as students
from xkd.augment import augment, crop
from xkd.mixed import Batch, Draw, Source
from xkd.parallel import device, gather, share, together
from xkd.sparse import Voxels
from xkd.train import fit
from xkd.unlabelled import begin, everything, facts_of, state_file


class Averaged(nn.Module):
    """A student and the running average of its weights (Tarvainen & Valpola 2017): w' <- m w' + (1 - m) w, m at most `momentum` and
    smaller in the first steps, so that the average forgets where it began."""

    def __init__(self, student, momentum):
        super().__init__()
        self.student, self.average, self.momentum = student, copy.deepcopy(student).requires_grad_(False), momentum
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self):
        self.updates += 1
        count = int(self.updates)
        rate = 1 - min(self.momentum, count / (count + 10))
        own = self.student.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(own[name], rate)
            else:
                value.copy_(own[name])

    def train(self, mode=True):
        super().train(mode)
        self.average.eval()
        return self


@dataclass
class Pair:
    """`batch` of the student, in which the points `row` (U,) have no label, and the voxels of another look at the same crops, asked at
    these points; None where all crops are labelled."""

    batch: Batch
    row: torch.Tensor
    other: Voxels | None


def batch(draws, rate, student, settings, rng):
    """Crops of labelled frames, and with probability `rate` of unlabelled ones, the latter augmented twice -> `Pair`."""
    scans, others, targets, weights, origin, first, second = [], [], [], [], [], 0, 0
    for _ in range(settings["batch"]):
        which = int(rng.random() < rate)
        draw = draws[which]
        s, i, around = draw(settings["balanced"], rng)
        source = draw.sources[s]
        points, intensity = source.prepared.points(i), source.prepared.intensity(i)
        kept = crop(points, settings["crop"], rng, around)
        scans.append(augment(points[kept], intensity[kept], settings["augment"], rng))
        values, weight = source.targets(i)
        targets.append(values[kept])
        weights.append(weight[kept])
        if which:
            others.append(augment(points[kept], intensity[kept], settings["augment"], rng))
            origin.append(np.arange(second, second + len(kept)))
            second += len(kept)
        else:
            origin.append(np.full(len(kept), -1))
        first += len(kept)
    voxels = students.voxels(scans, student)
    origin, weights = np.concatenate(origin), np.concatenate(weights)
    usable = np.flatnonzero((weights > 0) | (origin >= 0))
    chosen = usable[voxels.one_each(usable, rng)]
    if len(chosen) < 2:  # too few for a norm
        chosen = np.arange(first)
    row = np.flatnonzero(origin[chosen] >= 0)
    other = None
    if others and len(row):
        other = students.voxels(others, student).only(origin[chosen][row])
    parts = (torch.from_numpy(a) for a in (np.concatenate(targets)[chosen], weights[chosen]))
    return Pair(Batch(voxels.only(chosen), *parts, None), torch.from_numpy(row), other)


def train(place, frames, init, student, settings, sections, lr, seed, label):
    """The student in folder `init`, trained on `frames` and their labels and on all unlabelled frames, which its own average labels.

    -> (the student, losses, the file of the training's state). The average's prediction counts by its largest probability."""
    return together(settings["processes"], _train, place, frames, init, student, settings, sections, lr, seed, label)


def _train(place, frames, init, student, settings, sections, lr, seed, label):
    facts = facts_of(place, frames, student, settings, sections, lr, seed)
    network, settings, labelled, parts = begin(place, frames, init, student, settings, sections, lr, seed)
    draws = [labelled, Draw([Source(place.split(name), hidden=True) for name, _ in parts], everything(parts))]
    momentum = sections["study"]["momentum"]
    resume = state_file(student, ["self", momentum, *facts], init, xkd.ROOT / "xkd" / "self_training.py")
    both = Averaged(network, momentum).to(device())
    own = settings | {"batch": len(share(list(range(settings["batch"]))))}

    def make(step):
        rng = np.random.default_rng([seed, 6, step, share(list(range(64)))[0]])
        return batch(draws, sections["mixing"]["share"], student, own, rng)

    def loss_of(pair):
        both.update()
        known = pair.batch.to(device())
        if pair.other is not None:
            with torch.no_grad():
                said = both.average(pair.other.to(device()))[1].float().softmax(1)
            row, targets, weight = pair.row.to(device()), known.targets.clone(), known.weight.clone()
            targets[row], weight[row] = said, said.max(1).values
            known = replace(known, targets=targets, weight=weight)
        parts = (gather(part) for part in (network(known.voxels)[1].float(), known.targets, known.weight))
        return mixed.loss(*parts, settings["lovasz_points"])

    return network, fit(both, make, loss_of, settings, resume, label), resume
