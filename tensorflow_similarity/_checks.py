"""Checks of what users pass in, at the boundary, with errors that teach.

Everything here works on host arrays and on single values. Tensors inside a traced graph are
checked where they are used, because only their static shape and dtype are known there.
"""

from __future__ import annotations

import math
import numbers as kinds_of_numbers
import operator
import os
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = [
    "choice",
    "class_id",
    "class_ids",
    "count",
    "embeddings",
    "file_name",
    "flag",
    "fraction",
    "fractions",
    "host_array",
    "int64",
    "number",
    "numbers",
    "positive",
    "refuse_partial",
    "rng",
    "text",
]


def _describe(array: np.ndarray) -> str:
    return f"array of shape {array.shape} and dtype {array.dtype}"


def refuse_partial(values: object, name: str) -> None:
    """Raises where not all values are there: what is masked, sparse or ragged.

    NumPy turns them into arrays without a word: a masked one loses its mask, so that what was
    hidden counts, and the others become a single object.

    Raises:
        TypeError: If they are such.
    """
    if type(values) is np.ndarray:
        return
    if isinstance(values, list | tuple):
        if any(np.ma.isMaskedArray(row) for row in values):
            raise TypeError(
                f"`{name}` must not hold masked arrays: their masks would be lost. Received: a "
                f"{type(values).__name__} with at least one. Leave masked rows out, or write "
                "row.filled(value) for what the masked values should be."
            )
        return
    received = f"Received: {type(values).__name__}."
    # Not `np.ma.isMaskedArray`, at which `torch.compile` ends a graph.
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(
            f"`{name}` must not be a masked array: its mask would be lost. {received} Leave masked "
            f"rows out, e.g. np.ma.compress_rows({name}) or {name}.compressed(), or write "
            f"{name}.filled(value) for what the masked values should be; {name}.data where nothing "
            "is masked."
        )
    if hasattr(values, "row_splits"):  # of TensorFlow
        raise TypeError(f"`{name}` must not be ragged. {received} Pad it: {name}.to_tensor().")
    if hasattr(values, "dense_shape"):
        raise TypeError(
            f"`{name}` must not be sparse. {received} Write tf.sparse.to_dense({name})."
        )
    if getattr(values, "is_sparse", False) is True:  # of torch
        raise TypeError(f"`{name}` must not be sparse. {received} Write {name}.to_dense().")
    if hasattr(values, "toarray") or hasattr(values, "todense"):  # of SciPy, of JAX
        method = "toarray" if hasattr(values, "toarray") else "todense"
        raise TypeError(f"`{name}` must not be sparse. {received} Write {name}.{method}().")


