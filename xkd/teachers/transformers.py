"""Vision backbones of the transformers library as teachers."""

import inspect

import numpy as np
import torch
import torch.nn.functional as F

import xkd
from xkd.errors import XkdError
from xkd.teachers.base import Teacher


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


opened = Transformers
