"""What `fit` does for the samplers that it is given."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras

from tensorflow_similarity.samplers import FollowEpochs
from tensorflow_similarity.samplers._epochs import EpochDataset

__all__ = ["fit_with_samplers"]


def fit_with_samplers(model: keras.Model, fit: Any, args: Any, kwargs: Any) -> Any:
    """Calls Keras' `fit`, where samplers follow its epochs.

    Args:
        model: The model.
        fit: `fit` of its base.
        args: Its arguments.
        kwargs: Its arguments by name.
    """
    try:
        given = inspect.signature(keras.Model.fit).bind(model, *args, **kwargs).arguments
    except TypeError:
        return fit(*args, **kwargs)  # Keras' own error.
    del given["self"]
    sampler, validation = given.get("x"), given.get("validation_data")
    if not isinstance(sampler, EpochDataset):
        return fit(**given)
    if not isinstance(validation, EpochDataset):
        validation = None
    follow = FollowEpochs(sampler, validation)
    callbacks = given.get("callbacks")
    whole = callbacks.callbacks if isinstance(callbacks, keras.callbacks.CallbackList) else []
    if isinstance(callbacks, keras.callbacks.CallbackList):
        whole.insert(0, follow)  # A list of Keras' is taken as it is.
    else:
        others = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
        given["callbacks"] = [follow, *(other for other in others if other is not None)]
    # Batches are random as they are. Keras would mix them by a seed of its own.
    given["shuffle"] = False
    steps = given.pop("steps_per_epoch", None)
    validation_steps = given.pop("validation_steps", None) if validation is not None else None
    try:
        with _steps(sampler, steps), _steps(validation, validation_steps):
            return fit(**given)
    finally:
        if follow in whole:
            whole.remove(follow)


@contextlib.contextmanager
def _steps(sampler: Any, steps: int | None) -> Iterator[None]:
    """Gives a sampler epochs of so many batches, for the time being.

    Keras would else go on in the middle of an epoch of the sampler.
    """
    if steps is None:
        yield
        return
    usual, sampler.steps_per_epoch = sampler.steps_per_epoch, steps
    try:
        yield
    finally:
        sampler.steps_per_epoch = usual
