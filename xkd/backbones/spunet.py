"""A second student: the sparse U-Net of residual blocks that Pointcept calls SpUNet, in its own layout of names and shapes.

Written from its published structure, so that its weights can be taken over and ours handed on (`xkd.pointcept`).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from xkd import parallel
from xkd.backbones.base import Backbone
from xkd.errors import XkdError
from xkd.sparse import INPUTS, MASK, ConvAlgo, choose_algorithm, spconv

CHANNELS = 4
"""Inputs of a voxel: the mean place of its points in metres (x, y, z) and their mean intensity."""
DEEP = {1: 2, 2: 3, 3: 4, 4: 6}
"""Residual blocks of an encoder stage; every decoder stage has two."""
FEW = 8
"""Inputs of a voxel, at most, for the first convolution to be one product: its neighbours' are laid side by side, 125 times as many."""


class Stem(spconv.SubMConv3d):
    """spconv's submanifold convolution, with its weight; on a GPU, where its kernel has more than `MASK` cells and its inputs are few and
    no other layer's results, a table of neighbours and one product. spconv would make a product a cell, 125 of them.
    """

    def forward(self, x):
        cells = math.prod(self.kernel_size)
        wide = cells > MASK and self.in_channels <= FEW and not x.features.requires_grad
        return x.replace_feature(self.product(x)) if wide and x.features.is_cuda else super().forward(x)

    def product(self, x):
        """What the convolution makes of a SparseConvTensor's (V, inputs) features: (V, outputs)."""
        features = x.features
        if torch.is_autocast_enabled("cuda") and features.is_cuda:
            features = features.to(torch.get_autocast_dtype("cuda"))
        rows = neighbours(x.indices, x.spatial_shape, self.kernel_size).reshape(-1)
        padded = torch.cat([features, features.new_zeros(1, features.shape[1])])
        laid = padded.index_select(0, rows).reshape(len(features), -1)
        return F.linear(laid, self.weight.reshape(len(self.weight), -1), self.bias)


