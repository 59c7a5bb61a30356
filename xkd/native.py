"""The student's inner loops on the CPU, several times as fast as they come: native.cpp behind spconv and batch norm.

spconv keeps its modules and autograd functions; for float32 tensors on the CPU the lists of pairs and the products under them are
replaced, and so is a batch norm with its rectifier. The factors of the products are rounded to bfloat16, as autocast rounds on a
GPU, where the processor multiplies those (AVX512-BF16); sums stay in float32. Under inference_mode, and there alone, nothing is rounded.
The C++ file is compiled for this machine's processor when it is first needed, in a second or two, and kept in `__pycache__`.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import warnings
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from xkd import parallel
from xkd.errors import XkdError

SOURCE = Path(__file__).with_name("native.cpp")
FLAGS = ("-O3", "-ffp-contract=fast", "-march=native", "-std=c++17", "-shared", "-fPIC")


LOCK = threading.Lock()


def library():
    """The compiled loops, or None (and a warning, once) where they cannot be made: no C++ compiler, or nowhere to keep them."""
    with LOCK:
        return _library(SOURCE)


@cache
def _library(source):
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or "c++"
    path = source.parent / "__pycache__" / f"native-{_version(source, compiler)}.so"
    try:
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            # Each process makes its own and the last one stays: a file that takes another's place harms nobody who has that one open.
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                made = Path(folder) / path.name
                subprocess.run([compiler, *FLAGS, source, "-o", made], check=True, capture_output=True, text=True)
                os.replace(made, path)
        compiled = ctypes.CDLL(str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines() or ["no reason given"]
        warnings.warn(f"spconv's own, slower loops are used: {compiler} made none of xkd's ({lines[0]}).", stacklevel=3)
        return None
    compiled.xkd_neighbours.restype = compiled.xkd_coarser.restype = ctypes.c_int64
    return compiled


def _version(source, compiler):
    """Of the source, of what compiles it and how, and of the processor it is compiled for."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        processor = platform.processor()
    return hashlib.sha256(source.read_bytes() + " ".join([*FLAGS, _release(compiler), processor]).encode()).hexdigest()[
        :16
    ]


def _release(compiler):
    try:
        return subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True).stdout
    except OSError:
        return ""


def product(x, weight, pairs, count, rows, inverse, same, half=False):
    """(R, I) features, (O, z, y, x, I) weight, spconv's pairs (2, K, P) int32 and how many of each cell count -> (rows, O).

    `inverse`: from coarse to fine; `same`: a submanifold convolution, whose central cell takes every row to itself; `half`: the
    factors are rounded to bfloat16 where `rounds` says so, and sums stay in float32.
    """
    y = x.new_zeros(rows, len(weight))
    w = weight.reshape(len(weight), -1, weight.shape[-1]).permute(1, 2, 0)
    _multiply(x, w, _pairs(pairs, count, inverse, same * rows), y, half)
    return y


def product_backward(x, weight, gradient, pairs, count, inverse, same, half=False, needed=True):
    """Gradients of `product` with regard to `x` (None unless `needed`) and `weight`, given that of its result (rows, O)."""
    w = weight.reshape(len(weight), -1, weight.shape[-1]).permute(1, 0, 2)
    dx, same = torch.zeros_like(x) if needed else None, same * len(x)
    if needed:
        _multiply(gradient, w, _pairs(pairs, count, not inverse, same), dx, half)
    dw, forth = x.new_zeros(len(w), x.shape[1], len(weight)), _pairs(pairs, count, inverse, same)
    outer = library().xkd_outer
    if half and rounds(*dw.shape[1:]):
        x, gradient, outer = x.bfloat16(), gradient.bfloat16(), library().xkd_outer_half
    outer(_data(x), _data(gradient), *forth, *_sizes(dw), _data(dw))
    return dx, dw.permute(2, 0, 1).reshape(weight.shape)


