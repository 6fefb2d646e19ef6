"""Lists what the package makes public: the names in the `__all__` of its public modules."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import tensorflow_similarity
from tensorflow_similarity import compat


def packages() -> list[ModuleType]:
    """The package's public modules: its direct children without an underscore."""
    found = [
        importlib.import_module(f"tensorflow_similarity.{info.name}")
        for info in pkgutil.iter_modules(tensorflow_similarity.__path__)
        if not info.name.startswith("_")
    ]
    # What is public of `compat` are its modules.
    return found + [getattr(compat, m) for m in compat.__all__]


def objects() -> dict[str, Any]:
    """Public functions and classes by their qualified name, aliases once."""
    found: dict[int, tuple[str, Any]] = {}
    for package in packages():
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(id(value), (f"{package.__name__}.{value.__name__}", value))
    return dict(found.values())


def methods(cls: type) -> dict[str, Any]:
    """Public methods and properties that the package itself gives a class.

    Those that override a method of another library are that library's to document.
    """
    ours = [b for b in reversed(cls.__mro__) if b.__module__.startswith("tensorflow_similarity")]
    others = {name for base in cls.__mro__ if base not in ours for name in vars(base)}
    found = {}
    for base in ours:
        for name, value in vars(base).items():
            plain = inspect.isfunction(value) or isinstance(
                value, (property, classmethod, staticmethod)
            )
            if plain and not name.startswith("_") and name not in others:
                found[name] = getattr(cls, name)
    return found
