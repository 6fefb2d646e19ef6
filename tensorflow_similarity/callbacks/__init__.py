"""Keras callbacks: evaluation while training, a doctor for it, and the embedding projector."""

from tensorflow_similarity.callbacks.eval_callback import EvalCallback

__all__ = ["EvalCallback"]
