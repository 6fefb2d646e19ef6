"""An embedding model on top of a pretrained one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import Shape, Tensor
from tensorflow_similarity.architectures.freezing import set_trainable
from tensorflow_similarity.architectures.preprocessing import ImagePreprocessing
from tensorflow_similarity.layers import (
    GeneralizedMeanPooling1D,
    GeneralizedMeanPooling2D,
    L2Embedding,
)
from tensorflow_similarity.models import SimilarityModel

__all__ = ["with_backbone"]

_POOLINGS: dict[str, tuple[Any, Any]] = {
    "gem": (GeneralizedMeanPooling1D, GeneralizedMeanPooling2D),
    "avg": (keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling2D),
    "max": (keras.layers.GlobalMaxPooling1D, keras.layers.GlobalMaxPooling2D),
}


def with_backbone(
    backbone: str | keras.Model | Callable[..., keras.Model],
    embedding_size: int | None = 128,
    input_shape: tuple[int | None, int | None, int] | None = None,
    weights: str | None = "imagenet",
    trainable: str | int = "frozen",
    pooling: str | None = "gem",
    gem_p: float = 3.0,
    l2_norm: bool = True,
    augmentation: keras.Layer | Callable[[Any], Any] | None = None,
    preprocessing: keras.Layer | Callable[[Any], Any] = "auto",
    name: str | None = None,
) -> SimilarityModel:
    """Puts an embedding head on a backbone: augmentation, preprocessing, backbone, head.

    The model takes images with values from 0 to 255, as Keras loads them; what the
    backbone wants is done inside and saved with it. Augmentation works in training
    only. Under the policy `mixed_float16` or `mixed_bfloat16` the backbone computes in
    half precision; preprocessing and embeddings stay float32.

    Args:
        backbone: The name of a model in `keras.applications`, such as
            `"EfficientNetB0"`; or a functional `keras.Model` that ends in features, such
            as a KerasHub backbone (`keras_hub.models.Backbone.from_preset(...)`); or a
            function like those of `keras.applications`.
        embedding_size: Numbers in an embedding. Defaults to 128. `None` for no head: the
            pooled features themselves are the embeddings.
        input_shape: `(height, width, 3)` of the images; None for a side of any length.
            Defaults to `None`: images of any size, or what a given model takes.
        weights: `"imagenet"` (the default; Keras downloads them the first time), a file,
            or `None` for random ones. Models that are given have theirs.
        trainable: Which layers of the backbone are trained: `"frozen"` (the default)
            none, `"full"` all, `"partial"` the last third of those with weights, a number
            that many of them, or the name of a layer that and what follows. Batch
            normalisation is trained with `"full"` only, and works in inference mode
            otherwise.
        pooling: Of feature maps or of the steps of a sequence: `"gem"` (the default),
            `"avg"`, `"max"`, or `None` for a backbone that ends in vectors.
        gem_p: The power of `"gem"`. Defaults to 3.
        l2_norm: Whether embeddings have length 1. Defaults to `True`.
        augmentation: A Keras layer, or a list of them, for training only. Defaults to
            `None`.
        preprocessing: A Keras layer. Defaults to `"auto"`: that of `keras.applications`
            for its models, and none for models that are given. `None` for none.
        name: The name of the model.

    Returns:
        A `SimilarityModel`, not compiled.

    Raises:
        TypeError: If an argument is of no such type.
        ValueError: If there is no such backbone, pooling or layer, or the backbone does
            not end in features that can be pooled.

    Example:

    ```python
    import keras
    from tensorflow_similarity.architectures import with_backbone
    from tensorflow_similarity.losses import TripletLoss

    model = with_backbone(
        "MobileNetV2",
        embedding_size=32,
        input_shape=(32, 32, 3),
        weights=None,  # "imagenet" in earnest
        trainable="partial",
        augmentation=[keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)],
    )
    model.compile("adam", loss=TripletLoss())
    model.output_shape[1]  # 32
    ```
    """
    if embedding_size is not None:
        checks.count(embedding_size, "embedding_size")
    if pooling is not None and pooling not in _POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {sorted(_POOLINGS)} or None. Received: {pooling!r}."
        )
    base, family = _backbone(backbone, input_shape, weights)
    set_trainable(base, trainable)
    inputs = _inputs(base, input_shape)
    x = inputs
    for layer in _layers(augmentation, "augmentation"):
        x = layer(x)
    if isinstance(preprocessing, str) and preprocessing == "auto":
        preprocessing = None if family is None else ImagePreprocessing(family, name="preprocessing")
    for layer in _layers(preprocessing, "preprocessing"):
        x = layer(x)
    x = _pooled(_features(base(x)), pooling, gem_p)
    # float32, as Keras recommends for the last layer under mixed precision.
    if embedding_size is None:
        outputs = keras.layers.Activation("linear", dtype="float32", name="embedding")(x)
    else:
        head = L2Embedding if l2_norm else keras.layers.Dense
        outputs = head(embedding_size, dtype="float32", name="embedding")(x)
    return SimilarityModel(inputs, outputs, name=name)


def _backbone(
    backbone: Any, input_shape: Shape | None, weights: str | None
) -> tuple[keras.Model, str | None]:
    """The backbone, and the module of `keras.applications` that it comes from, if any."""
    if isinstance(backbone, keras.Model):
        if not hasattr(backbone, "output"):
            raise TypeError(
                "`backbone` must be a functional model, whose output is known. Received: "
                f"{backbone!r}."
            )
        return backbone, None
    make = getattr(keras.applications, backbone, None) if isinstance(backbone, str) else backbone
    if not callable(make):
        known = [n for n in dir(keras.applications) if callable(getattr(keras.applications, n))]
        raise ValueError(
            "`backbone` must be a model, or the name of one in keras.applications: "
            f"{', '.join(known)}. Received: {backbone!r}."
        )
    family = getattr(make, "__module__", "").rpartition(".")[2]
    is_known = hasattr(getattr(keras.applications, family, None), "preprocess_input")
    model = make(include_top=False, weights=weights, input_shape=input_shape)
    return model, family if is_known else None


def _inputs(base: keras.Model, input_shape: Shape | None) -> Tensor:
    """New inputs like those of a backbone."""

    def like(tensor: Any) -> Tensor:
        # Images may be integers; preprocessing casts them.
        shape = tensor.shape[1:] if input_shape is None else input_shape
        dtype = "float32" if keras.backend.is_float_dtype(tensor.dtype) else tensor.dtype
        return keras.Input(shape, dtype=dtype, name=tensor.name)

    return keras.tree.map_structure(like, base.input)


def _layers(layers: Any, name: str) -> list[Any]:
    if layers is None:
        return []
    found: Sequence[Any] = layers if isinstance(layers, (list, tuple)) else [layers]
    for layer in found:
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(
                f"`{name}` must be a Keras layer or a list of them. Received: {layer!r}."
            )
    return list(found)


def _features(output: Tensor) -> Tensor:
    """The tensor to pool, out of the outputs of a backbone."""
    if isinstance(output, dict):
        for key in ("pooled_output", "sequence_output"):
            if key in output:
                return output[key]
        raise ValueError(
            "`backbone` must have one output, or one that is named 'pooled_output' or "
            f"'sequence_output'. Received: outputs {sorted(output)}."
        )
    if isinstance(output, (list, tuple)):
        if len(output) != 1:
            raise ValueError(
                f"`backbone` must have one output. Received: {len(output)} of them. Make a "
                "keras.Model of that which is meant."
            )
        return output[0]
    return output


def _pooled(x: Tensor, pooling: str | None, gem_p: float) -> Tensor:
    rank = len(x.shape)
    if rank == 2:
        return x
    if pooling is None or rank not in (3, 4):
        raise ValueError(
            "`pooling` must be given for a backbone that ends in maps [batch, height, width, "
            "channels] or sequences [batch, steps, channels]; what ends in vectors is not "
            f"pooled. Received: pooling={pooling!r}, for features of shape {tuple(x.shape)}."
        )
    arguments = {"p": gem_p} if pooling == "gem" else {}
    return _POOLINGS[pooling][rank - 3](name=f"{pooling}_pool", **arguments)(x)