def host_array(values: object, name: str) -> np.ndarray:
    """Returns `values` as a NumPy array: the one door through which they come in.

    Args:
        values: An array, a tensor of any library on any device, or nested lists.
        name: The argument's name, for the error.

    Raises:
        TypeError: If it is masked, sparse or ragged, a mapping or a set, or cannot be an array.
        ValueError: If rows have different lengths.
    """
    if type(values) is np.ndarray:
        return values
    refuse_partial(values, name)
    if isinstance(values, Mapping | set | frozenset):
        raise TypeError(
            f"`{name}` must be an array, a tensor or a list. Received: {type(values).__name__}."
        )
    if hasattr(values, "detach"):  # a tensor of torch, wherever it is
        values = values.detach().cpu()
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        if "inhomogeneous" in str(error) and isinstance(values, list | tuple):
            raise ValueError(
                f"`{name}` must have rows of one length. Received: a {type(values).__name__} of "
                f"{len(values)} with rows of different lengths."
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TypeError(
            f"`{name}` must be an array, a tensor or a list of rows of one length. Received: "
            f"{type(values).__name__}, which NumPy cannot read ({reason})."
        ) from error


def _advice_on_objects(array: np.ndarray) -> str:
    """What to write in place of an array of Python objects."""
    first = next((value for value in array.reshape(-1).tolist()), None)
    if array.ndim and any(value is None for value in array.reshape(-1).tolist()):
        return " It holds None: leave those rows out."
    if array.ndim == 1 and hasattr(first, "__len__") and not isinstance(first, str | bytes):
        return " Where all have one length, write np.stack(x)."
    if array.ndim == 2:
        return " Where all are numbers, write x.astype('float32')."
    return ""


def class_ids(labels: object, name: str = "labels", length: int | None = None) -> np.ndarray:
    """Returns `labels` as class ids: a 1-D int64 array.

    Args:
        labels: Integer ids, `[n]` or `[n, 1]`, of any integer dtype (or bool),
            as an array, a tensor or a list.
        name: The argument's name, for the error.
        length: The number of ids expected, or None for any.

    Returns:
        int64 array `[n]`. Unsigned ids beyond 2**63 wrap around, which keeps
        them distinct.

    Raises:
        TypeError: If the labels are strings, floats or objects.
        ValueError: If the shape is not `[n]` or `[n, 1]`, or the length differs.
    """
    array = host_array(labels, name)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        if array.dtype.kind in "Of" and _of_large_integers(labels):
            advice = "They must fit into 64 bits, e.g. np.unique(x, return_inverse=True)[1]."
        elif array.dtype.kind == "O" and not array.ndim:
            advice = "Pass a list or an array of them."
        elif array.dtype.kind in "USOT":
            advice = (
                "Map each class name to an integer, e.g. np.unique(names, return_inverse=True)[1]."
            )
        else:
            advice = "Class ids are compared as integers: cast them, e.g. y.astype('int64')."
        raise TypeError(
            f"`{name}` must be integer class ids of shape [n] or [n, 1]. "
            f"Received: {_describe(array)}. {advice}"
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        advice = (
            "These look like one-hot or multi-hot labels; pass np.argmax(y, axis=1) instead."
            if array.ndim == 2
            else "Pass one integer per example."
        )
        raise ValueError(
            f"`{name}` must be integer class ids of shape [n] or [n, 1]. "
            f"Received: {_describe(array)}. {advice}"
        )
    if length is not None and len(array) != length:
        raise ValueError(
            f"`{name}` must hold one class id per example: expected {length}. "
            f"Received: {len(array)} ids."
        )
    return array.astype(np.int64)


def _of_large_integers(labels: object) -> bool:
    """Whether a list holds whole numbers that NumPy has no integers for."""
    return isinstance(labels, list | tuple) and any(
        isinstance(label, int) and not -(2**63) <= label < 2**63 for label in labels
    )


def embeddings(values: object, name: str = "embeddings", size: int | None = None) -> np.ndarray:
    """Returns `values` as embeddings: a finite, C-contiguous float32 array `[n, dim]`.

    Args:
        values: Real numbers `[n, dim]`, as an array, a tensor or nested lists.
        name: The argument's name, for the error.
        size: The embedding size expected, or None for any.

    Raises:
        TypeError: If the values are not real numbers.
        ValueError: If the shape is not `[n, dim]`, the size differs, or a value
            is NaN or infinite (also after the cast to float32).
    """
    array = host_array(values, name)
    # Kind "V" is how NumPy sees bfloat16 where ml_dtypes is loaded; also raw bytes.
    kind, own = array.dtype.kind, array.dtype.isbuiltin == 2
    if kind not in "fiubV" or (kind == "V" and not own):
        advice = _advice_on_objects(array) if kind == "O" else ""
        raise TypeError(f"`{name}` must be real numbers. Received: {_describe(array)}.{advice}")
    if array.ndim != 2:
        advice = " For a single embedding pass x[None, :]." if array.ndim == 1 else ""
        raise ValueError(
            f"`{name}` must have shape [n, dim]. Received: {_describe(array)}.{advice}"
        )
    if size is not None and array.shape[1] != size:
        raise ValueError(
            f"`{name}` must have embedding size {size}, the size of the records. "
            f"Received: {_describe(array)}."
        )
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    # min and max propagate NaN and meet inf: two passes without a temporary.
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        raise ValueError(
            f"`{name}` must be finite in float32. Received: NaN or inf in {len(bad)} of "
            f"{len(array)} rows, the first at row {bad[0]}."
        )
    return array


def _short(value: object) -> str:
    """The value in an error message: an array is described, anything long is cut."""
    return _describe(value) if isinstance(value, np.ndarray) and value.ndim else reprlib.repr(value)


def number(value: object, name: str, *, infinite: bool = False) -> float:
    """Returns a single real number as a float.

    Args:
        value: A number of Python or NumPy, or an array or tensor of no dimensions.
        name: The argument's name, for the error.
        infinite: Whether it may be infinite. It must not be NaN in any case.

    Raises:
        TypeError: If the value is not a number; bools are none.
        ValueError: If it is NaN, or infinite where that is not allowed.
    """
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, kinds_of_numbers.Real):
        raise TypeError(f"`{name}` must be a number. Received: {_short(value)}.")
    try:
        found = float(value)
    except OverflowError:  # an integer of many digits
        found = -math.inf if str(value).startswith("-") else math.inf
    if math.isnan(found) or (math.isinf(found) and not infinite):
        expected = "not be NaN" if infinite else "be finite"
        raise ValueError(f"`{name}` must {expected}. Received: {value!r}.")
    return found


def positive(value: object, name: str) -> float:
    """Returns a finite number above 0 as a float.

    Raises:
        TypeError: If the value is not a number.
        ValueError: If it is not finite, or not above 0.
    """
    found = number(value, name)
    if found <= 0:
        raise ValueError(f"`{name}` must be above 0. Received: {value!r}.")
    return found


def fraction(value: object, name: str, *, ends: bool = False) -> float:
    """Returns a number between 0 and 1 as a float.

    Args:
        value: The number.
        name: The argument's name, for the error.
        ends: Whether 0 and 1 themselves are allowed.

    Raises:
        TypeError: If the value is not a number.
        ValueError: If it is out of range.
    """
    found = number(value, name, infinite=True) if not _is_nan(value) else math.nan
    if not (0 <= found <= 1 if ends else 0 < found < 1):
        limits = "from 0 to 1" if ends else "between 0 and 1"
        raise ValueError(f"`{name}` must be {limits}. Received: {value!r}.")
    return found


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def fractions(values: object, name: str) -> tuple[float, ...]:
    """Returns numbers from 0 to 1, given as one number or as several, as floats.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If one is out of range.
    """
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(f"`{name}` must be numbers from 0 to 1. Received: {_short(values)}.")
    if not isinstance(values, Iterable) or getattr(values, "shape", None) == ():
        values = [values]
    else:
        refuse_partial(values, name)
    return tuple(fraction(value, name, ends=True) for value in values)


def flag(value: object, name: str, advice: str = "") -> bool:
    """Returns a bool.

    A number is refused: given by position, it was meant for another argument.

    Raises:
        TypeError: If the value is neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        text = f"`{name}` must be True or False. Received: {_short(value)}. {advice}"
        raise TypeError(text.rstrip())
    return bool(value)


def choice(value: object, name: str, options: Iterable[str], other: str = "") -> str:
    """Returns a string that is one of the options.

    Args:
        value: The string.
        name: The argument's name, for the error.
        options: The strings allowed.
        other: What else the argument may be, for the error: `"a function"`.

    Raises:
        TypeError: If the value is not a string.
        ValueError: If it is none of the options.
    """
    known = list(options)
    if isinstance(value, str) and value in known:
        return value
    expected = f"one of {known}" + (f" or {other}" if other else "")
    error: type[Exception] = ValueError if isinstance(value, str) else TypeError
    raise error(f"`{name}` must be {expected}. Received: {_short(value)}.")


def text(value: object, name: str) -> str:
    """Returns a string.

    Raises:
        TypeError: If the value is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string. Received: {_short(value)}.")
    return str(value)


def rng(seed: Any, name: str = "seed") -> np.random.Generator:
    """Returns NumPy's generator of random numbers for a seed.

    Args:
        seed: An integer of at least 0, or whatever else `numpy.random.default_rng` takes.
        name: The argument's name, for the error.

    Raises:
        TypeError: If it cannot be a seed.
        ValueError: If it is negative.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"`{name}` must be an integer of at least 0, or None. Received: {_short(seed)}."
        ) from None


def class_id(value: object, name: str) -> int | None:
    """Returns a single class id as an int, or None.

    Raises:
        TypeError: If the value is neither an integer nor None.
        ValueError: If it does not fit into 64 bits.
    """
    if value is None:
        return None
    try:
        if isinstance(value, bool | np.bool_) or getattr(value, "shape", ()) != ():
            raise TypeError
        found = operator.index(value)  # type: ignore[arg-type]  # raises for all else
    except (TypeError, ValueError):
        raise TypeError(
            f"`{name}` must be an integer class id or None. Received: {_short(value)}."
        ) from None
    if not -(2**63) <= found < 2**63:
        raise ValueError(f"`{name}` must be a class id of 64 bits. Received: {value!r}.")
    return found


def count(value: object, name: str, minimum: int = 1) -> int:
    """Returns `value` as an int of at least `minimum`, which fits into 64 bits.

    Raises:
        TypeError: If the value is not an integer.
        ValueError: If it is smaller than `minimum`, or too large.
    """
    if isinstance(value, bool) or not isinstance(value, kinds_of_numbers.Integral):
        raise TypeError(f"`{name}` must be an integer. Received: {_short(value)}.")
    if value < minimum:
        raise ValueError(f"`{name}` must be at least {minimum}. Received: {value}.")
    found = int(value)
    if found >= 2**63:
        raise ValueError(f"`{name}` must be below 2**63. Received: {value}.")
    return found


def int64(value: object, name: str) -> int:
    """Returns `value` as an int that fits into 64 bits with a sign.

    Raises:
        TypeError: If the value is not an integer.
        ValueError: If it does not fit.
    """
    if isinstance(value, bool) or not isinstance(value, kinds_of_numbers.Integral):
        raise TypeError(f"`{name}` must be an integer. Received: {value!r}.")
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"`{name}` must fit into 64 bits. Received: {value}.")
    return number


def file_name(path: str | os.PathLike[str], name: str = "path") -> str:
    """Returns `path` as a string.

    Raises:
        TypeError: If it is no path.
        ValueError: If it is empty: that would be the current folder, or a file without a name.
    """
    try:
        text = os.fsdecode(os.fspath(path))
    except TypeError:
        raise TypeError(f"`{name}` must be a path. Received: {path!r}.") from None
    if not text:
        raise ValueError(f"`{name}` must name a file or a folder. Received: an empty path.")
    return text


def numbers(values: object, name: str) -> np.ndarray:
    """Returns `values` as float64, of any shape, or as a single number.

    Raises:
        TypeError: If they are not real numbers.
    """
    array = host_array(values, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be real numbers. Received: {_describe(array)}.")
    return array.astype(np.float64, copy=False)
