"""Models that carry their own search index."""

from tensorflow_similarity.models.baselines import BaselineResult
from tensorflow_similarity.models.contrastive_model import ContrastiveModel
from tensorflow_similarity.models.dual_encoder import DualEncoder
from tensorflow_similarity.models.similarity_model import SimilarityModel

__all__ = ["BaselineResult", "ContrastiveModel", "DualEncoder", "SimilarityModel"]


def __dir__() -> list[str]:
    return sorted(__all__)
