"""The default student: a small sparse U-Net."""

import torch
from torch import nn

from xkd.backbones.base import Backbone
from xkd.native import NormReLU
from xkd.sparse import INPUTS, ConvAlgo, choose_algorithm, spconv


def _block(kind, inputs, outputs, key, **options):
    options = {"kernel_size": 3, "bias": False, "indice_key": key, "algo": ConvAlgo.Native} | options
    return spconv.SparseSequential(kind(inputs, outputs, **options), NormReLU(outputs))


class UNet(Backbone):
    """Submanifold 3x3x3 convolutions with a 2x2x2 strided step between levels (Choy et al. 2019, Graham et al. 2018), one block a level on
    the way down and one on the way up; a point takes its voxel's feature plus a linear map of its own inputs, so that points of one voxel
    can differ. `widths`: one a level; features have twice the first.
    """

    first = "stem.0"

    def __init__(self, voxel, widths, classes):
        self.begin("unet", voxel, widths, classes)
        dim = 2 * widths[0]
        self.stem = _block(spconv.SubMConv3d, len(INPUTS), widths[0], "level0")
        self.encoder, self.down, self.up, self.decoder = (nn.ModuleList() for _ in range(4))
        for level, width in enumerate(widths):
            self.encoder.append(_block(spconv.SubMConv3d, width, width, f"level{level}"))
        for level, (fine, coarse) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            self.down.append(_block(spconv.SparseConv3d, fine, coarse, f"down{level}", kernel_size=2, stride=2))
            self.up.append(_block(spconv.SparseInverseConv3d, coarse, fine, f"down{level}", kernel_size=2))
            self.decoder.append(_block(spconv.SubMConv3d, 2 * fine, dim if level == 0 else fine, f"level{level}"))
        self.point = nn.Sequential(nn.Linear(len(INPUTS), dim), NormReLU(dim))
        self.finish(dim)

    @staticmethod
    def levels(widths):
        return len(widths)

    def features(self, voxels):
        choose_algorithm(self, voxels.features.is_cuda)
        x = self.stem(spconv.SparseConvTensor(voxels.features, voxels.coordinates, voxels.shape, voxels.scans))
        skips = []
        for level, encode in enumerate(self.encoder):
            x = encode(x)
            if level < len(self.down):
                skips.append(x)
                x = self.down[level](x)
        for level in reversed(range(len(self.down))):
            x = self.up[level](x)
            x = self.decoder[level](x.replace_feature(torch.cat([x.features, skips[level].features], 1)))
        return x.features[voxels.inverse] + self.point(voxels.inputs)


Network = UNet
