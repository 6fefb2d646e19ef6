"""The backbones of TensorFlow Similarity, under their names."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity.architectures.backbone import with_backbone
from tensorflow_similarity.models import SimilarityModel

__all__ = ["EfficientNetSim", "ResNet50Sim"]


def EfficientNetSim(  # noqa: N802 (TensorFlow Similarity's name)
    input_shape: tuple[int, int, int],
    embedding_size: int = 128,
    variant: str = "B0",
    weights: str | None = "imagenet",
    trainable: str | int = "frozen",
    l2_norm: bool = True,
    include_top: bool = True,
    pooling: str | None = "gem",
    gem_p: float = 3.0,
    augmentation: Any = None,
    preprocessing: Any = "auto",
) -> SimilarityModel:
    """An embedding model on EfficientNet: `with_backbone("EfficientNetB0", …)`.

    Args:
        input_shape: `(height, width, 3)` of the images, with values from 0 to 255.
        embedding_size: Numbers in an embedding. Defaults to 128.
        variant: `"B0"` (the default) to `"B7"`.
        weights: `"imagenet"` (the default), a file, or `None`.
        trainable: See `with_backbone`. `"partial"` trains from block 5 on.
        l2_norm: Whether embeddings have length 1. Defaults to `True`.
        include_top: Whether there is an embedding head. Defaults to `True`.
        pooling: `"gem"` (the default), `"avg"` or `"max"`.
        gem_p: The power of `"gem"`. Defaults to 3.
        augmentation: See `with_backbone`. Defaults to `None`.
        preprocessing: See `with_backbone`. Defaults to `"auto"`. `None` for images that are
            preprocessed already.

    Returns:
        A `SimilarityModel`, not compiled.

    Raises:
        ValueError: If there is no such variant, or as `with_backbone`.
    """
    if str(variant).upper() not in [f"B{i}" for i in range(8)]:
        raise ValueError(f"`variant` must be one of B0 to B7. Received: {variant!r}.")
    return with_backbone(
        f"EfficientNet{variant.upper()}",
        embedding_size=embedding_size if include_top else None,
        input_shape=input_shape,
        weights=weights,
        trainable="block5a_expand_conv" if trainable == "partial" else trainable,
        pooling=pooling,
        gem_p=gem_p,
        l2_norm=l2_norm,
        augmentation=augmentation,
        preprocessing=preprocessing,
    )


def ResNet50Sim(  # noqa: N802 (TensorFlow Similarity's name)
    input_shape: tuple[int, int, int],
    embedding_size: int = 128,
    weights: str | None = "imagenet",
    trainable: str | int = "frozen",
    l2_norm: bool = True,
    include_top: bool = True,
    pooling: str | None = "gem",
    gem_p: float = 3.0,
    augmentation: Any = None,
    preprocessing: Any = "auto",
) -> SimilarityModel:
    """An embedding model on ResNet-50: `with_backbone("ResNet50", …)`.

    Args:
        input_shape: `(height, width, 3)` of the images, with values from 0 to 255.
        embedding_size: Numbers in an embedding. Defaults to 128.
        weights: `"imagenet"` (the default), a file, or `None`.
        trainable: See `with_backbone`. `"partial"` trains the last stage, conv5.
        l2_norm: Whether embeddings have length 1. Defaults to `True`.
        include_top: Whether there is an embedding head. Defaults to `True`.
        pooling: `"gem"` (the default), `"avg"` or `"max"`.
        gem_p: The power of `"gem"`. Defaults to 3.
        augmentation: See `with_backbone`. Defaults to `None`.
        preprocessing: See `with_backbone`. Defaults to `"auto"`. `None` for images that are
            preprocessed already.

    Returns:
        A `SimilarityModel`, not compiled.

    Raises:
        ValueError: As `with_backbone`.
    """
    return with_backbone(
        "ResNet50",
        embedding_size=embedding_size if include_top else None,
        input_shape=input_shape,
        weights=weights,
        trainable="conv5_block1_1_conv" if trainable == "partial" else trainable,
        pooling=pooling,
        gem_p=gem_p,
        l2_norm=l2_norm,
        augmentation=augmentation,
        preprocessing=preprocessing,
    )
