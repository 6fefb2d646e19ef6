"""Support for users of older libraries.

- `compat.tensorflow_addons`: the losses of TensorFlow Addons 0.23, with its defaults.
- `compat.tensorflow_similarity`: what TensorFlow Similarity 0.17 had and this package has
  under another name or with other defaults.
- `compat.names`: every public name of both, and what became of it.
- `compat.arguments`: the arguments that are gone, and what to write instead.
- `compat.migration`: lists what a program must change, as `tfsim migrate` shows it.

The old import paths, such as `tensorflow_similarity.schedules`, lead here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorflow_similarity.compat import (
        arguments,
        migration,
        names,
        tensorflow_addons,
        tensorflow_similarity,
    )

__all__ = ["arguments", "migration", "names", "tensorflow_addons", "tensorflow_similarity"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
