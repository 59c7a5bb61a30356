"""Feature maps of real images: made by the embedded teacher, which never saw one, where nobody computed any; else brought to one size."""

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

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


def even(frames, source, out, root):
    """The folder of the maps that a run reads: `source`, or, where equally large images have maps of several sizes, which the teacher stage
    cannot stack, `out`, with all of them as large as the largest: bilinear between the cells' centres, as a stage samples them anyway."""
    teacher = open_teacher({"name": "features", "root": str(source)})
    cameras = [camera for frame in frames for camera in frame.cameras]
    found = {camera.path: np.load(teacher.find(camera.path), mmap_mode="r") for camera in cameras}
    sizes = {}
    for camera in cameras:
        sizes.setdefault(tuple(camera.size), set()).add(found[camera.path].shape[1:])
    if all(len(shapes) == 1 for shapes in sizes.values()):
        return source
    with atomic(out, folder=True) as folder:
        for camera in cameras:
            path = (folder / camera.path.relative_to(root)).with_suffix(".npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            values = torch.from_numpy(np.array(found[camera.path], np.float32))[None]
            size = max(sizes[tuple(camera.size)], key=np.prod)
            np.save(path, interpolate(values, size=size, mode="bilinear", align_corners=False)[0].half().numpy())
    return out


def shrunk(image):
    """(H, W, 3) uint8 -> the same `ACROSS` pixels wide; a smaller one stays as it is."""
    height, width = image.shape[:2]
    if width <= ACROSS:
        return image
    size = ACROSS, round(height * ACROSS / width)
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
