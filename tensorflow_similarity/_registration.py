"""Registers the classes of the package with Keras, so that saved models which use them load.

Keras finds a class of a saved model by its registered name, and imports no module to look
for it. Losses, distances and layers are cheap to import, and register themselves. What needs
the whole of the package, the index and its engines among it, is registered by name only: its
module is imported when a saved model asks for it.
"""

from __future__ import annotations

import importlib
from typing import Any

import keras

from tensorflow_similarity import (
    distances,
    layers,
    losses,
    mining,
    regularizers,
    training_metrics,
)

__all__ = ["LATE", "PACKAGE"]

PACKAGE = "tensorflow_similarity"
# Registered names, and the module that registers the class itself.
LATE = {
    "ContrastiveModel": "tensorflow_similarity.models",
    "DualEncoder": "tensorflow_similarity.models",
    "ImagePreprocessing": "tensorflow_similarity.architectures",
    "SiameseModel": "tensorflow_similarity.models",
    "SimilarityModel": "tensorflow_similarity.models",
    "XBM": "tensorflow_similarity.compat.tensorflow_similarity",
}
# Importing them is what registers their classes.
_EARLY = (distances, layers, losses, mining, regularizers, training_metrics)


def _stand_in(name: str, module: str) -> type:
    """A class that makes an object of the true one, after importing the module that has it."""

    class StandIn:
        """Stands in the registry for a class whose module has not been imported."""

        def get_config(self) -> dict[str, Any]:
            raise NotImplementedError(f"{name} stands for a class of {module}.")

        @classmethod
        def from_config(cls, config: dict[str, Any], **kwargs: Any) -> Any:
            importlib.import_module(module)
            # While Keras loads a file, its other look-ups answer from a copy of the registry.
            true = keras.saving.get_custom_objects()[f"{PACKAGE}>{name}"]
            if true is cls:
                raise ImportError(f"{module} registers no class {name!r}.")
            return true.from_config(config, **kwargs)

    StandIn.__name__ = name
    return StandIn


for _name, _module in LATE.items():
    if keras.saving.get_registered_object(f"{PACKAGE}>{_name}") is None:
        keras.saving.register_keras_serializable(PACKAGE, _name)(_stand_in(_name, _module))
