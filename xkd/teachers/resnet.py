"""A ResNet (He et al., CVPR 2016) from a checkpoint with torchvision's names, as MoCo, DINO and supervised training leave it."""

import argparse
import re

import torch

import xkd
from xkd.errors import XkdError
from xkd.teachers.base import Pretrained

MEANT = ("encoder_q.", "base_encoder.", "teacher.")
"""Of several networks in one checkpoint the one that is meant to be used: MoCo's query encoder, DINO's teacher."""
HEADS = ("fc.", "head.", "projection_head.", "projector.", "prototypes.")
"""What comes after the pooled features, and is left out."""
NAMES = [
    (r"embedder\.embedder\.convolution", lambda _: "conv1"),
    (r"embedder\.embedder\.normalization", lambda _: "bn1"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.", lambda found: f"layer{int(found[1]) + 1}.{found[2]}."),
    (r"layer\.(\d+)\.convolution", lambda found: f"conv{int(found[1]) + 1}"),
    (r"layer\.(\d+)\.normalization", lambda found: f"bn{int(found[1]) + 1}"),
    (r"shortcut\.convolution", lambda _: "downsample.0"),
    (r"shortcut\.normalization", lambda _: "downsample.1"),
]
"""Parts of the names of transformers' ResNetModel, and what they are called in torchvision's."""


def opened(path, prefix=None, layer=None, scale=None, compile=False):
    """The network in the file `path` (a `torch.save` or `.safetensors` of a state dict), whose depths and widths its keys tell.

    prefix: of its keys, up to `conv1.weight`; None: looked for. layer, scale, compile: see `xkd.teachers.base.Pretrained`; images keep
    their size and are normalised with ImageNet's statistics, as these networks are trained. Errors: a file that cannot be read as weights
    alone, one without such a network or with several, keys that are missing or are not a ResNet's, shapes of another kind (wide, grouped,
    another stem).
    """
    path = xkd.ROOT / path
    weights = network_of(read(path), prefix, path)
    teacher = Pretrained(str(path), build(weights, path), layer, scale, compile)
    teacher.assumes = "weights alone do not say how images are prepared"
    return teacher


def read(path):
    """All tensors in a checkpoint, by name; those of a dict within it under its key and a dot."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise XkdError(f"{path}: no such file of a ResNet's weights.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Pickled code is not run; DINO keeps its command line beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return flat(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, SafetensorError) as error:
        raise XkdError(f"{path}: cannot be read ({str(error).splitlines()[0]}).") from None
    except Exception as error:  # what torch raises for a file that is none has many types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise XkdError(f"{path}: is no checkpoint of weights alone ({reason}).") from None


def flat(found, before=""):
    if isinstance(found, torch.Tensor):
        return {before.removesuffix("."): found}
    parts = found.items() if isinstance(found, dict) else ()
    return {name: tensor for key, part in parts for name, tensor in flat(part, f"{before}{key}.").items()}


def network_of(tensors, prefix, path):
    """The tensors of one ResNet by torchvision's names, without its heads, in float32."""
    stems = [key.removesuffix("conv1.weight") for key in tensors if key.endswith("conv1.weight")]
    found = [stem for stem in stems if f"{stem}layer1.0.conv1.weight" in tensors]
    if not found:
        raise XkdError(f"{path}: no keys conv1.weight and layer1.0.conv1.weight, so no ResNet by torchvision's names.")
    if prefix is None:
        chosen = [stem for stem in found if any(name in stem for name in MEANT)] or found
    else:
        chosen = [stem for stem in found if stem == prefix] or [stem for stem in found if stem.endswith(prefix)]
    if len(chosen) != 1:
        has = " and ".join(repr(stem) for stem in found)
        raise XkdError(f"{path}: prefix {prefix!r} is that of {len(chosen)} of its networks, which begin with {has}.")
    weights = {key.removeprefix(chosen[0]): value for key, value in tensors.items() if key.startswith(chosen[0])}
    return {key: value.float() for key, value in weights.items() if not key.startswith(HEADS)}


def build(weights, path):
    """transformers' ResNetModel with the weights of torchvision's names."""
    from transformers import ResNetConfig, ResNetModel

    blocks = [
        tuple(map(int, found.groups())) for found in map(re.compile(r"layer(\d+)\.(\d+)\.").match, weights) if found
    ]
    depths = [1 + max(block for of, block in blocks if of == stage) for stage in sorted({of for of, _ in blocks})]
    bottleneck = "layer1.0.conv3.weight" in weights
    last = [f"layer{stage + 1}.0.conv{3 if bottleneck else 2}.weight" for stage in range(len(depths))]
    refuse(path, "are missing", [key for key in last if key not in weights])
    config = ResNetConfig(
        embedding_size=len(weights["conv1.weight"]),
        hidden_sizes=[len(weights[key]) for key in last],
        depths=depths,
        layer_type="bottleneck" if bottleneck else "basic",
        downsample_in_bottleneck=False,  # but in its 3 x 3 convolution, as torchvision's
    )
    network = ResNetModel(config)
    wanted = network.state_dict()
    names = {original(name): name for name in wanted}
    refuse(path, "are not a ResNet's", [key for key in weights if key not in names])
    # Checkpoints of before 2018 count no batches, and no number hangs on it.
    needed = [key for key in names if not key.endswith("num_batches_tracked")]
    refuse(path, "are missing", [key for key in needed if key not in weights])
    for key, value in weights.items():
        shape, expected = tuple(value.shape), tuple(wanted[names[key]].shape)
        if shape != expected:
            raise XkdError(f"{path}: {key} is {shape}, and a ResNet's of these widths is {expected}.")
    network.load_state_dict({names[key]: value for key, value in weights.items()}, strict=False)
    return network


def refuse(path, what, keys):
    """Errors: any keys of which that is so."""
    if keys:
        raise XkdError(f"{path}: {len(keys)} keys {what}, {keys[0]} for one.")


def original(name):
    """The name in transformers' ResNetModel -> torchvision's."""
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name
