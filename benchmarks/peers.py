"""What the hot paths are compared with where no package has it: the published methods, written from their definitions."""

import numpy as np
import torch
import torch.nn.functional as F


def hash_and_sort(points, size):
    """Voxels as Pointcept's GridSample finds them: cells hashed by FNV-1a, sorted, counted. -> (order, inverse, count)."""
    cells = np.floor(points / np.array(size)).astype(int)
    cells = (cells - cells.min(0)).astype(np.uint64)
    keys = np.full(len(cells), 14695981039346656037, np.uint64)
    for axis in range(3):
        keys = np.bitwise_xor(keys * np.uint64(1099511628211), cells[:, axis])
    order = np.argsort(keys)
    return order, *np.unique(keys[order], return_inverse=True, return_counts=True)[1:]


def rows_unique(points, size):
    """Voxels as 2DPASS finds them: the distinct rows of the cells."""
    return np.unique(np.floor(points / size).astype(np.int32), axis=0, return_inverse=True, return_counts=True)


def numpy_projection(points, camera):
    """Pixels (N, 2) and who is in view, (N,) bool: a homogeneous matrix product, as ScaLR projects SemanticKITTI."""
    P = camera.K @ camera.T_cam_lidar[:3]
    flat = np.concatenate([points, np.ones((len(points), 1), points.dtype)], 1) @ P.T
    pixels = flat[:, :2] / flat[:, 2:]
    height, width = camera.size
    inside = (flat[:, 2] > 0) & (pixels > 0).all(1) & (pixels[:, 0] < width - 1) & (pixels[:, 1] < height - 1)
    return pixels, inside


def add_at(pred, true, classes):
    """A confusion matrix as semantic-kitti-api's evaluation counts it."""
    counts = np.zeros((classes, classes), np.int64)
    known = true >= 0
    np.add.at(counts, (true[known], pred[known]), 1)
    return counts


def one_hot_loss(points, maps, superpixels, pairs, temperature):
    """Superpixel InfoNCE with the means of points and pixels by sparse one-hot matrices, as SLidR has them (Sautier et al. 2022).

    points (N, C); maps (B, C, H, W); superpixels (B, H, W) ids 0..n-1 of each image; pairs: image, row, column, point (P,) each."""
    image, row, column, point = pairs
    n = int(superpixels.max()) + 1
    ids = superpixels + torch.arange(len(superpixels))[:, None, None] * n
    total, each = n * len(superpixels), torch.arange(len(point))
    one_hot = torch.sparse_coo_tensor(
        torch.stack([ids[image, row, column], each]), torch.ones(len(point)), (total, len(point))
    )
    pixels = torch.sparse_coo_tensor(
        torch.stack([ids.flatten(), torch.arange(ids.numel())]), torch.ones(ids.numel()), (total, ids.numel())
    )
    k = one_hot @ points[point] / (torch.sparse.sum(one_hot, 1).to_dense()[:, None] + 1e-6)
    q = pixels @ maps.permute(0, 2, 3, 1).flatten(0, 2) / (torch.sparse.sum(pixels, 1).to_dense()[:, None] + 1e-6)
    there = torch.where(k.abs().sum(1) > 0)[0]
    k, q = F.normalize(k[there], dim=1), F.normalize(q[there], dim=1)
    return F.cross_entropy(k @ q.T / temperature, torch.arange(len(k)))
