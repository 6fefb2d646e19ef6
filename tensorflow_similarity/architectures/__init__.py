"""Embedding models on pretrained backbones."""

from tensorflow_similarity.architectures.backbone import with_backbone
from tensorflow_similarity.architectures.known import EfficientNetSim, ResNet50Sim
from tensorflow_similarity.architectures.preprocessing import ImagePreprocessing

__all__ = ["EfficientNetSim", "ImagePreprocessing", "ResNet50Sim", "with_backbone"]


def __dir__() -> list[str]:
    return sorted(__all__)
