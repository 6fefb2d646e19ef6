"""Arguments of functions in older libraries, and what to write instead."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

__all__ = ["REMOVED", "RENAMED", "check", "moved", "removed", "renamed"]

_BUILT = "records are found as soon as this returns, so there is nothing to build. Leave it out."
_STORE = (
    "an index keeps its own records. Leave it out; for records on disk use "
    '`create_index(path=FOLDER)`, on a server `create_index(search="milvus", uri=...)`.'
)
_EVALUATOR = "evaluation needs no object. Leave it out."
_BUFFER = "lookups are not timed. Leave it out."
_FILE = '`model.save("m.keras")` writes one file with the index in it. Leave it out.'
_SAVED_MODEL = "for a SavedModel use `model.export_serving(FOLDER)` or `model.export(FOLDER)`."
_COMPRESSION = "index files are not compressed. Leave it out."
_WARMUP = (
    "samplers know no warm-up. Leave it out; to augment from some epoch on, look at the "
    "sampler's `epoch` in the augmenter."
)
_FUNCTION = (
    "a loss takes no function: subclass MetricLoss, write `row_loss(self, pairs)`, and pass "
    "`distance=` and `name=` to its `__init__`."
)
_FRAME = "the argument is `num_records`; without it all records are in the frame."

_INDEXED = {"build": _BUILT}
_INDEX = {"kv_store": _STORE, "evaluator": _EVALUATOR, "stat_buffer_size": _BUFFER}
_SAMPLER = {"warmup": _WARMUP}
_CLASSES = {
    "class_per_batch": "the argument is `classes_per_batch`.",
    "batch_size": "the size is `classes_per_batch` times `examples_per_class_per_batch`.",
    "batch_per_epoch": "the argument is `steps_per_epoch`.",
}

#: Function -> removed argument -> what to write instead.
REMOVED: Mapping[str, Mapping[str, str]] = {
    "ContrastiveModel": {
        "algorithm": "the loss says which method it is: `losses.SimSiamLoss()`, `SimCLRLoss()`, "
        "`BarlowTwinsLoss()` or `VICRegLoss()`. Leave it out."
    },
    "EvalCallback": {"targets_labels": "the argument is `target_labels`."},
    "MetricLoss": {"fn": _FUNCTION},
    "MultiShotFileSampler": {**_SAMPLER, **_CLASSES},
    "MultiShotMemorySampler": {**_SAMPLER, **_CLASSES},
    "SingleShotMemorySampler": {
        **_SAMPLER,
        "class_per_batch": "the argument is `examples_per_batch`.",
        "batch_size": "the argument is `examples_per_batch`.",
        "batch_per_epoch": "the argument is `steps_per_epoch`.",
    },
    "TFDataSampler": _SAMPLER,
    "TFRecordDatasetSampler": {
        "async_cycle": "records are read by their places in the files. Leave it out."
    },
    "TFDatasetMultiShotMemorySampler": {**_SAMPLER, **_CLASSES},
    "projector": dict.fromkeys(
        ["active_drag", "colorize", "densmap", "pastel_factor"],
        "the page is not made with Bokeh or UMAP any more. Leave it out.",
    ),
    "SimilarityModel.calibrate": {"rounding": "values are not rounded. Leave it out."},
    "SimilarityModel.compile": _INDEX,
    "SimilarityModel.create_index": _INDEX,
    "SimilarityModel.index": _INDEXED,
    "SimilarityModel.index_single": {
        **_INDEXED,
        "verbose": "one example shows no progress. Leave it out.",
    },
    "SimilarityModel.save": {
        "save_index": _FILE,
        "compression": _COMPRESSION,
        "save_format": _SAVED_MODEL,
        "signatures": _SAVED_MODEL,
        "options": _SAVED_MODEL,
        "save_traces": _SAVED_MODEL,
        "include_optimizer": "the optimizer is in the file. Leave it out.",
    },
    "SimilarityModel.save_index": {"compression": _COMPRESSION},
    "SimilarityModel.to_data_frame": {"num_items": _FRAME},
}

_NAMES = {"class_mapping": "class_names"}
_EXAMPLES = {**_NAMES, "example_classes": "labels"}

#: Function -> renamed argument -> its new name. The old name still works.
RENAMED: Mapping[str, Mapping[str, str]] = {
    "confusion_matrix": {"labels": "class_names"},
    "distance_histogram": {"query_labels": "labels"},
    "projector": _NAMES,
    "viz_embeddings": _NAMES,
    "viz_neighbors_grid": _EXAMPLES,
    "viz_neighbors_imgs": {**_NAMES, "example_class": "label"},
    "viz_neighbors_signals": _EXAMPLES,
    "viz_neighbors_text": _EXAMPLES,
    "worst_mistakes": _EXAMPLES,
}


@dataclasses.dataclass(frozen=True)
class _Position:
    """A positional argument that changed its meaning, and how to recognize the old one."""

    index: int
    was_meant: Callable[[Any], bool]
    note: str


def _is_flag(value: object) -> bool:
    return isinstance(value, (bool, int))


def _is_loss_function(value: object) -> bool:
    """Whether it is a function with more required arguments than a distance has."""
    if not inspect.isfunction(value):
        return False
    parameters = inspect.signature(value).parameters.values()
    needed = [each for each in parameters if each.default is inspect.Parameter.empty]
    return len([each for each in needed if each.kind is each.POSITIONAL_OR_KEYWORD]) > 2


def _is_small(value: object) -> bool:
    """Whether it is a flag or a number of decimals rather than a batch size."""
    return isinstance(value, (bool, int)) and value <= 10


def _names_metrics(value: object) -> bool:
    """Whether it is a value for `metrics` rather than for loss weights."""
    if isinstance(value, dict):
        return any(map(_names_metrics, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_names_metrics, value))
    return isinstance(value, (str, keras.metrics.Metric))


def _swapped(values: Sequence[Any]) -> bool:
    """Whether −1, no match, occurs among the true classes but not among the answers."""
    if len(values) < 2:
        return False
    answers, truth = (np.asarray(each) for each in values[:2])
    if answers.dtype.kind not in "iu" or truth.dtype.kind not in "iu":
        return False
    return bool((truth == -1).any() and not (answers == -1).any())


_BATCH_SIZE = "that argument is `batch_size` now. Write `verbose=` by name."
_BY_NAME = "`distance`, `embedding_output` and `search` are given by name."

_MOVED: Mapping[str, tuple[_Position, ...]] = {
    # These two check the type of `soft_margin` themselves.
    **dict.fromkeys(
        ["PNLoss", "TripletLoss"],
        (
            _Position(
                4,
                lambda value: not isinstance(value, bool),
                "the fourth argument is `soft_margin`, as in versions 0.13 to 0.16. Write "
                "`margin=` by name.",
            ),
        ),
    ),
    "MetricLoss": (
        _Position(
            1,
            _is_loss_function,
            _FUNCTION,
        ),
    ),
    "SimilarityModel.calibrate": (
        _Position(8, _is_small, f"values are not rounded, and {_BATCH_SIZE}"),
    ),
    "SimilarityModel.compile": (
        _Position(
            3,
            _names_metrics,
            "the third argument is `loss_weights`, as in Keras 3. Write `metrics=` by name.",
        ),
        _Position(10, lambda value: True, _BY_NAME),
    ),
    "SimilarityModel.create_index": (
        _Position(
            3,
            lambda value: value in ("memory", "cached", "redis"),
            f"there is no `kv_store`: {_STORE}",
        ),
    ),
    "SimilarityModel.evaluate_classification": (_Position(6, _is_small, _BATCH_SIZE),),
    "SimilarityModel.evaluate_retrieval": (
        _Position(4, _is_flag, "the fourth argument is `ids` now. Write `verbose=` by name."),
    ),
    "SimilarityModel.index": (
        _Position(4, _is_flag, f"the fourth argument is `ids`, and there is no `build`: {_BUILT}"),
    ),
    "SimilarityModel.index_single": (
        _Position(
            4,
            lambda value: isinstance(value, bool),
            f"the fourth argument is `id`, and there is no `build`: {_BUILT}",
        ),
    ),
    "SimilarityModel.lookup": (
        _Position(3, _is_flag, "the third argument is `filter` now. Write `verbose=` by name."),
    ),
    "SimilarityModel.match": (_Position(6, _is_small, _BATCH_SIZE),),
    "SimilarityModel.save_index": (_Position(2, lambda value: True, _COMPRESSION),),
    "SimilarityModel.to_data_frame": (
        _Position(
            1,
            lambda value: isinstance(value, int) and value == 0,
            "0 stood for all records, and would be none. Leave it out for all.",
        ),
    ),
}


def removed(function: str, name: str) -> str | None:
    """What to write instead of an argument, or None if it never existed.

    Args:
        function: The name of the function, such as `"SimilarityModel.index"`.
        name: The argument.

    Example:

    ```python
    from tensorflow_similarity.compat import arguments

    arguments.removed("SimilarityModel.index", "build")
    ```
    """
    return REMOVED.get(function, {}).get(name)


def moved(function: str, args: Mapping[int, Any]) -> list[str]:
    """What to write instead of positional arguments whose meaning has changed.

    Args:
        function: The name of the function.
        args: Its positional arguments by place, as far as they are known; those of methods, and
            of classes, from 1.

    Example:

    ```python
    from tensorflow_similarity.compat import arguments

    arguments.moved("SimilarityModel.lookup", {3: 0})
    ```
    """
    return [
        position.note
        for position in _MOVED.get(function, ())
        if position.index in args and position.was_meant(args[position.index])
    ]


def renamed(function: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by their new names.

    Args:
        function: The name of the function, such as `"viz_neighbors_grid"`.
        kwargs: Its arguments by name.

    Raises:
        TypeError: If one is given by its old and by its new name.

    Example:

    ```python
    from tensorflow_similarity.compat import arguments

    arguments.renamed("viz_embeddings", {"class_mapping": ["cat", "dog"]})
    ```
    """
    names = RENAMED.get(function)
    if names is None:
        return dict(kwargs)
    found: dict[str, Any] = {}
    for name, value in kwargs.items():
        now = names.get(name, name)
        if now in found or (now != name and now in kwargs):
            raise TypeError(f"`{function}` got `{name}` and `{now}`, which is its name now.")
        found[now] = value
    return found


def check(function: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuses arguments of the older libraries.

    Args:
        function: The name of the function.
        args: Its positional arguments, `self` among them.
        kwargs: Its arguments by name.

    Raises:
        TypeError: If one is gone; the message says what to write instead.
    """
    notes = REMOVED.get(function)
    if notes is not None:
        for name in kwargs:
            if name in notes:
                raise TypeError(f"`{function}` has no argument `{name}`: {notes[name]}")
    for position in _MOVED.get(function, ()):
        if len(args) > position.index and position.was_meant(args[position.index]):
            received = args[position.index]
            raise TypeError(f"`{function}`: {position.note} Received: {received!r}.")
    if function == "confusion_matrix" and _swapped(args):
        raise TypeError(
            "`confusion_matrix`: by position, answers come first and true classes second, and −1, "
            "no match, is among the second only: are they in scikit-learn's order? Name them, "
            "`confusion_matrix(y_true=..., y_pred=...)`."
        )


def __dir__() -> list[str]:
    return sorted(__all__)
