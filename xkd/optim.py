"""The optimisers that a training can have: Muon for the kernels of convolutions and AdamW for all other parameters, as one with one
learning rate, and those of published protocols."""

import torch

from xkd.errors import XkdError

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Jordan's coefficients: five iterations bring singular values of 0.01 to 1 to between about 0.5 and 1.5."""


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024): a kernel, as a matrix (outputs, weights of an output), moves along the orthogonal factor of its momentum.

    Kernels are the parameters of more than two dimensions with 16 weights an output or more, but for those in `apart` (a classifier's) and
    those that say so of themselves (an attribute `apart`: whose shape is not the matrix they act as).
    Their steps have the root mean square of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training"), so that one rate and one
    weight decay serve all. What `torch.optim.Muon` does to matrices alone, in float32 instead of bfloat16 and in half its time.
    """

    def __init__(self, parameters, lr, weight_decay, apart=(), momentum=0.95, betas=(0.9, 0.99)):
        parameters, apart = list(parameters), {id(p) for p in apart}
        chosen = [
            p.ndim > 2 and p[0].numel() >= 16 and id(p) not in apart and not getattr(p, "apart", False)
            for p in parameters
        ]
        kernels = [p for p, kernel in zip(parameters, chosen, strict=True) if kernel]
        others = [p for p, kernel in zip(parameters, chosen, strict=True) if not kernel]
        groups = [{"params": kernels, "momentum": momentum}, {"params": others, "betas": betas, "steps": 0}]
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
                (self._muon if "momentum" in group else self._adam)(group, moved, [p.grad for p in moved])

    def _averages(self, name, parameters):
        return [self.state[p].setdefault(name, torch.zeros_like(p)) for p in parameters]

    def _muon(self, group, kernels, gradients):
        speed = self._averages("speed", kernels)
        torch._foreach_lerp_(speed, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, speed, group["momentum"])  # Nesterov
        moves = orthogonal([direction.reshape(len(direction), -1) for direction in ahead])
        for kernel, move in zip(kernels, moves, strict=True):
            kernel.add_(move.reshape(kernel.shape), alpha=-0.2 * max(move.shape) ** 0.5 * group["lr"])

    def _adam(self, group, others, gradients):
        group["steps"] += 1
        first, second = group["betas"]
        mean, square = self._averages("mean", others), self._averages("square", others)
        torch._foreach_lerp_(mean, gradients, 1 - first)
        torch._foreach_mul_(square, second)
        torch._foreach_addcmul_(square, gradients, gradients, 1 - second)
        size = torch._foreach_div(square, 1 - second ** group["steps"])
        torch._foreach_sqrt_(size)
        torch._foreach_add_(size, 1e-8)
        torch._foreach_addcdiv_(others, mean, size, -group["lr"] / (1 - first ** group["steps"]))


def orthogonal(matrices, iterations=5):
    """[(R, C)] -> of each about U V^T of its singular value decomposition U S V^T, by Newton-Schulz.

    Iterated on the Gram matrices of the shorter sides, which is what makes it cheap: a wide matrix is multiplied twice instead of ten
    times. A GPU, which takes longer to be told of a small product than to make it, iterates those of one size as a batch.
    """
    wide = [m if m.shape[0] <= m.shape[1] else m.T for m in matrices]
    norms = torch._foreach_norm(wide)
    torch._foreach_clamp_min_(norms, 1e-7)
    wide = list(torch._foreach_div(wide, norms))
    sizes = {}
    for place, matrix in enumerate(wide):
        sizes.setdefault((len(matrix), None if matrix.is_cuda else place), []).append(place)
    for places in sizes.values():
        factors = _root(torch.stack([wide[k] @ wide[k].T for k in places]), iterations)
        for factor, k in zip(factors, places, strict=True):
            wide[k] = factor @ wide[k]
    return [w if m.shape[0] <= m.shape[1] else w.T for w, m in zip(wide, matrices, strict=True)]


def _root(grams, iterations):
    """(B, R, R) Gram matrices of wide ones -> (B, R, R) that the wide ones are to be multiplied with."""
    a, b, c = QUINTIC
    one = torch.eye(grams.shape[1], dtype=grams.dtype, device=grams.device)
    whole = one.expand_as(grams)
    for _ in range(iterations):
        factors = torch.baddbmm(a * one + b * grams, grams, grams, alpha=c)
        whole, grams = factors @ whole, factors @ grams @ factors
    return whole


def adamw(parameters, lr, weight_decay):
    """AdamW (Loshchilov & Hutter 2019) with torch's defaults, as ScaLR has it."""
    # On a GPU one kernel moves all of them; elsewhere torch chooses.
    fused = all(p.is_cuda for p in parameters) or None
    return torch.optim.AdamW(parameters, lr, weight_decay=weight_decay, fused=fused)


def sgd(parameters, lr, weight_decay):
    """SGD with the momentum and dampening of SLidR (Sautier et al. 2022). Not torch's fused one, which leaves the momentum unset where the
    first step overflows in half precision."""
    return torch.optim.SGD(parameters, lr, momentum=0.9, dampening=0.1, weight_decay=weight_decay)


OPTIMISERS = {"muon": Muon, "adamw": adamw, "sgd": sgd}


def optimisers(name, network, lr, weight_decay, head=1.0):
    """[(optimiser, factor of its learning rate)] of a network's parameters: one, or two where the classifier's rate is `head` times the
    others'. Errors: an unknown name."""
    if name not in OPTIMISERS:
        raise XkdError(f"params.yaml: optimiser {name!r} is unknown; there are {', '.join(OPTIMISERS)}.")
    parameters = [p for p in network.parameters() if p.requires_grad]
    if head == 1:
        return [(OPTIMISERS[name](parameters, lr, weight_decay), 1.0)]
    apart = {id(p) for p in network.head.parameters()}
    parts = [[p for p in parameters if (id(p) in apart) == own] for own in (False, True)]
    return [(OPTIMISERS[name](part, lr, weight_decay), factor) for part, factor in zip(parts, (1.0, head), strict=True)]
