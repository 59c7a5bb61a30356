"""A network's first convolution: few inputs and a large kernel, which a GPU makes as one product."""

import math

import torch
import torch.nn.functional as F

from xkd.sparse import MASK, spconv

INPUTS = 8
"""Of a voxel, at most: its neighbours' are laid side by side, so many times as a kernel has cells."""


class Stem(spconv.SubMConv3d):
    """spconv's submanifold convolution, with its weight; on a GPU, where its kernel has more than `MASK` cells and its inputs are few and
    no other layer's results, a table of neighbours and one product. spconv would make a product a cell, 125 of them.
    """

    def forward(self, x):
        cells = math.prod(self.kernel_size)
        wide = cells > MASK and self.in_channels <= INPUTS and not x.features.requires_grad
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
