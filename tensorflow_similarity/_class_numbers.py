"""Class ids of any size on a backend whose integers have 32 bits.

JAX cuts 64-bit integers to their lower half, so that ids that differ by 2**32 would become one
class. There, ids that do not fit are given numbers of 32 bits before they reach the device, the
same number for the same id for as long as the process lives. Elsewhere nothing is done.
"""

from __future__ import annotations

import threading

import keras
import numpy as np

__all__ = ["id_dtype", "ids_of", "number_of_id", "numbers_of"]

# Numbers are given out from the lowest on. Ids below `_FIRST_OWN` always get one, so that no
# id that stands for itself is ever met by a number.
_LOWEST = -(2**31)
_FIRST_OWN = -(2**30)
_LAST_OWN = 2**31 - 1

_lock = threading.Lock()
_number_of: dict[int, int] = {}
_id_of: list[int] = []


def id_dtype() -> str:
    """The integer type of class ids in computations: `"int64"`, or `"int32"` with JAX."""
    if keras.backend.backend() != "jax":
        return "int64"
    import jax

    return "int64" if jax.config.jax_enable_x64 else "int32"


def numbers_of(ids: np.ndarray) -> np.ndarray:
    """Class ids as the backend can hold them.

    Args:
        ids: Integers of any type and shape.

    Returns:
        The same where the backend has integers of 64 bits; with JAX int32, in which an id
        from -2**30 to 2**31 - 1 stands for itself.

    Raises:
        ValueError: If they need numbers, and several processes train together, which would
            give out different ones.
    """
    if id_dtype() == "int64" or ids.dtype.kind not in "iu":
        return ids
    if ids.dtype.itemsize <= 2:
        return ids
    wide = ids.astype(np.int64)
    large = (wide < _FIRST_OWN) | (wide > _LAST_OWN)
    if not large.any():
        return wide.astype(np.int32)
    _refuse_several_processes(wide[large][0])
    found, places = np.unique(wide[large], return_inverse=True)
    with _lock:
        numbers = np.array([_numbered(i) for i in found.tolist()], np.int32)
    result = np.where(large, 0, wide).astype(np.int32)
    result[large] = numbers[places.reshape(-1)]
    return result


def number_of_id(class_id: int) -> int:
    """`numbers_of` for one class id."""
    return int(numbers_of(np.array([class_id], np.int64))[0])


def ids_of(numbers: np.ndarray) -> np.ndarray:
    """The class ids that `numbers_of` gave these numbers to, int64."""
    ids = numbers.astype(np.int64)
    if id_dtype() == "int32":
        given = (ids < _FIRST_OWN) & (ids - _LOWEST < len(_id_of))
        ids[given] = np.array(_id_of, np.int64)[ids[given] - _LOWEST]
    return ids


def _numbered(class_id: int) -> int:
    number = _number_of.get(class_id)
    if number is None:
        number = _LOWEST + len(_id_of)
        if number >= _FIRST_OWN:
            raise ValueError("More than 2**30 class ids of more than 32 bits. Number the classes.")
        _id_of.append(class_id)
        _number_of[class_id] = number
    return number


def _refuse_several_processes(example: object) -> None:
    import jax

    if jax.process_count() > 1:
        raise ValueError(
            "Class ids must be from -2**30 to 2**31 - 1 where several processes train together "
            f"with JAX, which has integers of 32 bits. Received: {example}. Number the classes of "
            "all data, e.g. by np.unique(y, return_inverse=True)[1]."
        )
