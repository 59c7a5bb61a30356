"""What every teacher is: frozen, images -> dense features."""

import hashlib
from functools import cached_property

import torch
from torch import nn

from xkd.augment_images import to_tensor
from xkd.errors import XkdError


class Teacher(nn.Module):
    """Never learns: no gradients, eval mode for good. Subclasses set `dim` and `stride` and define `look`.

    `given`: what `open_teacher` was asked for. `ours`: trained or drawn by this pipeline, from numbers that it keeps.
    """

    given, ours = None, False

    @cached_property
    def fingerprint(self):
        """Hex SHA-256 of the state dict: names, types, shapes and bytes of the weights and of the normalisation."""
        total = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            total.update(f"{name} {value.dtype} {tuple(value.shape)}\0".encode())
            total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return total.hexdigest()

    def freeze(self):
        super().train(False)
        return self.requires_grad_(False)

    def train(self, mode=True):
        if mode:
            raise XkdError("a teacher is frozen and stays in eval mode: train(True) would change its features.")
        return super().train(False)

    @torch.no_grad()
    def forward(self, images):
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise XkdError(f"a teacher takes (B, 3, H, W) float RGB 0..1, not {tuple(images.shape)} {images.dtype}.")
        return self.look(images)

    def dense(self, cameras, images=None):
        """Features (B, dim, h, w) of the cameras' images; `images`, if read already: a (B, 3, H, W) float tensor or
        (H, W, 3) uint8 arrays."""
        if not isinstance(images, torch.Tensor):
            images = [camera.image() for camera in cameras] if images is None else images
            images = stack([to_tensor(image) for image in images], cameras)
        device = next(iter(self.buffers()), images).device
        return self(images.to(device))


def stack(maps, cameras):
    """(3 or C, h, w) tensors of one size -> one batch."""
    for one, camera in zip(maps, cameras, strict=True):
        if one.shape != maps[0].shape:
            raise XkdError(f"{camera.path}: is {tuple(one.shape)} where the others are {tuple(maps[0].shape)}.")
    return torch.stack(maps)
