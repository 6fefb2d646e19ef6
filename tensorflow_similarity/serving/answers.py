"""Formats answers for clients."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tensorflow_similarity._json import plain
from tensorflow_similarity.calibration import Matches
from tensorflow_similarity.index import Neighbors
from tensorflow_similarity.serving.requests import Query

__all__ = ["as_json"]


def as_json(neighbors: Neighbors, matches: Matches | None, query: Query) -> bytes:
    """The k nearest neighbours as JSON: a row for each input, a column for each neighbour.

    Stored data is included on request, and by default unless it is an array. Each match has its
    label (-1 for none), and the distance, probability and record of the candidate, accepted or
    not. Class names stored with the records (`{"class": "cat", …}`) get a column.
    """
    rows = [row[: query.k] for row in neighbors]
    answer: dict[str, Any] = {
        "ids": [[found.id for found in row] for row in rows],
        "distances": [[float(found.distance) for found in row] for row in rows],
        "labels": [[found.label for found in row] for row in rows],
    }
    if neighbors.keys is not None:
        answer["keys"] = [[found.key for found in row] for row in rows]
    data = [[found.data for found in row] for row in rows]
    named = any(_class(value) is not None for row in data for value in row)
    if named:
        answer["classes"] = [[_class(value) for value in row] for row in data]
    given = query.data
    if given is None:
        stored = [value for row in data for value in row if value is not None]
        given = bool(stored) and not any(isinstance(value, np.ndarray) for value in stored)
    if given:
        answer["data"] = data
    if matches is not None:
        answer["matches"] = matches.labels
        answer["match_distances"] = matches.distances
        answer["match_probabilities"] = matches.probabilities
        answer["match_ids"] = [None if id_ < 0 else id_ for id_ in matches.ids.tolist()]
        if matches.keys is not None:
            answer["match_keys"] = matches.keys
    return json.dumps(plain(answer), allow_nan=False).encode()


def _class(data: object) -> str | None:
    name = data.get("class") if isinstance(data, dict) else None
    return name if isinstance(name, str) else None
