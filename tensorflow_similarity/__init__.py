"""Metric learning for Keras 3: losses, samplers, and models with an index of their own.

Importing the package registers its classes with Keras, so that models which use
them load in any process. Its modules are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import tensorflow_similarity.compat.tensorflow_addons  # noqa: F401  registers "Addons>..."
from tensorflow_similarity import (
    _old_names,
    _registration,  # noqa: F401  registers the classes
)

if TYPE_CHECKING:
    from tensorflow_similarity import (
        architectures,
        calibration,
        callbacks,
        classification_metrics,
        compat,
        distances,
        evaluation,
        index,
        layers,
        losses,
        mining,
        models,
        retrieval_metrics,
        samplers,
        serving,
        training_metrics,
        visualization,
    )
    from tensorflow_similarity.index import Index
    from tensorflow_similarity.models import SimilarityModel

__version__ = "0.20.0"

__all__ = [
    "Index",
    "SimilarityModel",
    "__version__",
    "architectures",
    "calibration",
    "callbacks",
    "classification_metrics",
    "compat",
    "distances",
    "evaluation",
    "index",
    "layers",
    "losses",
    "mining",
    "models",
    "retrieval_metrics",
    "samplers",
    "serving",
    "training_metrics",
    "visualization",
]

# Modules that older libraries had, such as `augmenters` and `types`.
_old_names.install()
_OLD_NAME = _old_names.of(__name__)
# Classes that are used most, and the modules that have them.
_CLASSES = {"Index": "index", "SimilarityModel": "models"}


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(importlib.import_module(f"{__name__}.{_CLASSES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    return _OLD_NAME(name)


def __dir__() -> list[str]:
    return sorted(__all__)
