"""Nearest neighbours by the formulas, in float64, one pair at a time where it matters."""

from __future__ import annotations

import numpy as np


def distance_matrix(queries, keys, name):
    """float64 `[q, n]`, by direct difference (no expansion of squares)."""
    q = np.asarray(queries, np.float64)
    x = np.asarray(keys, np.float64)
    if name in ("cosine",):

        def unit(rows):
            norms = np.linalg.norm(rows, axis=1, keepdims=True)
            return np.where(norms > 0, rows / np.where(norms > 0, norms, 1), 0)

        return 1 - unit(q) @ unit(x).T
    if name in ("inner_product",):
        return -(q @ x.T)
    difference = q[:, None, :] - x[None, :, :]
    if name in ("squared_euclidean",):
        return (difference**2).sum(-1)
    if name in ("euclidean",):
        return np.sqrt((difference**2).sum(-1))
    if name in ("manhattan",):
        return np.abs(difference).sum(-1)
    if name in ("snr",):
        return difference.var(-1) / q.var(-1)[:, None]
    raise ValueError(name)


def nearest(queries, keys, k, name, ids=None):
    """Ids `[q, min(k, n)]` and float64 distances, equal distances by id."""
    ids = np.arange(len(keys)) if ids is None else np.asarray(ids)
    matrix = distance_matrix(queries, keys, name)
    found, values = [], []
    for row in matrix:
        order = sorted(range(len(ids)), key=lambda j: (row[j], ids[j]))[:k]
        found.append([ids[j] for j in order])
        values.append([row[j] for j in order])
    return np.array(found), np.array(values)
