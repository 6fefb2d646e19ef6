"""Keras callbacks: evaluation while training, a doctor for it, and the embedding projector."""

from tensorflow_similarity.callbacks.doctor.findings import Finding, TrainingWarning
from tensorflow_similarity.callbacks.doctor.suspects import Suspect
from tensorflow_similarity.callbacks.doctor.vital_signs import VitalSigns
from tensorflow_similarity.callbacks.eval_callback import EvalCallback
from tensorflow_similarity.callbacks.projector import EmbeddingProjector, write_projector
from tensorflow_similarity.callbacks.training_doctor import TrainingDoctor

__all__ = [
    "EmbeddingProjector",
    "EvalCallback",
    "Finding",
    "Suspect",
    "TrainingDoctor",
    "TrainingWarning",
    "VitalSigns",
    "write_projector",
]


def __dir__() -> list[str]:
    return sorted(__all__)
