"""Stage 1: frames of a data set -> scans, labels, 2D-3D pairs and superpixels in flat arrays that open as memory maps."""

import io

import numpy as np
from PIL import Image

import xkd
from xkd import machine
from xkd.errors import XkdError
from xkd.files import Rows, atomic, digest, write_json
from xkd.geometry import pair
from xkd.prepared import matching
from xkd.progress import progress
from xkd.segments import open_method

MOST = np.iinfo(np.uint16).max
"""The largest id in the file of an image's superpixels."""


def open_split(data, split):
    """The data set of `params.data` for one of its splits; a relative root hangs on the checkout."""
    return xkd.open_dataset(data["kind"], xkd.ROOT / data["root"], split, **data.get("options", {}))


def splits(data):
    """Split name -> whether its images are needed: the labelled and the unlabelled log are paired, validation is not."""
    wanted = {data["train"]: True} | {split: True for split in data["unlabelled"]}
    if data["validation"] in wanted:
        raise XkdError(f"params.yaml: data.validation {data['validation']!r} is also used for training.")
    return wanted | ({data["validation"]: False} if data["validation"] else {})


def prepare(data, settings, out):
    """Writes one folder a split under `out`; returns a list of rows (one a split) that say what is in it.

    data: kind, root, train, validation (None: nothing is evaluated), unlabelled (list of splits), options; settings: occlusion, and what
    `segments.open_method` takes.
    """
    cut = open_method(settings)
    datasets = {split: open_split(data, split) for split in splits(data)}
    check_streets(data, {split: set(dataset.scenes) for split, dataset in datasets.items()})
    return [_split(datasets[split], data, split, paired, settings, cut, out) for split, paired in splits(data).items()]


def check_streets(data, streets):
    """streets {split: set of scenes}. Errors: a validation street that something is learnt from; an unknown tuning street."""
    for split, scenes in streets.items():
        shared = scenes & streets.get(data["validation"], set())
        if split != data["validation"] and shared:
            raise XkdError(
                f"{data['root']}: {min(shared)} is in split {split!r} and in the validation split {data['validation']!r}."
            )
    for name in data["tuning"]:
        if not any(matching(streets[data["train"]], [name])):
            raise XkdError(
                f"params.yaml: data.tuning: {name} is no scene of split {data['train']!r} of {data['root']}."
            )


def _split(dataset, data, split, paired, settings, cut, out):
    if len(dataset) == 0:
        raise XkdError(f"{dataset.root}: split {split!r} has no frame.")
    read_labels = split in (data["train"], data["validation"])
    with machine.pool(machine.cores()) as workers, atomic(out / split, folder=True) as folder:
        made = workers.map(lambda i: _frame(dataset[i], paired, read_labels, settings, cut), range(len(dataset)))
        frames, superpixels, images = [], 0, []
        with Rows(folder) as rows:
            for frame in progress(made, f"prepare-{split}", len(dataset)):
                arrays = frame.pop("arrays")
                if paired:
                    arrays["pair_superpixel"] += superpixels
                    superpixels += frame["superpixels"]
                    for image in arrays.pop("segments"):
                        rows.write("segments.bin", image)
                        images.append(len(image))
                for name, array in arrays.items():
                    rows.append(f"{name}.npy", array)
                frames.append(frame)
        arrays = {"offsets": _offsets([frame["points"] for frame in frames])}
        if paired:
            arrays["pair_offsets"] = _offsets([frame["pairs"] for frame in frames])
            arrays["superpixel_offsets"] = _offsets([frame["superpixels"] for frame in frames])
            arrays["segment_offsets"] = _offsets(images)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        labelled = any(frame["labelled"] for frame in frames)
        about = {"frames": frames, "classes": list(dataset.classes), "colours": np.asarray(dataset.colours).tolist()}
        about |= {"cameras": list(dataset.camera_names), "labelled": labelled, "paired": paired}
        write_json(folder / "frames.json", about | {"digest": digest(*sorted(folder.iterdir()), about)})
    row = {"split": split, "frames": len(frames), "streets": len({frame["scene"] for frame in frames})}
    row |= {"points": int(arrays["offsets"][-1]), "labelled": labelled}
    return row | ({"pairs": int(arrays["pair_offsets"][-1]), "superpixels": superpixels} if paired else {})


def _frame(frame, paired, read_labels, settings, cut):
    points = frame.points
    labels = frame.labels if read_labels else None
    labelled = labels is not None
    labels = labels.astype(np.int16) if labelled else np.full(len(points), -1, np.int16)
    intensity = frame.attributes.get("intensity", np.zeros(len(points), np.float32))
    about = {"id": frame.id, "scene": frame.scene, "points": len(points), "labelled": labelled}
    arrays = {"points": points, "intensity": intensity.astype(np.float32), "labels": labels}
    if paired:
        pairs = pair(frame, occlusion=settings["occlusion"])
        maps = [cut(camera) for camera in frame.cameras]
        start = _offsets([int(m.max()) + 1 for m in maps])
        superpixel = np.empty(len(pairs.point), np.int64)
        for c, m in enumerate(maps):
            here = pairs.camera == c
            superpixel[here] = start[c] + m[pairs.pixel[here, 0], pairs.pixel[here, 1]]
        arrays |= {"pair_point": pairs.point.astype(np.int32), "pair_camera": pairs.camera.astype(np.int16)}
        arrays |= {"pair_pixel": pairs.pixel.astype(np.int16), "pair_superpixel": superpixel}
        arrays["segments"] = [_png(m, camera) for m, camera in zip(maps, frame.cameras, strict=True)]
        about |= {
            "images": len(maps),
            "pairs": len(pairs.point),
            "superpixels": int(start[-1]),
            "seen": len(np.unique(pairs.point)),
        }
    return about | {"arrays": arrays}


def _png(segments, camera):
    if segments.max() > MOST:
        raise XkdError(f"{camera.path}: is cut into {segments.max() + 1} superpixels; a file holds {MOST + 1} at most.")
    buffer = io.BytesIO()
    Image.fromarray(segments.astype(np.uint16)).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _offsets(counts):
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
