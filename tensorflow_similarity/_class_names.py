"""Class ids and the names that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ClassNames", "class_name"]

ClassNames = Mapping[int, str] | Sequence[str] | None


def class_name(label: Any, names: ClassNames) -> str:
    """The name of class `label`, or the label itself where `names` has none.

    Raises:
        TypeError: If `names` are neither a mapping nor a sequence.
    """
    if isinstance(names, Mapping) and label in names:
        return str(names[label])
    if isinstance(label, tuple):  # of several
        return ", ".join(class_name(each, names) for each in label)
    if isinstance(names, Mapping):
        return str(label)
    if names is not None and (isinstance(names, str | bytes) or not hasattr(names, "__getitem__")):
        raise TypeError(
            "`class_names` must be a list of names by class id, or a dict from ids to names. "
            f"Received: {names!r}."
        )
    if isinstance(label, str):
        return label
    if names is not None and 0 <= label < len(names):
        return str(names[label])
    return str(label)
