"""Does a point find its own superpixel? How well a student is aligned with its teacher, told without a label."""

import numpy as np
import torch
from torch.nn.functional import normalize

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
    settings, hits, asked, looked = {"crop": 2**62, "augment": STILL}, np.zeros(2), np.zeros(2), 0
    network.eval()
    projection.eval()
    for group in groups:
        voxels, pairs = seen.batch(group, student, settings, rng)
        if not len(pairs["features"]):
            continue
        pairs = {name: value.to(device()) for name, value in pairs.items()}
        with half():
            points = projection(network.features(voxels.to(device()))).float()
        means, keys = superpixels(points, pairs)
        _, own = pairs["superpixel"].unique(return_inverse=True)  # a point's row in `keys`
        for i, (features, row) in enumerate([(means, torch.arange(len(keys), device=own.device)), (points, own)]):
            like = normalize(features) @ normalize(keys).T
            hits[i] += int((like.argmax(1) == row).sum())
            asked[i] += len(row)
        looked += 1
    hit, point = np.round(hits / asked, 4).tolist() if looked else (None, None)
    found = {"hit": hit, "point": point, "among": round(float(asked[0] / looked), 1) if looked else None}
    return found | {"frames": len(chosen), "held": seen is not pool}
