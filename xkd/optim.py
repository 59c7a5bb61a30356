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
        for kernel, direction in zip(kernels, ahead, strict=True):
            matrix = direction.reshape(len(kernel), -1)
            size = 0.2 * max(matrix.shape) ** 0.5
            kernel.add_(orthogonal(matrix).reshape(kernel.shape), alpha=-size * group["lr"])

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


def orthogonal(matrix, iterations=5):
    """(R, C) -> about U V^T of its singular value decomposition U S V^T, by Newton-Schulz.

    Iterated on the Gram matrix of the shorter side, which is what makes it cheap: the wide matrix is multiplied twice instead of ten times.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=1e-7)
    a, b, c = QUINTIC
    gram = wide @ wide.T
    one = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    whole = one
    for _ in range(iterations):
        factor = torch.addmm(a * one + b * gram, gram, gram, alpha=c)
        whole, gram = factor @ whole, factor @ gram @ factor
    wide = whole @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


def adamw(parameters, lr, weight_decay):
    """AdamW (Loshchilov & Hutter 2019) with torch's defaults, as ScaLR has it."""
    return torch.optim.AdamW(parameters, lr, weight_decay=weight_decay)


def sgd(parameters, lr, weight_decay):
    """SGD with the momentum and dampening of SLidR (Sautier et al. 2022)."""
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
