"""The fused network: the student's sparse U-Net with images as further inputs, and the fusion encoder on top of it."""

from dataclasses import replace

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn
from torch_scatter import scatter_mean

from xkd import student as students
from xkd.errors import XkdError
from xkd.files import atomic, read_json, write_json
from xkd.fusion import Fusion
from xkd.sparse import spconv

CHECKPOINT = "xkd fused 1"


class Fused(nn.Module):
    """LiDAR and images -> (M, width) unified features and (M, classes) logits, at the points asked for.

    Images come in twice. Early: a voxel is given the mean image feature of all views of its points beside what the scan says of it, so that
    the U-Net carries it to places that no camera sees. Late: each point looks at its own views (`xkd.fusion.Fusion`). Each can be left
    out. `config`: the student's; `images`: channels of a view.
    """

    def __init__(self, config, images, width=64, heads=4, early=True, late=True):
        super().__init__()
        self.config, self.sizes = (
            dict(config) | {"classes": list(config["classes"])},
            {"images": images, "width": width, "heads": heads, "early": early, "late": late},
        )
        self.student = students.create(config)
        holder, _, last = self.student.first.rpartition(".")
        convolution = self.student.get_submodule(self.student.first)
        wider = spconv.SubMConv3d(
            convolution.in_channels + images + 1,
            convolution.out_channels,
            convolution.kernel_size,
            bias=False,
            indice_key=convolution.indice_key,
            algo=convolution.algo,
        )
        self.student.get_submodule(holder).add_module(last, wider)
        self.fusion = Fusion(self.student.dim, images, width, heads)
        self.head = nn.Linear(width, len(config["classes"]))

    def features(self, voxels, seen):
        """`Voxels` with what `early` appended, `Seen` of the points asked for -> (M, C) of the U-Net, (M, width) unified."""
        if not self.sizes["early"]:
            scan = voxels.features.clone()
            scan[:, voxels.inputs.shape[1] :] = 0
            voxels = replace(voxels, features=scan)
        if not self.sizes["late"]:
            seen = replace(seen, point=seen.point[:0], values=seen.values[:0], facts=seen.facts[:0])
        own = self.student.features(voxels)
        return own, self.fusion(own, seen.values, seen.point, seen.facts)

    def forward(self, voxels, seen):
        unified = self.features(voxels, seen)[1]
        return unified, self.head(unified)


def build(config, images, seed, **sizes):
    """A fused network with fresh weights drawn from `seed` alone; sizes: width, heads, early, late."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Fused(config, images, **sizes)


def start_from(network, path):
    """Takes over a student's weights from its checkpoint folder, and a fusion encoder's that was pretrained with it (`save_fusion`). What
    the first convolution is given beside the scan starts from nothing: at first the U-Net is that student."""
    given = students.load(path).state_dict()
    own = network.student.state_dict()
    first = f"{network.student.first}.weight"
    wide = torch.zeros_like(own[first])
    wide[..., : given[first].shape[-1]] = given[first]
    merged = {k: v for k, v in given.items() if not k.startswith("head.")} | {first: wide}
    merged |= {k: v for k, v in own.items() if k.startswith("head.")}
    students.check_weights(network.student, merged, path)
    network.student.load_state_dict(merged)
    encoder = beside(path)
    if encoder.exists():
        weights = read_weights(encoder)
        students.check_weights(network.fusion, weights, encoder)
        network.fusion.load_state_dict(weights)


def beside(path):
    """Where the fusion encoder lies that was pretrained with the student in folder `path`."""
    return path.with_name(f"{path.name}-fusion.safetensors")


def save_fusion(fusion, path):
    """Writes a fusion encoder beside the folder `path` of the student that it was pretrained with."""
    write_weights(fusion, beside(path))


def save(network, path, **facts):
    """Writes the folder `path`: weights.safetensors and network.json, as a student's checkpoint has them."""
    with atomic(path, folder=True) as folder:
        write_weights(network, folder / "weights.safetensors")
        write_json(
            folder / "network.json",
            {"kind": CHECKPOINT, "config": network.config, "sizes": network.sizes, "facts": facts},
        )


def load(path, device="cpu"):
    """The fused network in folder `path`, in eval mode. Errors: another kind of checkpoint, weights of another architecture."""
    about = read_json(path / "network.json")
    if about.get("kind") != CHECKPOINT:
        raise XkdError(
            f"{path / 'network.json'}: kind is {about.get('kind')!r}, and only {CHECKPOINT!r} can be loaded."
        )
    network, weights = Fused(about["config"], **about["sizes"]), read_weights(path / "weights.safetensors")
    students.check_weights(network, weights, path / "weights.safetensors")
    network.load_state_dict(weights)
    return network.to(device).eval()


def write_weights(module, path):
    weights = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(weights))


def read_weights(path):
    try:
        return load_file(path)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise XkdError(f"{path}: cannot be read ({error}).") from None


def early(voxels, point, values):
    """The voxels, each with the mean (D,) of the views of all its points beside its own features, and 1 where there is a view.

    voxels: of a whole batch; point (P,) rows of the batch's points, values (P, D). A voxel without a view gets zeros."""
    cell = voxels.inverse[point]
    there = torch.zeros(len(voxels.coordinates), 1)
    there[cell] = 1
    mean = scatter_mean(values, cell, 0, dim_size=len(voxels.coordinates))
    return replace(voxels, features=torch.cat([voxels.features, mean, there], 1))
