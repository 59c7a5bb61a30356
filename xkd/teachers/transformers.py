"""Vision backbones of the transformers library as teachers: from a folder, or from the hub at a pinned revision."""

import inspect
import json
import re

import numpy as np
import torch

import xkd
from xkd.errors import XkdError
from xkd.teachers.base import MEAN, STD, Pretrained

EDGES = [{"height", "width"}, {"shortest_edge"}, {"longest_edge"}, {"shortest_edge", "longest_edge"}]
"""What the `size` of an image processor can name."""
FILTERS = {2: "bilinear", 3: "bicubic"}
"""PIL's numbers for the filters that images are resized with."""


def opened(model, revision=None, layer=None, scale=None, compile=False):
    """The network in the folder `model` that `save_pretrained` wrote, or of the hub id `model` at the commit `revision`.

    layer, scale, compile: see `xkd.teachers.base.Pretrained`. Errors: neither; a network that takes no images, or not these alone; weights
    that are missing or of other shapes; a preprocessor that asks for what is not done here.
    """
    folder = xkd.ROOT / model
    local = folder.is_dir()
    source = str(folder if local else model)
    if source.startswith((".", "/", "~")) and not local:
        raise XkdError(f"{folder}: no such folder of a saved model.")
    if not local and not re.fullmatch("[0-9a-f]{40}", str(revision)):
        raise XkdError(
            f"{source}: no such folder, and a hub id needs as `revision` a commit of 40 hex digits, for branches and tags "
            f"move; {revision!r} is none."
        )
    given = {"revision": revision, "local_files_only": local}
    network, facts = weights(source, given), preprocessor(source, given)
    how = preprocessing(facts or {"image_mean": MEAN, "image_std": STD}, source)
    try:
        teacher = Pretrained(source, network, layer, scale, compile, **how)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise XkdError(
            f"{source}: a {network.config.model_type} that cannot be shown images alone ({reason})."
        ) from None
    teacher.assumes = None if facts else "it was saved without its image processor"
    return teacher


def weights(source, given):
    """The network of a folder or hub id, in float32 and without what it has besides its image encoder."""
    from safetensors import SafetensorError
    from transformers import AutoModel

    try:
        # The type is said, or weights in half precision would meet images in single.
        network, info = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True, **given)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise XkdError(f"{source}: neither a saved model's folder nor a model that the hub gave ({reason}).") from None
    for part in ("vision_model", "vision_encoder"):
        network = getattr(network, part, network)
    if "pixel_values" not in inspect.signature(network.forward).parameters:
        takes = network.main_input_name
        raise XkdError(f"{source}: a {network.config.model_type} takes {takes} and no images, so it cannot teach.")
    missing = [key for key in info["missing_keys"] if "pooler" not in key and "mask_token" not in key]
    if missing:
        raise XkdError(f"{source}: {len(missing)} of its weights, {missing[0]} for one, would stay random.")
    return network


def preprocessor(source, given):
    """The settings of the model's own image processor; {} of a model that was saved without."""
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
    return {}


def preprocessing(facts, source):
    """An image processor's settings -> `mean`, `std`, `size` and `mode` of a `Pretrained`; its conversion to RGB needs no doing.

    Errors: BGR, statistics that it does not say, a filter or a size that is not done here.
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
    mode = FILTERS.get(facts.get("resample") or 2)
    if not mode:
        raise XkdError(f"{source}: its preprocessor resizes with PIL's filter {facts['resample']}; there are 2 and 3.")
    mean, std = [(m + below) / whole for m in mean], [s / whole for s in std]
    return {"mean": mean, "std": std, "size": size(facts, source), "mode": mode}


def size(facts, source):
    """What an image processor resizes images to before it crops them, as `xkd.teachers.base.resized` takes it; None: it does not."""
    wanted = facts.get("size")
    if facts.get("do_resize", True) is False or wanted is None:
        return None
    if isinstance(wanted, int):  # as older ones say it
        wanted = {"shortest_edge": wanted}
    wanted = {key: value for key, value in wanted.items() if value is not None} if isinstance(wanted, dict) else {}
    if set(wanted) not in EDGES or not all(isinstance(value, int) and value > 0 for value in wanted.values()):
        raise XkdError(f"{source}: its preprocessor resizes to {facts['size']!r}, which is not done here.")
    edge, share = wanted.get("shortest_edge"), facts.get("crop_pct")
    if edge and share:  # ConvNeXt's edge is that of a crop to so large a share, and from 384 on that of a square
        return {"shortest_edge": int(edge / share)} if edge < 384 else {"height": edge, "width": edge}
    return wanted
