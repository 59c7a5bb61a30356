"""Stage 2: a frozen teacher's features at the paired points and averaged over superpixels, as fp16 memory maps."""

import inspect
import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import torch

import xkd
from xkd import machine
from xkd.errors import XkdError
from xkd.feature_cache import Unfinished, announce
from xkd.files import atomic, digest, write_json
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

        if other := sorted(settings.keys() - {*OWN, "name"}):
            raise XkdError(f"params.yaml: teacher 'mini' has no parameter {other[0]!r}; it has {', '.join(OWN)}.")
        report = train_mini(source, settings["mini"], settings["seed"], folder)
        return open_teacher({"name": "mini", "path": folder}).to(device()), report
    given = {k: v for k, v in settings.items() if k not in OWN}
    if settings["name"] in SOURCE:
        given = {SOURCE[settings["name"]]: source} | given
    return open_teacher(given).to(device()), None


OWN = ("source", "seed", "pairs_per_frame", "reach", "mini")
"""Keys of `params.teacher` that are this stage's and not an opened teacher's."""
SOURCE = {"transformers": "model", "features": "root", "resnet": "path"}
"""What a teacher calls the folder or file that it is opened from; a hub id instead is given as `model` itself."""
CODE = (
    *("extract.py", "feature_cache.py", "geometry.py", "kernels.py", "mini.py", "pool.py", "transforms.py", "views.py"),
    "datasets/frame.py",
)
"""The modules whose change makes a half-done extraction worthless, beside the teachers and the reader."""


def extract(teacher, data, prepared, settings, out):
    """Writes `out/<split>` for every paired split; returns rows (split, pairs, superpixels, dim, MiB).

    teacher: see `xkd.teachers`; settings: pairs_per_frame (at most so many pairs of a frame keep a feature, drawn with `seed`), seed,
    reach (a point's feature is the mean over all images that show it, of its sweep and of so many frames before and after; 0: each pair
    has the feature at its own pixel). A superpixel's feature is that of its own image.
    """
    names = [data["train"], *data["unlabelled"]]
    splits = [Split(teacher, open_split(data, name), Prepared(prepared, name), settings) for name in names]
    announce([split.unfinished for split in splits], out)
    return [_split(teacher, split, settings["reach"], out) for split in splits]


class Split:
    """What is to be made of one split: `chosen` (the pairs kept of each frame), where each frame's rows start, and the maps."""

    def __init__(self, teacher, dataset, prepared, settings):
        self.dataset, self.prepared = dataset, prepared
        self.chosen = [choose(prepared, i, settings) for i in range(len(prepared))]
        self.offsets = np.concatenate([[0], np.cumsum([len(c) for c in self.chosen])])
        ends = [prepared.superpixels(i) for i in range(len(prepared))]
        self.starts = np.array([start for start, _ in ends] + [ends[-1][1]])
        shapes = {"features": self.offsets[-1], "superpixel_features": self.starts[-1]}
        shapes = {name: (int(rows), teacher.dim) for name, rows in shapes.items()}
        self.unfinished = Unfinished(prepared.split, _key(teacher, dataset, prepared, settings), shapes)


def _key(teacher, dataset, prepared, settings):
    """Stands for the teacher, its images, the pairs, the code and what the machine computes with."""
    given = {name: str(value) for name, value in (teacher.given or {}).items()}
    settings = {name: settings[name] for name in ("pairs_per_frame", "seed", "reach")}
    images = [_state(camera.path) for i in range(len(dataset)) for camera in dataset[i].cameras]
    processor = [machine.bfloat16(), str(device()), torch.__version__]
    code = [Path(__file__).parent / name for name in CODE] + [Path(inspect.getfile(type(dataset)))]
    code += sorted((Path(__file__).parent / "teachers").glob("*.py"))
    facts = [teacher.fingerprint, teacher.resize, given, settings, prepared.split, prepared.digest, images, processor]
    return digest(facts, *code)


def _state(path):
    """Name, size and time of an image, which another of that name would not share; that one is missing is told when it is read."""
    try:
        state = Path(path).stat()
    except OSError:
        return str(path)
    return [str(path), state.st_size, state.st_mtime_ns]


def _split(teacher, split, reach, out):
    dataset, prepared, unfinished = split.dataset, split.prepared, split.unfinished
    chosen, offsets, starts = split.chosen, split.offsets, split.starts
    # A frame a thread: small convolutions gain little from a second thread and lose much to one that is busy elsewhere.
    torch.set_num_threads(1)
    with atomic(out / prepared.split, folder=True) as folder, machine.pool(machine.cores()) as workers:
        maps, done = unfinished.open(), unfinished.done
        maps_of = Remembered(lambda i: feature_maps(teacher, dataset[i].cameras), 2 * (reach + machine.cores()) + 1)
        left = range(done, len(prepared))
        made = workers.map(lambda i: _frame(maps_of, dataset, prepared, i, chosen[i], reach), left)
        made = progress(made, f"teacher-{prepared.split}", len(left))
        try:
            for i, (features, pooled) in zip(left, made, strict=True):
                maps["features"][offsets[i] : offsets[i + 1]] = features
                maps["superpixel_features"][starts[i] : starts[i + 1]] = pooled
                unfinished.frame(i + 1)
        finally:
            unfinished.keep()
        pairs = [prepared.pairs(i) for i in range(len(prepared))]
        arrays = {
            name: np.concatenate([getattr(own, name)[c] for own, c in zip(pairs, chosen, strict=True)]).astype(kind)
            for name, kind in (("point", np.int32), ("superpixel", np.int64))
        }
        for name, array in (arrays | {"offsets": offsets, "superpixel_offsets": starts}).items():
            np.save(folder / f"{name}.npy", array)
        about = {"dim": teacher.dim} | _statistics(maps["features"], folder / "correlation.npy")
        # The weights of our own lie beside the features, or follow from params.yaml.
        about |= {} if teacher.ours else {"fingerprint": teacher.fingerprint}
        files = sorted([*folder.iterdir(), *unfinished.paths()], key=lambda path: path.name)
        write_json(folder / "features.json", about | {"digest": digest(*files, about)})
        del maps
        unfinished.move(folder)  # last: until here a killed process finds them again
        size = sum(f.stat().st_size for f in folder.iterdir()) / 2**20
    unfinished.forget()
    return {
        "split": prepared.split,
        "pairs": int(offsets[-1]),
        "superpixels": int(starts[-1]),
        "dim": teacher.dim,
        "MiB": round(size),
    }


def _statistics(features, path):
    """Mean and deviation of each channel, over evenly chosen rows; their correlation into the file `path`."""
    spread = features[:: max(1, len(features) // 200_000)].astype(np.float64)
    about = {"mean": spread.mean(0).tolist(), "std": np.maximum(spread.std(0), 1e-3).tolist()}
    spread = (spread - about["mean"]) / about["std"]
    np.save(path, spread.T @ spread / len(spread))
    return about


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
    features, pooled = features.half().numpy(), torch.cat(pooled).half().numpy()
    if not (np.isfinite(features).all() and np.isfinite(pooled).all()):
        raise XkdError(f"{dataset[i].id}: the teacher gave features that are not finite in half precision.")
    return features, pooled


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


def choose(prepared, i, settings):
    """Which pairs of frame i have a feature: their indices among those of `Prepared.pairs`, ascending."""
    count = len(prepared.pairs(i).point)
    keep = min(count, settings["pairs_per_frame"])
    return np.sort(np.random.default_rng([settings["seed"], i]).choice(count, keep, replace=False))


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
