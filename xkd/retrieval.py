"""Does a point find its own superpixel? How well a student is aligned with its teacher, told without a label."""

import numpy as np
import torch

from xkd.objectives import superpixels
from xkd.parallel import device, half

STILL = {"turn": 0, "flip": 0, "scale": 0, "jitter": 0, "gain": 0}


@torch.inference_mode()
def retrieval(network, projection, pool, student, frames=32, batch=2):
    """How often the mean of a superpixel's points, taken to the teacher's space by `projection`, is more like (cosine) the image features
    of its own superpixel than those of any other of the batch.

    pool: an `xkd.distill.Pool`; whole scans of its tuning streets, which nothing is trained on, are looked at, of `frames` frames at most,
    evenly chosen; of its own frames where there are no such streets. -> {"hit": share of the superpixels, "among": superpixels in a batch
    (mean; chance is one in so many), "frames": how many, "held": whether no training read them}; the first two: None without pairs."""
    seen, rng = pool.held(), np.random.default_rng(0)
    chosen = np.linspace(0, len(seen) - 1, min(frames, len(seen))).round().astype(int).tolist()
    groups = [chosen[i : i + batch] for i in range(0, len(chosen), batch)]
    settings, hits, total, looked = {"crop": 2**62, "augment": STILL}, 0, 0, 0
    network.eval()
    projection.eval()
    for group in groups:
        voxels, pairs = seen.batch(group, student, settings, rng)
        if not len(pairs["features"]):
            continue
        with half():
            points = projection(network.features(voxels.to(device()))).float()
        means, keys = superpixels(points, {name: value.to(device()) for name, value in pairs.items()})
        like = torch.nn.functional.normalize(means) @ torch.nn.functional.normalize(keys).T
        hits += int((like.argmax(1).cpu() == torch.arange(len(like))).sum())
        total, looked = total + len(like), looked + 1
    found = {"hit": round(hits / total, 4) if total else None, "among": round(total / looked, 1) if looked else None}
    return found | {"frames": len(chosen), "held": seen is not pool}
