"""Stage 2b: the image features of every view of every point, for networks that see images beside the scan."""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import xkd
from xkd.errors import XkdError
from xkd.extract import Remembered, _maps, stage_teacher
from xkd.files import atomic, digest, read_json, write_json
from xkd.fusion import facts_of
from xkd.machine import cores
from xkd.parallel import device
from xkd.params import check_limits, profile
from xkd.prepare import open_split
from xkd.prepared import Prepared
from xkd.progress import progress
from xkd.teachers import open_teacher, sample
from xkd.views import views

FIELDS = {"point": np.int32, "camera": np.int8, "step": np.int8, "depth": np.float16}
"""What is known of a view: its point, the camera, the frames from the sweep to the image (0: the sweep's own), metres along the axis."""


def gather(teacher, data, prepared, features, settings, out):
    """Writes `out/<split>` for the training split, the unlabelled ones and the validation split; returns rows (split, views, MiB).

    teacher: see `xkd.teachers`; prepared, features: folders of stages 1 and 2. settings: channels (the strongest directions of the
    teacher's features on the training split that are kept), whiten (raises the eigenvalues that they are divided by), reach (frames
    before and after whose images count).
    """
    for key in ("whiten", "reach"):
        check_limits(f"views.{key}", key, settings.get(key))
    matrix = reduction(Path(features) / data["train"], settings.get("channels"), settings["whiten"])
    names = dict.fromkeys([data["train"], *data["unlabelled"], data["validation"]])
    return [_split(teacher, open_split(data, n), Prepared(prepared, n), matrix, settings["reach"], out) for n in names]


def reduction(features, channels, whiten):
    """(mean (C,), matrix (C, D)) float32: (features - mean) @ matrix has the D strongest directions of standardised features, each
    divided by the root of its eigenvalue plus `whiten`. `features`: a split of out/teacher. Errors: more directions than channels."""
    about = read_json(features / "features.json")
    values, vectors = np.linalg.eigh(np.load(features / "correlation.npy"))
    if not isinstance(channels, int) or not 1 <= channels <= len(values):
        raise XkdError(
            f"params.yaml: views.channels is {channels!r}; the teacher in {features.parent} has {len(values)}."
        )
    values, vectors = values[::-1][:channels], vectors[:, ::-1][:, :channels]
    # An eigenvector's sign is the machine's; its largest part is taken to be positive.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(channels)])
    matrix = vectors / np.sqrt(np.maximum(values, 0) + whiten) / np.array(about["std"])[:, None]
    return np.array(about["mean"], np.float32), matrix.astype(np.float32)


def _split(teacher, dataset, prepared, reduced, reach, out):
    mean, matrix = (torch.from_numpy(part) for part in reduced)
    maps_of = Remembered(lambda j: _maps(teacher, dataset[j].cameras), 2 * (reach + cores()) + 1)

    @torch.inference_mode()
    def frame(i):
        found = views(dataset, i, reach)
        values = np.empty((len(found), matrix.shape[1]), np.float16)
        for j, camera in np.unique(np.stack([found.frame, found.camera], 1), axis=0).tolist():
            here = (found.frame == j) & (found.camera == camera)
            seen = sample(maps_of(j)[camera], found.pixel[here].astype(np.int64), dataset[j].cameras[camera].size)
            values[here] = ((seen - mean) @ matrix).half().numpy()
        fields = {"point": found.point, "camera": found.camera, "step": found.frame - i, "depth": found.depth}
        return {"values": values} | {name: fields[name].astype(kind) for name, kind in FIELDS.items()}

    torch.set_num_threads(1)
    counts = []
    with atomic(out / prepared.split, folder=True) as folder, ThreadPoolExecutor(cores()) as workers:
        files = {name: (folder / f"{name}.bin").open("wb") for name in ("values", *FIELDS)}
        try:
            for arrays in progress(workers.map(frame, range(len(prepared))), f"views-{prepared.split}", len(prepared)):
                if not np.isfinite(arrays["values"]).all():
                    raise XkdError(f"{dataset.root}: the teacher gave features that are not finite in half precision.")
                counts.append(len(arrays["point"]))
                for name, file in files.items():
                    file.write(arrays[name].tobytes())
        finally:
            for file in files.values():
                file.close()
        np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(counts)]))
        about = {"channels": matrix.shape[1], "reach": reach, "prepared": prepared.digest}
        write_json(folder / "views.json", about | {"digest": digest(*sorted(folder.iterdir()), about)})
        size = sum(f.stat().st_size for f in folder.iterdir()) / 2**20
    return {"split": prepared.split, "views": int(sum(counts)), "MiB": round(size)}


