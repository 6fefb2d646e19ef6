"""Models that carry their own search index."""

from tensorflow_similarity.models.similarity_model import SimilarityModel

__all__ = ["SimilarityModel"]
