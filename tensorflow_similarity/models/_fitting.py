"""How `fit` and `evaluate` handle samplers, and labels from which nothing can be learnt."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import Logs
from tensorflow_similarity.models._fit_labels import (
    WatchedWeights,
    losses_by_output,
    losses_of_classes,
    losses_on_pairs,
    with_numbers,
)
from tensorflow_similarity.models.batches import is_dataset, one_class_batches
from tensorflow_similarity.models.replica_parts import is_built, replicas_of
from tensorflow_similarity.samplers import FollowEpochs
from tensorflow_similarity.samplers._epochs import EpochDataset

__all__ = ["build_apart_from_workers", "fit_with_samplers", "warn_of_sorted_labels"]

_SHUFFLE = (
    "The loss compares no two classes there, and its value says nothing. Shuffle validation data"
)
_GIVEN = (
    "For triplets or pairs that are given, where `y` is a placeholder, use SiameseModel with "
    "TripletMarginLoss or ContrastiveLoss."
)


def fit_with_samplers(model: keras.Model, fit: Any, args: Any, kwargs: Any) -> Any:
    """Calls Keras' `fit` with samplers that follow its epochs, after checks of the labels.

    Args:
        model: The model.
        fit: `fit` of its base.
        args: Its arguments.
        kwargs: Its arguments by name.

    Raises:
        ValueError: If all labels are the same, and the loss is 0 then.
    """
    try:
        given = inspect.signature(keras.Model.fit).bind(model, *args, **kwargs).arguments
    except TypeError:
        return fit(*args, **kwargs)  # Keras' own error.
    del given["self"]
    weights = given.get("class_weight")
    if isinstance(weights, Mapping):
        given["class_weight"] = weights = WatchedWeights(weights)
    with_numbers(model, given)
    watching: list[keras.callbacks.Callback] = []
    if isinstance(weights, WatchedWeights) and weights.is_complete:
        watching.append(_WatchWeights(weights))
    sampler, validation = given.get("x"), given.get("validation_data")
    comparing = losses_of_classes(model)
    _check_for_one_class(comparing, given.get("y"))
    warn_of_sorted_labels(model, validation)
    watching += _watching(model, comparing)
    if not isinstance(sampler, EpochDataset):
        with _added(given, watching):
            return fit(**given)
    if not isinstance(validation, EpochDataset):
        validation = None
    build_apart_from_workers(model, sampler)
    # Batches are random already. Keras would shuffle them with its own seed.
    given["shuffle"] = False
    steps = given.pop("steps_per_epoch", None)
    validation_steps = given.pop("validation_steps", None) if validation is not None else None
    added = [FollowEpochs(sampler, validation), *watching]
    with (
        _added(given, added),
        _steps(sampler, steps),
        _steps(validation, validation_steps),
    ):
        return fit(**given)


def build_apart_from_workers(model: keras.Model, data: Any) -> None:
    """Builds model, loss and metrics with a batch, as Keras does before `fit` and `evaluate`.

    On JAX and PyTorch, and under a strategy of TensorFlow, Keras takes a batch from the workers
    for that, and continues with those that they had made ready behind it before the epoch begins.

    Args:
        model: The model.
        data: The batches; anything but a sampler with workers is left alone.
    """
    if not isinstance(data, EpochDataset) or not model.compiled:
        return
    if (data.workers > 1 or data.use_multiprocessing) and not is_built(model):
        if keras.backend.backend() != "tensorflow":
            model._symbolic_build(data_batch=data[0])
        elif replicas_of(model) > 1:
            model._maybe_symbolic_build(data_batch=data[0])


@contextlib.contextmanager
def _added(given: dict[str, Any], more: list[keras.callbacks.Callback]) -> Iterator[None]:
    """Adds callbacks to the arguments of `fit`, before those of the user."""
    callbacks = given.get("callbacks")
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        others = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
        given["callbacks"] = [*more, *(other for other in others if other is not None)]
        yield
        return
    # A CallbackList is used as it is, and restored afterwards.
    usual = list(callbacks.callbacks)
    callbacks.callbacks[:0] = more
    try:
        yield
    finally:
        callbacks.callbacks[:] = usual


@contextlib.contextmanager
def _steps(sampler: Any, steps: int | None) -> Iterator[None]:
    """Temporarily sets the number of batches in the epochs of a sampler.

    Otherwise Keras would continue in the middle of an epoch of the sampler.
    """
    if steps is None:
        yield
        return
    usual, sampler.steps_per_epoch = sampler.steps_per_epoch, steps
    try:
        yield
    finally:
        sampler.steps_per_epoch = usual


def _labels_of(y: Any, key: Any) -> np.ndarray | None:
    """One label for each example of an output, `[n]`; None if `y` has another form."""
    if key is not None:
        fits = isinstance(y, Mapping) if isinstance(key, str) else isinstance(y, (list, tuple))
        if not fits or (key not in y if isinstance(key, str) else key >= len(y)):
            return None
        y = y[key]
    if keras.ops.is_tensor(y):
        y = keras.ops.convert_to_numpy(y)
    elif not isinstance(y, np.ndarray) and hasattr(y, "numpy"):
        y = y.numpy()  # a tensor of another library
    if not isinstance(y, (np.ndarray, list)):
        return None
    labels = np.asarray(y)
    if labels.dtype.kind not in "iuf" or labels.ndim == 0 or labels.size != len(labels):
        return None
    return labels.reshape(-1)


def _check_for_one_class(losses: dict[Any, Any], y: object) -> None:
    """Raises if all labels are equal and the loss is then 0; warns if it is not 0."""
    for key, loss in losses.items():
        labels = _labels_of(y, key)
        if labels is None or len(labels) < 2 or not (labels == labels[0]).all():
            continue
        received = (
            f"`y` must have several classes for {type(loss).__name__}, which compares examples "
            f"of different ones. Received: {labels[0]} for all {len(labels)} examples, so that "
        )
        if _is_zero_for_one_class(loss):
            raise ValueError(f"{received}loss and gradient are 0. {_GIVEN}")
        warnings.warn(
            f"{received}all embeddings are drawn together to one point. {_GIVEN}",
            stacklevel=levels_to_the_caller(),
        )


def _is_zero_for_one_class(loss: object) -> bool:
    embeddings = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    values = [part(np.zeros(4, "int32"), embeddings) for part in losses_on_pairs(loss)]
    return not any(np.any(keras.ops.convert_to_numpy(value)) for value in values)


def warn_of_sorted_labels(
    model: keras.Model, x: object, y: object = None, batch_size: int = 32
) -> None:
    """Warns if a pair loss is evaluated on batches that hold one class each.

    Args:
        model: A compiled model.
        x: What is evaluated. Of a dataset that can be read again, two batches are looked at.
        y: The labels of arrays, in their order.
        batch_size: Examples in a batch of arrays.
    """
    losses = {key: loss for key, loss in losses_by_output(model).items() if losses_on_pairs(loss)}
    if not losses:
        return
    if not is_dataset(x):
        for key in losses:
            labels = _labels_of(y, key)
            share = 0.0 if labels is None else one_class_batches(labels, batch_size)
            if share >= 0.5:
                warnings.warn(
                    f"`y` is sorted by class: {share:.0%} of batches of {batch_size} hold one "
                    f"class. {_SHUFFLE}: order = np.random.default_rng(0).permutation(len(y)); "
                    "x[order], y[order].",
                    stacklevel=levels_to_the_caller(),
                )
        return
    batches = [keras.utils.unpack_x_y_sample_weight(batch)[1] for batch in _some_batches(x)]
    for key in losses:
        several = [labels for labels in (_labels_of(y, key) for y in batches) if labels is not None]
        if len(several) < 2 or any(len(labels) < 2 for labels in several):
            continue
        if all((labels == labels[0]).all() for labels in several):
            classes = [labels[0].item() for labels in several]
            warnings.warn(
                f"Batches of the data to evaluate hold one class each: two were looked at, of "
                f"{classes[0]} and of {classes[1]} alone. {_SHUFFLE} before they are batched, "
                "dataset.shuffle(n, seed=0, reshuffle_each_iteration=False).batch(32), or draw "
                "batches with a sampler, such as MultiShotMemorySampler.",
                stacklevel=levels_to_the_caller(),
            )


def _some_batches(dataset: Any) -> list[Any]:
    """Two batches of a dataset that can be reread and is not drawn by class; else none."""
    if isinstance(dataset, EpochDataset) or hasattr(dataset, "__next__"):
        return []
    if isinstance(dataset, keras.utils.PyDataset):
        return [dataset[i] for i in range(min(2, dataset.num_batches or 2))]
    if getattr(dataset, "num_workers", 0):  # PyTorch would start processes just for two batches.
        return []
    batches = list(itertools.islice(iter(dataset), 2))
    return [tuple(batch) if isinstance(batch, list) else batch for batch in batches]


#: A single batch may have no pair by chance.
_FIRST = 3


def _watching(model: keras.Model, losses: dict[Any, Any]) -> list[keras.callbacks.Callback]:
    """A callback that watches the losses of some outputs under their names in the logs."""
    outputs = getattr(model, "output_names", ())
    names = [
        f"{outputs[key] if isinstance(key, int) and key < len(outputs) else key}_loss"
        for key in losses
    ]
    return [_Watch(names)] if losses else []


class _Watch(keras.callbacks.Callback):
    """Warns if a loss is exactly 0 in the first batches, or in the whole first epoch."""

    # Keras need not wait for steps because of it: it only reads logs that Keras has read too.
    async_safe = True

    def __init__(self, logged: list[str]) -> None:
        super().__init__()
        self._logged = logged
        self._batches, self._zero = 0, False
        self._looked = self._warned = False

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._batches += 1
        if self._batches == _FIRST:
            self._zero = self._is_zero(logs)  # Keras logs the mean over the batches.

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        # Not at the end of the batch, which may be in a thread of Keras.
        if self._zero:
            self._warn(f"in the first {_FIRST} batches")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        first, self._looked = not self._looked, True
        if first and self._is_zero(logs) and self._is_finite():
            self._warn(f"in all of epoch {epoch}")

    def _is_zero(self, logs: Logs) -> bool:
        logs = logs or {}
        return any(logs.get(name, logs.get("loss")) == 0 for name in self._logged)

    def _warn(self, when: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"The loss was exactly 0 {when}: no example of a batch had both "
                "an example of its class and one of another (or all are told apart by the margin "
                "already). Draw batches with a sampler, such as MultiShotMemorySampler. "
                f"{_GIVEN}",
                stacklevel=levels_to_the_caller("keras."),
            )

    def _is_finite(self) -> bool:
        """Whether the weights are finite: with NaN embeddings, the loss may be 0 as well."""
        weights = map(keras.ops.convert_to_tensor, self.model.trainable_variables)
        return all(bool(keras.ops.all(keras.ops.isfinite(weight))) for weight in weights)


class _WatchWeights(keras.callbacks.Callback):
    """Warns after the first epoch of weights of classes that no batch held."""

    async_safe = True

    def __init__(self, weights: WatchedWeights) -> None:
        super().__init__()
        self._weights, self._looked = weights, False

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if not self._looked:
            self._looked = True
            self._weights.warn_of_unused("in any batch of the first epoch")
