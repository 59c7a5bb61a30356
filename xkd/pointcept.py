"""`python -m xkd.pointcept take|give`: weights of Pointcept's SpUNet as a student of ours, and a student of ours as such weights.

In its checkpoints the network is `module.backbone.` (or `backbone.`), its classifier a 1x1x1 convolution `final`; ours is a linear map
`head`. The weight of such a convolution has the shape (out, 1, 1, 1, in), and spconv multiplies with it as if it were (in, out).

Pointcept gives its network nuScenes' scans as they are on disk, x right and y forward; here they are x forward and y left. Kernels and
inputs are turned accordingly, so that a network says the same of the same scan; with SemanticKITTI's nothing is to be turned.
"""

import argparse
import io
import math
import re
import sys
from pathlib import Path

import numpy as np
import torch
from numpy._core.multiarray import scalar

from xkd import student as students
from xkd.backbones.spunet import SpUNet
from xkd.datasets.frame import facts
from xkd.errors import XkdError
from xkd.files import atomic

PREFIXES = ("module.", "backbone.")
STEM = "conv_input.0.weight"
KINDS = {"nuscenes": True, "semantickitti": False}
"""Data sets whose classes Pointcept's networks have -> whether it gives them the scans turned."""


def kind_of(kind):
    """Whether scans of a kind of `KINDS` are turned there. Errors: another kind."""
    if kind not in KINDS:
        raise XkdError(f"kind {kind!r} is none of Pointcept's networks here; there are {', '.join(KINDS)}.")
    return KINDS[kind]


def turned(weights, back=False):
    """Weights {name: tensor} of a SpUNet for scans that are x right and y forward -> for x forward and y left, or `back`.

    There x is -y here, and y is x: a kernel's (out, x, y, z, in) cell (a, b) here is (last - b, a) there."""
    found = {}
    for name, value in weights.items():
        if value.dim() == 5:
            value = value.transpose(1, 2).flip(1) if back else value.flip(1).transpose(1, 2)
            if name == STEM and value.shape[-1] > 1:
                x, y, *others = value.unbind(-1)
                value = torch.stack([-y, x, *others] if back else [y, -x, *others], -1)
            value = value.contiguous()
        found[name] = value
    return found


def taken(state, kind="nuscenes"):
    """A SpUNet's state dict as Pointcept saves it -> ours: prefixes dropped, `final` as `head`, turned as scans of `kind` are."""
    found = {}
    for name, value in state.items():
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        if name.startswith("final."):
            name = name.replace("final.", "head.")
            if value.dim() == 5:
                value = value.flatten(1).reshape(-1, value.shape[0]).T.contiguous()
        found[name] = value
    return turned(found) if kind_of(kind) else found


def given(network, kind="nuscenes"):
    """Our SpUNet's weights as Pointcept loads them, for scans as those of `kind` are there."""
    state, weights = {}, network.state_dict()
    for name, value in (turned(weights, back=True) if kind_of(kind) else weights).items():
        if name.startswith("head."):
            name = name.replace("head.", "final.")
            if value.dim() > 1:
                value = value.T.reshape(len(value), 1, 1, 1, -1)
        state[f"module.backbone.{name}"] = value.detach().cpu().contiguous()
    return state


def shape_of(weights, path):
    """The widths that weights (ours) of a SpUNet have, of the file `path`. Errors: they are none of one."""
    try:
        stem = weights[STEM].shape[0]
        stages = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("down."))
        encoder = [weights[f"down.{s}.0.weight"].shape[0] for s in range(stages)]
        decoder = [weights[f"up.{s}.0.weight"].shape[0] for s in reversed(range(stages))]
    except (KeyError, ValueError, IndexError) as error:
        raise XkdError(f"{path}: holds no weights of a SpUNet: {error}.") from None
    return [stem, *encoder, *decoder]


NUMBERS = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType]
"""What numbers of numpy are read with: Pointcept keeps its best score as one beside the weights. The second name is numpy 1's."""


