"""`python -m xkd teachers`: the image networks that can teach, and what each gives and takes. Nothing is ever downloaded."""

import ast
import weakref
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import xkd
from xkd import kept
from xkd.errors import XkdError
from xkd.feature_cache import mib, verify
from xkd.files import yaml_value
from xkd.teachers import names, open_teacher

SIZE = (900, 1600)
"""Rows and columns of the image that memory is told for: a nuScenes camera's."""
HIERA = {"model_type": "sam2_hiera_det_model"}
FAMILIES = {  # family: an example on the hub, the configuration class of transformers, where that model differs from its defaults
    "DINOv2": ("facebook/dinov2-base", "Dinov2", {"image_size": 518}),
    "DINOv2, registers": (
        "facebook/dinov2-with-registers-base",
        "Dinov2WithRegisters",
        {"image_size": 518, "patch_size": 14},
    ),
    "DINOv3 ViT": ("facebook/dinov3-vits16-pretrain-lvd1689m", "DINOv3ViT", {"num_register_tokens": 4}),
    "DINOv3 ConvNeXt": ("facebook/dinov3-convnext-tiny-pretrain-lvd1689m", "DINOv3ConvNext", {}),
    "ViT": ("google/vit-base-patch16-224", "ViT", {}),
    "CLIP": ("openai/clip-vit-base-patch16", "CLIPVision", {"patch_size": 16}),
    "SigLIP": ("google/siglip-base-patch16-224", "SiglipVision", {}),
    "ResNet": ("microsoft/resnet-50", "ResNet", {}),
    "RegNet": ("facebook/regnet-y-040", "RegNet", {}),
    "ConvNeXt": ("facebook/convnext-tiny-224", "ConvNext", {}),
    "ConvNeXt V2": ("facebook/convnextv2-tiny-1k-224", "ConvNextV2", {}),
    "Swin": ("microsoft/swin-tiny-patch4-window7-224", "Swin", {}),
    "Swin V2": ("microsoft/swinv2-tiny-patch4-window8-256", "Swinv2", {"window_size": 8, "image_size": 256}),
    "FocalNet": ("microsoft/focalnet-tiny", "FocalNet", {}),
    "SegFormer": ("nvidia/segformer-b0-finetuned-cityscapes-1024-1024", "Segformer", {}),
    "PVT v2": ("OpenGVLab/pvt_v2_b0", "PvtV2", {}),
    "SAM": ("facebook/sam-vit-base", "SamVision", {}),
    "SAM-HQ": ("syscv-community/sam-hq-vit-base", "SamHQVision", {}),
    "SAM 2": ("facebook/sam2.1-hiera-tiny", "Sam2Vision", {"backbone_config": HIERA}),
}
WORDS = """
Images are resized, filtered and normalised as the model's own preprocessor does it, rounded to whole cells and not cropped; `scale: 1.0`
keeps an image's own size, 2.0 doubles it; SAM and SAM-HQ take it in a square of 1024 pixels. `layer` takes another hidden state, finer
ones where there are stages. Memory: weights and the most that is alive at once beside them for one {columns} x {rows} image at its own
size in float32, counted on a copy without weights, attention as the fused kernels compute it.
Open one by `teacher.name: transformers` with `model:` (a hub id) and `revision:` (a commit) or with `source:` (a saved folder), or look
at what lies on this disk: python -m xkd teachers --source PATH
"""


def report(source=None, options=(), features=None):
    """Lines about the teacher at `source`, about the splits of extracted `features` (a folder), or, without both, `listing`.

    options: KEY=VALUE texts, for the teacher."""
    if features:
        return whole(Path(features))
    if source:
        pairs = (option.partition("=")[::2] for option in options)
        return look(source, {key: yaml_value(value, f"--option {key}={value}") for key, value in pairs})
    return listing()


def whole(folder):
    """Lines, one a split of out/teacher that is as it was written. Errors: one that is not, no split at all."""
    splits = sorted(path.parent for path in folder.glob("*/features.json"))
    if not splits:
        raise XkdError(f"{folder}: holds no features that the teacher stage has extracted.")
    for split in splits:
        verify(split)
        about = kept.facts(split / "features.json", dim=int, digest=str)
        size = sum(path.stat().st_size for path in split.iterdir())
        told = f", of the teacher {about['fingerprint']}" if "fingerprint" in about else ""
        yield f"{split}: whole, {mib(size)}, {about['dim']} channels, SHA-256 {about['digest']}{told}"


