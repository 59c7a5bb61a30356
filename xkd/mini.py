"""The embedded 2D teacher: a small segmenter that a CPU trains in a few minutes on pixel-labelled street images.

A strided encoder to 1/32, the whole image's mean as context, and a top-down decoder with lateral connections to 1/4
(feature pyramid, Lin et al., CVPR 2017). The features are what the linear classifier sees.
"""

import copy
import io
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

import xkd
from xkd import files, metrics
from xkd.augment_images import crop, recolour, reduce, to_tensor
from xkd.corpus import FACTS, Corpus
from xkd.errors import XkdError
from xkd.machine import bfloat16, cores
from xkd.optim import Muon
from xkd.progress import progress as bar

DEFAULTS = {
    "dim": 64,  # channels of the features
    "widths": [32, 64, 96, 128],  # channels at strides 4, 8, 16, 32
    "steps": 480,
    "batch": 12,
    "crop": [128, 192],
    "longest": 640,  # larger images are reduced to this many pixels on their longer side
    "zoom": [0.75, 1.5],  # least and most that a training image is enlarged
    "balance": 0.3,  # classes weigh 1 / frequency to this power
    "lr": 0.005,
    "weight_decay": 0.02,
    "save_every": 20.0,  # seconds between resume points
}

CODE = ("augment_images.py", "corpus.py", "machine.py", "mini.py", "optim.py")
"""The modules whose change makes a half-trained state worthless."""