def read(path):
    """The weights in a torch checkpoint, {name: tensor}. Errors: no file, not readable, no names and weights, weights not numbers."""
    if not path.is_file():
        raise XkdError(f"{path}: no such file.")
    try:
        with torch.serialization.safe_globals(NUMBERS):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no error of its own for a file that is no checkpoint
        said = re.sub(r"\x1b\[[0-9;]*m", "", str(error).splitlines()[0].partition(". ")[0])
        raise XkdError(f"{path}: cannot be read as a torch checkpoint ({said}).") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
        isinstance(n, str) and isinstance(v, torch.Tensor) for n, v in state.items()
    ):
        raise XkdError(f"{path}: holds no state dict, names and their weights.")
    for name, value in state.items():
        if value.layout != torch.strided or value.is_meta or not value.numel():
            raise XkdError(f"{path}: the weight {name} is no dense tensor with values.")
        if not value.is_floating_point() and not name.endswith("num_batches_tracked"):
            raise XkdError(f"{path}: the weight {name} is of {value.dtype}; it has to be of a floating-point type.")
        if not value.isfinite().all():
            raise XkdError(f"{path}: the weight {name} holds values that are no finite numbers.")
    return state


def take(path, voxel, classes, out, kind="nuscenes"):
    """The file `path` of Pointcept as a student in the folder `out`. classes: the names its classifier was trained on, or a start's: then
    the classifier is a new one. kind: of `KINDS`, what it was trained on. Errors: those of `read`, another architecture, or a voxel that
    is no length."""
    if not (math.isfinite(voxel) and voxel > 0):
        raise XkdError(f"voxel {voxel:g} is no length in metres.")
    weights = taken(read(path), kind)
    widths = shape_of(weights, path)
    network = students.build({"backbone": "spunet", "voxel": voxel, "widths": widths, "classes": classes}, 0)
    heads = {name: value for name, value in network.state_dict().items() if name.startswith("head.")}
    known = weights.get("head.weight") is not None and weights["head.weight"].shape == heads["head.weight"].shape
    weights = weights if known else {n: v for n, v in weights.items() if not n.startswith("head.")} | heads
    students.check_weights(network, weights, path)
    network.load_state_dict(weights)
    students.save(
        network, out, init="pointcept", objective="none", file=Path(path).name, classifier="taken" if known else "new"
    )
    return students.load(out)


def give(path, out, kind="nuscenes"):
    """The student in folder `path` as a file of Pointcept, which has scans as those of `kind` are there. Errors: it is no SpUNet."""
    network = students.load(path)
    if not isinstance(network, SpUNet):
        raise XkdError(
            f"{path}: its backbone is {network.config['backbone']}; Pointcept has no such network, only spunet can be given."
        )
    whole = io.BytesIO()
    torch.save({"state_dict": given(network, kind)}, whole)
    with atomic(Path(out)) as temporary:
        temporary.write_bytes(whole.getvalue())


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m xkd.pointcept", description="Weights from and for Pointcept's SpUNet."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("take", help="a checkpoint of Pointcept -> a folder that can start a student")
    one.add_argument("weights", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--voxel", type=float, default=0.05, help="metres (0.05)")
    two = commands.add_parser("give", help="a student of the backbone spunet -> a checkpoint of Pointcept")
    two.add_argument("checkpoint", type=Path)
    two.add_argument("out", type=Path)
    about = "what Pointcept's network is trained on, whose classes it has and as whose scans it has them turned"
    for command in (one, two):
        command.add_argument("--kind", default="nuscenes", help=f"{about}: {' or '.join(KINDS)} (nuscenes)")
    options = parser.parse_args(arguments)
    try:
        kind_of(options.kind)
        if options.command == "take":
            network = take(
                options.weights, options.voxel, list(facts(options.kind)["classes"]), options.out, options.kind
            )
            new = network.facts["classifier"] == "new"
            print(f"{options.out}{': its classifier is new and knows nothing yet' * new}")
        else:
            give(options.checkpoint, options.out, options.kind)
            print(options.out)
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
