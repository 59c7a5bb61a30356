"""What `xkd.gather` wrote: the image features of every view of every point, as a training reads them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xkd.arrays import map_bare, map_npy
from xkd.files import read_json
from xkd.fusion import facts_of

FIELDS = {"point": np.int32, "camera": np.int8, "step": np.int8, "depth": np.float16}
"""What is known of a view: its point, the camera, the frames from the sweep to the image (0: the sweep's own), metres along the axis."""


@dataclass
class Seen:
    """Views of a batch's points: `point` (P,) int64 rows of the points asked for, `values` (P, D), `facts` (P, 4) as in `xkd.fusion`."""

    point: torch.Tensor
    values: torch.Tensor
    facts: torch.Tensor

    def to(self, device):
        return Seen(*(tensor.to(device, non_blocking=True) for tensor in (self.point, self.values, self.facts)))


class Gathered:
    """One split of what `gather` wrote, as memory maps; `channels` and the `digest` of all of it."""

    def __init__(self, path, split):
        self.path = Path(path) / split
        about = read_json(self.path / "views.json")
        self.channels, self.digest = about["channels"], about["digest"]
        self._offsets = np.array(map_npy(self.path / "offsets.npy"))
        total = int(self._offsets[-1])
        shapes = {"values": (np.float16, (total, self.channels))} | {n: (k, (total,)) for n, k in FIELDS.items()}
        self._maps = {name: map_bare(self.path / f"{name}.bin", *about) for name, about in shapes.items() if total}

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
