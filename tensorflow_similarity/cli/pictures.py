"""The plot of `tfsim lookup --picture`."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from tensorflow_similarity.cli.examples import Examples
from tensorflow_similarity.index import Lookup, Neighbors
from tensorflow_similarity.samplers import load_image
from tensorflow_similarity.visualization import viz_neighbors_grid, viz_neighbors_text

__all__ = ["draw"]

_MOST = 20  # queries in one plot


def draw(path: str, examples: Examples, neighbors: Neighbors) -> None:
    """Draws up to twenty queries, with their neighbours.

    Images are loaded from the paths that `tfsim index` stored; other data is drawn directly.
    """
    count = min(len(neighbors), _MOST)
    queries = [examples.example(number) for number in range(count)]
    names: dict[Any, str] = {}
    found = [[_drawable(record, names) for record in neighbors[number]] for number in range(count)]
    if examples.texts is None:
        figure = viz_neighbors_grid(queries, found, class_names=names or None, show=False)
    else:
        figure = viz_neighbors_text(queries, found, class_names=names or None, show=False)
    figure.savefig(path)


def _drawable(record: Lookup, names: dict[Any, str]) -> Any:
    data = record.data
    if isinstance(data, dict):
        if isinstance(data.get("class"), str) and record.label is not None:
            names[record.label] = data["class"]
        if isinstance(data.get("path"), str) and os.path.isfile(data["path"]):
            data = load_image(data["path"], dtype="uint8")
    if data is None:  # nothing else to show
        data = f"record {record.id if record.key is None else record.key}"
    return dataclasses.replace(record, data=data)
