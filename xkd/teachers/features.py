"""Dense features that were computed elsewhere, as a teacher."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

import xkd
from xkd.arrays import read_npy
from xkd.errors import XkdError
from xkd.files import digest
from xkd.teachers.base import Teacher


class Features(Teacher):
    """Maps computed elsewhere: `.npy` files (C, h, w) below `root`, named like the longest tail of an image's path."""

    stride = None  # the maps' own affair

    def __init__(self, root):
        super().__init__()
        self.root = xkd.ROOT / root
        self.first = min(self.root.rglob("*.npy"), default=None)
        if self.first is None:
            raise XkdError(f"{self.root}: no .npy feature map in this folder.")
        self.dim = len(self._read(self.first))

    @cached_property
    def fingerprint(self):
        """Hex SHA-256 of the maps' names and bytes: all of them are read."""
        return digest(self.root)

    def look(self, images):
        raise XkdError(f"{self.root}: features on disk are found by an image's path; use dense(cameras).")

    def dense(self, cameras, images=None):
        """Maps (B, C, h, w) float32 of the cameras' images. Where they are of several sizes, all are as large as the largest: bilinear
        between the cells' centres, as points sample them anyway, and in the type of the file, as if they had been written at that size."""
        maps = [torch.from_numpy(np.array(self._read(self.find(camera.path)))) for camera in cameras]
        size = max((values.shape[1:] for values in maps), key=np.prod)
        return torch.stack([_resized(values, size).float() for values in maps])

    def find(self, path):
        """The map of the image `path`: `<root>/08/image_2/000003.npy` for `.../sequences/08/image_2/000003.png`."""
        parts = Path(path).with_suffix(".npy").parts
        for start in range(1, len(parts)):
            candidate = self.root.joinpath(*parts[start:])
            if candidate.is_file():
                return candidate
        raise XkdError(
            f"{path}: no feature map below {self.root}; looked for {'/'.join(parts[-3:])} and shorter, and what is there is named like "
            f"{self.first.relative_to(self.root)}."
        )

    def _read(self, path):
        values = read_npy(path)
        dim = getattr(self, "dim", None)
        if values.ndim != 3 or values.dtype.kind != "f" or (dim or len(values)) != len(values) or not values.size:
            raise XkdError(f"{path}: {values.shape} {values.dtype}, not ({dim or 'C'}, h, w) floats.")
        if not np.isfinite(values).all():
            raise XkdError(f"{path}: holds values that are not finite.")
        return values


def _resized(values, size):
    """(C, h, w) floats -> (C, *size) of the same type."""
    if values.shape[1:] == size:
        return values
    return interpolate(values[None].float(), size=size, mode="bilinear", align_corners=False)[0].to(values.dtype)


opened = Features
