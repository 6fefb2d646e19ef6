"""What happens to a batch before it is returned."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

__all__ = ["Augmentation"]


class Augmentation:
    """Calls a user's augmenter in the way that it wants to be called.

    Args:
        augmenter: A Keras layer or model, called on `x` with `training=True`; a
            function `(x, y) -> (x, y)`; or one that also takes `seed`.

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
        self._takes_seed = not self._is_layer and "seed" in _parameters(augmenter)

    def __call__(self, x: Any, y: Any, seed: tuple[int, ...]) -> tuple[Any, Any]:
        """Augments a batch, into NumPy arrays.

        Args:
            x: The examples.
            y: Their labels.
            seed: Integers that no other batch has.
        """
        if self._is_layer:
            x = self._augmenter(x, training=True)
        elif self._takes_seed:
            number = np.random.SeedSequence(seed).generate_state(1)[0]
            x, y = self._augmenter(x, y, seed=int(number))
        else:
            x, y = self._augmenter(x, y)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, (x, y))


def _parameters(function: Callable[..., Any]) -> Any:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # of some built-in functions it is not known
        return ()
