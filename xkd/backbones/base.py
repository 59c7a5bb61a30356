"""What a network has to be to be the student, whatever lies between its points and their features."""

import numpy as np
import torch
from torch import nn

from xkd.errors import XkdError
from xkd.sparse import collate


class Backbone(nn.Module):
    """Points of a batch -> (N, dim) features and (N, classes) logits.

    A subclass calls `begin`, builds itself, calls `finish`, and has `features`. Any module can be wrapped so: `Voxels` hold the voxels of
    all points, with their means, and the points that a feature is asked for, in training one of a voxel; a module that looks at
    neighbours finds them among the voxels. `first`: the dotted name of the convolution that is given a voxel's inputs, which a network
    that sees images widens (`xkd.fused`). `config`: backbone, voxel (m), widths, classes (names), as in params.yaml.
    """

    first = ""

    def begin(self, backbone, voxel, widths, classes):
        super().__init__()
        self.config = {"backbone": backbone, "voxel": voxel, "widths": list(widths), "classes": list(classes)}

    def finish(self, dim):
        """`dim`: channels of the features. The classifier comes last, so that a start that has none draws the same weights."""
        self.dim, self.head = dim, nn.Linear(dim, len(self.config["classes"]))

    @staticmethod
    def levels(widths):
        """Levels of the voxel grid, of which each halves the one before: its extent is a multiple of the coarsest cell's."""
        raise NotImplementedError

    def features(self, voxels):
        """`Voxels` -> (N, dim) features, one a point."""
        raise NotImplementedError

    def forward(self, voxels):
        """`Voxels` -> (N, dim) features and (N, classes) logits."""
        features = self.features(voxels)
        return features, self.head(features)

    def voxels(self, scans):
        """A list of (points (N, 3), intensity (N,)) -> the `Voxels` this network works on, on its device."""
        made = collate(scans, self.config["voxel"], self.levels(self.config["widths"]))
        return made.to(self.head.weight.device)

    @torch.inference_mode()
    def segment(self, points, intensity):
        """One scan, (N, 3) metres (x forward, y left, z up) and (N,) intensity 0..1 -> (N,) int64 class ids; in half precision on a GPU.

        Errors: another shape, an intensity of another range, and those of `xkd.sparse.voxelise`.
        """
        points, intensity = np.asarray(points), np.asarray(intensity)
        if intensity.ndim != 1 or points.shape != (*intensity.shape, 3):
            raise XkdError(
                f"segment: points of shape {points.shape} and intensity of shape {intensity.shape}; a scan is (N, 3) and (N,)."
            )
        if (outside := ~((intensity >= 0) & (intensity <= 1))).any():
            first = np.argmax(outside)
            raise XkdError(f"segment: the intensity of point {first} is {intensity[first]}; it lies between 0 and 1.")
        self.eval()
        with torch.autocast("cuda", torch.float16, enabled=self.head.weight.is_cuda):
            return self(self.voxels([(points, intensity)]))[1].argmax(1).cpu().numpy()
