"""The student, the only network at inference: made from its section of params.yaml, saved and loaded."""

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

import xkd
from xkd import backbones
from xkd.errors import XkdError
from xkd.files import atomic, read_json, write_json
from xkd.sparse import collate

CHECKPOINT = "xkd student 1"


def create(config):
    """The network that `config` describes: backbone (a file of `xkd.backbones`; without one, unet), voxel, widths, classes."""
    own = dict(config)
    return backbones.backbone(own.pop("backbone", "unet"))(**own)


def levels(student):
    """Levels of the voxel grid that a student with this section `student` works on. Errors: an unknown backbone, widths it cannot have."""
    return backbones.backbone(student.get("backbone", "unet")).levels(student["widths"])


def code(student, modules):
    """Files that a training of such a student hangs on: its backbone's, and those of the `modules` (names of files in xkd/)."""
    return [*backbones.files(student.get("backbone", "unet")), *(xkd.ROOT / "xkd" / name for name in modules)]


def voxels(scans, student):
    """A list of (points (N, 3), intensity (N,)) -> the `Voxels` that a student with this section `student` works on."""
    return collate(scans, student["voxel"], levels(student))


def build(config, seed):
    """A student with fresh weights drawn from `seed` alone; config: see `create`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(config)


def save(network, path, **facts):
    """Writes the folder `path`: weights.safetensors and network.json (all that is needed to rebuild it, and `facts`)."""
    with atomic(path, folder=True) as folder:
        weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
        # Through bytes: safetensors reports a full disk as an error of its own kind.
        (folder / "weights.safetensors").write_bytes(to_bytes(weights))
        write_json(folder / "network.json", {"kind": CHECKPOINT, "config": network.config, "facts": facts})


def load(path, device="cpu"):
    """The student in folder `path`, in eval mode, ready to `segment`. Errors: not a student's checkpoint; weights of another
    architecture than the JSON beside them says."""
    path = Path(path)
    about = read_json(path / "network.json")
    kind = about.get("kind") if isinstance(about, dict) else None
    if kind != CHECKPOINT:
        raise XkdError(f"{path / 'network.json'}: kind is {kind!r}, and only {CHECKPOINT!r} can be loaded.")
    if wrong := unsound(about):
        raise XkdError(f"{path / 'network.json'}: {wrong[0]} is {wrong[1]!r}, which it is of no student.")
    try:
        network = create(about["config"])
    except (KeyError, TypeError, IndexError, ValueError, RuntimeError) as error:
        raise XkdError(f"{path / 'network.json'}: its config does not describe a student ({error!r}).") from None
    try:
        weights = load_file(path / "weights.safetensors")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise XkdError(f"{path / 'weights.safetensors'}: cannot be read ({error}).") from None
    check_weights(network, weights, path / "weights.safetensors")
    network.load_state_dict(weights)
    network.facts = about.get("facts", {})
    return network.to(device).eval()


def unsound(about):
    """(name, value) of what in a checkpoint's JSON no student can have though a network can be made with it; None where there is none."""
    config, facts = about.get("config"), about.get("facts", {})
    if not isinstance(facts, dict):
        return "facts", facts
    if not isinstance(config, dict):
        return "config", config
    voxel, classes = config.get("voxel"), config.get("classes")
    sides = voxel if isinstance(voxel, list) and len(voxel) == 3 else [voxel]
    if not all(isinstance(side, int | float) and 0 < side < math.inf for side in sides):
        return "config.voxel", voxel
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        return "config.classes", classes
    return None


def check_weights(network, weights, name):
    """Refuses weights whose names or shapes are not the network's, naming the first that differs."""
    own = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    given = {k: tuple(v.shape) for k, v in weights.items()}
    for key in sorted(own.keys() | given.keys()):
        if own.get(key) != given.get(key):
            raise XkdError(
                f"{name}: is of another architecture: {key} is {given.get(key)} there and {own.get(key)} here."
            )


def start_from(network, path):
    """Takes over all weights but the classifier's from the checkpoint folder `path`; the classifier keeps its own."""
    weights = load(path).state_dict()
    kept = {k: v for k, v in network.state_dict().items() if k.startswith("head.")}
    merged = {k: v for k, v in weights.items() if not k.startswith("head.")} | kept
    check_weights(network, merged, path)
    network.load_state_dict(merged)
