"""Does a point find its own superpixel? How well a student is aligned with its teacher, told without a label."""

import numpy as np
import torch

from xkd.objectives import superpixels
from xkd.parallel import device, half

STILL = {"turn": 0, "flip": 0, "scale": 0, "jitter": 0, "gain": 0}


@torch.inference_mode()
def retrieval(network, projection, pool, student, frames=32, batch=2):
    """How often a point, and the mean of a superpixel's points, taken to the teacher's space by `projection`, is more like (cosine) the
    image features of its own superpixel than those of any other of the batch.

    pool: an `xkd.distill.Pool`; whole scans of its tuning streets, which nothing is trained on, are looked at, of `frames` frames at most,
    evenly chosen; of its own frames where there are no such streets. -> {"hit": share of the superpixels, "point": share of the points,
    "among": superpixels in a batch (mean; chance is one in so many), "frames": how many, "held": whether no training read them}; the
    first three: None without pairs."""
    seen, rng = pool.held(), np.random.default_rng(0)
    chosen = np.linspace(0, len(seen) - 1, min(frames, len(seen))).round().astype(int).tolist()
    groups = [chosen[i : i + batch] for i in range(0, len(chosen), batch)]
    settings, hits, total, looked, found = {"crop": 2**62, "augment": STILL}, 0, 0, 0, []
    network.eval()
    projection.eval()
    for group in groups:
        voxels, pairs = seen.batch(group, student, settings, rng)
        if not len(pairs["features"]):
            continue
        with half():
            points = projection(network.features(voxels.to(device()))).float()
        pairs = {name: value.to(device()) for name, value in pairs.items()}
        means, keys = superpixels(points, pairs)
        own = pairs["superpixel"].unique(return_inverse=True)[
            1
        ]  # the row of a point's superpixel among those that have points
        keys = torch.nn.functional.normalize(keys)
        most, alone = ((torch.nn.functional.normalize(some) @ keys.T).argmax(1) for some in (means, points))
        hits += int((most == torch.arange(len(most), device=most.device)).sum())
        found.append((alone == own).float().mean().item())
        total, looked = total + len(means), looked + 1
    shares = {"hit": hits / total, "point": float(np.mean(found)), "among": total / looked} if looked else {}
    told = {
        name: round(shares[name], places) if shares else None
        for name, places in (("hit", 4), ("point", 4), ("among", 1))
    }
    return told | {"frames": len(chosen), "held": seen is not pool}
