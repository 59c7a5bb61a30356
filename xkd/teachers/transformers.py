"""Vision backbones of the transformers library as teachers: from a folder, or from the hub at a pinned revision."""

import inspect
import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import xkd
from xkd.errors import XkdError
from xkd.teachers.base import Teacher

IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Mean and standard deviation of a channel, 0..1, that nearly all of these networks were trained with."""
ONE_SIZE = ("sam_vision_model", "sam_hq_vision_model")
"""Encoders that take a square of `image_size` pixels and nothing else."""
SHUFFLED = ("vit_mae",)
"""Those that give their patches in a random order."""


class Transformers(Teacher):
    """A vision backbone of the transformers library, with its own normalisation.

    `layer`: which of its hidden states (0 = embedding, -1 = last); None = the final output. An image keeps its own size,
    rounded to whole patches, whatever size the network was trained at; `scale` enlarges it first: a 14-pixel patch of a
    small image holds a whole car. A SAM encoder takes one square alone: as in its own preprocessing the longer side fills
    it and the rest is zero; the map is of the image without that rest, and `stride` counts the square's pixels.
    """

    def __init__(self, name, network, normalisation=IMAGENET, layer=None, scale=1.0):
        """`normalisation`: mean and deviation of the three channels of an image of 0..1."""
        super().__init__()
        self.name, self.network, self.layer, self.scale = name, network, layer, scale
        for key, values in zip(("mean", "std"), normalisation, strict=True):
            self.register_buffer(key, torch.tensor(values).view(1, 3, 1, 1))
        kind = network.config
        if kind.model_type in SHUFFLED:
            raise XkdError(f"{name}: a {kind.model_type} does not give its patches in the image's order.")
        patch = getattr(kind, "patch_size", 1)
        self.patch = patch if isinstance(patch, int) else max(patch)
        self.square = kind.image_size if kind.model_type in ONE_SIZE else None
        if self.square and scale != 1:
            raise XkdError(f"{name}: scale = {scale}, and it takes images of {self.square} pixels alone.")
        accepted = inspect.signature(network.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in accepted else {}
        self.freeze()
        # Windowed attention shrinks its windows for good at the first image with less than one at its last stage.
        window = getattr(kind, "window_size", None)
        self.least = 32 * window if isinstance(window, int) and not self.square else 1
        self._probe()

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

    def look(self, images):
        scale = max(self.scale, self.least / min(images.shape[-2:]))
        scale = self.square / max(images.shape[-2:]) if self.square else scale
        size = [max(1, round(side * scale / self.multiple)) * self.multiple for side in images.shape[-2:]]
        images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        images = (images - self.mean) / self.std
        if self.square:
            images = F.pad(images, (0, self.square - size[1], 0, self.square - size[0]))
        # Cells that lie off the middles of their patches: so many pixels more come before the image that each cell is
        # the next patch's, but for the first, which is outside.
        before = -self.shift % self.stride
        if before:
            images = F.pad(images, (before, -before % self.multiple) * 2, mode="replicate")
        first, (h, w) = (before + self.shift) // self.stride, (side // self.stride for side in size)
        return self._map(images)[..., first : first + h, first : first + w]

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


def opened(model, revision=None, layer=None, scale=1.0):
    """`model`: a folder that `save_pretrained` wrote, or a hub id, with the `revision` (commit or tag) to take. Errors: neither, weights
    that are missing or of other shapes, a preprocessor that asks for what is not done here."""
    name, network, normalisation = _pretrained(model, revision)
    return Transformers(name, network, normalisation, layer, scale)


def _pretrained(model, revision):
    """Folder or hub id -> name, network, normalisation; one sentence when it cannot be had whole."""
    from safetensors import SafetensorError
    from transformers import AutoModel

    folder = xkd.ROOT / model
    source, local = str(folder) if folder.is_dir() else str(model), folder.is_dir()
    if source.startswith((".", "/", "~")) and not local:
        raise XkdError(f"{folder}: no such folder of a saved model.")
    if not local and not revision:
        raise XkdError(f"{source}: no such folder; a hub id needs `revision`, a commit or tag, to be the same again.")
    given = {"revision": revision, "local_files_only": local}
    try:
        # The type is said, or weights in half precision would meet images in single.
        network, info = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True, **given)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise XkdError(f"{source}: neither a saved model's folder nor a model that the hub gave ({reason}).") from None
    missing = [key for key in info["missing_keys"] if "pooler" not in key and "mask_token" not in key]
    if missing:
        raise XkdError(f"{source}: {len(missing)} of its weights, {missing[0]} for one, would stay random.")
    for part in ("vision_model", "vision_encoder"):
        network = getattr(network, part, network)
    return source, network, normalisation(preprocessor(source, given), source)


def preprocessor(source, given):
    """The settings of the model's own image processor; of a model that was saved without: those of ImageNet's statistics."""
    from transformers.utils import cached_file

    for name in ("processor_config.json", "preprocessor_config.json"):
        try:
            path = cached_file(source, name, _raise_exceptions_for_missing_entries=False, **given)
            with open(path or "/dev/null") as file:
                facts = json.loads(file.read() or "{}")
        except (OSError, ValueError) as error:
            raise XkdError(f"{source}: its {name} cannot be read ({str(error).splitlines()[0]}).") from None
        facts = facts.get("image_processor", {}) if name == "processor_config.json" else facts
        if facts:
            return facts
    return dict(zip(("image_mean", "image_std"), IMAGENET, strict=True))


def normalisation(facts, source):
    """An image processor's rescaling (of 0..255) and normalisation as the mean and deviation of images of 0..1.

    Its cropping and resizing are left out, and its conversion to RGB needs no doing. Errors: statistics that it does not say, BGR.
    """
    if facts.get("do_flip_channel_order"):
        raise XkdError(f"{source}: its preprocessor wants blue before red, which is not done here.")
    mean, std = [0.0] * 3, [1.0] * 3
    if facts.get("do_normalize", True) is not False:
        try:
            mean, std = (np.broadcast_to(facts[key], 3).tolist() for key in ("image_mean", "image_std"))
        except (KeyError, ValueError):
            raise XkdError(f"{source}: its preprocessor names no image_mean and image_std of three channels.") from None
    whole = 255 * facts.get("rescale_factor", 1 / 255) if facts.get("do_rescale", True) is not False else 255.0
    below = 1.0 if facts.get("rescale_offset") else 0.0
    return [(m + below) / whole for m in mean], [s / whole for s in std]
