"""Metrics of training written from their definitions, one query and one pair at a time."""

import numpy as np

from oracle import distances


def pairs(labels):
    """The positives and the negatives of each query, as lists of places."""
    n = len(labels)
    for i in range(n):
        positives = [j for j in range(n) if j != i and labels[j] == labels[i]]
        yield i, positives, [j for j in range(n) if labels[j] != labels[i]]


def distances_kept(labels, embeddings, distance, anchor, strategy):
    """The distances that `DistanceMetric` aggregates, of one batch."""
    d = distances.matrix(distance, embeddings, embeddings)
    kept = []
    for i, positives, negatives in pairs(labels):
        values = [d[i, j] for j in (positives if anchor == "positive" else negatives)]
        if values and strategy == "all":
            kept += values
        elif values:
            farthest = (anchor == "positive") == (strategy == "hard")
            kept.append(max(values) if farthest else min(values))
    return kept


def aggregated(values, aggregate):
    """Of all batches together; NaN of nothing."""
    if not len(values):
        return np.nan
    return {"mean": np.mean, "avg": np.mean, "max": np.max, "min": np.min, "sum": np.sum}[
        aggregate
    ](values)


def gaps(labels, embeddings, distance):
    """Nearest negative less farthest positive, of each query that has both."""
    d = distances.matrix(distance, embeddings, embeddings)
    return [min(d[i, n]) - max(d[i, p]) for i, p, n in pairs(labels) if p and n]


def active(labels, embeddings, distance, margin):
    """Whether each pair is part of a triplet that violates the margin."""
    d = distances.matrix(distance, embeddings, embeddings)
    found = []
    for i, positives, negatives in pairs(labels):
        if positives and negatives:
            found += [any(d[i, p] + margin > d[i, n] for n in negatives) for p in positives]
            found += [any(d[i, p] + margin > d[i, n] for p in positives) for n in negatives]
    return found


def without_positives(labels):
    return [not positives for _, positives, _ in pairs(labels)]


def cosines(embeddings):
    """1 - cosine distance of all pairs of different rows."""
    d = distances.matrix("cosine", embeddings, embeddings)
    n = len(d)
    return [1 - d[i, j] for i in range(n) for j in range(n) if i != j]


def effective_rank(embeddings):
    """From the eigenvalues of the covariance."""
    centred = np.asarray(embeddings, np.float64) - np.mean(embeddings, axis=0, dtype=np.float64)
    eigenvalues = np.linalg.svd(centred, compute_uv=False) ** 2
    if eigenvalues.sum() == 0:
        return 0.0
    return eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
