"""Type names of TensorFlow Similarity's annotations. All of them mean any value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "Batch",
    "BoolTensor",
    "EqFunc",
    "FloatTensor",
    "IntTensor",
    "PandasDataFrame",
    "PreProcessFn",
    "Scheduler",
    "Symbol",
    "Tensor",
    "Value",
]

Tensor = Any
BoolTensor = Any
FloatTensor = Any
IntTensor = Any
Symbol = Any
Value = Any
Batch = Any
PandasDataFrame = Any
EqFunc = Callable[[Any, Any], bool]
PreProcessFn = Callable[[Any, Any], tuple[Any, Any]]
Scheduler = Callable[[Any], Any]


def __dir__() -> list[str]:
    return sorted(__all__)
