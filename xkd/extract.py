"""Stage 2: a frozen teacher's features at the paired points and averaged over superpixels, as fp16 memory maps."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.lib.format import open_memmap

import xkd
from xkd.errors import XkdError
from xkd.files import atomic, digest, write_json
from xkd.machine import cores
from xkd.parallel import device
from xkd.pool import pool
from xkd.prepare import open_split
from xkd.prepared import Prepared
from xkd.progress import progress
from xkd.teachers import open_teacher, sample


def stage_teacher(settings, folder):
    """The frozen teacher of `params.teacher`, and what is known of its training (None for one that came trained).

    `mini` is trained here, on its own corpus, into `folder`; the others are opened.
    """
    source = xkd.ROOT / settings["source"]
    if settings["name"] == "mini":
        from xkd.mini import train_mini

        report = train_mini(source, settings["mini"], settings["seed"], folder)
        return open_teacher({"name": "mini", "path": folder}).to(device()), report
    given = {k: v for k, v in settings.items() if k not in OWN}
    if settings["name"] in SOURCE:
        given = {SOURCE[settings["name"]]: source} | given
    return open_teacher(given).to(device()), None


OWN = ("source", "seed", "pairs_per_frame", "mini")
"""Keys of `params.teacher` that are this stage's and not an opened teacher's."""
SOURCE = {"transformers": "model", "features": "root"}
"""What a teacher calls the folder that it is opened from; a hub id instead is given as `model` itself."""


def extract(teacher, data, prepared, settings, out):
    """Writes `out/<split>` for every paired split; returns rows (split, pairs, superpixels, dim, MiB).

    teacher: see `xkd.teachers`; settings: pairs_per_frame (at most so many pairs of a frame keep a feature, drawn with `seed`), seed.
    """
    names = [data["train"], *data["unlabelled"]]
    return [_split(teacher, open_split(data, name), Prepared(prepared, name), settings, out) for name in names]


def _split(teacher, dataset, prepared, settings, out):
    chosen = [_choose(prepared, i, settings) for i in range(len(prepared))]
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in chosen])])
    starts = np.array(
        [prepared.superpixels(i)[0] for i in range(len(prepared))] + [prepared.superpixels(len(prepared) - 1)[1]]
    )
    # A frame a thread: small convolutions gain little from a second thread and lose much to one that is busy elsewhere.
    torch.set_num_threads(1)
    with atomic(out / prepared.split, folder=True) as folder, ThreadPoolExecutor(cores()) as workers:
        shapes = {"features": (offsets[-1], teacher.dim), "superpixel_features": (starts[-1], teacher.dim)}
        maps = {n: _map(folder / f"{n}.npy", tuple(map(int, s))) for n, s in shapes.items()}
        point, superpixel = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int64)
        frames = workers.map(
            lambda i: _frame(teacher, dataset[i].cameras, prepared, i, chosen[i]), range(len(prepared))
        )
        for i, (features, pooled) in enumerate(progress(frames, f"teacher-{prepared.split}", len(prepared))):
            rows, pairs = slice(offsets[i], offsets[i + 1]), prepared.pairs(i)
            point[rows], superpixel[rows] = pairs.point[chosen[i]], pairs.superpixel[chosen[i]]
            maps["features"][rows], maps["superpixel_features"][starts[i] : starts[i + 1]] = features, pooled
        if not np.isfinite(maps["features"]).all():
            raise XkdError(f"{dataset.root}: the teacher gave features that are not finite in half precision.")
        spread = maps["features"][:: max(1, len(point) // 200_000)].astype(np.float64)
        for name, array in {
            "point": point,
            "superpixel": superpixel,
            "offsets": offsets,
            "superpixel_offsets": starts,
        }.items():
            np.save(folder / f"{name}.npy", array)
        about = {"dim": teacher.dim, "mean": spread.mean(0).tolist(), "std": np.maximum(spread.std(0), 1e-3).tolist()}
        spread = (spread - about["mean"]) / about["std"]
        np.save(folder / "correlation.npy", spread.T @ spread / len(spread))
        del maps
        write_json(folder / "features.json", about | {"digest": digest(*sorted(folder.iterdir()), about)})
        size = sum(f.stat().st_size for f in folder.iterdir()) / 2**20
    return {
        "split": prepared.split,
        "pairs": len(point),
        "superpixels": int(starts[-1]),
        "dim": teacher.dim,
        "MiB": round(size),
    }


@torch.inference_mode()
def _frame(teacher, cameras, prepared, i, chosen):
    """Features at the chosen pairs of frame i, (P, C), and of its superpixels, (S, C)."""
    pairs = prepared.pairs(i)
    dense = [f for group in _same_size(cameras) for f in _dense(teacher, group)]
    features, pooled = np.empty((len(chosen), teacher.dim), np.float16), []
    for c, camera in enumerate(cameras):
        here = pairs.camera[chosen] == c
        features[here] = sample(dense[c], torch.from_numpy(pairs.pixel[chosen][here].astype(np.int64)), camera.size)
        pooled.append(pool(dense[c], torch.from_numpy(prepared.segments(i, c).astype(np.int64))).numpy())
    return features, np.concatenate(pooled)


def _choose(prepared, i, settings):
    count = len(prepared.pairs(i).point)
    keep = min(count, settings["pairs_per_frame"])
    return np.sort(np.random.default_rng([settings["seed"], i]).choice(count, keep, replace=False))


def _map(path, shape):
    """A new fp16 memory map whose room on the disk is taken at once: a full disk is an error here, and would be a crash later."""
    array = open_memmap(path, "w+", np.float16, shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _same_size(cameras):
    """The cameras in order, in runs of equal image size: one run is one batch of the teacher."""
    runs = []
    for camera in cameras:
        if runs and runs[-1][-1].size == camera.size:
            runs[-1].append(camera)
        else:
            runs.append([camera])
    return runs


def _dense(teacher, cameras):
    images = np.stack([camera.image() for camera in cameras])
    images = torch.from_numpy(images).permute(0, 3, 1, 2).to(device()).float() / 255
    return teacher.dense(cameras, images).float().cpu()
