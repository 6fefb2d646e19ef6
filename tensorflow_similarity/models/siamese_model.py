"""One network, trained on ready-made triplets or pairs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses import ContrastiveLoss, TripletMarginLoss
from tensorflow_similarity.models.paired_model import PairedModel, checked_layer, embedding_size

__all__ = ["SiameseModel"]

_TRIPLET = ("anchor", "positive", "negative")
_PAIR = ("left", "right")


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SiameseModel(PairedModel):
    """A network that is trained on ready-made triplets or pairs, without class ids.

    - Triplets: `fit((anchors, positives, negatives))`, with `TripletMarginLoss`. With
      negatives `[batch, k, ...]`, each anchor has k of them.
    - Pairs: `fit((left, right), same)`, with `ContrastiveLoss`; `same` is 1 where both are the
      same, and 0 where not.

    A dict with the keys `"anchor"`, `"positive"` and `"negative"`, or `"left"` and `"right"`,
    does as well, and so does a dataset that yields `(x,)` or `(x, y)` with such an `x`. Everywhere
    else (`predict`, `index`, `lookup`, `calibrate`, …) the model is the network alone.
    `samplers.RowSampler` makes batches of the positions of examples.

    For two networks, or pairs that all belong together, see `DualEncoder`.

    Args:
        encoder: A model from examples to embeddings `[batch, dim]`.
        name: The name of the model.

    Raises:
        TypeError: If the encoder is not a Keras model, or the loss is none of these.
        ValueError: If what `fit` is given does not fit the loss.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.layers import L2Embedding
    from tensorflow_similarity.losses import TripletMarginLoss
    from tensorflow_similarity.models import SiameseModel

    rng = np.random.default_rng(0)
    anchors = rng.normal(size=(64, 6)).astype("float32")
    positives, negatives = anchors + 0.1, anchors[::-1]

    model = SiameseModel(keras.Sequential([keras.Input((6,)), L2Embedding(4)]))
    model.compile("adam", loss=TripletMarginLoss(margin=0.5))
    model.fit((anchors, positives, negatives), epochs=1, verbose=0)
    model.index(anchors, verbose=0)
    neighbors = model.lookup(positives[:2], k=3, verbose=0)
    ```
    """

    parts = ("encoder",)

    def __init__(self, encoder: keras.Model, name: str | None = None) -> None:
        embedding_size(checked_layer(encoder, "encoder"), "encoder")
        super().__init__(name=name)
        self.encoder = encoder
        self._pair_loss: ContrastiveLoss | None = None
        self.built = True

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        loss: object = None,
        *args: Any,
        distance: DistanceLike = "auto",
        **kwargs: Any,
    ) -> None:
        """Configures training on triplets or pairs, and the index.

        Args:
            optimizer: As in Keras.
            loss: `TripletMarginLoss()` for triplets, `ContrastiveLoss()` for pairs.
            *args: Further arguments of `keras.Model.compile`.
            distance: The distance of the index, and of pairs whose loss has none. Defaults to
                `"auto"`: that of the loss, or Euclidean.
            **kwargs: Further arguments of `SimilarityModel.compile`.

        Raises:
            TypeError: If the loss is none of these.
            ValueError: If the layout of the loss is another than `"columns"`.
        """
        if isinstance(loss, type):
            loss = loss()
        if not isinstance(loss, (TripletMarginLoss, ContrastiveLoss)):
            raise TypeError(
                "`loss` must be TripletMarginLoss() for triplets or ContrastiveLoss() for pairs. "
                f"Received: {loss!r}. Losses on class ids are for SimilarityModel, losses on two "
                "views for DualEncoder."
            )
        if isinstance(loss, TripletMarginLoss) and loss.layout != "columns":
            raise ValueError(
                f"`loss` must have layout='columns' for SiameseModel. Received: {loss!r}."
            )
        if isinstance(distance, str) and distance == "auto":
            distance = loss.distance or "euclidean"
        self._pair_loss = None
        if isinstance(loss, ContrastiveLoss):
            # The same loss, on distances that are computed row by row.
            config = {**loss.get_config(), "distance": None}
            self._pair_loss = type(loss).from_config(config)
        self._step_loss = loss
        self._pair_distance = loss.distance or distances.get(distance)
        super().compile(optimizer, None, *args, distance=distance, **kwargs)

    def call_outside(self, inputs: object, training: bool) -> Any:
        return self.encoder(inputs, training=training)

    def call_in_step(self, inputs: Any, training: bool) -> Any:
        sides = _PAIR if "left" in inputs else _TRIPLET[:2]
        embedded = {side: self.encoder(inputs[side], training=training) for side in sides}
        if "negative" not in inputs:
            return embedded
        negatives = inputs["negative"]
        first, one = (keras.tree.flatten(inputs[side])[0] for side in ("anchor", "negative"))
        if len(one.shape) == len(first.shape) + 1:
            negatives = keras.tree.map_structure(
                lambda x: ops.reshape(x, (-1, *ops.shape(x)[2:])), negatives
            )
        rows = self.encoder(negatives, training=training)
        number = ops.shape(one)[1] if len(one.shape) == len(first.shape) + 1 else 1
        embedded["negative"] = ops.reshape(rows, (-1, number, rows.shape[-1]))
        return embedded

    def step_loss(
        self, inputs: Any, outputs: Any, sample_weight: Tensor | None, training: bool
    ) -> Tensor:
        if self._pair_loss is None:
            sides = [outputs[side][:, None] for side in _TRIPLET[:2]]
            triplets = ops.concatenate([*sides, outputs["negative"]], axis=1)
            return self._step_loss(None, triplets, sample_weight=sample_weight)
        apart = self._pair_distance.paired(outputs["left"], outputs["right"])
        return self._pair_loss(inputs["same"], apart, sample_weight=sample_weight)

    def _targets_for_jax(self, x: object, y: object) -> Any:
        if self._pair_loss is not None and isinstance(y, np.ndarray):
            self._pair_loss.checked_labels(y, None)
        return super()._targets_for_jax(x, y)

    def step_inputs(self, x: object, y: object) -> Any:
        sides = _TRIPLET if self._pair_loss is None else _PAIR
        if isinstance(x, dict) and set(x) == set(sides):
            inputs = dict(x)
        elif isinstance(x, (tuple, list)) and len(x) == len(sides):
            inputs = dict(zip(sides, x, strict=True))
        else:
            shown = f"the keys {sorted(x)}" if isinstance(x, dict) else type(x).__name__
            if isinstance(x, (tuple, list)):
                shown = f"{len(x)} entries"
            raise ValueError(
                f"`x` must be ({', '.join(sides)}), or a dict with these keys, for "
                f"{type(self._step_loss).__name__}. Received: {shown}. A dataset yields it as "
                f"{'(x,)' if self._pair_loss is None else '(x, y)'}."
            )
        if self._pair_loss is not None:
            if y is None:
                raise ValueError(
                    "`y` must say which pairs are the same, by 1 and 0. Received: None. Pairs that "
                    "all belong together are for DualEncoder."
                )
            inputs["same"] = y
        return inputs
