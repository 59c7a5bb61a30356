"""spconv, opened once and in the right way for this machine, and the voxels it works on.

Without a GPU spconv's table of CUDA kernels is of no use and costs five seconds of every process; spconv skips it in its own
CPU-only builds, so the same switch is set before its first import, and its C++ convolution is given an empty table, because the
Python one beside it asks for a CUDA stream. The CPU path needs `ConvAlgo.Native` and no bias.
"""

import logging
import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from numba import njit

from xkd import native
from xkd.errors import XkdError

if not torch.cuda.is_available():
    import spconv.cppconstants

    spconv.cppconstants.CPU_ONLY_BUILD = True
# A line with a time in it about an internal of torch that spconv asks for; in a notebook it would change at every run.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import spconv.pytorch as spconv
    from spconv.core import ConvAlgo
    from spconv.pytorch import ops
    from spconv.pytorch.conv import SparseConvolution
if not torch.cuda.is_available():
    from spconv.core_cc.csrc.sparse.convops.gemmops import GemmTunerSimple

    ops.GEMM_CPP = GemmTunerSimple([])
native.install(ops)

__all__ = ["ConvAlgo", "SparseConvolution", "Voxels", "choose_algorithm", "collate", "spconv", "voxelise"]

INPUTS = ("intensity", "height", "range", "offset_x", "offset_y", "offset_z")
"""What the network is given of a point; a voxel gets the mean over its points."""

HEIGHT, RANGE = 0.25, 0.04
"""What a height and a range in metres are multiplied by, so that they are about as large as the other inputs."""
REACH = 1 << 20
MASK = 32


def choose_algorithm(network, cuda):
    """Sets every sparse convolution of a network to the algorithm for the device that it is to run on.

    For kernels of more than `MASK` cells spconv would compile its fused ones while the program runs, minutes of every process."""
    for module in network.modules():
        if isinstance(module, SparseConvolution):
            small = math.prod(module.kernel_size) <= MASK
            module.algo = ConvAlgo.MaskImplicitGemm if cuda and small else ConvAlgo.Native


@dataclass
class Voxels:
    """A batch of scans as voxels. `coordinates (V, 4)` int32 (scan, z, y, x); `features (V, 6)` and `places (V, 3)`, in metres: means over
    a voxel's points; `inverse (N,)` the voxel of each point; `inputs (N, 6)` the points' own features; `points (N, 3)` in metres;
    `scan (N,)` which scan a point is of; `shape` (z, y, x) of the grid."""

    coordinates: torch.Tensor
    features: torch.Tensor
    places: torch.Tensor
    inverse: torch.Tensor
    inputs: torch.Tensor
    points: torch.Tensor
    scan: torch.Tensor
    shape: tuple
    scans: int

    def only(self, points):
        """The same voxels, those of all points, with a feature asked for at some alone: `points` (M,) indices of the batch's points.

        In training the statistics of a norm over points are then those of these points.
        """
        chosen = {name: getattr(self, name)[points] for name in ("inverse", "inputs", "points", "scan")}
        return replace(self, **chosen)

    def one_each(self, points, rng):
        """Positions in `points` (M,), indices of the batch's points, of one of them for each voxel that they lie in, drawn at random;
        sorted. A loss at these weighs places alike, near and far, where one at all points weighs them by how densely they were hit.
        """
        drawn = rng.permutation(len(points))
        chosen = np.full(len(self.coordinates), -1)
        chosen[self.inverse.numpy()[points[drawn]]] = drawn  # the last of a voxel's points stays
        return np.sort(chosen[chosen >= 0])

    def to(self, device):
        """The same batch on a device."""
        moved = {k: v.to(device, non_blocking=True) for k, v in vars(self).items() if isinstance(v, torch.Tensor)}
        return Voxels(**moved, shape=self.shape, scans=self.scans)


