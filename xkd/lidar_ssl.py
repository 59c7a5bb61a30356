"""Pretraining from the scan alone, no images: a point in one augmented look at a scan is to find itself in another (PointContrast)."""

import numpy as np
from torch import nn

import xkd
from xkd import contrast, native
from xkd import student as students
from xkd.augment import augment, crop
from xkd.distill import CODE, Pool, beginner
from xkd.files import digest
from xkd.objectives import MATCHES
from xkd.parallel import device, gather, share, together
from xkd.train import fit, order


def pretrain(data, student, settings, seed, prepared, teacher, label):
    """A student that learnt from the frames that a distillation of the same parameters learns from, its steps and batches, without images.

    InfoNCE (Xie et al. 2020) between the projections of the same point, one a voxel, in two augmentations of a crop; the settings are
    those of the section distill. -> (network, losses, the file of the training's state)."""
    return together(settings["processes"], _train, data, student, settings, seed, prepared, teacher, label)


def batch(scans, student, settings, rng):
    """[(points, intensity)] -> two `Voxels` of the same crops, augmented each in its own way, asked at the same points."""
    looks = [[], []]
    for points, intensity in scans:
        kept = crop(points, settings["crop"], rng)
        for look in looks:
            look.append(augment(points[kept], intensity[kept], settings["augment"], rng))
    first, second = (students.voxels(look, student) for look in looks)
    chosen = first.one_each(np.arange(len(first.inverse)), rng)
    return first.only(chosen), second.only(chosen)


def loss(first, second, temperature):
    """(P, D) and (P, D) projections of the same points -> InfoNCE both ways, over at most `MATCHES` of them."""
    step = -(-len(first) // MATCHES)
    first, second = first[::step], second[::step]
    return (contrast.info_nce(first, second, temperature) + contrast.info_nce(second, first, temperature)) / 2


def _train(data, student, settings, seed, prepared, teacher, label):
    pool = Pool(data, settings, prepared, teacher)
    network, projection = beginner(pool, student, settings, seed)
    both = nn.ModuleList([network, projection]).to(device())

    def make(step):
        frames, member = share(order(len(pool), seed, settings["batch"], step)), share(range(settings["batch"]))[0]
        scans = [
            (pool.splits[s][0].points(i), pool.splits[s][0].intensity(i)) for s, i in (pool.index[k] for k in frames)
        ]
        return batch(scans, student, settings, np.random.default_rng([seed, 7, step, member]))

    def loss_of(looks):
        return loss(
            *(gather(projection(network.features(v.to(device()))).float()) for v in looks), settings["temperature"]
        )

    parts = students.code(student, (*CODE, "lidar_ssl.py"))
    facts = ["lidar-ssl", student, settings, seed, pool.digest, pool.index, native.has_half()]
    resume = xkd.ROOT / "out" / "resume" / digest(facts, *parts) / "lidar_ssl.pt"
    return network, fit(both, make, loss_of, settings, resume, label), resume
