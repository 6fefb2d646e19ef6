"""Loading examples on demand."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.samplers.padding import Padding

__all__ = ["columns", "load_examples", "stack"]


def load_examples(load: Callable[[Any], Any], elements: Any, padding: Padding | None = None) -> Any:
    """Loads the examples of a batch and stacks them.

    Args:
        load: Turns one element into an array, or a tuple or dict of arrays. If it has an
            attribute `many`, that is a function of many elements which returns the examples of
            all, and is called in place of it.
        elements: What to load from, `[n]`, or a tuple or dict of such arrays.
        padding: If given, sequences may differ in length.

    Raises:
        ValueError: If an example cannot be loaded, examples differ in shape, or `many` returns
            another number of them.
    """
    many = _many(load)
    failed = None
    if many is not None and isinstance(elements, np.ndarray):
        try:
            loaded = many(elements)
            loaded = loaded if isinstance(loaded, np.ndarray) else list(loaded)
        except Exception as error:
            failed = error  # One by one, the error says which element it was.
        else:
            if len(loaded) != len(elements):
                raise ValueError(
                    f"`many` of the function that loads must return {len(elements)} examples, one "
                    f"for each element. Received: {len(loaded)}."
                )
            return loaded if isinstance(loaded, np.ndarray) else stack(loaded, padding)
    examples = []
    for i in range(len(keras.tree.flatten(elements)[0])):
        element = keras.tree.map_structure(lambda leaf, i=i: leaf[i], elements)
        try:
            examples.append(load(element))
        except Exception as error:
            raise ValueError(f"Loading {element!r} failed: {error}") from error
    if failed is not None:
        warnings.warn(
            "The function that loads examples loads each alone, but its `many` fails, so that "
            f"they are loaded one by one, which is slower: {failed}",
            stacklevel=levels_to_the_caller(),
        )
    return stack(examples, padding)


def _many(load: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    """How many elements are loaded at once; None where they are loaded one by one."""
    if isinstance(load, functools.partial):
        inner = _many(load.func)
        return None if inner is None else functools.partial(inner, *load.args, **load.keywords)
    return getattr(load, "many", None)


def stack(examples: list[Any], padding: Padding | None = None) -> Any:
    """Stacks examples of the same structure and shape.

    If `padding` is given, sequences of different lengths become an object array.
    """

    def together(*leaves: Any) -> np.ndarray:
        if all(isinstance(leaf, (str, bytes)) for leaf in leaves):
            # NumPy's bytes dtype drops trailing NULs.
            return np.array(leaves, dtype=object)
        found = [np.asarray(leaf) for leaf in leaves]
        shapes = {leaf.shape for leaf in found}
        if len(shapes) == 1:
            return np.stack(found)
        sequences = len({leaf.shape[1:] if leaf.ndim else None for leaf in found}) == 1
        if padding is not None and sequences:
            rows = np.empty(len(found), object)
            rows[:] = found
            return rows
        raise ValueError(
            "The examples of a batch must have one shape. Received: shapes "
            f"{sorted(shapes)[:3]}. Bring them to one size as they are loaded, e.g. images "
            "by load_image(path, target_size=(224, 224)); for sequences of different lengths "
            "give padding=Padding()."
        )

    return keras.tree.map_structure(together, *examples)


def columns(examples: list[Any]) -> Any:
    """Transposes examples into one list of values per array, in the examples' structure."""
    first = examples[0]
    if isinstance(first, dict):
        return {key: [example[key] for example in examples] for key in first}
    if isinstance(first, tuple):
        return tuple([example[i] for example in examples] for i in range(len(first)))
    return examples
