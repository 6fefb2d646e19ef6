"""Layers for embedding models."""

from tensorflow_similarity.layers.l2_embedding import L2Embedding, MetricEmbedding

__all__ = ["L2Embedding", "MetricEmbedding"]
