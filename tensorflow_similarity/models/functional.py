"""Lets one class serve the functional API and subclassing, as `keras.Model` does.

Keras itself turns a subclass of `Model` into a functional model by exchanging
the bases of the class on first use, after which the class can no longer be
subclassed with a `call` of its own. Here the functional form is a class beside
the other, and only the user's own subclasses change their bases.
"""

from __future__ import annotations

from typing import Any

__all__ = ["functional_class", "is_functional_call"]


def is_functional_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether constructor arguments are `(inputs, outputs)`, as Keras tells it."""
    return (
        len(args) == 2
        or (len(args) == 1 and "outputs" in kwargs)
        or ("inputs" in kwargs and "outputs" in kwargs)
    )


def functional_class(cls: type, base: type, functional: type) -> type:
    """`functional` for `base` itself; a subclass of `base`, rebased on `functional`."""
    if cls is base:
        return functional
    if not issubclass(cls, functional) and issubclass(cls, base):
        cls.__bases__ = tuple(
            functional_class(parent, base, functional) for parent in cls.__bases__
        )
    return cls