def _multiply(x, w, pairs, y, half):
    """y[to] += x[from] w[cell] over all pairs; x (R, I), w (K, I, O) of any strides."""
    if half and rounds(*w.shape[1:]):
        x, w, multiply = x.bfloat16().contiguous(), words(w), library().xkd_product_half
    else:
        w, multiply = w.contiguous(), library().xkd_product
    multiply(_data(x), *pairs, *_sizes(w), _data(w), _data(y))


def words(w):
    """(K, I, O) float32 of any strides -> (K, I / 2, O) int32, two bfloat16 a word, the first in its low half."""
    packed = torch.empty(w.shape[0], w.shape[1] // 2, w.shape[2], dtype=torch.int32)
    library().xkd_words(_data(w), *map(ctypes.c_int64, (*w.shape, *w.stride())), _data(packed))
    return packed


def rounds(inputs, outputs):
    """Whether products of so many channels are made of bfloat16 factors when asked for: the processor has the instruction."""
    return inputs % 2 == 0 and outputs % 8 == 0 and has_half()


def has_half():
    """Whether the processor multiplies bfloat16, as the compiler knows it; what trainings on this machine come to hangs on it. With
    XKD_FLOAT32=1 in the environment it is not asked to, so that trainings of several machines or processes can be compared."""
    return os.environ.get("XKD_FLOAT32") != "1" and hasattr(library(), "xkd_product_half")


def _data(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


def _sizes(weight):
    return ctypes.c_int64(weight.shape[1]), ctypes.c_int64(weight.shape[2])


def _pairs(pairs, count, inverse, same):
    """from, to, count, cells, stride, same: as native.cpp takes them."""
    source, target = (pairs[1], pairs[0]) if inverse else (pairs[0], pairs[1])
    sizes = ctypes.c_int64(pairs.shape[1]), ctypes.c_int64(pairs.shape[2]), ctypes.c_int64(same)
    return _data(source), _data(target), _data(count), *sizes


def neighbours(cells):
    """Pairs of a 3x3x3 submanifold convolution over (V, 4) int32 cells (scan, z, y, x): (2, 27, V) int32 and (27,) how many count.

    All 27 kernel cells are listed and only those before the central one counted, as spconv does. Errors: a cell that occurs twice.
    """
    pairs, count = cells.new_empty(2, 27, len(cells)), cells.new_zeros(27)
    twice = library().xkd_neighbours(
        _data(cells), ctypes.c_int64(len(cells)), _data(pairs[0]), _data(pairs[1]), _data(count)
    )
    if twice:
        raise XkdError(
            f"Voxel {cells[twice - 1].tolist()} (scan, z, y, x) occurs twice; a sparse tensor has each once."
        )
    return pairs, count


def coarser(cells):
    """Pairs of a 2x2x2 convolution of stride 2 over (V, 4) int32 cells: coarse cells (W, 4), pairs (2, 8, V), counts (8,)."""
    coarse, pairs, count = torch.empty_like(cells), cells.new_empty(2, 8, len(cells)), cells.new_zeros(8)
    size = ctypes.c_int64(len(cells))
    made = library().xkd_coarser(_data(cells), size, _data(coarse), _data(pairs[0]), _data(pairs[1]), _data(count))
    return coarse[:made].clone(), pairs, count


class NormReLU(nn.BatchNorm1d):
    """Batch norm and a rectifier, (R, C) -> (R, C); weights, buffers and results are those of BatchNorm1d followed by ReLU."""

    def forward(self, x):
        if self.training and parallel.several():
            return torch.relu_(parallel.norm(self, x))
        shaped = x.ndim == 2 and x.shape[1] == self.num_features and len(x) > 1
        plain = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        if not (self.training and shaped and plain) or library() is None:
            return torch.relu_(super().forward(x))
        y, mean, variance = _NormReLU.apply(x.contiguous(), self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (len(x) / (len(x) - 1)), self.momentum)
            self.num_batches_tracked += 1
        return y


class _NormReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, shift, epsilon):
        y, mean, variance = torch.empty_like(x), torch.empty_like(scale), torch.empty_like(scale)
        sizes = ctypes.c_int64(x.shape[0]), ctypes.c_int64(x.shape[1])
        outs = (_data(t) for t in (mean, variance, y))
        library().xkd_norm(_data(x), *sizes, _data(scale), _data(shift), ctypes.c_float(epsilon), *outs)
        ctx.save_for_backward(x, y, scale, mean, variance)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, *_):
        x, y, scale, mean, variance = ctx.saved_tensors
        gradient = gradient.contiguous()
        dx, dscale, dshift = torch.empty_like(x), torch.empty_like(scale), torch.empty_like(scale)
        sizes = ctypes.c_int64(x.shape[0]), ctypes.c_int64(x.shape[1])
        rest = (_data(t) for t in (mean, variance, dx, dscale, dshift))
        library().xkd_norm_backward(
            _data(x), _data(y), _data(gradient), *sizes, _data(scale), ctypes.c_float(ctx.epsilon), *rest
        )
        return dx, dscale, dshift, None


