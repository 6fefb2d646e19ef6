"""Layers for embedding models."""

from tensorflow_similarity.layers.l2_embedding import L2Embedding, MetricEmbedding
from tensorflow_similarity.layers.memory_bank import MemoryBank
from tensorflow_similarity.layers.proxy_head import ProxyHead

__all__ = ["L2Embedding", "MemoryBank", "MetricEmbedding", "ProxyHead"]
