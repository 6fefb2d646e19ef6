"""Distances from their definitions, one pair at a time in float64."""

import numpy as np


def cosine(a, b):
    lengths = np.sqrt(np.sum(a * a)) * np.sqrt(np.sum(b * b))
    return 1 - np.sum(a * b) / lengths if lengths > 0 else 1.0


def squared_euclidean(a, b):
    return np.sum((a - b) ** 2)


def euclidean(a, b):
    return np.sqrt(np.sum((a - b) ** 2))


def manhattan(a, b):
    return np.sum(np.abs(a - b))


def inner_product(a, b):
    return -np.sum(a * b)


def snr(a, b):
    return np.var(a - b) / np.var(a)


BY_NAME = {
    "cosine": cosine,
    "euclidean": euclidean,
    "inner_product": inner_product,
    "manhattan": manhattan,
    "snr": snr,
    "squared_euclidean": squared_euclidean,
}


def matrix(distance, queries, keys):
    """`[queries, keys]` values of a distance, given by name or as a function of two vectors."""
    function = BY_NAME[distance] if isinstance(distance, str) else distance
    queries, keys = np.asarray(queries, np.float64), np.asarray(keys, np.float64)
    return np.array([[function(a, b) for b in keys] for a in queries]).reshape(
        len(queries), len(keys)
    )
