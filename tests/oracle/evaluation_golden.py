"""Reads the golden values of evaluation."""

import functools
import gzip
import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "golden" / "evaluation"


@functools.cache
def arrays(name):
    """The arrays of a set, by key."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


@functools.cache
def entries(name, kind=None):
    """The entries of a set, of one kind or of all."""
    with gzip.open(FOLDER / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        return [entry for entry in json.load(file) if kind in (None, entry["kind"])]


def lookup(entry, columns=None):
    """Distances, neighbour labels and query labels of an entry of TensorFlow Similarity."""
    stored, inputs = arrays("tfsim"), entry["inputs"]
    return (
        stored[inputs["lookup_distances"]][:, :columns],
        stored[inputs["lookup_labels"]][:, :columns],
        stored[inputs["query_labels"]],
    )
