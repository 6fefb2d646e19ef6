"""Names of classes in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ClassNames = Mapping[int, str] | Sequence[str] | None


def class_name(label: int, names: ClassNames) -> str:
    """The name of class `label`, or the id itself where `names` has none."""
    if isinstance(names, Mapping):
        return str(names.get(label, label))
    if names is not None and 0 <= label < len(names):
        return str(names[label])
    return str(label)