@dataclass
class Seen:
    """Views of a batch's points: `point` (P,) int64 rows of the points asked for, `values` (P, D), `facts` (P, 4) as in `xkd.fusion`."""

    point: torch.Tensor
    values: torch.Tensor
    facts: torch.Tensor

    def to(self, device):
        return Seen(*(tensor.to(device) for tensor in (self.point, self.values, self.facts)))


class Gathered:
    """One split of what `gather` wrote, as memory maps; `channels` and the `digest` of all of it."""

    def __init__(self, path, split):
        self.path = Path(path) / split
        about = read_json(self.path / "views.json")
        self.channels, self.digest = about["channels"], about["digest"]
        self._offsets = np.load(self.path / "offsets.npy")
        total = int(self._offsets[-1])
        shapes = {"values": (np.float16, (total, self.channels))} | {n: (k, (total,)) for n, k in FIELDS.items()}
        self._maps = {n: np.memmap(self.path / f"{n}.bin", k, "r", shape=s) for n, (k, s) in shapes.items() if total}

    def views(self, i, reach=None, dark=()):
        """Frame i's views: point (P,) int64, values (P, D) float32, facts (P, 4) float32. reach: at most so many frames away (all of
        them); dark: cameras that gave no image. Ordered as `xkd.views.views` orders them."""
        rows = slice(*self._offsets[i : i + 2])
        if rows.start == rows.stop:
            return np.zeros(0, np.int64), np.zeros((0, self.channels), np.float32), np.zeros((0, 4), np.float32)
        part = {name: np.asarray(array[rows]) for name, array in self._maps.items()}
        kept = ~np.isin(part["camera"], list(dark))
        if reach is not None:
            kept &= np.abs(part["step"]) <= reach
        facts = facts_of(torch.from_numpy(part["depth"][kept].astype(np.float32)), torch.from_numpy(part["step"][kept]))
        return part["point"][kept].astype(np.int64), part["values"][kept].astype(np.float32), facts.numpy()


def opened(settings, folder):
    """The teacher of `params.teacher`; `mini` as stage 2 has trained it, in the folder out/teacher."""
    if settings["name"] == "mini":
        return open_teacher({"name": "mini", "path": folder / "mini"}).to(device())
    return stage_teacher(settings, folder)[0]


def ready(out, data, settings):
    """The folder of the views under `out`; gathered here, with the section `views` and the mini
    teacher, where `out` is the smoke folder and has none yet."""
    folder = xkd.ROOT / out
    if out == "out/smoke" and not (folder / "views" / data["validation"]).exists():
        teacher = opened({"name": "mini"}, folder / "teacher")
        gather(teacher, data, folder / "prepared", folder / "teacher", settings, folder / "views")
    return folder / "views"


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m xkd.gather", description="The teacher's features of every view of every point, in out/views."
    )
    parser.parse_args(arguments)
    try:
        sections = profile()
        out = xkd.ROOT / "out"
        teacher = opened(sections["teacher"], out / "teacher")
        for row in gather(
            teacher, sections["data"], out / "prepared", out / "teacher", sections["views"], out / "views"
        ):
            print(*(f"{name} {value}" for name, value in row.items()))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
