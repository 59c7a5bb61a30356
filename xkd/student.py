"""The student: a sparse U-Net over LiDAR voxels, the only network at inference, and its checkpoint."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from xkd.errors import XkdError
from xkd.files import atomic, read_json, write_json
from xkd.native import NormReLU
from xkd.sparse import INPUTS, ConvAlgo, SparseConvolution, collate, spconv

CHECKPOINT = "xkd student 1"


def _block(kind, inputs, outputs, key, **options):
    options = {"kernel_size": 3, "bias": False, "indice_key": key, "algo": ConvAlgo.Native} | options
    return spconv.SparseSequential(kind(inputs, outputs, **options), NormReLU(outputs))


class Student(nn.Module):
    """Points of a batch -> (N, C) features and (N, classes) logits; C = widths[0] * 2.

    A U-Net of submanifold 3x3x3 convolutions with a 2x2x2 strided step between levels (Choy et al. 2019, Graham et al. 2018),
    one block a level on the way down and one on the way up; a point takes its voxel's feature plus a linear map of its own
    inputs, so that points of one voxel can differ. `config`: voxel (m), widths (one a level), classes (names).
    """

    def __init__(self, voxel, widths, classes):
        super().__init__()
        self.config = {"voxel": voxel, "widths": list(widths), "classes": list(classes)}
        self.dim = 2 * widths[0]
        self.stem = _block(spconv.SubMConv3d, len(INPUTS), widths[0], "level0")
        self.encoder, self.down, self.up, self.decoder = (nn.ModuleList() for _ in range(4))
        for level, width in enumerate(widths):
            self.encoder.append(_block(spconv.SubMConv3d, width, width, f"level{level}"))
        for level, (fine, coarse) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            self.down.append(_block(spconv.SparseConv3d, fine, coarse, f"down{level}", kernel_size=2, stride=2))
            self.up.append(_block(spconv.SparseInverseConv3d, coarse, fine, f"down{level}", kernel_size=2))
            self.decoder.append(_block(spconv.SubMConv3d, 2 * fine, self.dim if level == 0 else fine, f"level{level}"))
        self.point = nn.Sequential(nn.Linear(len(INPUTS), self.dim), NormReLU(self.dim))
        self.head = nn.Linear(self.dim, len(classes))

    def _choose_algorithm(self, cuda):
        for module in self.modules():
            if isinstance(module, SparseConvolution):
                module.algo = ConvAlgo.MaskImplicitGemm if cuda else ConvAlgo.Native

    def features(self, voxels):
        """`Voxels` -> (N, C) features, one a point."""
        self._choose_algorithm(voxels.features.is_cuda)
        x = self.stem(spconv.SparseConvTensor(voxels.features, voxels.coordinates, voxels.shape, voxels.scans))
        skips = []
        for level, encode in enumerate(self.encoder):
            x = encode(x)
            if level < len(self.down):
                skips.append(x)
                x = self.down[level](x)
        for level in reversed(range(len(self.down))):
            x = self.up[level](x)
            x = self.decoder[level](x.replace_feature(torch.cat([x.features, skips[level].features], 1)))
        return x.features[voxels.inverse] + self.point(voxels.inputs)

    def forward(self, voxels):
        """`Voxels` -> (N, C) features and (N, classes) logits."""
        features = self.features(voxels)
        return features, self.head(features)

    def voxels(self, scans):
        """A list of (points (N, 3), intensity (N,)) -> the `Voxels` this network works on, on its device."""
        return collate(scans, self.config["voxel"], len(self.config["widths"])).to(self.head.weight.device)

    @torch.inference_mode()
    def segment(self, points, intensity):
        """One scan, (N, 3) metres (x forward, y left, z up) and (N,) intensity 0..1 -> (N,) int64 class ids."""
        self.eval()
        return self(self.voxels([(np.asarray(points), np.asarray(intensity))]))[1].argmax(1).cpu().numpy()


def build(config, seed):
    """A student with fresh weights drawn from `seed` alone. config: voxel, widths, classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Student(**config)


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
    try:
        network = Student(**about["config"])
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
