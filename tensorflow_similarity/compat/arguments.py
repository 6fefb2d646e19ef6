"""Arguments that functions of the older libraries had, and what to write instead."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["REMOVED", "check", "removed"]

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
_FRAME = "the argument is `num_records`; without it all records are in the frame."

_INDEXED = {"build": _BUILT}
_INDEX = {"kv_store": _STORE, "evaluator": _EVALUATOR, "stat_buffer_size": _BUFFER}
_SAMPLER = {"warmup": _WARMUP}
_CLASSES = {
    "class_per_batch": "the argument is `classes_per_batch`.",
    "batch_size": "the size is `classes_per_batch` times `examples_per_class_per_batch`.",
    "batch_per_epoch": "the argument is `steps_per_epoch`.",
}

#: The function -> each argument that is gone -> what to write instead.
REMOVED: Mapping[str, Mapping[str, str]] = {
    "EvalCallback": {"targets_labels": "the argument is `target_labels`."},
    "MultiShotFileSampler": {**_SAMPLER, **_CLASSES},
    "MultiShotMemorySampler": {**_SAMPLER, **_CLASSES},
    "SingleShotMemorySampler": {
        **_SAMPLER,
        "class_per_batch": "the argument is `examples_per_batch`.",
        "batch_size": "the argument is `examples_per_batch`.",
        "batch_per_epoch": "the argument is `steps_per_epoch`.",
    },
    "TFDataSampler": _SAMPLER,
    "TFDatasetMultiShotMemorySampler": {**_SAMPLER, **_CLASSES},
    "projector": dict.fromkeys(
        ["active_drag", "colorize", "densmap", "pastel_factor"],
        "the page is not made with Bokeh or UMAP any more. Leave it out.",
    ),
    "SimilarityModel.calibrate": {"rounding": "values are not rounded. Leave it out."},
    "SimilarityModel.compile": _INDEX,
    "SimilarityModel.create_index": _INDEX,
    "SimilarityModel.index": _INDEXED,
    "SimilarityModel.index_single": _INDEXED,
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


@dataclasses.dataclass(frozen=True)
class _Position:
    """A positional argument that had another meaning, and how to know the old one."""

    index: int
    was_meant: Callable[[Any], bool]
    note: str


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, int))


def _is_loss_function(value: Any) -> bool:
    """Whether it is a function that needs more arguments than a distance has."""
    if not inspect.isfunction(value):
        return False
    parameters = inspect.signature(value).parameters.values()
    needed = [each for each in parameters if each.default is inspect.Parameter.empty]
    return len([each for each in needed if each.kind is each.POSITIONAL_OR_KEYWORD]) > 2


_MOVED = {
    "MetricLoss": _Position(
        1,
        _is_loss_function,
        "a loss takes no function: subclass MetricLoss, write `row_loss(self, pairs)`, and pass "
        "`distance=` and `name=` to its `__init__`.",
    ),
    "SimilarityModel.lookup": _Position(
        3, _is_flag, "the third argument is `filter` now. Write `verbose=` by name."
    ),
}


def removed(function: str, name: str) -> str | None:
    """What to write instead of an argument, or None where it was never there.

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
    moved = _MOVED.get(function)
    if moved is not None and len(args) > moved.index and moved.was_meant(args[moved.index]):
        raise TypeError(f"`{function}`: {moved.note} Received: {args[moved.index]!r}.")


def __dir__() -> list[str]:
    return sorted(__all__)
