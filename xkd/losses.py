"""Objectives as pure functions of tensors: no configuration, no state, no input or output."""

import torch
import torch.nn.functional as F


def cosine(student, teacher):
    """(P, D) predictions and (P, D) targets -> mean of 1 - cosine similarity, 0..2.

    The objective of ScaLR (Puy et al. 2024) and CleverDistiller (2025) up to a factor: |a/|a| - b/|b||^2 = 2 (1 - cos).
    """
    return (1 - F.cosine_similarity(student, teacher, dim=1, eps=1e-6)).mean()


def lovasz_softmax(probabilities, labels):
    """(N, C) probabilities and (N,) labels in 0..C-1 -> Lovasz-softmax over the classes present (Berman et al. 2018).

    The convex surrogate of 1 - IoU: per class, errors sorted from large to small, weighted by the Jaccard index' increments.
    """
    present = labels.bincount(minlength=probabilities.shape[1]).nonzero()[:, 0]
    truth = (labels[None] == present[:, None]).to(probabilities.dtype)
    errors = (truth - probabilities[:, present].T).abs()
    errors, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order)
    hits = truth.cumsum(1)
    positives = hits[:, -1:]
    jaccard = 1 - (positives - hits) / (positives + (1 - truth).cumsum(1))
    weight = torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], 1)
    return (errors * weight).sum(1).mean()


def segmentation(logits, labels, lovasz_points, smoothing=0.0):
    """(N, C) logits and (N,) labels, -1 = ignore -> cross-entropy + Lovasz-softmax; 0 where nothing is labelled.

    Lovasz sorts every class: over at most `lovasz_points` points, evenly taken from the batch.
    """
    known = labels >= 0
    if not known.any():
        return logits.sum() * 0
    logits, labels = logits[known], labels[known]
    step = -(-len(labels) // lovasz_points)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing) + lovasz_softmax(
        logits[::step].softmax(1), labels[::step]
    )