@njit(cache=True, nogil=True)
def _voxelise(points, intensity, size):
    """Cells of a scan in the order of their first point: cells (V, 3) int64, inverse (N,), counts (V,), inputs (N, 6)."""
    n = len(points)
    slots = 16
    while slots < 2 * n:
        slots *= 2
    table = np.full(slots, -1, np.int64)
    keys = np.empty(n, np.int64)
    cells = np.empty((n, 3), np.int64)
    inverse = np.empty(n, np.int64)
    counts = np.zeros(n, np.int64)
    inputs = np.empty((n, 6), np.float32)
    used = 0
    for i in range(n):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        cx, cy, cz = np.floor(x / size), np.floor(y / size), np.floor(z / size)
        inputs[i, 0] = intensity[i]
        inputs[i, 1] = z * HEIGHT
        inputs[i, 2] = np.sqrt(x * x + y * y) * RANGE
        inputs[i, 3] = x / size - cx - 0.5
        inputs[i, 4] = y / size - cy - 0.5
        inputs[i, 5] = z / size - cz - 0.5
        key = (np.int64(cx) + 1048576) | ((np.int64(cy) + 1048576) << 21) | ((np.int64(cz) + 1048576) << 42)
        slot = (key * -7046029254386353131 >> 20) & (slots - 1)
        while table[slot] >= 0 and keys[table[slot]] != key:
            slot = (slot + 1) & (slots - 1)
        if table[slot] < 0:
            table[slot] = used
            keys[used] = key
            cells[used, 0], cells[used, 1], cells[used, 2] = np.int64(cx), np.int64(cy), np.int64(cz)
            used += 1
        inverse[i] = table[slot]
        counts[table[slot]] += 1
    return cells[:used].copy(), inverse, counts[:used].copy(), inputs


@njit(cache=True, nogil=True)
def _mean(inputs, inverse, counts):
    total = np.zeros((len(counts), inputs.shape[1]), np.float32)
    for i in range(len(inverse)):
        for k in range(inputs.shape[1]):
            total[inverse[i], k] += inputs[i, k]
    for v in range(len(counts)):
        for k in range(inputs.shape[1]):
            total[v, k] /= counts[v]
    return total


def voxelise(points, intensity, size):
    """(N, 3) points in metres and (N,) intensity -> cells (V, 3) int64 (x, y, z), inverse (N,), features (V, 6), inputs (N, 6).

    Cells are `floor(point / size)`, each once. size: metres, or [metres, degrees, metres] of cylindrical cells (distance from the axis,
    azimuth, height; Zhu et al. 2021). Errors: no point, a point that is not finite or is out of the index's reach, another size.
    """
    points = np.ascontiguousarray(points, np.float32)
    if len(points) == 0:
        raise XkdError("A scan without points cannot be turned into voxels.")
    if np.ndim(size) and np.shape(size) != (3,):
        raise XkdError(f"student.voxel is {size}; it has to be one number, or three of cylindrical cells.")
    reach, least = np.abs(points).max(), np.min(size)
    if not reach < REACH * least:
        raise XkdError(
            f"A point at {reach} m cannot be turned into voxels of {size} m: points are finite and below {REACH * least:.0f} m."
        )
    intensity = np.ascontiguousarray(intensity, np.float32)
    if np.ndim(size):
        x, y, z = points.T
        flat, azimuth = np.hypot(x, y), np.degrees(np.arctan2(y, x))
        placed = np.stack([flat / size[0], azimuth / size[1], z / size[2]], 1).astype(np.float32)
        cells, inverse, counts, inputs = _voxelise(placed, intensity, 1.0)
        inputs[:, 1], inputs[:, 2] = z * HEIGHT, flat * RANGE
    else:
        cells, inverse, counts, inputs = _voxelise(points, intensity, float(size))
    return cells, inverse, _mean(inputs, inverse, counts), inputs


def collate(scans, size, levels):
    """A list of (points (N, 3), intensity (N,)) -> `Voxels`. The grid starts at a multiple of the coarsest cell, so that where a
    cell lies within its coarser cells depends on the scan alone and never on its neighbours in the batch."""
    coarse = 2 ** (levels - 1)
    parts, start = [], 0
    for b, (points, intensity) in enumerate(scans):
        cells, inverse, features, inputs = voxelise(points, intensity, size)
        cells -= cells.min(0) // coarse * coarse
        index = np.concatenate([np.full((len(cells), 1), b), cells[:, ::-1]], 1).astype(np.int32)
        own = np.ascontiguousarray(points, np.float32)
        places = _mean(own, inverse, np.bincount(inverse))
        parts.append((index, features, places, inverse + start, inputs, own, np.full(len(inverse), b)))
        start += len(cells)
    arrays = [np.concatenate(own) for own in zip(*parts, strict=True)]
    shape = tuple(int(-(-(extent + 1) // coarse) * coarse) for extent in arrays[0][:, 1:].max(0))
    return Voxels(*(torch.from_numpy(array) for array in arrays), shape, len(scans))
