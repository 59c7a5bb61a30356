"""Feature maps of real images: the folder that they are in, or made by the embedded teacher, which never saw one, where there is none."""

import numpy as np
import torch
from PIL import Image

import xkd
from xkd.errors import XkdError
from xkd.files import atomic
from xkd.progress import progress
from xkd.teachers import open_teacher

ACROSS = 640
"""Pixels across that an image is brought to: the teacher learnt from images of 320, and knows things at about the size they have there."""

DEMO = xkd.ROOT / "out" / "demo" / "out" / "teacher" / "mini"
"""Where `make demo` leaves its teacher."""


def chosen(sample, data, features, teacher):
    """The folder of a sample's feature maps: `features` if one is named, else the sample's own below `data`; None where there is none and
    the embedded teacher in the folder `teacher` makes them. Errors: `features` is no folder; no maps and no trained teacher."""
    if features is not None:
        if not features.is_dir():
            raise XkdError(f"{features}: no such folder of feature maps.")
        return features
    own = data / sample.features if sample.features else None
    if own is not None and own.is_dir():
        return own
    why = f"{own} is not there" if own else "none come with it"
    trained(teacher, f"{sample.title} has no feature maps ({why}), and ")
    print(
        f"xkd: {sample.title} has no feature maps ({why}), so the embedded teacher in {teacher}, which learnt from made images, makes "
        "them first, image by image; maps that are there already are named with --features",
        flush=True,
    )
    return None


def trained(teacher, why=""):
    """Errors: the folder `teacher` holds none of the `mini` networks that stage 2 leaves; `why` stands before it."""
    if not (teacher / "network.json").is_file():
        raise XkdError(
            f"{why}{teacher} holds no trained teacher: `make demo` trains one in some minutes, then named by --teacher {DEMO}, `make "
            "repro` a better one in hours; or name a folder of feature maps with --features."
        )


def write(frames, teacher, out, root):
    """Writes `out/<the image's path below root>.npy`, float16 (C, h, w), for every image of the frames; returns how many.

    teacher: a folder that stage 2 has left its `mini` network in. Errors: there is none."""
    trained(teacher)
    network = open_teacher({"name": "mini", "path": str(teacher)})
    cameras = [camera for frame in frames for camera in frame.cameras]
    torch.set_num_threads(1)
    with atomic(out, folder=True) as folder:
        for camera in progress(cameras, "real-maps"):
            path = (folder / camera.path.relative_to(root)).with_suffix(".npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, network.dense([camera], [shrunk(camera.image())])[0].half().numpy())
    return len(cameras)


def shrunk(image):
    """(H, W, 3) uint8 -> the same `ACROSS` pixels wide; a smaller one stays as it is."""
    height, width = image.shape[:2]
    if width <= ACROSS:
        return image
    size = ACROSS, round(height * ACROSS / width)
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