def listing():
    """Lines: the teachers there are, then the families of `transformers`, each measured as it comes."""
    for name in names():
        yield f"{name:13} {says(name)}"
    yield f"\n{'family':18} {'for example':52} {'dim':>5} {'stride':>6} {'parameters':>10} {'memory':>12}"
    for family, (example, kind, changes) in FAMILIES.items():
        facts = measured(hollow(kind, changes))
        yield (
            f"{family:18} {example:52} {facts['dim']:5} {facts['stride']:6} {facts['parameters'] / 1e6:8.1f} M "
            f"{mib(facts['weights'] + facts['alive']):>12}"
        )
    yield WORDS.format(rows=SIZE[0], columns=SIZE[1]).rstrip()


def says(name):
    """The first line of a teacher's file, which is read and not run: what it imports need not be there."""
    source = Path(find_spec(f"xkd.teachers.{name}").origin).read_text()
    return (ast.get_docstring(ast.parse(source)) or "says nothing of itself").splitlines()[0]


def hollow(kind, changes):
    """A teacher of transformers' `<kind>Config` without weights: its tensors have shapes and no memory."""
    import transformers

    from xkd.teachers.base import Pretrained

    with torch.device("meta"):
        network = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**changes))
        return Pretrained(kind, network)


def look(path, options):
    """Lines about the teacher that lies at `path` (a saved model's folder, a folder of maps, the embedded network's, a ResNet's file).

    options: further arguments of that teacher. Errors: a path that does not exist, for a hub id is never asked for here.
    """
    path = (xkd.ROOT / path).absolute()
    if not path.exists():
        raise XkdError(
            f"{path}: no such folder or file; this command looks at what is on the disk and downloads nothing."
        )
    name, key = kind_of(path)
    teacher = open_teacher({"name": name, key: str(path)} | options)
    yield f"teacher      {name}"
    yield f"fingerprint  {teacher.fingerprint}"
    yield f"dim          {teacher.dim}"
    if name == "features":
        return
    yield f"stride       {teacher.stride}"
    if name in ("transformers", "resnet"):
        yield f"family       {teacher.network.config.model_type}"
        mean, std = (
            ", ".join(f"{v:.4g}" for v in getattr(teacher, part).flatten().tolist()) for part in ("mean", "std")
        )
        yield f"normalises   images of 0..1 by mean {mean}; deviation {std}"
        size = teacher.resize["size"]
        yield f"resizes      to {size_words(size)}, then to whole cells; {teacher.resize['mode']}"
        if teacher.assumes:
            free = "scale" in size and "scale" not in options
            yield f"assumes      ImageNet's mean and deviation{', and no resizing' * free}: {teacher.assumes}"
    facts = measured(teacher.to("meta"))
    rows, columns = SIZE
    yield f"parameters   {facts['parameters']:,}"
    yield f"weights      {mib(facts['weights'])} in float32"
    yield f"{columns} x {rows}   {facts['cells'][1]} x {facts['cells'][0]} cells, {mib(facts['alive'])} beside the weights"


def size_words(size):
    """A `resize["size"]` of `xkd.teachers.base.Pretrained` in words."""
    if "scale" in size:
        return "an image's own size" if size["scale"] == 1 else f"{size['scale']:g} times an image's own size"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in size.items()) + " pixels"


def kind_of(path):
    """What opens what lies there: (teacher, its argument)."""
    if path.is_file():
        return "resnet", "path"
    if (path / "network.json").is_file():
        return "mini", "path"
    if (path / "config.json").is_file():
        return "transformers", "model"
    return "features", "root"


def measured(teacher):
    """Of a teacher on the device `meta`: dim, stride, parameters (a count), weights (bytes, buffers among them), cells (rows, columns) of
    one image of `SIZE`, alive (bytes: the most that its forward pass holds at once beside the weights)."""
    held = [*teacher.parameters(), *teacher.buffers()]
    with torch.device("meta"), Fused(), Alive(held) as alive:
        cells = teacher(torch.zeros(1, 3, *SIZE)).shape[-2:]
    return {
        "dim": teacher.dim,
        "stride": teacher.stride,
        "parameters": sum(parameter.numel() for parameter in teacher.parameters()),
        "weights": sum(tensor.nbytes for tensor in held),
        "cells": tuple(cells),
        "alive": alive.most,
    }


class Alive(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, `most` of them at once; not those of the tensors `held`."""

    def __init__(self, held):
        super().__init__()
        self.now = self.most = 0
        self.known = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in held)}

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        made = operation(*arguments, **(named or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage):
        if id(storage) in self.known:
            return
        self.known[id(storage)] = None
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._free, id(storage), storage.nbytes())

    def _free(self, key, size):
        self.known.pop(key, None)
        self.now -= size


class Fused(TorchFunctionMode):
    """Attention as a fused kernel computes it: no matrix of all queries by all keys; that of a mask is counted where it is made."""

    def __torch_function__(self, function, types, arguments=(), named=None):
        if function is F.scaled_dot_product_attention:
            query, _, value = arguments[:3]
            return query.new_empty((*query.shape[:-1], value.shape[-1]))
        return function(*arguments, **(named or {}))