class Mini(nn.Module):
    """`features`: (B, 3, H, W) float RGB 0..1 -> (B, dim, ceil(H/4), ceil(W/4)); `forward`: logits on the same grid."""

    stride = 4

    def __init__(self, classes, dim=64, widths=(32, 64, 96, 128)):
        super().__init__()
        self.dim = dim
        self.stem = nn.Sequential(convolve(3, 24, stride=2), convolve(24, widths[0], stride=2), Residual(widths[0]))
        self.down = nn.ModuleList(
            nn.Sequential(convolve(a, b, stride=2), Residual(b)) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.context = nn.Conv2d(widths[-1], dim, 1)
        self.lateral = nn.ModuleList(nn.Conv2d(width, dim, 1, bias=False) for width in widths)
        self.merge = nn.ModuleList(convolve(dim, dim, groups=dim) for _ in widths[1:])
        # No rectifier at the end: a cosine between features can then be negative.
        self.head = nn.Sequential(convolve(dim, dim), nn.Conv2d(dim, dim, 1, bias=False), nn.BatchNorm2d(dim))
        self.classifier = nn.Conv2d(dim, classes, 1)

    def features(self, images):
        height, width = (-(-side // 4) for side in images.shape[-2:])
        if images.shape[-2:] != (4 * height, 4 * width):  # whole cells, or the map would reach beyond the image
            images = F.interpolate(images, size=(4 * height, 4 * width), mode="bilinear")
        images = F.pad(images, (0, -4 * width % 32, 0, -4 * height % 32), mode="replicate")
        levels = [self.stem((images - 0.45) / 0.25)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = self.lateral[-1](levels[-1]) + self.context(levels[-1].mean((2, 3), keepdim=True))
        for level, lateral, merge in zip(levels[-2::-1], self.lateral[-2::-1], self.merge, strict=True):
            x = merge(lateral(level) + F.interpolate(x, size=level.shape[-2:], mode="bilinear"))
        return self.head(x)[..., :height, :width]

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
    """Convolution, batch norm, ReLU. A strided kernel is 4 x 4, so that a cell is centred on the 2 x 2 cells that it
    covers and features lie where half-pixel sampling looks for them."""
    size = 4 if stride == 2 else 3
    layers = [nn.Conv2d(a, b, size, stride, 1, groups=groups, bias=False), nn.BatchNorm2d(b)]
    return nn.Sequential(*layers, nn.ReLU()) if act else nn.Sequential(*layers)


def train_mini(corpus, params, seed, out, progress=bar):
    """Train on the folder `corpus` (Cityscapes layout, train and val), save to the folder `out` -> a validation dict.

    `params` overrides `DEFAULTS`; the same folder, params and seed give the same bytes, and so does a killed training that
    goes on from its last resume point. The report is that of `evaluate` on the validation split. Errors: an unknown
    parameter or one out of range, a corpus that cannot be read.
    """
    p = settings(params)
    train, val = Corpus(corpus, "train"), Corpus(corpus, "val")
    # How often a state is kept changes nothing in the result, and so nothing in what is said about it.
    facts = {"params": {k: v for k, v in p.items() if k != "save_every"}, "seed": seed}
    data = read_images(train, p["longest"], progress)
    resume = resume_file(train, facts)
    count = np.sum([np.bincount(labels[labels >= 0], minlength=len(train.classes)) for _, labels in data], axis=0)
    if not count.sum():
        raise XkdError(f"{train.root}: no pixel of the train split has a class.")
    share = np.maximum(count / count.sum(), 0.001)
    weight = torch.tensor(share ** -p["balance"], dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Mini(len(train.classes), p["dim"], p["widths"]).to(memory_format=torch.channels_last).train()
    optimiser = Muon(network.parameters(), p["lr"], p["weight_decay"], apart=network.classifier.parameters())
    rise = max(0.25, 2 / p["steps"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [p["lr"]] * 2, total_steps=p["steps"], pct_start=rise, cycle_momentum=False
    )
    halves = [Half(network, seed, k, data, weight, p) for k in range(2)]
    done = load_state(resume, halves, optimiser, schedule)
    saved = time.monotonic()
    with one_thread(), ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as workers:
        for step in progress(range(done, p["steps"]), "teacher training"):
            list(workers.map(Half.backward, halves))
            for parameter, other in zip(network.parameters(), halves[1].network.parameters(), strict=True):
                parameter.grad.add_(other.grad).mul_(0.5)
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if time.monotonic() - saved > p["save_every"]:
                saved = time.monotonic()
                save_state(resume, step + 1, halves, optimiser, schedule)
        report = evaluate(network.eval(), progress(val, "teacher validation"), val.classes)
    facts |= {"kind": "mini", "classes": train.classes, "validation": report}
    weights = to_bytes({k: v.contiguous() for k, v in network.state_dict().items()})
    with files.atomic(out, folder=True) as folder:
        (folder / "weights.safetensors").write_bytes(weights)
        files.write_json(folder / "network.json", facts)
    resume.unlink(missing_ok=True)
    return report


def settings(params):
    """`DEFAULTS` with `params` in their places."""
    unknown = sorted(set(params) - set(DEFAULTS))
    if unknown:
        raise XkdError(f"mini teacher: unknown parameter {unknown[0]!r}; there are {', '.join(sorted(DEFAULTS))}.")
    p = {**DEFAULTS, **params}
    if any(side % 32 or side < 64 for side in p["crop"]):
        raise XkdError(f"mini teacher: crop = {p['crop']} must be multiples of 32 pixels, 64 at least.")
    if p["batch"] < 2 or p["batch"] % 2 or p["steps"] < 3:
        raise XkdError(f"mini teacher: batch = {p['batch']} must be even and steps = {p['steps']} three at least.")
    return p


def read_images(corpus, longest, progress):
    """All of a corpus, reduced to `longest` pixels a side -> list of ((3, h, w) uint8, (h, w) int8) tensors."""
    with ThreadPoolExecutor(cores()) as readers:
        images = readers.map(lambda i: reduce(*corpus[i], longest), range(len(corpus)))
        return list(progress(images, "teacher images", len(corpus)))


def resume_file(train, facts):
    """Where the state of this very training, on these bytes, lies: outside every stage's outs, which DVC deletes."""
    code = [Path(__file__).parent / name for name in CODE]
    key = files.digest([facts, bfloat16()], FACTS, *code, *train.images, *train.labels)
    return xkd.ROOT / "out" / "resume" / key / "mini.pt"


def save_state(path, done, halves, optimiser, schedule):
    """All that the steps after the first `done` hang on, through bytes: torch reports a full disk as no OSError."""
    state = {"done": done, "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
    whole = io.BytesIO()
    torch.save(state | {"halves": [half.state() for half in halves]}, whole)
    with files.atomic(path) as temporary:
        temporary.write_bytes(whole.getbuffer())


def load_state(path, halves, optimiser, schedule):
    """Puts back what `save_state` wrote -> the steps done, 0 where nothing is kept."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    for half, kept in zip(halves, state["halves"], strict=True):
        half.restore(kept, state["done"])
    return state["done"]


class Half:
    """Half of every batch: a thread, a random stream and batch norm statistics of its own, on the network's parameters; products in
    bfloat16 where the processor has them.

    Two halves whatever the machine has, so that the result does not hang on it; torch's own pools crawl on busy cores.
    """

    def __init__(self, network, seed, k, data, weight, p):
        self.network = copy.deepcopy(network) if k else network
        for own, shared in zip(self.network.parameters(), network.parameters(), strict=True):
            own.data = shared.data
        self.data, self.weight, self.p = data, weight, p
        self.order, self.generator = endless(len(data), [seed, k]), torch.Generator().manual_seed(2 * seed + k)

    def state(self):
        return {"network": self.network.state_dict(), "generator": self.generator.get_state()}

    def restore(self, state, done):
        """In place, so that the halves go on sharing parameters; the order is drawn again up to where it was."""
        self.network.load_state_dict(state["network"])
        self.generator.set_state(state["generator"])
        for _ in range(done * (self.p["batch"] // 2)):
            next(self.order)

    def backward(self):
        chosen = [self.data[next(self.order)] for _ in range(self.p["batch"] // 2)]
        crops = [crop(*pair, self.p["crop"], self.generator, self.p["zoom"]) for pair in chosen]
        x, y = (torch.cat(one) for one in zip(*crops, strict=True))
        x = recolour(x, self.generator).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16()):
            logits = self.network(x)
        logits = F.interpolate(logits.float(), scale_factor=2, mode="bilinear")
        self.network.zero_grad()
        F.cross_entropy(logits, y, self.weight, ignore_index=-1).backward()


def endless(n, seed):
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


@torch.no_grad()
def evaluate(network, pairs, classes):
    """(image, labels) pairs -> {"pixel_accuracy": 0..100, "miou": 0..100, "iou": {class: 0..100}}.

    On whole images at full resolution; the IoU of a class that does not occur is None.
    """
    total = 0
    for image, labels in pairs:
        logits = network(to_tensor(image)[None].contiguous(memory_format=torch.channels_last))
        pred = F.interpolate(logits, size=labels.shape, mode="bilinear")[0].argmax(0).numpy()
        total = total + metrics.confusion(pred, labels, classes)
    iou = metrics.iou(total) * 100
    if np.isnan(iou).all():
        raise XkdError("mini teacher: no pixel of the validation split has a class.")
    return {
        "pixel_accuracy": float(np.trace(total) / total.sum() * 100),
        "miou": float(np.nanmean(iou)),
        "iou": {name: None if np.isnan(value) else float(value) for name, value in zip(classes, iou, strict=True)},
    }


def load_mini(path):
    """The network in the folder `path`, in eval mode, with its class names as `.classes`."""
    path = Path(path)
    facts = files.read_json(path / "network.json")
    if facts.get("kind") != "mini":
        raise XkdError(f"{path / 'network.json'}: kind is {facts.get('kind')!r}, not 'mini'.")
    network = Mini(len(facts["classes"]), facts["params"]["dim"], facts["params"]["widths"])
    weights = path / "weights.safetensors"
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise XkdError(f"{weights}: does not fit network.json ({str(error).splitlines()[0]}).") from None
    network.classes = facts["classes"]
    return network.eval()
