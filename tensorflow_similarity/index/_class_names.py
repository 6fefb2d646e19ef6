"""Class names of an index: a table in its notes, from the names to the ids that records hold.

Records hold int64 labels whatever they were given. Where those were names, the table says
which name each id stands for. It only grows, so that a lookup that began before a change
still finds its names in it.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.index._label_sets import LabelSets
from tensorflow_similarity.index._metadata import Notes
from tensorflow_similarity.targets import Targets, label_ids_of

__all__ = ["NOTE", "ClassNames", "names_in"]

#: The note of an index that holds its class names, in the order of their ids.
NOTE = "class_names_of_labels"


def names_in(notes: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class names of an index, in the order of their ids; None where classes are ids."""
    names = notes.get(NOTE)
    return None if names is None else tuple(names)


class _Labelled(Protocol):
    """Records with notes."""

    @property
    def notes(self) -> Notes: ...

    def latest_notes(self) -> Notes: ...

    def has_labels(self) -> bool: ...

    def count(self) -> int: ...


class ClassNames:
    """Maps the class names of an index to the ids that its records store.

    Args:
        records: The records, and the notes with the table.
    """

    def __init__(self, records: _Labelled) -> None:
        self._records = records
        # A tuple of many names takes a while to make.
        self._known: tuple[Any, tuple[str, ...] | None] = (None, None)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names in the order of their ids; None where classes are ids."""
        noted, names = self._known
        now = self._records.notes.get(NOTE)
        if now is not noted:
            names = None if now is None else tuple(now)
            self._known = now, names
        return names

    def encode(
        self, labels: Targets | None, length: int
    ) -> tuple[np.ndarray | LabelSets, np.ndarray]:
        """Labels as they are stored: int64 `[n]` or sets, and bool `[n]`, whether there is one.

        Names that are new are added to the table.

        Args:
            labels: Classes or several labels each, by name or by id, or None.
            length: The number of records.

        Raises:
            TypeError: If they are names, and the index holds ids, or the other way round.
        """
        if labels is None:
            return np.zeros(length, np.int64), np.zeros(length, bool)
        named = labels.class_names is not None and label_ids_of(labels) is None
        notes = self._records.latest_notes() if named else self._records.notes
        if (not named and NOTE not in notes) or not labels.known.any():
            return _as_held(labels)
        with notes.lock:  # while the table is read, grown and written
            names = names_in(notes)
            if named != (names is not None) and self._records.has_labels():
                given, held = ("names", "ids") if named else ("ids", "names")
                raise TypeError(
                    f"`labels` must be class {held}, as those of the records of the index are. "
                    f"Received: class {given}. " + _advice(names)
                )
            if not named:  # Nothing is left that had a name.
                notes.pop(NOTE, None)
            else:
                labels = labels.recode(names or (), "labels")
                if labels.class_names != names:
                    notes[NOTE] = list(labels.class_names or ())
        return _as_held(labels)

    def wanted(self, labels: Any) -> Any:
        """The labels of a filter as they are stored, without names that no record has.

        Raises:
            TypeError: If they are names, and the index holds ids, or the other way round.
        """
        names = self.names
        texts = np.atleast_1d(checks.host_array(labels, "filter['labels']"))
        if texts.dtype.kind not in "USOT":
            if names is not None and texts.size:
                raise TypeError(
                    "`filter['labels']` must be class names, as those of the records of the index "
                    f"are. Received: {labels!r}. " + _advice(names)
                )
            return labels
        found = targets.get(texts, "filter['labels']")
        if found.class_names is not None and names is None and self._records.count():
            raise TypeError(
                "`filter['labels']` must be integer class ids, as those of the records are. "
                f"Received: {labels!r}."
            )
        if found.class_names is None:
            return found.ids[found.known]
        ids = found.recode(names or (), "filter['labels']").ids
        known = ids[(ids >= 0) & (ids < len(names or ()))]
        if len(ids) and not len(known) and self._records.count():
            unknown = found.decode(found.ids)[0]
            near = difflib.get_close_matches(unknown, names or (), 1)
            warnings.warn(
                f"`filter['labels']` names {unknown!r}, a class of no record. "
                + (f"Did you mean {near[0]!r}?" if near else _advice(names)),
                stacklevel=levels_to_the_caller(),
            )
        return known


def _as_held(labels: Targets) -> tuple[np.ndarray | LabelSets, np.ndarray]:
    known = np.array(labels.known)
    if labels.kind == "classes":
        return np.where(known, labels.ids, 0), known
    matrix: np.ndarray = labels.matrix  # type: ignore[attr-defined]
    ids = label_ids_of(labels)
    ids = np.arange(matrix.shape[1]) if ids is None else ids
    return LabelSets.of_matrix(matrix & known[:, None], ids), known


def _advice(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "Pass the ids, or index the records again by their names."
    shown = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
    return f"Pass the names, such as {shown}."
