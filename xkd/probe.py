"""What frozen features know: a linear probe and k nearest neighbours, fitted on labelled points and scored like any network.

`embed(i)` gives the features (N, C) of the points of frame i of a prepared split: a student's, a fused network's, or a teacher's.
"""

import numpy as np
import torch
import torch.nn.functional as F

from xkd.errors import XkdError
from xkd.train import tally

BLOCK = 4096


def drawn(prepared, frames, embed, count, seed):
    """Features (M, C) float32 and labels (M,) int64 of at most `count` labelled points a frame, drawn evenly over its points.

    Errors: no labelled point in any of the frames."""
    features, labels = [], []
    for i in frames:
        known = np.flatnonzero(prepared.labels(i) >= 0)
        rng = np.random.default_rng([seed, 4, i])
        chosen = np.sort(rng.choice(known, min(count, len(known)), replace=False))
        features.append(torch.as_tensor(embed(i)).float()[chosen])
        labels.append(torch.from_numpy(prepared.labels(i)[chosen].astype(np.int64)))
    if not sum(len(part) for part in labels):
        raise XkdError(f"{prepared.path}: none of the {len(frames)} frames of the probe has a labelled point.")
    return torch.cat(features), torch.cat(labels)


def linear(features, labels, classes, decay=1e-4, iterations=200):
    """Multinomial logistic regression on standardised features -> a function (N, C) -> (N,) class ids.

    The cross-entropy's mean plus decay / 2 times the squared weights is brought to its minimum by L-BFGS, from zero: nothing is
    drawn and no learning rate is to be chosen. A class without a point is never guessed.
    """
    features = torch.as_tensor(features).float()
    mean, spread = features.mean(0), features.std(0, unbiased=False).clamp(min=1e-6)
    inputs = ((features - mean) / spread).double()
    weight = torch.zeros(classes, inputs.shape[1], dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    absent = labels.bincount(minlength=classes) == 0
    closed = torch.zeros(classes, dtype=torch.float64).masked_fill(absent, -torch.inf)
    optimiser = torch.optim.LBFGS([weight, offset], max_iter=iterations, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = F.cross_entropy(F.linear(inputs, weight, offset + closed), labels) + decay / 2 * weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    matrix, shift = weight.detach().float(), (offset.detach() + closed).float()
    return lambda values: F.linear((torch.as_tensor(values).float() - mean) / spread, matrix, shift).argmax(1)


def nearest(features, labels, classes, k=20, temperature=0.07):
    """The k points most like it (cosine of centred features) vote for a point's class, each by exp(cosine / temperature) (Wu et al.
    2018, as DINO evaluates) -> a function (N, C) -> (N,) class ids."""
    features = torch.as_tensor(features).float()
    mean = features.mean(0)
    bank, k = F.normalize(features - mean, dim=1), min(k, len(features))

    def guess(values):
        values, found = F.normalize(torch.as_tensor(values).float() - mean, dim=1), []
        for first in range(0, len(values), BLOCK):
            likeness, place = (values[first : first + BLOCK] @ bank.T).topk(k, 1)
            votes = torch.zeros(len(likeness), classes)
            found.append(votes.scatter_add_(1, labels[place], (likeness / temperature).exp()).argmax(1))
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)

    return guess


def score(prepared, frames, embed, guess):
    """What `xkd.train.tally` counts of the probe's predictions on some frames: (S, C, C) int64, and the streets' names."""
    with torch.inference_mode():
        return tally(prepared, {i: guess(embed(i)).numpy() for i in frames})
