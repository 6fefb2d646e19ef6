"""Samplers: batches that hold several examples of each of their classes."""

from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.memory import MultiShotMemorySampler

__all__ = ["BalancedDraws", "MultiShotMemorySampler"]
