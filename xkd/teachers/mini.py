"""The embedded teacher: a small segmenter that stage 02 trains on street images of its own (`xkd.mini`)."""

import torch

import xkd
from xkd.machine import bfloat16
from xkd.mini import load_mini
from xkd.teachers.base import Teacher


class Segmenter(Teacher):
    """The embedded mini network: features ahead of its classifier, the mean of those of the image and of its mirror image.

    Products in bfloat16 where the processor has them, as in its training.
    """

    ours = True

    def __init__(self, network):
        super().__init__()
        self.network, self.dim, self.stride = network, network.dim, network.stride
        self.freeze()

    def look(self, images):
        both = torch.cat([images, images.flip(3)]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16()):
            seen, mirrored = self.network.features(both).float().chunk(2)
        return (seen + mirrored.flip(3)) / 2


def opened(path):
    """The embedded teacher, trained by `xkd.mini.train_mini` into the folder `path`."""
    return Segmenter(load_mini(xkd.ROOT / path))
