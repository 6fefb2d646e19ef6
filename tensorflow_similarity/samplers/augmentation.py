"""Augmentation of batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers._inputs import is_text, text_tensor, to_host

__all__ = ["Augmentation", "unpacked"]

# Keys of a batch returned as a dict: ours, and those of Keras' preprocessing layers.
_KEYS = (("x", "y", "sample_weight"), ("images", "labels", "sample_weights"))
_EXPECTED = "(x, y), (x, y, sample_weight) or a dict with the keys 'x', 'y' and 'sample_weight'"


class Augmentation:
    """Calls a user's augmenter with the arguments that it takes.

    Args:
        augmenter: A Keras layer or model, called on `x` with `training=True`; or a function
            of `(x, y)`, and of `seed` and `sample_weight` if it takes these, that returns
            `(x, y)`, `(x, y, sample_weight)` or a dict of them.

    Raises:
        TypeError: If it cannot be called.
    """

    def __init__(self, augmenter: Callable[..., Any]) -> None:
        if not callable(augmenter):
            raise TypeError(
                "`augmenter` must be a Keras layer or a function (x, y) -> (x, y). "
                f"Received: {augmenter!r}."
            )
        self._augmenter = augmenter
        self._is_layer = isinstance(augmenter, keras.layers.Layer)
        known = () if self._is_layer else _parameters(augmenter)
        self._takes_seed, self._takes_weight = "seed" in known, "sample_weight" in known

    def __call__(
        self, x: object, y: object, weight: object, seed: tuple[int, ...]
    ) -> tuple[Any, Any, Any]:
        """Augments a batch, into NumPy arrays.

        Args:
            x: The examples.
            y: Their labels.
            weight: Their weights, or None.
            seed: Integers unique to the batch.

        Returns:
            `(x, y, weight)`.

        Raises:
            TypeError: If the augmenter does not return a batch.
            ValueError: If it changes the number of examples without returning their weights.
        """
        if self._is_layer:
            as_tensors = keras.tree.map_structure(
                lambda leaf: text_tensor(leaf) if is_text(leaf) else leaf, x
            )
            return _on_host(self._augmenter(as_tensors, training=True)), y, weight
        given: dict[str, Any] = {}
        if self._takes_seed:
            given["seed"] = int(np.random.SeedSequence(seed).generate_state(1)[0])
        if self._takes_weight:
            given["sample_weight"] = weight
        made = _on_host(unpacked(self._augmenter(x, y, **given)))
        if len(made) == 3:
            return made
        if weight is not None and _rows(made[1]) != _rows(weight):
            raise ValueError(
                "`augmenter` must return the weights too where it changes the number of "
                f"examples, as (x, y, sample_weight). Received: {_rows(made[1])} examples of "
                f"{_rows(weight)}."
            )
        return (*made, weight)


def unpacked(made: Any) -> tuple[Any, ...]:
    """Unpacks what an augmenter returned into `(x, y)` or `(x, y, sample_weight)`.

    Raises:
        TypeError: If it is not a batch.
    """
    if isinstance(made, Mapping):
        for keys in _KEYS:
            if {*keys[:2]} <= set(made) <= {*keys}:
                return tuple(made[key] for key in keys if key in made)
    elif isinstance(made, (tuple, list)) and len(made) in (2, 3):
        return tuple(made)
    what = f"a dict with the keys {list(made)}" if isinstance(made, Mapping) else repr(type(made))
    if isinstance(made, (tuple, list)):
        what = f"{len(made)} values"
    raise TypeError(f"`augmenter` must return {_EXPECTED}. Received: {what}.")


def _on_host(values: ArrayLike) -> Any:
    return keras.tree.map_structure(to_host, values)


def _rows(values: object) -> int:
    return len(keras.tree.flatten(values)[0])


def _parameters(function: Callable[..., Any]) -> Any:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # unknown for some built-in functions
        return ()
