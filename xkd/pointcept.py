"""`python -m xkd.pointcept take|give`: weights of Pointcept's SpUNet as a student of ours, and a student of ours as such weights.

In its checkpoints the network is `module.backbone.` (or `backbone.`), its classifier a 1x1x1 convolution `final`; ours is a linear map
`head`. The weight of such a convolution has the shape (out, 1, 1, 1, in), and spconv multiplies with it as if it were (in, out).
"""

import argparse
import io
import sys
from pathlib import Path

import torch

from xkd import student as students
from xkd.backbones.spunet import SpUNet
from xkd.datasets.frame import facts
from xkd.errors import XkdError
from xkd.files import atomic

PREFIXES = ("module.", "backbone.")


def taken(state):
    """A SpUNet's state dict as Pointcept saves it -> ours: prefixes dropped, `final` as `head`."""
    found = {}
    for name, value in state.items():
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        if name.startswith("final."):
            name = name.replace("final.", "head.")
            if value.dim() > 1:
                value = value.reshape(value.shape[-1], value.shape[0]).T.contiguous()
        found[name] = value
    return found


def given(network):
    """Our SpUNet's weights as Pointcept loads them."""
    state = {}
    for name, value in network.state_dict().items():
        if name.startswith("head."):
            name = name.replace("head.", "final.")
            if value.dim() > 1:
                value = value.T.reshape(len(value), 1, 1, 1, -1)
        state[f"module.backbone.{name}"] = value.detach().cpu().contiguous()
    return state


def shape_of(weights, path):
    """The widths that weights (ours) of a SpUNet have, of the file `path`. Errors: they are none of one."""
    try:
        stem = weights["conv_input.0.weight"].shape[0]
        stages = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("down."))
        encoder = [weights[f"down.{s}.0.weight"].shape[0] for s in range(stages)]
        decoder = [weights[f"up.{s}.0.weight"].shape[0] for s in reversed(range(stages))]
    except (KeyError, ValueError) as error:
        raise XkdError(f"{path}: holds no weights of a SpUNet: {error}.") from None
    return [stem, *encoder, *decoder]


def take(path, voxel, classes, out):
    """The file `path` of Pointcept as a student in the folder `out`. classes: the names its classifier was trained on, or a start's: then
    the classifier is a new one. Errors: not readable, or of another architecture."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no error of its own for a file that is no checkpoint
        raise XkdError(f"{path}: cannot be read as a torch checkpoint ({str(error).splitlines()[0]}).") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise XkdError(f"{path}: holds no state dict, names and their weights.")
    weights = taken(state)
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
    return network


def give(path, out):
    """The student in folder `path` as a file of Pointcept. Errors: it is no SpUNet."""
    network = students.load(path)
    if not isinstance(network, SpUNet):
        raise XkdError(
            f"{path}: its backbone is {network.config['backbone']}; Pointcept has no such network, only spunet can be given."
        )
    whole = io.BytesIO()
    torch.save({"state_dict": given(network)}, whole)
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
    one.add_argument("--kind", default="nuscenes", help="data set whose classes it has: nuscenes or semantickitti")
    two = commands.add_parser("give", help="a student of the backbone spunet -> a checkpoint of Pointcept")
    two.add_argument("checkpoint", type=Path)
    two.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "take":
            take(options.weights, options.voxel, list(facts(options.kind)["classes"]), options.out)
        else:
            give(options.checkpoint, options.out)
        print(options.out)
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
