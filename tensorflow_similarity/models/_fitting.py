"""What `fit` does for samplers, and where labels cannot train anything."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.losses import MetricLoss
from tensorflow_similarity.losses.base import PerExampleLoss
from tensorflow_similarity.samplers import FollowEpochs
from tensorflow_similarity.samplers._epochs import EpochDataset

__all__ = ["fit_with_samplers", "ids_of_names"]

_GIVEN = (
    "For triplets or pairs that are given, where `y` is a placeholder, use SiameseModel with "
    "TripletMarginLoss or ContrastiveLoss."
)


def fit_with_samplers(model: keras.Model, fit: Any, args: Any, kwargs: Any) -> Any:
    """Calls Keras' `fit`, where samplers follow its epochs and labels have several classes.

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
    sampler, validation = given.get("x"), given.get("validation_data")
    comparing = _losses_of_classes(model)
    if "y" in given:
        given["y"] = ids_of_names(model, given["y"])
    if isinstance(validation, (tuple, list)) and len(validation) > 1:
        x, y, *weights = validation
        given["validation_data"] = (x, ids_of_names(model, y), *weights)
    _refuse_one_class(comparing, given.get("y"))
    if not isinstance(sampler, EpochDataset):
        with _added(given, [_Watch()] if comparing else []):
            return fit(**given)
    if not isinstance(validation, EpochDataset):
        validation = None
    _build_apart_from_workers(model, sampler)
    # Batches are random as they are. Keras would mix them by a seed of its own.
    given["shuffle"] = False
    steps = given.pop("steps_per_epoch", None)
    validation_steps = given.pop("validation_steps", None) if validation is not None else None
    added = [FollowEpochs(sampler, validation), *([_Watch()] if comparing else [])]
    with (
        _added(given, added),
        _steps(sampler, steps),
        _steps(validation, validation_steps),
    ):
        return fit(**given)


def _build_apart_from_workers(model: Any, sampler: EpochDataset) -> None:
    """Builds model, loss and metrics on a batch, as Keras does at the beginning of `fit`.

    On JAX and PyTorch, Keras takes a batch from the workers for that, and trains on those that
    they had made ready behind it before the epoch begins.
    """
    if keras.backend.backend() == "tensorflow" or not model.compiled:
        return
    if sampler.workers > 1 or sampler.use_multiprocessing:
        model._symbolic_build(data_batch=sampler[0])


@contextlib.contextmanager
def _added(given: dict[str, Any], more: list[keras.callbacks.Callback]) -> Iterator[None]:
    """Adds callbacks to the arguments of `fit`, before those of the user."""
    callbacks = given.get("callbacks")
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        others = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
        given["callbacks"] = [*more, *(other for other in others if other is not None)]
        yield
        return
    # A list of Keras' is taken as it is, and given back as it was.
    usual = list(callbacks.callbacks)
    callbacks.callbacks[:0] = more
    try:
        yield
    finally:
        callbacks.callbacks[:] = usual


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


def ids_of_names(model: keras.Model, y: Any) -> Any:
    """Labels with class names, and None, replaced by class ids, all that Keras lets through.

    The id of a name is a hash of it, the same in every batch, process and memory.

    Args:
        model: A compiled model.
        y: What `fit` was given: labels, or a dict or list of them for the outputs.

    Raises:
        ValueError: If a loss takes the numbers of a head's classes, or some names are None and the
            loss has no `ignore_class`.
    """
    losses = _losses_by_output(model)
    if None in losses:
        return _ids_of_names(losses[None], y)
    if isinstance(y, Mapping):
        return {key: _ids_of_names(losses.get(key), labels) for key, labels in y.items()}
    if isinstance(y, (list, tuple)) and len(y) == len(losses):
        pairs = zip(losses.values(), y, strict=True)
        return type(y)([_ids_of_names(loss, labels) for loss, labels in pairs])
    return y


