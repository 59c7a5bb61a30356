"""Teachers: frozen 2D networks, or features of them on disk, behind one interface.

`teacher(images)`: (B, 3, H, W) float RGB 0..1 -> (B, dim, h, w), cells about `stride` pixels apart. The map covers the
image whole, so `sample` and `pool` need the image's size and nothing else. Stages call `teacher.dense(cameras)`.
"""

import inspect
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import xkd
from xkd.augment_images import to_tensor
from xkd.errors import XkdError
from xkd.machine import bfloat16
from xkd.mini import Mini, load_mini
from xkd.pool import pool, sample

__all__ = ["TEACHERS", "Features", "Segmenter", "Teacher", "Transformers", "open_teacher", "pool", "sample"]


class Teacher(nn.Module):
    """Never learns: no gradients, eval mode for good. Subclasses set `dim` and `stride` and define `look`."""

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


class Segmenter(Teacher):
    """The embedded mini network: features ahead of its classifier, the mean of those of the image and of its mirror image.

    Products in bfloat16 where the processor has them, as in its training.
    """

    def __init__(self, network):
        super().__init__()
        self.network, self.dim, self.stride = network, network.dim, network.stride
        self.freeze()

    def look(self, images):
        both = torch.cat([images, images.flip(3)]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16()):
            seen, mirrored = self.network.features(both).float().chunk(2)
        return (seen + mirrored.flip(3)) / 2


