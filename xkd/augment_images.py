"""Training images of the embedded 2D teacher seen anew: cropped, resized, mirrored, in another light."""

import numpy as np
import torch
import torch.nn.functional as F


def to_tensor(image):
    """(H, W, 3) uint8 -> (3, H, W) float32 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def reduce(image, labels, longest):
    """Arrays (H, W, 3) uint8, (H, W) int64 -> tensors (3, h, w) uint8, (h, w) int8 with at most `longest` pixels a side."""
    image, labels = torch.from_numpy(np.array(image)).permute(2, 0, 1), torch.from_numpy(labels)
    factor = longest / max(labels.shape)
    if factor < 1:
        size = [max(1, round(side * factor)) for side in labels.shape]
        image = F.interpolate(image[None].float(), size=size, mode="area")[0].round().byte()
        labels = F.interpolate(labels[None, None].double(), size=size, mode="nearest-exact")[0, 0].long()
    return image.contiguous(), labels.to(torch.int8)  # a corpus is kept in memory


def crop(image, labels, size, generator, zoom=(0.5, 2.0)):
    """(3, H, W) uint8 and (H, W) int8 of one image -> (1, 3, h, w) float 0..1 and (1, h/2, w/2) int64 of a part of it.

    `size` = (h, w) pixels from anywhere, mirrored half the time, enlarged by a factor out of `zoom`. Beyond the image
    its border is repeated, with label -1. Labels have half the resolution, which still sees every pole.
    """
    draw = torch.rand(5, generator=generator)
    scale, stretch = zoom[0] * (zoom[1] / zoom[0]) ** draw[0], 1.2 ** (2 * draw[1] - 1)
    axes = []
    scales = (scale, scale * stretch)
    for side, full, times, where in zip(size, labels.shape, scales, draw[2:4], strict=True):
        window = side / times / full  # as a share of the image
        centre = (2 * where - 1) * (1 - window)
        axes.append([centre + window * ((torch.arange(side // s) + 0.5) * 2 * s / side - 1) for s in (1, 2)])
    if draw[4] < 0.5:
        axes[1] = [axis.flip(0) for axis in axes[1]]
    pairs = (torch.meshgrid(*pair, indexing="ij") for pair in zip(*axes, strict=True))
    fine, coarse = (torch.stack((columns, rows), -1)[None] for rows, columns in pairs)
    x = F.grid_sample(image[None] / 255, fine, padding_mode="border", align_corners=False)
    y = F.grid_sample(labels[None, None].float(), coarse, mode="nearest", align_corners=False)[:, 0].round().long()
    return x, y.masked_fill((coarse.abs() > 1).any(-1), -1)


def recolour(x, generator):
    """(B, 3, h, w) 0..1 -> each in another light: gamma, exposure, white balance, contrast, saturation, sensor noise.

    Mild on purpose. Two and a half times as much cost the short training 4 points of accuracy on its own streets and 6
    on another rig's: colours are worth more to it than being proof against their change.
    """

    def normal(*shape):
        return torch.randn(len(x), *shape, generator=generator)

    def uniform(low, high):
        return low + (high - low) * torch.rand(len(x), 1, 1, 1, generator=generator)

    x = x.clamp(1e-3, 1) ** torch.exp(0.1 * normal(1, 1, 1))
    x = x * torch.exp(0.08 * normal(1, 1, 1) + 0.04 * normal(3, 1, 1))
    mean, grey = x.mean((1, 2, 3), keepdim=True), x.mean(1, keepdim=True)
    x = mean + (x - mean) * uniform(0.85, 1.15)
    x = grey + (x - grey) * uniform(0.8, 1.2)
    return (x + uniform(0, 0.02) * normal(*x.shape[1:])).clamp(0, 1)