def _ids_of_names(loss: Any, y: Any) -> Any:
    if np.ma.isMaskedArray(y):
        checks.refuse_partial(y, "y")
    if not isinstance(loss, PerExampleLoss) or not _may_hold_names(y):
        return y
    found = targets.get(y, "y")
    if found.class_names is None and found.known.all():
        return y
    numbered = loss.on_proxies or getattr(loss, "numbers_classes", False)
    if found.class_names is not None and not _compares_classes(loss):
        raise ValueError(
            f"`y` must be {'class ids' if numbered else 'the labels that it takes'} for "
            f"{type(loss).__name__}. Received: names, such as {found.class_names[0]!r}."
            + (
                " The classes of its head have numbers: names, y = np.unique(y, "
                "return_inverse=True); keep the names."
                if numbered
                else ""
            )
        )
    ids = found.ids
    if found.class_names is not None:
        hashes = np.array([_hash(name) for name in found.class_names], np.int64)
        ids = hashes[np.where(found.known, ids, 0)]
    if found.known.all():
        return ids
    ignored = {part.ignore_class for part in loss.parts() if len(part.parts()) == 1}
    unknown = ignored.pop() if len(ignored) == 1 else None
    if unknown is None:
        raise ValueError(
            f"`y` holds None, for a class that is not known. Give the loss an id for that: "
            f"{type(loss).__name__}(ignore_class=-1)."
        )
    return np.where(found.known, ids, unknown)


def _may_hold_names(y: Any) -> bool:
    if y is None or keras.ops.is_tensor(y) or isinstance(y, (Mapping, str, bytes)):
        return False
    try:
        array = np.asarray(y)
    except (TypeError, ValueError):
        return False
    return array.ndim > 0 and array.size == len(array) and array.dtype.kind in "USTO"


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def _losses_by_output(model: Any) -> dict[Any, Any]:
    """The losses of a model, by output; None for the only one."""
    loss = getattr(model, "loss", None)
    losses = dict(enumerate(loss)) if isinstance(loss, (list, tuple)) else loss
    return dict(losses) if isinstance(losses, Mapping) else {None: losses}


def _on_pairs(loss: Any) -> list[MetricLoss]:
    """The losses on pairs that a loss is, or calls in turn."""
    parts = loss.parts() if isinstance(loss, PerExampleLoss) else ()
    return [part for part in parts if isinstance(part, MetricLoss)]


def _compares_classes(loss: Any) -> bool:
    """Whether a loss compares embeddings of different classes, whatever their ids are."""
    parts = _on_pairs(loss)
    return bool(parts) and all(
        part.distance is not None
        and part.relevance is None
        and not part.numbers_classes
        and type(part).embeddings is MetricLoss.embeddings
        for part in parts
    )


def _losses_of_classes(model: Any) -> dict[Any, Any]:
    """The losses that compare embeddings of different classes, by output."""
    return {key: loss for key, loss in _losses_by_output(model).items() if _compares_classes(loss)}


def _refuse_one_class(losses: dict[Any, Any], y: Any) -> None:
    """Raises where all labels are the same, and the loss then has nothing to learn from."""
    for key, loss in losses.items():
        labels = y
        if key is not None:
            fits = isinstance(y, Mapping) if isinstance(key, str) else isinstance(y, (list, tuple))
            if not fits or (isinstance(y, Mapping) and key not in y):
                continue
            labels = y[key]
        if not isinstance(labels, (np.ndarray, list)) and not keras.ops.is_tensor(labels):
            continue
        values = np.asarray(labels)
        if values.size < 2 or values.size != len(values) or values.dtype.kind not in "iuf":
            continue
        if (values == values.flat[0]).all() and _is_zero_for_one_class(loss):
            raise ValueError(
                f"`y` must have several classes for {type(loss).__name__}, which compares examples "
                f"of different ones. Received: {values.flat[0]} for all {len(values)} examples, so "
                f"that loss and gradient are 0. {_GIVEN}"
            )


def _is_zero_for_one_class(loss: Any) -> bool:
    embeddings = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    values = [part(np.zeros(4, "int32"), embeddings) for part in _on_pairs(loss)]
    return not any(np.any(keras.ops.convert_to_numpy(value)) for value in values)


class _Watch(keras.callbacks.Callback):
    """Warns where a loss was exactly 0 in the whole first epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._looked = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        first, self._looked = not self._looked, True
        if first and (logs or {}).get("loss") == 0 and self._is_finite():
            warnings.warn(
                f"The loss was exactly 0 in all of epoch {epoch}: no example of a batch had both "
                "an example of its class and one of another (or all are told apart by the margin "
                "already). Draw batches with a sampler, such as MultiShotMemorySampler. "
                f"{_GIVEN}",
                stacklevel=levels_to_the_caller("keras."),
            )

    def _is_finite(self) -> bool:
        """Whether the weights are numbers: a loss of embeddings that are NaN may be 0, too."""
        weights = map(keras.ops.convert_to_tensor, self.model.trainable_variables)
        return all(bool(keras.ops.all(keras.ops.isfinite(weight))) for weight in weights)
