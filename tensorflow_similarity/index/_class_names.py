"""Class names of an index: a table in its notes, from the names to the ids that records hold.

Records hold int64 labels whatever they were given. Where those were names, the table says
which name each id stands for. It only grows, so that a lookup that began before a change
still finds its names in it.
"""

from __future__ import annotations

import difflib
import threading
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.targets import Targets

__all__ = ["NOTE", "encoded", "names_in", "wanted"]

#: The note of an index that holds its class names, in the order of their ids.
NOTE = "class_names_of_labels"

# Held while a table is read, grown and written, by which ids are given to names.
_GROWING = threading.RLock()


def names_in(notes: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class names of an index, in the order of their ids; None where classes are ids."""
    names = notes.get(NOTE)
    return None if names is None else tuple(names)


def encoded(
    labels: Targets | None,
    notes: MutableMapping[str, Any],
    has_labels: Callable[[], bool],
    length: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as records hold them: int64 `[n]`, and bool `[n]`, where there is one.

    Args:
        labels: Classes, by name or by id, or None.
        notes: The notes of the index; names that are new are added to its table.
        has_labels: Whether a record of the index has a label.
        length: The number of records.

    Raises:
        TypeError: If they are names, and the index holds ids, or the other way round.
    """
    if labels is None:
        return np.zeros(length, np.int64), np.zeros(length, bool)
    if (labels.class_names is None and NOTE not in notes) or not labels.known.any():
        return np.where(labels.known, labels.ids, 0), np.array(labels.known)
    with _GROWING:
        names = names_in(notes)
        if (labels.class_names is None) != (names is None) and has_labels():
            given, held = ("ids", "names") if labels.class_names is None else ("names", "ids")
            raise TypeError(
                f"`labels` must be class {held}, as those of the records of the index are. "
                f"Received: class {given}. " + _advice(names)
            )
        if labels.class_names is None:  # Nothing is left that had a name.
            notes.pop(NOTE, None)
        else:
            labels = labels.recode(names or (), "labels")
            if labels.class_names != names:
                notes[NOTE] = list(labels.class_names or ())
    return np.where(labels.known, labels.ids, 0), np.array(labels.known)


def wanted(labels: Any, notes: Mapping[str, Any]) -> Any:
    """The labels of a filter as records hold them; a name that no record has is left out.

    Raises:
        TypeError: If they are names, and the index holds ids, or the other way round.
    """
    names = names_in(notes)
    texts = np.atleast_1d(checks.host_array(labels, "filter['labels']"))
    if texts.dtype.kind not in "USOT":
        if names is not None and texts.size:
            raise TypeError(
                "`filter['labels']` must be class names, as those of the records of the index "
                f"are. Received: {labels!r}. " + _advice(names)
            )
        return labels
    found = targets.get(texts, "filter['labels']")
    if found.class_names is not None and names is None:
        raise TypeError(
            "`filter['labels']` must be integer class ids, as those of the records are. "
            f"Received: {labels!r}."
        )
    if found.class_names is None:
        return found.ids[found.known]
    ids = found.recode(names or (), "filter['labels']").ids
    known = ids[(ids >= 0) & (ids < len(names or ()))]
    if len(ids) and not len(known):
        unknown = found.decode(found.ids)[0]
        near = difflib.get_close_matches(unknown, names or (), 1)
        warnings.warn(
            f"`filter['labels']` names {unknown!r}, a class of no record. "
            + (f"Did you mean {near[0]!r}?" if near else _advice(names)),
            stacklevel=levels_to_the_caller(),
        )
    return known


def _advice(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "Pass the ids, or index the records again by their names."
    shown = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
    return f"Pass the names, such as {shown}."