SAME, HALF = ([3] * 3, [1] * 3, [1] * 3, [1] * 3, True, False), ([2] * 3, [2] * 3, [0] * 3, [1] * 3, False, False)
"""Kernel size, stride, padding, dilation, submanifold, transposed: the two convolutions whose pairs are made here."""


def install(ops):
    """Puts the pairs and the products under spconv's functions; `ops` is the module spconv.pytorch.ops."""
    list_pairs, forward, backward = ops.get_indice_pairs, ops.indice_conv, ops.indice_conv_backward

    def get_indice_pairs(
        indices,
        batch_size,
        spatial_shape,
        algo,
        ksize,
        stride,
        padding,
        dilation,
        out_padding,
        subm=False,
        transpose=False,
        **options,
    ):
        # Of a submanifold convolution spconv works the padding out by itself, whatever is given.
        kind = (
            list(ksize),
            list(stride),
            [1] * 3 if subm else list(padding),
            list(dilation),
            bool(subm),
            bool(transpose),
        )
        small = max(spatial_shape) < 1 << 16 and batch_size < 1 << 15
        fits = kind == SAME or kind == HALF and not any(extent % 2 for extent in spatial_shape)
        if small and fits and indices.device.type == "cpu" and library() is not None:
            cells = indices.contiguous()
            return (cells, *neighbours(cells)) if subm else coarser(cells)
        given = (
            indices,
            batch_size,
            spatial_shape,
            algo,
            ksize,
            stride,
            padding,
            dilation,
            out_padding,
            subm,
            transpose,
        )
        return list_pairs(*given, **options)

    def indice_conv(
        features, filters, indice_pairs, indice_pair_num, num_activate_out, inverse=False, subm=False, **options
    ):
        if options.get("bias") is None and _ours(features, filters, indice_pairs, indice_pair_num):
            given = (features.contiguous(), filters, indice_pairs, indice_pair_num, num_activate_out, inverse, subm)
            return product(*given, half=not torch.is_inference_mode_enabled())
        return forward(features, filters, indice_pairs, indice_pair_num, num_activate_out, inverse, subm, **options)

    def indice_conv_backward(
        features, filters, out_bp, indice_pairs, indice_pair_num, inverse=False, subm=False, **options
    ):
        if _ours(features, filters, indice_pairs, indice_pair_num):
            given = (features.contiguous(), filters, out_bp.contiguous(), indice_pairs, indice_pair_num, inverse, subm)
            return product_backward(*given, half=True, needed=features.requires_grad)
        return backward(features, filters, out_bp, indice_pairs, indice_pair_num, inverse, subm, **options)

    ops.get_indice_pairs, ops.indice_conv, ops.indice_conv_backward = (
        get_indice_pairs,
        indice_conv,
        indice_conv_backward,
    )


def _ours(features, filters, pairs, count):
    fits = features.device.type == "cpu" and features.dtype == filters.dtype == torch.float32
    return fits and pairs.is_contiguous() and count.is_contiguous() and library() is not None
