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
BITS = 21
REACH = 1 << BITS - 1
"""A cell's place along an axis is a number of so many bits, so that all three are one number; and how far it reaches to either side."""
MASK = 32
"""Cells of a kernel that spconv has fused ones for, at most."""
BLOCK = 512
"""Points that are looked at together."""


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


@njit(cache=True, nogil=True, error_model="numpy")
def _place(points, intensity, size, keys, inputs):
    """Fills keys (N,), a number for the cell of each point, and inputs (N, 6). By blocks, so that the loop with the arithmetic, of numbers
    that lie in a row, is made eight points at a time."""
    x, y, z = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    flat, off_x, off_y, off_z = np.empty_like(x), np.empty_like(x), np.empty_like(x), np.empty_like(x)
    key = np.empty(BLOCK, np.int64)
    for first in range(0, len(points), BLOCK):
        count = min(BLOCK, len(points) - first)
        for i in range(count):
            x[i], y[i], z[i] = points[first + i, 0], points[first + i, 1], points[first + i, 2]
        for i in range(count):
            a, b, c = x[i] / size, y[i] / size, z[i] / size
            cx, cy, cz = np.floor(a), np.floor(b), np.floor(c)
            flat[i] = np.sqrt(x[i] * x[i] + y[i] * y[i]) * RANGE
            off_x[i], off_y[i], off_z[i] = a - cx - 0.5, b - cy - 0.5, c - cz - 0.5
            key[i] = (np.int64(cx) + REACH) | ((np.int64(cy) + REACH) << BITS) | ((np.int64(cz) + REACH) << 2 * BITS)
        for i in range(count):
            row = first + i
            keys[row] = key[i]
            inputs[row, 0], inputs[row, 1], inputs[row, 2] = intensity[row], z[i] * HEIGHT, flat[i]
            inputs[row, 3], inputs[row, 4], inputs[row, 5] = off_x[i], off_y[i], off_z[i]


@njit(cache=True, nogil=True)
def _group(inverse, table, shift, found):
    """Puts the number of each key's cell, 0.. in the order of their first points, in the place of the key; shift: leaves of 64 bits as many
    as number the table's places; found: the keys of the cells. -> how many cells there are. Apart from `_place`, so that what it jumps
    about in is small enough for the caches."""
    last, used = len(table) - 1, 0
    for i in range(len(inverse)):
        key = inverse[i]
        slot = (key * -7046029254386353131 >> shift) & last  # the highest bits of a product hang on all of the key
        cell = table[slot]
        while cell >= 0 and found[cell] != key:
            slot = (slot + 1) & last
            cell = table[slot]
        if cell < 0:
            cell = used
            table[slot], found[cell] = cell, key
            used += 1
        inverse[i] = cell
    return used


@njit(cache=True, nogil=True)
def _cells(keys):
    """Keys (V,) -> cells (V, 3) int64 x, y, z."""
    cells = np.empty((len(keys), 3), np.int64)
    for v in range(len(keys)):
        for k in range(3):
            cells[v, k] = (keys[v] >> k * BITS & 2 * REACH - 1) - REACH
    return cells


def assign(points, intensity, size):
    """What of `voxelise` other libraries have: cells (V, 3) int64 in the order of their first points, inverse (N,), inputs (N, 6)."""
    n = len(points)
    inverse, inputs, found = np.empty(n, np.int64), np.empty((n, 6), np.float32), np.empty(n, np.int64)
    _place(points, intensity, size, inverse, inputs)
    bits = max(3, n - 1).bit_length() + 1
    used = _group(inverse, np.full(1 << bits, -1, np.int32), 64 - bits, found)
    return _cells(found[:used]), inverse, inputs


@njit(cache=True, nogil=True)
def _mean(inputs, inverse, cells):
    """(N, K) inputs of points and the cell of each -> (cells, K) their means."""
    total, counts = np.zeros((cells, inputs.shape[1]), np.float32), np.zeros(cells, np.int32)
    for i in range(len(inverse)):
        counts[inverse[i]] += 1
        for k in range(inputs.shape[1]):
            total[inverse[i], k] += inputs[i, k]
    for v in range(cells):
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
        cells, inverse, inputs = assign(placed, intensity, 1.0)
        inputs[:, 1], inputs[:, 2] = z * HEIGHT, flat * RANGE
    else:
        cells, inverse, inputs = assign(points, intensity, float(size))
    return cells, inverse, _mean(inputs, inverse, len(cells)), inputs


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
        places = _mean(own, inverse, len(cells))
        parts.append((index, features, places, inverse + start, inputs, own, np.full(len(inverse), b)))
        start += len(cells)
    arrays = [np.concatenate(own) for own in zip(*parts, strict=True)]
    shape = tuple(int(-(-(extent + 1) // coarse) * coarse) for extent in arrays[0][:, 1:].max(0))
    return Voxels(*(torch.from_numpy(array) for array in arrays), shape, len(scans))
