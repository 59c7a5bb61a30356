"""Dense 2D features brought to pixels and superpixels; both see a feature map as bilinear between its cells' centres.

A map of h x w cells covers its H x W image whole, whatever the image was resized to in between: a pixel (row, column),
centres at integers, lies at ((row + 0.5) / H, (column + 0.5) / W) of it. Beyond the outermost centres it is constant.
"""

import numpy as np
import torch
from numba import njit
from torch_scatter import scatter_sum

from xkd.errors import XkdError


def sample(features, pixel, size, camera=None):
    """Features (C, h, w) at `pixel` (P, 2) (row, column; fractions too) of an image of `size` (H, W) -> (P, C) float32.

    For a batch (B, C, h, w) `camera` (P,) says which map a pixel lies on.
    """
    features = features[None] if features.ndim == 3 else features
    pixel = torch.as_tensor(pixel)
    if camera is None:
        if len(features) != 1:
            raise XkdError(f"sample: {len(features)} feature maps need `camera`, the map that each pixel lies on.")
        camera = torch.zeros(len(pixel), dtype=torch.long)
    camera = torch.as_tensor(camera).to(features.device, torch.long)
    cells = features.permute(0, 2, 3, 1)
    total = 0
    for row, column, weight in _taps(pixel.to(features.device), size, features.shape[-2:]):
        total = total + cells[camera, row, column].float() * weight[:, None]
    return total


def pool(features, segments):
    """(C, h, w) features, (H, W) ids 0..n-1, each in use -> (n, C) float32, the mean over each superpixel's pixels.

    Exact without an (H, W, C) array: what each cell weighs in each superpixel is summed first, for all C at once. A map as large as the
    image is summed as it is.
    """
    segments = torch.as_tensor(segments).to(features.device, torch.long)
    if segments.ndim != 2 or not segments.numel() or segments.min() < 0:
        raise XkdError(f"pool: superpixels are an (H, W) map of ids from 0, not {tuple(segments.shape)} with others.")
    height, width = segments.shape
    _, h, w = features.shape
    n = int(segments.max()) + 1
    pixels = torch.bincount(segments.flatten(), minlength=n)
    if (pixels == 0).any():
        raise XkdError(f"pool: superpixel {int((pixels == 0).nonzero()[0])} of 0..{n - 1} has no pixel.")
    if (h, w) == (height, width):
        if features.device.type != "cpu":
            return scatter_sum(features.flatten(1).T.float(), segments.flatten(), 0, dim_size=n) / pixels[:, None]
        sums = np.zeros((n, len(features)), np.float32)
        _add(features.detach().flatten(1).float().numpy(), segments.flatten().numpy(), sums)
        return torch.from_numpy(sums) / pixels[:, None]
    grid = torch.cartesian_prod(torch.arange(height), torch.arange(width)).to(features.device)
    owner = segments.flatten() * (h * w)
    weights = torch.zeros(n * h * w, device=features.device)
    for row, column, weight in _taps(grid, (height, width), (h, w)):
        weights = scatter_sum(weight, owner + row * w + column, out=weights)
    return (weights.view(n, h * w) @ features.float().flatten(1).T) / pixels[:, None]


@njit(cache=True, nogil=True)
def _add(features, segments, sums):
    """(C, P) features and (P,) ids: adds to (n, C) sums. Eight channels at a time, whose sums do not wait for each other, along each run of
    pixels of one id."""
    starts = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(np.diff(segments)) + 1, np.full(1, len(segments))))
    own = np.empty((len(sums), 8))
    for first in range(0, features.shape[0], 8):
        own[:] = 0
        if features.shape[0] - first < 8:
            for c in range(first, features.shape[0]):
                for p in range(len(segments)):
                    own[segments[p], c - first] += features[c, p]
        else:
            for r in range(len(starts) - 1):
                s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
                for p in range(starts[r], starts[r + 1]):
                    s0 += features[first, p]
                    s1 += features[first + 1, p]
                    s2 += features[first + 2, p]
                    s3 += features[first + 3, p]
                    s4 += features[first + 4, p]
                    s5 += features[first + 5, p]
                    s6 += features[first + 6, p]
                    s7 += features[first + 7, p]
                own[segments[starts[r]]] += np.array((s0, s1, s2, s3, s4, s5, s6, s7))
        for c in range(first, min(first + 8, features.shape[0])):
            for s in range(len(sums)):
                sums[s, c] += own[s, c - first]


def _taps(pixel, size, cells):
    """The four cells around each pixel with their bilinear weights: [(row (P,), column (P,), weight (P,))] * 4."""
    low, high, part = [], [], []
    for axis in range(2):
        at = (pixel[:, axis].float() + 0.5) * (cells[axis] / size[axis]) - 0.5
        at = at.clamp(0, cells[axis] - 1)
        low.append(at.long())
        high.append((low[axis] + 1).clamp(max=cells[axis] - 1))
        part.append(at - low[axis])
    return [
        (i, j, a * b)
        for i, a in ((low[0], 1 - part[0]), (high[0], part[0]))
        for j, b in ((low[1], 1 - part[1]), (high[1], part[1]))
    ]
