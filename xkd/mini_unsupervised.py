"""The embedded 2D teacher trained without any label, on the same images: a control for what pixel labels give it."""

import torch
import torch.nn.functional as F
from safetensors.torch import save as to_bytes
from torch import nn

from xkd import files
from xkd.augment_images import crop, recolour
from xkd.contrast import info_nce
from xkd.corpus import Corpus
from xkd.mini import Mini, endless, one_thread, read_images, settings
from xkd.optim import Muon
from xkd.progress import progress

PLACES, TEMPERATURE = 512, 0.1
"""Places of a batch that are told apart; of the contrast between two looks at them."""


def train_unsupervised(corpus, params, seed, out):
    """Trains `Mini` on the images of the folder `corpus` to tell places apart in two looks at them, and writes it as `xkd.mini` does.

    Each place's features in one look are to be most like its features in another, differently cut, enlarged and coloured, among those
    of all places of the batch (dense contrast, as DenseCL, Wang et al., CVPR 2021, in one branch). Labels are not read; the
    classifier stays as it was drawn. params: see `xkd.mini.DEFAULTS`. -> the losses.
    """
    p = settings(params)
    train = Corpus(corpus, "train")
    images = [image for image, _ in read_images(train, p["longest"], progress)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Mini(len(train.classes), p["dim"], p["widths"]).to(memory_format=torch.channels_last).train()
        head = nn.Sequential(nn.Linear(p["dim"], p["dim"]), nn.ReLU(), nn.Linear(p["dim"], p["dim"]))
    parameters = [q for name, q in network.named_parameters() if not name.startswith("classifier.")]
    optimiser = Muon([*parameters, *head.parameters()], p["lr"], p["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [p["lr"]] * 2, total_steps=p["steps"], pct_start=max(0.25, 2 / p["steps"]), cycle_momentum=False
    )
    generator, order, losses = torch.Generator().manual_seed(seed), endless(len(images), [seed, 9]), []
    with one_thread():
        for _ in progress(range(p["steps"]), "teacher without labels", p["steps"]):
            first, second, place, other, both = looks([images[next(order)] for _ in range(p["batch"])], p, generator)
            maps = network.features(torch.cat([first, second]).contiguous(memory_format=torch.channels_last)).float()
            a, b = (head(at(half, where)[both]) for half, where in zip(maps.chunk(2), (place, other), strict=True))
            loss = (info_nce(a, b, TEMPERATURE) + info_nce(b, a, TEMPERATURE)) / 2
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*parameters, *head.parameters()], 1.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
    facts = {"kind": "mini", "classes": train.classes, "params": p, "seed": seed, "labels": "none were read"}
    files.write_json(out / "network.json", facts)
    with files.atomic(out / "weights.safetensors") as temporary:
        temporary.write_bytes(to_bytes({k: v.contiguous() for k, v in network.state_dict().items()}))
    return losses


def looks(images, p, generator):
    """(3, H, W) uint8 images -> two looks (B, 3, h, w) at the same part of each, where some PLACES places lie in them, twice (B, n, 2),
    -1..1, and which of these (B * n,) both looks show."""
    whole = torch.cat(
        [
            crop(image, torch.zeros(image.shape[1:], dtype=torch.int8), p["crop"], generator, p["zoom"])[0]
            for image in images
        ]
    )
    count = -(-PLACES // len(images))
    place = torch.rand(len(images), count, 2, generator=generator) * 1.8 - 0.9
    scale = 1.3 ** (2 * torch.rand(len(images), 1, 1, generator=generator) - 1)
    shift = (2 * torch.rand(len(images), 1, 2, generator=generator) - 1) * 0.3
    # A pixel g of the second look shows what lies at g * scale + shift of the first.
    other = (place - shift) / scale
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale[:, 0, 0]
    theta[:, :, 2] = shift[:, 0]
    second = F.grid_sample(
        whole, F.affine_grid(theta, list(whole.shape), align_corners=False), padding_mode="border", align_corners=False
    )
    both = (other.abs() < 1).all(-1).flatten()
    return recolour(whole, generator), recolour(second, generator), place, other, both


def at(maps, where):
    """(B, D, h, w) maps, (B, n, 2) places -> (B * n, D)."""
    found = F.grid_sample(maps, where[:, None], padding_mode="border", align_corners=False)
    return found[:, :, 0].permute(0, 2, 1).flatten(0, 1)
