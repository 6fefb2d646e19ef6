"""Keras callbacks: evaluation while training, a doctor for it, and the embedding projector."""

from typing import TYPE_CHECKING

from tensorflow_similarity import _old_names
from tensorflow_similarity.callbacks.doctor.findings import Finding, TrainingWarning
from tensorflow_similarity.callbacks.doctor.measurements import VitalSigns
from tensorflow_similarity.callbacks.doctor.suspects import Suspect
from tensorflow_similarity.callbacks.eval_callback import EvalCallback
from tensorflow_similarity.callbacks.hard_negatives import HardNegativeMining
from tensorflow_similarity.callbacks.projector import EmbeddingProjector, write_projector
from tensorflow_similarity.callbacks.training_doctor import TrainingDoctor

__all__ = [
    "EmbeddingProjector",
    "EvalCallback",
    "Finding",
    "HardNegativeMining",
    "Suspect",
    "TrainingDoctor",
    "TrainingWarning",
    "VitalSigns",
    "write_projector",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