class Transformers(Teacher):
    """A vision backbone of the transformers library, from a folder or the hub, with its own normalisation.

    `layer`: which of its hidden states (0 = embedding, -1 = last); None = the final output. `scale` enlarges the image
    first: a 14-pixel patch of a small image holds a whole car. Images are resized to whole patches.
    """

    # Their strided convolutions are padded evenly, which centres cell j on pixel stride * j and not amid its patch.
    CORNERED = ("regnet", "resnet", "segformer")

    def __init__(self, model, revision=None, layer=None, scale=1.0):
        super().__init__()
        self.layer, self.scale = layer, scale
        self.name, self.network, mean, std = _pretrained(model, revision)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        kind = self.network.config
        self.cornered = kind.model_type in self.CORNERED
        patch = getattr(kind, "patch_size", 1)
        self.patch = patch if isinstance(patch, int) else max(patch)
        accepted = inspect.signature(self.network.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in accepted else {}
        self.freeze()
        # Windowed attention shrinks its windows for good at the first image with less than one at its last stage.
        self.least = 32 * kind.window_size if isinstance(getattr(kind, "window_size", None), int) else 1
        probe = max(int(np.lcm(32, self.patch)), self.least)
        with torch.no_grad():
            seen = self._map(torch.zeros(1, 3, probe, probe))
        self.dim, self.stride = seen.shape[1], probe // seen.shape[-1]
        # Tokens come in patches; the last stage of the others has halved the image five times.
        self.multiple = self.stride if self.tokens else max(32, self.stride)

    def look(self, images):
        scale = max(self.scale, self.least / min(images.shape[-2:]))
        size = [max(1, round(side * scale / self.multiple)) * self.multiple for side in images.shape[-2:]]
        images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        images = (images - self.mean) / self.std
        if not self.cornered:
            return self._map(images)
        # One more cell before the first, moved by half a cell: cell j + 1 is centred on the middle of patch j.
        before, after = self.stride - self.stride // 2, self.multiple - self.stride + self.stride // 2
        cells = self._map(F.pad(images, (before, after, before, after), mode="replicate"))
        return cells[..., 1 : size[0] // self.stride + 1, 1 : size[1] // self.stride + 1]

    def _map(self, images):
        """Normalised images -> the chosen hidden state as (B, C, h, w)."""
        out = self.network(images, output_hidden_states=True, **self.options)
        states = getattr(out, "reshaped_hidden_states", None) or out.hidden_states
        if self.layer is not None and not -len(states) <= self.layer < len(states):
            raise XkdError(f"{self.name}: layer = {self.layer}, and it has {len(states)} hidden states.")
        state = out.last_hidden_state if self.layer is None else states[self.layer]
        if self.layer is None and state.ndim == 3 and states[-1].ndim == 4:
            state = states[-1]
        self.tokens = state.ndim == 3
        if not self.tokens:
            return state
        h, w = (side // self.patch for side in images.shape[-2:])
        extra = state.shape[1] - h * w  # class and register tokens, which come first
        if extra < 0:
            raise XkdError(f"{self.name}: {state.shape[1]} tokens are fewer than its {h} x {w} patches.")
        return state[:, extra:].transpose(1, 2).unflatten(2, (h, w))


class Features(Teacher):
    """Maps computed elsewhere: `.npy` files (C, h, w) below `root`, named like the longest tail of an image's path."""

    stride = None  # the maps' own affair

    def __init__(self, root):
        super().__init__()
        self.root = xkd.ROOT / root
        first = min(self.root.rglob("*.npy"), default=None)
        if first is None:
            raise XkdError(f"{self.root}: no .npy feature map in this folder.")
        self.dim = len(self._read(first))

    def look(self, images):
        raise XkdError(f"{self.root}: features on disk are found by an image's path; use dense(cameras).")

    def dense(self, cameras, images=None):
        return stack([torch.from_numpy(self._read(self.find(camera.path))).float() for camera in cameras], cameras)

    def find(self, path):
        """The map of the image `path`: `<root>/08/image_2/000003.npy` for `.../sequences/08/image_2/000003.png`."""
        parts = Path(path).with_suffix(".npy").parts
        for start in range(1, len(parts)):
            candidate = self.root.joinpath(*parts[start:])
            if candidate.is_file():
                return candidate
        raise XkdError(f"{path}: no feature map below {self.root}; looked for {'/'.join(parts[-3:])} and shorter.")

    def _read(self, path):
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise XkdError(f"{path}: is not a .npy array ({error}).") from None
        dim = getattr(self, "dim", None)
        if values.ndim != 3 or values.dtype.kind != "f" or (dim or len(values)) != len(values) or not values.size:
            raise XkdError(f"{path}: {values.shape} {values.dtype}, not ({dim or 'C'}, h, w) floats.")
        if not np.isfinite(values).all():
            raise XkdError(f"{path}: holds values that are not finite.")
        return values


def stack(maps, cameras):
    """(3 or C, h, w) tensors of one size -> one batch."""
    for one, camera in zip(maps, cameras, strict=True):
        if one.shape != maps[0].shape:
            raise XkdError(f"{camera.path}: is {tuple(one.shape)} where the others are {tuple(maps[0].shape)}.")
    return torch.stack(maps)


def _pretrained(model, revision):
    """Folder or hub id -> (name, network, mean, std); one sentence when it cannot be had whole."""
    from transformers import AutoModel
    from transformers.image_processing_utils import BaseImageProcessor

    folder = xkd.ROOT / model
    source = str(folder) if folder.is_dir() else str(model)
    if source.startswith((".", "/", "~")) and not folder.is_dir():
        raise XkdError(f"{folder}: no such folder of a saved model.")
    try:
        network, info = AutoModel.from_pretrained(source, revision=revision or "main", output_loading_info=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise XkdError(f"{source}: neither a saved model's folder nor a model that the hub gave ({reason}).") from None
    missing = [key for key in info["missing_keys"] if "pooler" not in key and "mask_token" not in key]
    if missing:
        raise XkdError(f"{source}: {len(missing)} of its weights, {missing[0]} for one, would stay random.")
    try:
        facts, _ = BaseImageProcessor.get_image_processor_dict(source, revision=revision or "main")
    except OSError:
        facts = {}  # saved without: the statistics that nearly all of them share, ImageNet's
    if not facts.get("do_normalize", True):
        return source, network, [0.0] * 3, [1.0] * 3
    mean, std = facts.get("image_mean", [0.485, 0.456, 0.406]), facts.get("image_std", [0.229, 0.224, 0.225])
    return source, getattr(network, "vision_model", network), mean, std


def mini(path):
    """The embedded teacher, trained by `xkd.mini.train_mini` into the folder `path`."""
    return Segmenter(load_mini(xkd.ROOT / path))


def random(seed=0, classes=19):
    """A control: the embedded teacher's architecture, never trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Segmenter(Mini(classes))


TEACHERS = {"mini": mini, "transformers": Transformers, "features": Features, "random": random}


def open_teacher(params):
    """{"name": one of `TEACHERS`, and its arguments} -> the teacher; relative folders start at `xkd.ROOT`."""
    params = dict(params)
    name = params.pop("name", None)
    if name not in TEACHERS:
        raise XkdError(f"teacher {name!r} is not known; there are {', '.join(TEACHERS)}.")
    accepted = inspect.signature(TEACHERS[name]).parameters
    for key in params:
        if key not in accepted:
            raise XkdError(f"teacher {name!r} has no parameter {key!r}; it has {', '.join(accepted)}.")
    for key, argument in accepted.items():
        if argument.default is inspect.Parameter.empty and params.get(key) is None:
            raise XkdError(f"teacher {name!r} needs the parameter {key!r}.")
    return TEACHERS[name](**params)
