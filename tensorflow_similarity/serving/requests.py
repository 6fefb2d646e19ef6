"""Parses requests, and refuses invalid ones."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np

from tensorflow_similarity.serving.limits import Limits
from tensorflow_similarity.serving.source import Source

__all__ = ["Query", "RequestError", "read_query"]

_KEYS = ("inputs", "k", "data", "cutpoint")


class RequestError(Exception):
    """An error that is sent to the client.

    Attributes:
        status: The HTTP status.
        message: What is wrong, for the client.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclasses.dataclass(frozen=True)
class Query:
    """A request that can be answered.

    Attributes:
        x: Inputs `[n, ...]`.
        k: Neighbours of each.
        data: Whether stored data is asked for; None where the request does not say.
        cutpoint: Where to match, or None.
    """

    x: np.ndarray
    k: int = 5
    data: bool | None = None
    cutpoint: str | None = None


def read_query(body: bytes, source: Source, limits: Limits) -> Query:
    """Parses the query in a JSON body.

    Raises:
        RequestError: With status 400 and what is wrong.
    """
    try:
        asked = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"The body must be JSON: {error}.") from None
    if not isinstance(asked, dict) or "inputs" not in asked:
        raise RequestError(400, 'The body must be an object such as {"inputs": [...], "k": 5}.')
    unknown = sorted(set(asked) - set(_KEYS))
    if unknown:
        raise RequestError(400, f"Unknown keys: {unknown}. Expected any of {list(_KEYS)}.")
    k = asked.get("k", 5)
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= limits.max_k:
        raise RequestError(400, f"`k` must be a whole number from 1 to {limits.max_k}.")
    data, cutpoint = asked.get("data"), asked.get("cutpoint")
    if not isinstance(data, bool | None):
        raise RequestError(400, "`data` must be true or false.")
    if cutpoint is not None:
        calibration = source.index.calibration if len(source) else None
        known = [] if calibration is None else list(calibration.cutpoints)
        if cutpoint not in known:
            raise RequestError(400, f"`cutpoint` must be one of {known}, those of the calibration.")
    inputs = asked["inputs"]
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= limits.max_examples:
        raise RequestError(400, f"`inputs` must be a list of 1 to {limits.max_examples} examples.")
    return Query(_inputs(inputs, source), k, data, cutpoint)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _inputs(inputs: list[Any], source: Source) -> np.ndarray:
    shape = list(source.shape)
    if source.dtype == "string":
        if not all(isinstance(text, str) for text in inputs):
            raise RequestError(400, "`inputs` must be texts.")
        return np.array(inputs, dtype=object)
    try:
        # Numbers beyond 64 bits become objects; rows of different lengths raise.
        x = np.asarray(inputs)
    except (ValueError, OverflowError):
        raise RequestError(400, f"`inputs` must be numbers of shape {shape} each.") from None
    if x.dtype.kind not in "iuf":
        what = "numbers too large, or no numbers" if x.dtype.kind == "O" else "no numbers"
        raise RequestError(
            400, f"`inputs` must be numbers of shape {shape} each. Received: {what}."
        )
    if x.ndim != 1 + len(shape) or any(
        wanted not in (None, size) for wanted, size in zip(shape, x.shape[1:], strict=True)
    ):
        raise RequestError(
            400, f"`inputs` must have shape {shape} each. Received: {list(x.shape[1:])}."
        )
    if not math.prod(x.shape):
        raise RequestError(400, f"`inputs` must not be empty. Received: shape {list(x.shape[1:])}.")
    return _cast(x, source.dtype)


def _cast(x: np.ndarray, dtype: str) -> np.ndarray:
    if "int" in dtype:
        bounds = np.iinfo(dtype)
        whole = x.dtype.kind in "iu" or bool(np.all(x == np.floor(x)))
        if not whole or x.min() < bounds.min or x.max() > bounds.max:
            raise RequestError(
                400, f"`inputs` must be whole numbers from {bounds.min} to {bounds.max}."
            )
        return x.astype(dtype)
    with np.errstate(over="ignore"):
        values = x.astype("float32" if dtype == "bfloat16" else dtype)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise RequestError(400, "`inputs` must be finite. Received: numbers that are too large.")
    return values
