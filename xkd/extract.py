"""Stage 2: a frozen teacher's features at the paired points and averaged over superpixels, as fp16 memory maps."""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.lib.format import open_memmap

import xkd
from xkd.errors import XkdError
from xkd.files import atomic, digest, write_json
from xkd.machine import cores
from xkd.parallel import device
from xkd.pool import pool, sample
from xkd.prepare import open_split
from xkd.prepared import Prepared
from xkd.progress import progress
from xkd.teachers import open_teacher
from xkd.views import views


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


OWN = ("source", "seed", "pairs_per_frame", "reach", "mini")
"""Keys of `params.teacher` that are this stage's and not an opened teacher's."""
SOURCE = {"transformers": "model", "features": "root"}
"""What a teacher calls the folder that it is opened from; a hub id instead is given as `model` itself."""


def extract(teacher, data, prepared, settings, out):
    """Writes `out/<split>` for every paired split; returns rows (split, pairs, superpixels, dim, MiB).

    teacher: see `xkd.teachers`; settings: pairs_per_frame (at most so many pairs of a frame keep a feature, drawn with `seed`), seed,
    reach (a point's feature is the mean over all images that show it, of its sweep and of so many frames before and after; 0: each pair
    has the feature at its own pixel). A superpixel's feature is that of its own image.
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
        reach = settings["reach"]
        maps_of = Remembered(lambda i: feature_maps(teacher, dataset[i].cameras), 2 * (reach + cores()) + 1)
        frames = workers.map(lambda i: _frame(maps_of, dataset, prepared, i, chosen[i], reach), range(len(prepared)))
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


class Remembered:
    """function(j), made once for the last `count` values of j that were asked for, by whichever thread asks first."""

    def __init__(self, function, count):
        self.function, self.count, self.lock, self.kept = function, count, threading.Lock(), {}

    def __call__(self, j):
        with self.lock:
            first = j not in self.kept
            found = self.kept.pop(j, None) or Future()
            self.kept[j] = found  # the last now
            while len(self.kept) > self.count:
                self.kept.pop(next(iter(self.kept)))
        if first:
            try:
                found.set_result(self.function(j))
            except BaseException as error:
                found.set_exception(error)
        return found.result()


@torch.inference_mode()
def _frame(maps_of, dataset, prepared, i, chosen, reach):
    """Features at the chosen pairs of frame i, (P, C), and of its superpixels, (S, C)."""
    pairs, cameras = prepared.pairs(i), dataset[i].cameras
    point, camera, pixel, maps = pairs.point[chosen], pairs.camera[chosen], pairs.pixel[chosen], maps_of(i)
    pooled = [pool(maps[c], torch.from_numpy(prepared.segments(i, c).astype(np.int64))) for c in range(len(cameras))]
    features = torch.empty(len(chosen), len(maps[0]))
    for c, here in enumerate(camera == np.arange(len(cameras))[:, None]):
        features[here] = sample(maps[c], pixel[here].astype(np.int64), cameras[c].size)
    if reach:
        found = views(dataset, i, reach, only=point)
        mean, seen = over_views(maps_of, dataset, found, len(dataset[i].points))
        # Pairs that were prepared without a look at what hides them may be in no view.
        features = torch.where(seen[point][:, None] > 0, mean[point], features)
    return features.half().numpy(), torch.cat(pooled).numpy()


def over_views(maps_of, dataset, found, count):
    """The mean image feature of each point over all its views, (count, C) float32, zero for one without, and how many these are, (count,).

    maps_of(j) -> the feature maps of frame j's images, one a camera; found: `xkd.views.Views` of a frame of `count` points.
    """
    total, seen = 0, torch.bincount(torch.from_numpy(found.point), minlength=count)
    for j in np.unique(found.frame).tolist():
        maps, cameras = maps_of(j), dataset[j].cameras
        for c in np.unique(found.camera[found.frame == j]).tolist():
            here = (found.frame == j) & (found.camera == c)
            values = sample(maps[c], found.pixel[here].astype(np.int64), cameras[c].size)
            total = total + torch.zeros(count, values.shape[1]).index_add_(
                0, torch.from_numpy(found.point[here]), values
            )
    return total / seen.clamp(min=1)[:, None], seen


def feature_maps(teacher, cameras):
    """The feature maps (C, h, w) of a frame's images."""
    return [f for group in _same_size(cameras) for f in _dense(teacher, group)]


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
