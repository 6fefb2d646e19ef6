"""Every public name of the older libraries, and what replaces it."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from tensorflow_similarity.compat._table import ADDONS, MODULES, SIMILARITY, Fate

__all__ = ["Fate", "fate", "fates", "is_old_module", "knows", "resolve", "working_names"]

_ROOT = "tensorflow_similarity"


def fate(module: str, name: str) -> Fate | None:
    """What happened to a name.

    Args:
        module: The full name of the module that had it: `"tensorflow_similarity.losses"`, or
            one of its submodules, or `"tensorflow_addons.losses"`.
        name: The name in it.

    Returns:
        Its `Fate`, or None for a name that the older libraries did not have there.

    Example:

    ```python
    from tensorflow_similarity.compat import names

    names.fate("tensorflow_similarity.schedules", "WarmupCosineDecay").status  # 'renamed'
    ```
    """
    root, _, rest = module.partition(".")
    if root == "tensorflow_addons":
        return ADDONS.get(name)
    if root != _ROOT:
        return None
    parts = rest.split(".")
    if parts[0] == "api":
        parts = parts[1:]
    while parts:
        found = SIMILARITY.get(".".join(parts), {}).get(name)
        if found is not None:
            return found
        # A package also had the names of its submodules.
        parts = parts[:-1]
    return None


def fates() -> dict[tuple[str, str], Fate]:
    """All of them: `(module, name)` -> `Fate`, with the modules' full names."""
    similarity = {
        (f"{_ROOT}.{module}", name): fate
        for module, names in SIMILARITY.items()
        for name, fate in names.items()
    }
    return similarity | {("tensorflow_addons.losses", name): fate for name, fate in ADDONS.items()}


def is_old_module(module: str) -> bool:
    """Whether TensorFlow Similarity had a module with this full name.

    Args:
        module: Such as `"tensorflow_similarity.schedules"`.
    """
    return module.removeprefix(f"{_ROOT}.") in MODULES


def knows(module: str, name: str) -> bool:
    """Whether an older library had a name, or a submodule, in a module.

    Args:
        module: The full name of the module.
        name: The name in it.
    """
    return _fate_here(module, name) is not None or is_old_module(f"{module}.{name}")


def resolve(module: str, name: str) -> Any:
    """The object here for a name of an older library.

    Args:
        module: The full name of the module that had it.
        name: The name in it.

    Raises:
        ImportError: If it is gone; the message says what to write instead.
    """
    found = _fate_here(module, name)
    if found is None:
        return importlib.import_module(f"{module}.{name}")
    if found.target is None:
        raise ImportError(
            f"`{name}` of `{module}` does not exist any more: {found.note}", name=module
        )
    where, _, attribute = found.target.rpartition(".")
    return getattr(importlib.import_module(f"{_ROOT}.{where}"), attribute)


def working_names(module: str) -> list[str]:
    """The names of an old module that still work, sorted.

    Args:
        module: The full name of the module.
    """
    names = SIMILARITY.get(module.removeprefix(f"{_ROOT}."), {})
    return sorted(name for name, fate in names.items() if fate.target is not None)


def _fate_here(module: str, name: str) -> Fate | None:
    """The fate of a name in a module: `losses` also has the functions of Addons."""
    found = fate(module, name)
    if found is None and module == f"{_ROOT}.losses":
        found = ADDONS.get(name)
        if found is not None and not name.islower():
            return None  # Addons' classes were never in this module.
    return found


def explained(module: str, name: str) -> str:
    """One line on what happened to a name, for a report."""
    found = fate(module, name)
    return "" if found is None else _line(found)


def _line(fate: Fate) -> str:
    parts = dataclasses.asdict(fate)
    target = "" if parts["target"] is None else f"{_ROOT}.{parts['target']}"
    return " ".join(part for part in (target, parts["note"]) if part)


def __dir__() -> list[str]:
    return sorted(__all__)