def neighbours(cells, shape, size):
    """(V, 4) int32 cells (scan, a, b, c) of a grid of `shape` (a, b, c) -> (V, cells of a kernel of odd `size` (a, b, c)) int32: which row
    of `cells` lies there, or V where none does. As the weights of a convolution are: the last axis runs fastest."""
    wide = [extent + side - 1 for extent, side in zip(shape, size, strict=True)]  # so that nothing lies beyond an edge
    keys = cells[:, 0].long()
    for axis, (extent, side) in enumerate(zip(wide, size, strict=True)):
        keys = keys * extent + cells[:, axis + 1] + side // 2
    known, order = keys.sort()
    order = torch.cat([order, order.new_tensor([len(cells)])]).int()
    reach = [torch.arange(side, device=cells.device) - side // 2 for side in size]
    steps = (reach[0][:, None, None] * wide[1] + reach[1][:, None]) * wide[2] + reach[2]
    found = []
    for plane in steps.reshape(size[0], -1):  # a plane at a time: all at once would take gigabytes
        asked = keys[:, None] + plane
        place = torch.searchsorted(known, asked).clamp_(max=len(cells) - 1)
        found.append(order[torch.where(known[place] == asked, place, len(cells))])
    return torch.cat(found, 1)


def _convolution(kind, inputs, outputs, size, key, **options):
    made = kind(inputs, outputs, size, bias=False, indice_key=key, algo=ConvAlgo.Native, **options)
    # spconv multiplies with the weight of such a one as if it were (inputs, outputs): see `xkd.pointcept`.
    made.weight.apart = size == 1
    return made


class Norm(nn.BatchNorm1d):
    """Batch norm; in training over the rows of all processes that share a step."""

    def forward(self, x):
        return parallel.norm(self, x) if self.training and parallel.several() else super().forward(x)


def _norm(width):
    return Norm(width, eps=1e-3, momentum=0.01)


def _layer(kind, inputs, outputs, size, key, **options):
    return spconv.SparseSequential(_convolution(kind, inputs, outputs, size, key, **options), _norm(outputs), nn.ReLU())


class Block(spconv.SparseModule):
    """relu(skip(x) + norm(conv(relu(norm(conv(x)))))); the skip is a 1x1x1 convolution where the width changes (He et al., CVPR 2016)."""

    def __init__(self, inputs, outputs, key):
        super().__init__()
        skip = [_convolution(spconv.SubMConv3d, inputs, outputs, 1, None), _norm(outputs)] if inputs != outputs else []
        self.proj = spconv.SparseSequential(*skip)
        self.conv1, self.bn1 = _convolution(spconv.SubMConv3d, inputs, outputs, 3, key), _norm(outputs)
        self.conv2, self.bn2 = _convolution(spconv.SubMConv3d, outputs, outputs, 3, key), _norm(outputs)

    def forward(self, x):
        y = self.conv1(x)
        y = self.conv2(y.replace_feature(self.bn1(y.features).relu()))
        return y.replace_feature((self.bn2(y.features) + self.proj(x).features).relu())


class SpUNet(Backbone):
    """`widths`: of the stem, then of the encoder's stages, then of as many decoder's, the coarsest first; Pointcept's default is
    32, 32, 64, 128, 256, 256, 128, 96, 96. Cells are indexed x, y, z, as there. A point has its voxel's feature.
    """

    first = "conv_input.0"

    def __init__(self, voxel, widths, classes):
        self.levels(widths)
        self.begin("spunet", voxel, widths, classes)
        stem, *stages = widths
        count = len(stages) // 2
        encoder, decoder = [stem, *stages[:count]], stages[count - 1 :]
        self.conv_input = _layer(Stem, CHANNELS, stem, 5, "stem")
        self.down, self.enc, self.up, self.dec = (nn.ModuleList() for _ in range(4))
        for stage in range(1, count + 1):
            fine, coarse, below, above = (
                encoder[stage - 1],
                encoder[stage],
                decoder[count - stage],
                decoder[count - stage + 1],
            )
            self.down.append(_layer(spconv.SparseConv3d, fine, coarse, 2, f"spconv{stage}", stride=2))
            self.enc.append(_blocks([coarse] * (DEEP.get(stage, 2) + 1), f"subm{stage}"))
            self.up.append(_layer(spconv.SparseInverseConv3d, below, above, 2, f"spconv{stage}"))
            self.dec.append(_blocks([above + fine, above, above], f"subm{stage - 1}"))
        for module in self.modules():
            if isinstance(module, spconv.SubMConv3d):
                nn.init.trunc_normal_(module.weight, std=0.02)
        self.finish(widths[-1])

    @staticmethod
    def levels(widths):
        if len(widths) < 3 or len(widths) % 2 == 0:
            raise XkdError(f"student.widths is {list(widths)}; spunet takes one for the stem and two a stage.")
        return len(widths) // 2 + 1

    def features(self, voxels):
        choose_algorithm(self, voxels.features.is_cuda)
        shown = voxels.features[:, len(INPUTS) :]  # what a network with images appended
        mean = torch.cat([voxels.places, voxels.features[:, :1], shown], 1)
        cells = voxels.coordinates[:, [0, 3, 2, 1]].contiguous()
        x = self.conv_input(spconv.SparseConvTensor(mean, cells, voxels.shape[::-1], voxels.scans))
        skips = [x]
        for down, encode in zip(self.down, self.enc, strict=True):
            x = encode(down(x))
            skips.append(x)
        skips.pop()
        for up, decode in zip(self.up[::-1], self.dec[::-1], strict=True):
            x = up(x)
            x = decode(x.replace_feature(torch.cat([x.features, skips.pop().features], 1)))
        return x.features[voxels.inverse]


Network = SpUNet


def _blocks(widths, key):
    made = {f"block{i}": Block(a, b, key) for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))}
    return spconv.SparseSequential(**made)
