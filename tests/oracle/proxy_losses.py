"""Losses on proxies from their formulas: loops over examples and classes, in float64.

Each takes cosines `[batch, classes]` or `[batch, classes, centers]` and class ids, and
returns one loss for each example.
"""

import math

import numpy as np


def cosines(embeddings, proxies):
    """Of embeddings `[n, dim]` and proxies `[classes, centers, dim]`; zero rows have cosine 0."""
    table = np.zeros((len(embeddings), *proxies.shape[:2]))
    for i, x in enumerate(np.asarray(embeddings, float)):
        for j, centers in enumerate(np.asarray(proxies, float)):
            for k, p in enumerate(centers):
                lengths = math.sqrt(x @ x) * math.sqrt(p @ p)
                table[i, j, k] = x @ p / lengths if lengths else 0
    return table[:, :, 0] if proxies.shape[1] == 1 else table


def _cross_entropy(logits, label):
    top = max(logits)
    return math.log(sum(math.exp(v - top) for v in logits)) + (top - logits[label])


def _softmax_loss(table, labels, scale, own):
    losses = []
    for row, label in zip(table, labels, strict=True):
        classes = [max(c) if np.ndim(c) else c for c in row]
        logits = [scale * (own(c) if j == label else c) for j, c in enumerate(classes)]
        losses.append(_cross_entropy(logits, label))
    return np.array(losses)


def _angle(cosine):
    return math.acos(min(1, max(-1, cosine)))


def normalized_softmax(table, labels, temperature=0.05):
    return _softmax_loss(table, labels, 1 / temperature, lambda c: c)


def p2s_grad(table, labels):
    losses = []
    for row, label in zip(table, labels, strict=True):
        classes = [max(c) if np.ndim(c) else c for c in row]
        losses.append(sum((c - (j == label)) ** 2 for j, c in enumerate(classes)))
    return np.array(losses)


def cosface(table, labels, margin=0.35, scale=64):
    return _softmax_loss(table, labels, scale, lambda c: c - margin)


def arcface(table, labels, margin=0.5, scale=64):
    def own(cosine):
        angle = _angle(cosine)
        if angle <= math.pi - margin:
            return math.cos(angle + margin)
        return cosine - margin * math.sin(margin)

    return _softmax_loss(table, labels, scale, own)


def sphereface(table, labels, margin=4, scale=30):
    def own(cosine):
        angle = _angle(cosine)
        k = min(margin - 1, math.floor(margin * angle / math.pi))
        return (-1) ** k * math.cos(margin * angle) - 2 * k

    return _softmax_loss(table, labels, scale, own)


def proxy_nca(table, labels, softmax_scale=9):
    losses = []
    for row, label in zip(table, labels, strict=True):
        squares = [2 - 2 * (max(c) if np.ndim(c) else c) for c in row]
        losses.append(_cross_entropy([-softmax_scale * s for s in squares], label))
    return np.array(losses)


def soft_triple(table, labels, scale=20, gamma=0.1, margin=0.01):
    losses = []
    for row, label in zip(table, labels, strict=True):
        classes = []
        for centers in row:
            weights = [math.exp(c / gamma) for c in centers]
            total = sum(weights)
            classes.append(sum(w / total * c for w, c in zip(weights, centers, strict=True)))
        classes[label] -= margin
        losses.append(_cross_entropy([scale * c for c in classes], label))
    return np.array(losses)


def proxy_anchor(table, labels, margin=0.1, alpha=32):
    """Shares of the loss, whose mean over the batch is the loss."""
    n, classes = table.shape[:2]
    nearest = [[max(c) if np.ndim(c) else c for c in row] for row in table]
    losses = np.zeros(n)
    present = sorted(set(labels))
    for p in range(classes):
        own = [i for i in range(n) if labels[i] == p]
        others = [i for i in range(n) if labels[i] != p]
        pull = math.log1p(sum(math.exp(-alpha * (nearest[i][p] - margin)) for i in own))
        push = math.log1p(sum(math.exp(alpha * (nearest[i][p] + margin)) for i in others))
        for i in own:
            losses[i] += n * pull / (len(own) * len(present))
        losses += push / classes
    return losses
