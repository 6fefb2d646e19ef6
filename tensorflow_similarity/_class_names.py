"""Class ids and the names that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ClassNames", "class_name"]

ClassNames = Mapping[int, str] | Sequence[str] | None


def class_name(label: Any, names: ClassNames) -> str:
    """The name of class `label`, or the label itself where `names` has none."""
    if isinstance(names, Mapping):
        return str(names.get(label, label))
    if isinstance(label, str):
        return label
    if names is not None and 0 <= label < len(names):
        return str(names[label])
    return str(label)
