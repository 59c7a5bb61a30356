"""Contrastive and relational objectives between paired features of two modalities, as pure functions of tensors.

Rows of `queries` (S, D) and `keys` (S, D) belong together one by one; both are normalised to length 1 here. Matrices of all rows
against all are never held whole: they are made `BLOCK` rows at a time, and made again for the gradient, which InfoNCE takes at once.
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

BLOCK = 1024
"""Rows of a block: 1024 x 16384 similarities in float32 are 64 MiB."""
ROWS = 128
"""Rows of a block of InfoNCE on a CPU, in whose cache it is to stay."""


def info_nce(queries, keys, temperature, tolerance=None, weight=None):
    """-> the mean over i of -log(exp(s_ii / t) / sum over j of exp(a_ij s_ij / t)), s = cosine: InfoNCE (van den Oord et al. 2018).

    On points and pixels it is the objective of PPKT (Liu et al. 2021), on superpixels that of SLidR (Sautier et al. 2022): every other
    row is a negative, a_ij = 1. `tolerance` (S, E): features that say how alike two rows are; a negative then counts by
    a_ij = 1 - max(0, cosine), as in ST-SLidR (Mahmoud et al., CVPR 2023, and its code). `weight` (S,): of each row in the mean.
    """
    with torch.autocast(queries.device.type, enabled=False):  # half precision would overflow at a low temperature
        queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
        alike = None if tolerance is None else F.normalize(tolerance, dim=1)
        share = torch.full_like(queries[:, 0], 1 / len(queries)) if weight is None else weight / weight.sum()
        return _InfoNCE.apply(queries, keys, temperature, alike, share.to(queries.dtype))


class _InfoNCE(torch.autograd.Function):
    """(S, D) queries and keys of length 1 -> the sum over i of share_i * -log softmax_i(logits_i).

    A block's logits are made once: its part of both gradients is taken while they are there."""

    @staticmethod
    def forward(ctx, queries, keys, temperature, alike, share):
        total, both, rows = queries.new_zeros(()), ctx.needs_input_grad[1], BLOCK if queries.is_cuda else ROWS
        slope = [torch.empty_like(queries), torch.zeros_like(keys) if both else None]
        for first in range(0, len(queries), rows):
            own, weights = queries[first : first + rows], share[first : first + rows]
            logits, place = (own / temperature) @ keys.T, torch.arange(len(own), device=own.device)
            if alike is not None:
                tolerated = 1 - (alike[first : first + rows] @ alike.T).clamp(0, 1)
                tolerated[place, place + first] = 1
                logits *= tolerated
            true, most = logits[place, place + first], logits.amax(1, keepdim=True)
            mass = logits.sub_(most).exp_().sum(1)  # the logits are their exponentials from here on
            total += (weights * (mass.log() + most[:, 0] - true)).sum()
            if alike is not None:
                logits *= tolerated
            # By each logit: weight * (exponential / mass - 1 at the partner's place); what is the same in a row is left to the products.
            logits[place, place + first] -= mass
            scale = (weights / temperature / mass)[:, None]
            slope[0][first : first + rows] = (logits @ keys) * scale
            if both:
                slope[1].addmm_(logits.T, own * scale)
        ctx.save_for_backward(*slope)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        queries, keys = ctx.saved_tensors
        return gradient * queries, None if keys is None else gradient * keys, None, None, None


def rarity(features, threshold=0.0):
    """(S, E) -> weight (S,), 0..1: 1 for the row that fewest others look like, 0 for the one that most do (ST-SLidR's balance).

    A row's votes are the sum of its cosines with all rows that are `threshold` or more; scaled to 0..1 over the batch and turned round.
    Where all rows have the same votes nothing is rare, and all weigh 1.
    """
    features = F.normalize(features, dim=1)

    def votes(own, _):
        similar = own @ features.T
        return torch.where(similar >= threshold, similar, 0).sum(1)

    with torch.no_grad():
        found = blocks(votes, features)
        span = found.max() - found.min()
        return 1 - (found - found.min()) / span if span > 1e-6 * len(found) else torch.ones_like(found)


def relational(queries, keys):
    """-> the mean over all pairs (i, j) of (cosine(q_i, q_j) - cosine(k_i, k_j))^2: the queries are to be as like each other as the keys.

    The affinity structure within a batch, as manifold-aware distillation matches it (CMCMD, Yang et al. 2026); where a query lies in
    space is left free.
    """
    queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)

    def rows(own, first):
        return (own @ queries.T - keys[first : first + len(own)] @ keys.T).square().mean(1)

    return blocks(rows, queries).mean()


def blocks(rows, values):
    """rows(values[first : first + BLOCK], first) for every block, one after another; only what comes out is kept for the gradient.

    Without autocast: half precision would overflow at a low temperature."""
    with torch.autocast(values.device.type, enabled=False):
        if len(values) <= BLOCK:
            return rows(values, 0)
        parts = [
            checkpoint(rows, values[first : first + BLOCK], first, use_reentrant=False)
            for first in range(0, len(values), BLOCK)
        ]
        return torch.cat(parts)
