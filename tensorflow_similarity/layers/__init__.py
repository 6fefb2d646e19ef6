"""Keras layers for embeddings: normalisation, pooling, proxies, memories, a temperature."""

from typing import TYPE_CHECKING

from tensorflow_similarity import _old_names
from tensorflow_similarity.layers.compatible_head import CompatibleHead
from tensorflow_similarity.layers.embedding_prefix import EmbeddingPrefix
from tensorflow_similarity.layers.generalized_mean_pooling import (
    GeneralizedMeanPooling1D,
    GeneralizedMeanPooling2D,
)
from tensorflow_similarity.layers.l2_embedding import L2Embedding, MetricEmbedding
from tensorflow_similarity.layers.margin_head import MarginHead
from tensorflow_similarity.layers.memory_bank import MemoryBank
from tensorflow_similarity.layers.partial_proxy_head import PartialProxyHead
from tensorflow_similarity.layers.proxy_head import ProxyHead
from tensorflow_similarity.layers.temperature import Temperature

__all__ = [
    "CompatibleHead",
    "EmbeddingPrefix",
    "GeneralizedMeanPooling1D",
    "GeneralizedMeanPooling2D",
    "L2Embedding",
    "MarginHead",
    "MemoryBank",
    "MetricEmbedding",
    "PartialProxyHead",
    "ProxyHead",
    "Temperature",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
