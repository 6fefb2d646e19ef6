"""Losses that are passed to `compile` by their registered name."""

from __future__ import annotations

import inspect
from typing import Any

import keras

__all__ = ["registered_loss"]


def registered_loss(loss: object) -> Any:
    """The loss that a registered name such as `"Addons>TripletSemiHardLoss"` stands for.

    Keras 3 looks such names up when it loads a model, and not in `compile`.

    Args:
        loss: What `compile` was given.

    Returns:
        An object of the class, or the function; anything but such a name as it is.

    Raises:
        ValueError: If nothing is registered with that name.
    """
    if not isinstance(loss, str) or ">" not in loss:
        return loss
    found = keras.saving.get_registered_object(loss)
    if found is None:
        raise ValueError(
            "`loss` must be a loss, the name of one of Keras, or one that is registered with "
            f"keras.saving.register_keras_serializable. Received: {loss!r}."
        )
    return found() if inspect.isclass(found) else found
