"""Feature maps of real images by the embedded teacher, which never saw one: for samples whose features nobody computed before."""

import numpy as np
import torch
from PIL import Image

from xkd.errors import XkdError
from xkd.files import atomic
from xkd.progress import progress
from xkd.teachers import open_teacher

ACROSS = 640
"""Pixels across that an image is brought to: the teacher learnt from images of 320, and knows things at about the size they have there."""


def write(frames, teacher, out, root):
    """Writes `out/<the image's path below root>.npy`, float16 (C, h, w), for every image of the frames; returns how many.

    teacher: a folder that stage 2 has left its `mini` network in. Errors: there is none."""
    if not (teacher / "network.json").is_file():
        raise XkdError(f"{teacher}: holds no trained teacher; run `make repro`, name the folder of one with --teacher, or "
                       "of feature maps with --features.")  # fmt: skip
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
