"""Stage 2b: the image features of every view of every point, for networks that see images beside the scan."""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import xkd
from xkd import machine, params
from xkd.arrays import map_npy
from xkd.errors import XkdError
from xkd.extract import Remembered, feature_maps, stage_teacher
from xkd.feature_cache import verify
from xkd.files import atomic, digest, write_json
from xkd.gathered import FIELDS
from xkd.parallel import device
from xkd.pool import sample
from xkd.prepare import open_split
from xkd.prepared import Prepared
from xkd.progress import progress
from xkd.teachers import open_teacher
from xkd.views import views


def gather(teacher, data, prepared, features, settings, out, validation=False):
    """Writes `out/<split>` for the training split and the unlabelled ones, or for the validation split; returns rows (split, views, MiB).

    teacher: see `xkd.teachers`; prepared, features: folders of stages 1 and 2. settings: channels (the strongest directions of the
    teacher's features on the training split that are kept, or all of them where it has fewer), whiten (raises the eigenvalues that they
    are divided by), reach (frames before and after whose images count).
    """
    params.check("views", settings)
    matrix = reduction(Path(features) / data["train"], settings["channels"], settings["whiten"])
    names = [data["validation"]] if validation else dict.fromkeys([data["train"], *data["unlabelled"]])
    return [_split(teacher, open_split(data, n), Prepared(prepared, n), matrix, settings["reach"], out) for n in names]


def reduction(features, channels, whiten):
    """(mean (C,), matrix (C, D)) float32: (features - mean) @ matrix has the D strongest directions of standardised features, each
    divided by the root of its eigenvalue plus `whiten`. `features`: a split of out/teacher; D: `channels`, or C where that is less."""
    about = verify(features)
    values, vectors = np.linalg.eigh(map_npy(features / "correlation.npy"))
    values, vectors = values[::-1][:channels], vectors[:, ::-1][:, :channels]
    # An eigenvector's sign is the machine's; its largest part is taken to be positive.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    matrix = vectors / np.sqrt(np.maximum(values, 0) + whiten) / np.array(about["std"])[:, None]
    return np.array(about["mean"], np.float32), matrix.astype(np.float32)


def _split(teacher, dataset, prepared, reduced, reach, out):
    mean, matrix = (torch.from_numpy(part) for part in reduced)
    maps_of = Remembered(lambda j: feature_maps(teacher, dataset[j].cameras), 2 * (reach + machine.cores()) + 1)

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
    with atomic(out / prepared.split, folder=True) as folder, machine.pool(machine.cores()) as workers:
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


def opened(settings, folder):
    """The teacher of `params.teacher`; `mini` as stage 2 has trained it, in the folder out/teacher."""
    if settings["name"] == "mini":
        return open_teacher({"name": "mini", "path": folder / "mini"}).to(device())
    return stage_teacher(settings, folder)[0]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m xkd.gather", description="The teacher's features of every view of every point, in out/views."
    )
    parser.add_argument(
        "--validation",
        action="store_true",
        help="of the validation split, in out/views-validation; only the study reads it",
    )
    validation = parser.parse_args(arguments).validation
    try:
        sections = params.profile()
        out = xkd.ROOT / "out"
        teacher = opened(sections["teacher"], out / "teacher")
        folder = out / ("views-validation" if validation else "views")
        arguments = (sections["data"], out / "prepared", out / "teacher", sections["views"], folder, validation)
        for row in gather(teacher, *arguments):
            told = (
                f"{row['views']:,} times a point is seen in an image, with the image's feature there, {row['MiB']} MiB"
            )
            print(f"xkd: {folder / row['split']} holds {told}", flush=True)
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
