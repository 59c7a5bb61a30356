"""The fusion encoder: one feature a point from its own 3D feature and the image features of all views that see it."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch_scatter import scatter_sum

from xkd.errors import XkdError

FACTS = ("log depth", "own sweep", "earlier", "later")
"""What is known of a view besides its image feature; see `facts_of`."""
SHARPEST = 20.0
"""Most that a head's cosine is multiplied by: exp of it is far from overflow, so that no maximum has to be taken first."""


class Fusion(nn.Module):
    """Gated cross-attention from a point to its views -> (N, width) unified features; `inputs`: 3D channels, `images`: 2D channels.

    For point i with 3D feature h_i and views p with image features z_p and facts g_p, per head and with unit vectors q and k

        q_i = unit(W_q h_i),  k_p = unit(W_k z_p + U g_p),  s_p = t q_i . k_p,  n_i = t tanh(w_n . h_i)
        a_p = exp(s_p) / (exp(n_i) + sum over the views r of i of exp(s_r)),  c_i = sum over p of a_p W_v z_p
        f_i = norm(W_h h_i + sigmoid(W_g [h_i, c_i]) * W_o c_i)

    n_i is the point's right to look at no view, t <= 20 a learnt sharpness. A point that no camera sees has c = 0 and keeps a feature
    of its own; a camera that is missing leaves the others their shares. Cost: (N + P) width (inputs + images) products for P views;
    sums over views are scatter sums, so that it runs on any device.
    """

    def __init__(self, inputs, images, width=64, heads=4):
        super().__init__()
        if width % heads:
            raise XkdError(f"fusion: width {width} is no multiple of the {heads} heads.")
        self.heads, self.width = heads, width
        self.query, self.none = nn.Linear(inputs, width), nn.Linear(inputs, heads)
        self.key, self.facts = nn.Linear(images, width, bias=False), nn.Linear(len(FACTS), width)
        self.value, self.out = nn.Linear(images, width), nn.Linear(width, width, bias=False)
        self.own, self.gate = nn.Linear(inputs, width), nn.Linear(inputs + width, width)
        self.norm = nn.LayerNorm(width)
        self.sharpness = nn.Parameter(torch.full((heads,), math.log(5.0)))

    def attention(self, points, images, point, facts):
        """(N, inputs), (P, images), (P,) rows of `points`, (P, 4) -> the share a (P, heads) that each view has of its point; a point's
        shares sum to less than 1."""
        sharpness = self.sharpness.exp().clamp(max=SHARPEST)
        query = self._split(self.query(points))
        key = self._split(self.key(images) + self.facts(facts))
        weight = ((query[point] * key).sum(-1) * sharpness).exp()
        none = (self.none(points).tanh() * sharpness).exp()
        total = none + scatter_sum(weight, point, 0, dim_size=len(points))
        return weight / total[point]

    def forward(self, points, images, point, facts):
        """Shapes as in `attention` -> (N, width)."""
        share = self.attention(points, images, point, facts)
        value = self.value(images).unflatten(1, (self.heads, -1)) * share[..., None]
        seen = scatter_sum(value.flatten(1), point, 0, dim_size=len(points))
        gate = self.gate(torch.cat([points, seen], 1)).sigmoid()
        return self.norm(self.own(points) + gate * self.out(seen))

    def _split(self, values):
        return F.normalize(values.unflatten(1, (self.heads, -1)), dim=-1, eps=1e-6)


def facts_of(depth, step):
    """depth (P,) metres, step (P,) frames from the sweep to the image (0: the sweep's own, -1: one before) -> (P, 4) float32 `FACTS`.

    log depth is scaled to about -1..1 between 1 and 80 m."""
    depth, step = torch.as_tensor(depth).float(), torch.as_tensor(step)
    scaled = depth.clamp(min=0.1).log() / math.log(9.0) - 1
    return torch.stack([scaled, (step == 0).float(), (step < 0).float(), (step > 0).float()], 1)
