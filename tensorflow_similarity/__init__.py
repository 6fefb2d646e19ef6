"""Metric learning for Keras 3: losses, samplers, and models with an index of their own.

Importing the package registers its classes with Keras, so that models which use
them load in any process.
"""

from tensorflow_similarity import (
    architectures,
    calibration,
    callbacks,
    classification_metrics,
    distances,
    evaluation,
    index,
    layers,
    losses,
    mining,
    models,
    retrieval_metrics,
    samplers,
    training_metrics,
    visualization,
)

__version__ = "0.20.0"

__all__ = [
    "__version__",
    "architectures",
    "calibration",
    "callbacks",
    "classification_metrics",
    "distances",
    "evaluation",
    "index",
    "layers",
    "losses",
    "mining",
    "models",
    "retrieval_metrics",
    "samplers",
    "training_metrics",
    "visualization",
]
