"""What every teacher is: frozen, images -> dense features; and what those with a pretrained backbone share."""

import hashlib
import inspect
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xkd.augment_images import to_tensor
from xkd.errors import XkdError


class Teacher(nn.Module):
    """Never learns: no gradients, eval mode for good. Subclasses set `dim` and `stride` and define `look`; its products are made in
    bfloat16 on a GPU.

    `given`: what `open_teacher` was asked for. `ours`: trained or drawn by this pipeline, from numbers that it keeps. `resize`: how it
    resizes images, where that is known beside the weights.
    """

    given, ours, resize = None, False, None

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
        if not images.is_cuda:
            return self.look(images)
        with torch.autocast("cuda", torch.bfloat16):
            return self.look(images.contiguous(memory_format=torch.channels_last)).float()

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


MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""ImageNet's mean and standard deviation of a channel, 0..1, that nearly all of these networks were trained with."""
ONE_SIZE = ("sam_vision_model", "sam_hq_vision_model")
"""Encoders that take a square of `image_size` pixels and nothing else."""
SHUFFLED = ("vit_mae",)
"""Those that give their patches in a random order."""


class Pretrained(Teacher):
    """A vision backbone of the transformers library, whatever its weights came from.

    Images are resized as its own preprocessor resizes them, to whole patches, and not cropped: every point is to have a feature. A SAM
    encoder takes one square: as in its own preprocessing the longer side fills it and the rest is zero; the map is of the image without
    that rest, and `stride` counts the square's pixels.
    """

    def __init__(
        self, name, network, layer=None, scale=None, compile=False, mean=MEAN, std=STD, size=None, mode="bilinear"
    ):
        """`layer`: which of its hidden states (0 = embedding, -1 = last); None: the final output. `scale`: times an image's own size,
        instead of the preprocessor's; 1.0 keeps it, and more has a 14-pixel patch show less than a whole car. `compile`: by torch's
        compiler, up to half a minute for each size of images, which pays where there are tens of thousands of them (docs/gpu.md).

        `mean`, `std`: of the three channels of an image of 0..1; `size`: see `resized`, None: an image's own; `mode`: bilinear or bicubic.
        """
        super().__init__()
        if (
            not isinstance(layer, int | None)
            or not isinstance(scale, int | float | None)
            or scale is not None
            and scale <= 0
        ):
            raise XkdError(f"{name}: layer is a whole number and scale one above 0, not {layer!r} and {scale!r}.")
        if not isinstance(compile, bool):
            raise XkdError(f"{name}: compile is true or false, not {compile!r}.")
        self.name, self.network, self.layer = name, network, layer
        for key, values in (("mean", mean), ("std", std)):
            self.register_buffer(key, torch.tensor(values).view(1, 3, 1, 1))
        kind = network.config
        if kind.model_type in SHUFFLED:
            raise XkdError(f"{name}: a {kind.model_type} does not give its patches in the image's order.")
        patch = getattr(kind, "patch_size", 1)
        self.patch = patch if isinstance(patch, int) else max(patch)
        self.square = kind.image_size if kind.model_type in ONE_SIZE else None
        if self.square and scale not in (None, 1):
            raise XkdError(f"{name}: scale = {scale}, and it takes images of {self.square} pixels alone.")
        size = {"scale": scale} if scale else size or {"scale": 1.0}
        self.resize = {"size": {"longest_edge": self.square} if self.square else size, "mode": mode}
        accepted = inspect.signature(network.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in accepted else {}
        self.freeze()
        # Windowed attention shrinks its windows for good at the first image with less than one at its last stage.
        window = getattr(kind, "window_size", None)
        self.least = 32 * window if isinstance(window, int) and not self.square else 1
        self._probe()
        if compile:
            self.network.compile()

    @torch.no_grad()
    def _probe(self):
        """Sets `dim`, `stride`, `shift` and `multiple`, from what the network makes of an empty image."""
        height = self.square or max(int(np.lcm(32, self.patch)), self.least)
        width = self.square or 2 * height  # a map on its side, or one with channels last, would show
        with Strides(self.network) as strides:
            h, w = (seen := self._map(torch.zeros(1, 3, height, width, device=self.mean.device))).shape[-2:]
        if h < 1 or height % h or width != w * (height // h):
            raise XkdError(f"{self.name}: makes {tuple(seen.shape[1:])} of {height} x {width} pixels, which is no map.")
        self.dim, self.stride = seen.shape[1], height // h
        if (offset := strides.offset(height, self.stride)) is None:
            raise XkdError(f"{self.name}: pads its images in a way of its own, so where its cells lie is not known.")
        self.shift = round(-offset)
        # Tokens come in patches; the last stage of the others has halved the image five times.
        self.multiple = self.stride if self.tokens or self.square else max(32, self.stride)

    def prepare(self, images):
        """(B, 3, H, W) 0..1 -> what the network is shown of them: resized to whole patches, normalised."""
        size = resized(self.resize["size"], *images.shape[-2:])
        more = max(1, self.least / min(size))
        size = [max(1, round(side * more / self.multiple)) * self.multiple for side in size]
        # A cubic goes beyond what it passes through; a preprocessor's bytes do not.
        images = F.interpolate(images, size=size, mode=self.resize["mode"], antialias=True).clamp(0, 1)
        return (images - self.mean) / self.std

    def look(self, images):
        images = self.prepare(images)
        size = images.shape[-2:]
        if self.square:
            images = F.pad(images, (0, self.square - size[1], 0, self.square - size[0]))
        # Cells that lie off the middles of their patches: so many pixels more come before the image that each cell is
        # the next patch's, but for the first, which is outside.
        before = -self.shift % self.stride
        if before:
            images = F.pad(images, (before, -before % self.multiple) * 2, mode="replicate")
        first, (h, w) = (before + self.shift) // self.stride, (side // self.stride for side in size)
        try:
            return self._map(images)[..., first : first + h, first : first + w]
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            inner = getattr(error, "inner_exception", error)
            reason = (str(inner).strip() or type(inner).__name__).splitlines()[0]
            raise XkdError(f"{self.name}: compile is true, and it cannot be compiled here ({reason}).") from None

    def _map(self, images):
        """Normalised images -> the chosen hidden state as (B, C, h, w)."""
        kind = self.network.config.model_type
        out = self.network(images, output_hidden_states=True, **self.options)
        states = getattr(out, "reshaped_hidden_states", None) or out.hidden_states
        if self.layer is not None and not -len(states) <= self.layer < len(states):
            raise XkdError(f"{self.name}: layer = {self.layer}, and it has {len(states)} hidden states.")
        state = out.last_hidden_state if self.layer is None else states[self.layer]
        if self.layer is None and getattr(out, "fpn_hidden_states", None):
            state = out.fpn_hidden_states[-1]  # of SAM 2: the map that its decoder calls the image's embedding
        elif self.layer is None and state.ndim == 3 and states[-1].ndim == 4:
            state = states[-1]
        elif self.layer is not None and kind.startswith("sam"):
            state = state.permute(0, 3, 1, 2)
        self.tokens = state.ndim == 3
        if not self.tokens:
            return state
        h, w = (side // self.patch for side in images.shape[-2:])
        extra = state.shape[1] - h * w  # class, distillation and register tokens, which come first
        if extra not in (0, 1, 2, 1 + getattr(self.network.config, "num_register_tokens", 0)):
            raise XkdError(f"{self.name}: gives {state.shape[1]} tokens for its {h} x {w} patches.")
        return state[:, extra:].transpose(1, 2).unflatten(2, (h, w))


def resized(size, rows, columns):
    """Rows and columns, fractions of a pixel too, that an image of `rows` x `columns` is brought to by `size`, as image processors name it:
    {height, width}; {shortest_edge}, {longest_edge} or both, the smaller of the two; or {scale}, a factor."""
    if "height" in size:
        return size["height"], size["width"]
    whole = {"shortest_edge": min(rows, columns), "longest_edge": max(rows, columns), "scale": 1}
    scale = min(value / whole[name] for name, value in size.items())
    return rows * scale, columns * scale


class Strides:
    """Watches a network's strided layers while it sees one image, to tell how far its cells lie off their patches.

    Cell j of a kernel k, stride s, padding p is centred s j + (k - 1) / 2 - p along its input, and the patch that it stands
    for s j + (s - 1) / 2. ResNet pads evenly and is half a cell off; a kernel of one stride is not off at all. Of parallel
    layers at one resolution the one that is off most counts; an attention's own reduction of its keys is one that is not.
    """

    def __init__(self, network):
        self.network, self.seen = network, []

    def __enter__(self):
        kinds = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
        layers = [layer for layer in self.network.modules() if isinstance(layer, kinds)]
        self.hooks = [layer.register_forward_hook(self._note) for layer in layers]
        return self

    def __exit__(self, *error):
        for hook in self.hooks:
            hook.remove()

    def _note(self, layer, inputs, output):
        padding = 0 if layer.padding == "valid" else layer.padding
        k, s, p = (v if isinstance(v, int) else v[0] for v in (layer.kernel_size, layer.stride, padding))
        if s > 1:
            self.seen.append((inputs[0].shape[2], (k - s) / 2 - p))

    def offset(self, height, stride):
        """Pixels that the cells of a map of so many pixels' `stride` lie off, for an image `height` pixels high; None if that
        cannot be told, because something was padded outside the layers."""
        most = {}
        if any(height % rows for rows, _ in self.seen):
            return None
        for rows, off in self.seen:
            if rows * stride > height:  # the others come after the map, or beside it
                most[rows] = max(most.get(rows, 0), off, key=abs)
        return sum(off * height / rows for rows, off in most.items())
