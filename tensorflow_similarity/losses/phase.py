"""Whether a loss is called in training or in evaluation, which Keras does not tell it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Phase", "current", "phase"]


@dataclass
class Phase:
    """One computation of the losses of a model.

    Attributes:
        training: Whether it is a step of training.
        called: The losses with state that were called in it.
    """

    training: bool
    called: list[Any] = field(default_factory=list)


_current: ContextVar[Phase | None] = ContextVar("phase", default=None)


def current() -> Phase | None:
    """The phase that is under way, or None where nobody said."""
    return _current.get()


@contextmanager
def phase(training: bool) -> Iterator[Phase]:
    """Losses that are called in this block know whether it is training.

    What counts is when the call is traced: a compiled function keeps its phase.
    """
    token = _current.set(Phase(bool(training)))
    try:
        yield _current.get()  # type: ignore[misc]
    finally:
        _current.reset(token)
