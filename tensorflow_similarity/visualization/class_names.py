"""Names of classes in pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

ClassNames = Mapping[int, str] | Sequence[str] | None


def class_name(label: int, names: ClassNames) -> str:
    """The name of class `label`, or the id itself where `names` has none."""
    if isinstance(names, Mapping):
        return str(names.get(label, label))
    if names is not None and 0 <= label < len(names):
        return str(names[label])
    return str(label)


def shorten(text: str, characters: int) -> str:
    """At most so many characters, of whole words where there are some."""
    text = " ".join(text.split())
    if len(text) <= characters:
        return text
    short = textwrap.shorten(text, characters, placeholder="\u00a0…")
    return short if len(short) > 2 else text[: characters - 1] + "…"
