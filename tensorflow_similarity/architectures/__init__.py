"""Embedding models on pretrained backbones."""

from typing import TYPE_CHECKING

from tensorflow_similarity import _old_names
from tensorflow_similarity.architectures.backbone import with_backbone
from tensorflow_similarity.architectures.known import EfficientNetSim, ResNet50Sim
from tensorflow_similarity.architectures.preprocessing import ImagePreprocessing

__all__ = ["EfficientNetSim", "ImagePreprocessing", "ResNet50Sim", "with_backbone"]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
