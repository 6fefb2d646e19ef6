"""Losses that are passed to `compile` by their registered name."""

from __future__ import annotations

import inspect
from typing import Any

import keras

__all__ = ["registered_loss"]


def registered_loss(loss: object) -> Any:
    """The loss that a registered name such as `"Addons>TripletSemiHardLoss"` stands for.

    Keras 3 looks such names up when it loads a model, and not in `compile`. Of classes it makes
    losses, but fails to save them.

    Args:
        loss: What `compile` was given.

    Returns:
        An object of the class, or the function, also for classes among several losses; anything
        else as it is.

    Raises:
        ValueError: If nothing is registered with that name.
    """
    if not isinstance(loss, str) or ">" not in loss:
        return keras.tree.map_structure(_made, loss) if _has_classes(loss) else loss
    found = keras.saving.get_registered_object(loss)
    if found is None:
        raise ValueError(
            "`loss` must be a loss, the name of one of Keras, or one that is registered with "
            f"keras.saving.register_keras_serializable. Received: {loss!r}."
        )
    return found() if inspect.isclass(found) else found


def _is_class(loss: object) -> bool:
    return isinstance(loss, type) and issubclass(loss, keras.losses.Loss)


def _has_classes(losses: object) -> bool:
    return any(map(_is_class, keras.tree.flatten(losses)))


def _made(loss: Any) -> Any:
    return loss() if _is_class(loss) else loss
