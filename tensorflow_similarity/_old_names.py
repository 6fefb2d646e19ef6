"""Finds what TensorFlow Similarity and TensorFlow Addons called otherwise.

A module or a name of these libraries that is absent here is looked up in
`tensorflow_similarity.compat`, when it is asked for and not before. It works there, or it
raises an error that says what to write instead.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar

__all__ = ["explains_arguments", "install", "of", "removed_argument"]

_ROOT = __name__.partition(".")[0]
_TABLE = f"{_ROOT}.compat.names"
_ARGUMENTS = f"{_ROOT}.compat.arguments"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def of(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module: names that an older library had there.

    Args:
        module: The full name of the module.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 (becomes the module's)
        if not name.startswith("__"):
            table = importlib.import_module(_TABLE)
            if table.knows(module, name):
                return table.resolve(module, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__


class _OldModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes modules of the older libraries that do not exist as files here."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        # What exists here is found by Python itself, before this is asked.
        if not fullname.startswith(f"{_ROOT}.") or fullname.startswith(f"{_ROOT}.compat"):
            return None
        table = importlib.import_module(_TABLE)
        if not table.is_old_module(fullname):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        table = importlib.import_module(_TABLE)
        names = table.working_names(module.__name__)
        module.__dict__.update(
            __doc__=f"What was `{module.__name__}` in older libraries: see the migration guides.",
            __all__=names,
            __getattr__=of(module.__name__),
            __dir__=lambda: names,
        )


def install() -> None:
    """Lets the modules of the older libraries be imported. More than once is once."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())


def explains_arguments(callable_name: str) -> Callable[[_Function], _Function]:
    """A decorator: arguments that an older library had, and this not, or under another name.

    One that is gone raises what to write instead; one that was renamed is taken.

    Args:
        callable_name: The name under which `compat.arguments` knows the function.
    """

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def explaining(*args: Any, **kwargs: Any) -> Any:
            table = importlib.import_module(_ARGUMENTS)
            table.check(callable_name, args, kwargs)
            return function(*args, **table.renamed(callable_name, kwargs))

        return explaining  # type: ignore[return-value]

    return decorate


def removed_argument(callable_name: str, name: str) -> str | None:
    """What to write instead of an argument that an older library had, or None.

    Args:
        callable_name: The name under which `compat.arguments` knows the function.
        name: The argument.
    """
    note: str | None = importlib.import_module(_ARGUMENTS).removed(callable_name, name)
    return note
