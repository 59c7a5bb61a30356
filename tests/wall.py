"""A small street that can be worked out by hand, and a teacher of it, for the tests of the linked views."""

import numpy as np
import torch
from PIL import Image

from xkd.datasets.frame import Camera, Dataset, Frame
from xkd.geometry import rigid

CLASSES = {"road": [255, 0, 255], "</script>": [0, 0, 230]}
FORWARD = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""Camera axes (x right, y down, z forward) -> the rig's (x forward, y left, z up)."""
MODELS = {
    "pinhole": (), "opencv": (-0.2, 0.05, 0.001, -0.002, 0.01, 0.03, 0.02, 0.01), "fisheye": (-0.02, 0.003, 0.002, -0.001),
}  # fmt: skip
"""No coefficient is 0, so that none can be left out."""


class Wall(Dataset):
    """Three frames, half a second and a metre apart, of a ground and a wall with a post before it, 1900 points or `dense` times as many;
    one camera of each model."""

    kind = "wall"

    @classmethod
    def facts(cls):
        return {"classes": CLASSES, "splits": {}}

    def __init__(self, root, dense=1):
        super().__init__(root, None)
        self.scenes, self.camera_names = ["street"] * 3, list(MODELS)
        rng = np.random.default_rng(0)
        n, few = 900 * dense, 100 * dense
        ground = np.stack([rng.uniform(4, 14, n), rng.uniform(-8, 8, n), np.full(n, -1.8)], 1)
        wall = np.stack([np.full(n, 14.0), rng.uniform(-8, 8, n), rng.uniform(-1.8, 4, n)], 1)
        post = np.stack([np.full(few, 7.0), rng.uniform(-0.4, 0.4, few), rng.uniform(-1.8, 2, few)], 1)
        self.world = np.concatenate([ground, wall, post])
        for name in MODELS:
            columns = np.arange(160) % 40 < 20
            image = np.where(columns[None, :, None] ^ (np.arange(96) < 48)[:, None, None], [200, 120, 40], [30, 60, 90])
            Image.fromarray((image + rng.integers(0, 20, image.shape)).astype(np.uint8)).save(self.root / f"{name}.png")

    def frame(self, i):
        return Frame(f"f{i}", "street", None, i, 500_000 * i, self.pose(i), self)

    def pose(self, i):
        return rigid([1, 0, 0, 0.01 * i], [float(i), 0, 0])

    def read_scan(self, i):
        points = (self.world - self.pose(i)[:3, 3]) @ self.pose(i)[:3, :3]
        return points.astype(np.float32), {"intensity": np.linspace(0, 1, len(points), dtype=np.float32)}

    def read_labels(self, i):
        labels = np.where(self.world[:, 2] > -1.8, 1, 0)
        labels[:50] = -1
        return labels, None

    def read_cameras(self, i):
        K = np.array([[80.0, 0, 80], [0, 80.0, 48], [0, 0, 1]])
        pose = self.pose(i)
        return [
            Camera(name, self.root / f"{name}.png", (96, 160), K, rigid(FORWARD, [0.1, k - 1.0, 0]), pose, pose,
                   500_000 * i, name, MODELS[name])
            for k, name in enumerate(MODELS)
        ]  # fmt: skip


class Stripes:
    """A teacher: colour, and the row."""

    def dense(self, cameras, images):
        rows = np.broadcast_to(np.arange(96.0)[None, :, None, None] / 48 - 1, (len(images), 96, 160, 1))
        maps = np.concatenate([np.stack(images) / 128 - 1, rows], -1)[:, ::4, ::4]
        return torch.from_numpy(np.moveaxis(maps, -1, 1).astype(np.float32))
