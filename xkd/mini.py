"""The embedded 2D teacher: a small segmenter that a CPU trains in about a minute on pixel-labelled street images.

A strided encoder to 1/32, the whole image's mean as context, and a top-down decoder with lateral connections (feature pyramid,
Lin et al., CVPR 2017) to 1/4. The features are what the linear classifier sees: every class is a direction in them.
"""

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from xkd import files, metrics
from xkd.corpus import Corpus
from xkd.errors import XkdError
from xkd.progress import progress as bar

DEFAULTS = {
    "dim": 64,  # channels of the features
    "widths": [32, 64, 96, 128],  # channels at strides 4, 8, 16, 32
    "steps": 480,
    "batch": 12,
    "crop": [128, 192],
    "longest": 640,  # larger images are reduced to this many pixels on their longer side
    "zoom": [0.5, 1.6],  # least and most that a training image is enlarged
    "balance": 0.3,  # classes weigh 1 / frequency to this power
    "lr": 0.004,
    "weight_decay": 0.02,
}


class Mini(nn.Module):
    """`features`: (B, 3, H, W) float RGB 0..1 -> (B, dim, ceil(H/4), ceil(W/4)), not yet rectified; `forward`: logits on the same grid."""

    stride = 4

    def __init__(self, classes, dim=64, widths=(32, 64, 96, 128)):
        super().__init__()
        self.dim = dim
        self.stem = nn.Sequential(convolve(3, 24, stride=2), convolve(24, widths[0], stride=2), Residual(widths[0]))
        self.down = nn.ModuleList(
            nn.Sequential(convolve(a, b, stride=2), *[Residual(b) for _ in range(blocks)])
            for a, b, blocks in zip(widths, widths[1:], (1, 1, 1), strict=False)
        )
        self.context = nn.Conv2d(widths[-1], dim, 1)
        self.lateral = nn.ModuleList(nn.Conv2d(width, dim, 1, bias=False) for width in widths)
        self.merge = nn.ModuleList(convolve(dim, dim, groups=dim) for _ in widths[1:])
        self.head = nn.Sequential(convolve(dim, dim), nn.Conv2d(dim, dim, 1, bias=False), nn.BatchNorm2d(dim))
        self.classifier = nn.Conv2d(dim, classes, 1)

    def features(self, images):
        height, width = (-(-side // 4) for side in images.shape[-2:])
        if images.shape[-2:] != (4 * height, 4 * width):  # whole cells, or the map would reach beyond the image
            images = F.interpolate(images, size=(4 * height, 4 * width), mode="bilinear")
        images = F.pad(images, (0, -4 * width % 32, 0, -4 * height % 32), mode="replicate")
        return self._features(images)[..., :height, :width]

    def _features(self, images):
        levels = [self.stem((images - 0.45) / 0.25)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = self.lateral[-1](levels[-1]) + self.context(levels[-1].mean((2, 3), keepdim=True))
        for level, lateral, merge in zip(levels[-2::-1], self.lateral[-2::-1], self.merge, strict=True):
            x = merge(lateral(level) + F.interpolate(x, size=level.shape[-2:], mode="bilinear"))
        return self.head(x)

    def forward(self, images):
        return self.classifier(self.features(images))


class Residual(nn.Module):
    """x + two 3 x 3 convolutions (He et al., CVPR 2016)."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = convolve(width, width), convolve(width, width, act=False)

    def forward(self, x):
        return F.relu(x + self.second(self.first(x)))


def convolve(a, b, stride=1, groups=1, act=True):
    """Convolution, batch norm, ReLU. A strided one has a 4 x 4 kernel: each cell is centred on the 2 x 2 cells that it covers,
    so that features lie where half-pixel sampling looks for them."""
    size = 4 if stride == 2 else 3
    layers = [nn.Conv2d(a, b, size, stride, 1, groups=groups, bias=False), nn.BatchNorm2d(b)]
    return nn.Sequential(*layers, nn.ReLU()) if act else nn.Sequential(*layers)


def train_mini(corpus, params, seed, out, progress=bar):
    """Train on the folder `corpus` (Cityscapes layout, splits train and val), save to the folder `out` -> a dict of the validation.

    `params` overrides `DEFAULTS`; the same folder, params and seed give the same bytes. `pixel_accuracy` and `miou` are 0..100 and
    measured on whole validation images at full resolution; `iou` is by class, None where a class does not occur.
    """
    unknown = sorted(set(params) - set(DEFAULTS))
    if unknown:
        raise XkdError(f"mini teacher: unknown parameter {unknown[0]!r}; there are {', '.join(sorted(DEFAULTS))}.")
    p = {**DEFAULTS, **params}
    if any(side % 32 for side in p["crop"]):
        raise XkdError(f"mini teacher: crop = {p['crop']} must be multiples of 32 pixels.")
    train, val = Corpus(corpus, "train"), Corpus(corpus, "val")
    images, labels = zip(*[_reduce(*pair, p["longest"]) for pair in progress(train, "teacher images")], strict=True)
    count = sum(np.bincount(one[one >= 0], minlength=len(train.classes)) for one in map(np.asarray, labels))
    if not count.sum():
        raise XkdError(f"{train.root}: no pixel of the train split has a class.")
    # Roots, because poles are a thousand times rarer than road and full balance drowns in their mislabelled rims.
    weight = torch.tensor((count.sum() / np.maximum(count, 1).clip(count.sum() / 1000)) ** p["balance"], dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Mini(len(train.classes), p["dim"], p["widths"]).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=p["lr"], weight_decay=p["weight_decay"], betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, p["lr"], total_steps=p["steps"], pct_start=0.25)
    halves = [Half(network, seed, k, images, labels, weight, p) for k in range(2)]
    with one_thread(), ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in progress(range(p["steps"]), "teacher training"):
            list(pool.map(Half.backward, halves))
            for parameter, other in zip(network.parameters(), halves[1].network.parameters(), strict=True):
                parameter.grad.add_(other.grad).mul_(0.5)
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        report = evaluate(network.eval(), progress(val, "teacher validation"), val.classes)
    described = {"kind": "mini", "classes": train.classes, "dim": p["dim"], "widths": p["widths"]}
    with files.atomic(out, folder=True) as folder:
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "weights.safetensors")
        files.write_json(folder / "network.json", {**described, "params": p, "seed": seed, "validation": report})
    return report


class Half:
    """Half of every batch, with a thread, a random stream and batch norm statistics of its own, on the network's parameters.

    Two halves whatever the machine has: the result does not depend on it, and torch's own pools wait actively for busy cores.
    """

    def __init__(self, network, seed, k, images, labels, weight, p):
        self.network = copy.deepcopy(network) if k else network
        for own, shared in zip(self.network.parameters(), network.parameters(), strict=True):
            own.data = shared.data
        self.images, self.labels, self.weight, self.size, self.count = images, labels, weight, p["crop"], p["batch"] // 2
        self.zoom, self.order = p["zoom"], _endless(len(images), [seed, k])
        self.generator = torch.Generator().manual_seed(2 * seed + k)

    def backward(self):
        chosen = [next(self.order) for _ in range(self.count)]
        x, y = zip(*[crop(self.images[i], self.labels[i], self.size, self.generator, self.zoom) for i in chosen], strict=True)
        x = recolour(torch.cat(x), self.generator).contiguous(memory_format=torch.channels_last)
        logits = F.interpolate(self.network(x), scale_factor=2, mode="bilinear")
        self.network.zero_grad()
        F.cross_entropy(logits, torch.cat(y), self.weight, ignore_index=-1).backward()


def load_mini(path):
    """The network in the folder `path`, in eval mode, with its class names as `.classes`."""
    path = Path(path)
    facts = files.read_json(path / "network.json")
    if facts.get("kind") != "mini":
        raise XkdError(f"{path / 'network.json'}: kind is {facts.get('kind')!r}, not 'mini'.")
    network = Mini(len(facts["classes"]), facts["dim"], facts["widths"])
    try:
        network.load_state_dict(load_file(path / "weights.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise XkdError(f"{path / 'weights.safetensors'}: does not fit network.json ({str(error).splitlines()[0]}).") from None
    network.classes = facts["classes"]
    return network.eval()


@torch.no_grad()
def evaluate(network, pairs, classes):
    """(image, labels) pairs -> {"pixel_accuracy", "miou": 0..100, "iou": {class: 0..100 or None}}."""
    total = 0
    for image, labels in pairs:
        logits = network(to_tensor(image)[None].contiguous(memory_format=torch.channels_last))
        pred = F.interpolate(logits, size=labels.shape, mode="bilinear")[0].argmax(0).numpy()
        total = total + metrics.confusion(pred.ravel(), np.asarray(labels).ravel(), len(classes))
    iou = metrics.iou(total) * 100
    return {
        "pixel_accuracy": float(np.trace(total) / max(total.sum(), 1) * 100),
        "miou": float(np.nanmean(iou)),
        "iou": {name: None if np.isnan(value) else float(value) for name, value in zip(classes, iou, strict=True)},
    }


def crop(image, labels, size, generator, zoom=(0.5, 2.0)):
    """(3, H, W) uint8, (H, W) int64 -> (1, 3, h, w) float 0..1, (1, h/2, w/2) int64: half the time mirrored, 0.5 to 2 times as large.

    Pixels beyond the image repeat its border and are labelled -1. Labels at half the resolution still see every pole.
    """
    draw = torch.rand(5, generator=generator)
    scale, stretch = zoom[0] * (zoom[1] / zoom[0]) ** draw[0], 1.2 ** (2 * draw[1] - 1)
    axes = []
    for side, full, zoom, where in ((size[0], image.shape[1], scale, draw[2]), (size[1], image.shape[2], scale * stretch, draw[3])):
        window = side / zoom / full  # as a share of the image
        centre = (2 * where - 1) * (1 - window)
        axes.append([centre + window * ((torch.arange(side // s) + 0.5) * 2 * s / side - 1) for s in (1, 2)])
    if draw[4] < 0.5:
        axes[1] = [axis.flip(0) for axis in axes[1]]
    fine, coarse = (torch.stack(torch.meshgrid(*pair, indexing="ij")[::-1], -1)[None] for pair in zip(*axes, strict=True))
    x = F.grid_sample(image[None] / 255, fine, padding_mode="border", align_corners=False)
    y = F.grid_sample(labels[None, None].float(), coarse, mode="nearest", align_corners=False)[:, 0].round().long()
    return x, y.masked_fill((coarse.abs() > 1).any(-1), -1)


def recolour(x, generator):
    """(B, 3, h, w) 0..1 -> another light and sensor for each image: gamma, exposure, white balance, contrast, saturation, noise.

    Mild on purpose: two and a half times as much cost 3 to 9 points of accuracy on streets seen by another rig, as short as this
    training is; colours are worth more to it than being proof against their change.
    """

    def normal(*shape):
        return torch.randn(len(x), *shape, generator=generator)

    def uniform(low, high):
        return low + (high - low) * torch.rand(len(x), 1, 1, 1, generator=generator)

    x = x.clamp(1e-3, 1) ** torch.exp(0.1 * normal(1, 1, 1))
    x = x * torch.exp(0.08 * normal(1, 1, 1) + 0.04 * normal(3, 1, 1))
    mean, grey = x.mean((1, 2, 3), keepdim=True), x.mean(1, keepdim=True)
    x = mean + (x - mean) * uniform(0.85, 1.15)
    x = grey + (x - grey) * uniform(0.8, 1.2)
    return (x + uniform(0, 0.02) * normal(*x.shape[1:])).clamp(0, 1)


def to_tensor(image):
    """(H, W, 3) uint8 -> (3, H, W) float32 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _reduce(image, labels, longest):
    """Arrays of the corpus -> (3, h, w) uint8 and (h, w) int64 tensors, at most `longest` pixels a side."""
    image, labels = torch.from_numpy(np.array(image)).permute(2, 0, 1), torch.from_numpy(labels)
    factor = longest / max(labels.shape)
    if factor < 1:
        size = [max(1, round(side * factor)) for side in labels.shape]
        image = F.interpolate(image[None].float(), size=size, mode="area")[0].round().byte()
        labels = F.interpolate(labels[None, None].double(), size=size, mode="nearest-exact")[0, 0].long()
    return image.contiguous(), labels


def _endless(n, seed):
    """Indices 0..n-1 in a new random order, again and again."""
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.permutation(n)


@contextmanager
def one_thread():
    """Sums depend on how threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
