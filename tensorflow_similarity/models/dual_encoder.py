"""Two towers for queries and candidates that belong together, without classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.layers import Temperature
from tensorflow_similarity.losses.base import PerExampleLoss
from tensorflow_similarity.losses.labels import to_tensor
from tensorflow_similarity.losses.replicas import ALONE, current_replicas
from tensorflow_similarity.models._fit_labels import hashed_names
from tensorflow_similarity.models.jax_batches import numbered
from tensorflow_similarity.models.paired_model import PairedModel, embedding_size

__all__ = ["DualEncoder"]

#: Optional inputs about the candidates of a batch.
_EXTRA = ("ids", "sampling_probability", "negatives", "negative_ids")
_IDS = ("ids", "negative_ids")


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DualEncoder(PairedModel):
    """A query tower and a candidate tower, trained on pairs that belong together.

    For questions and answers, users and items, images and captions: `fit(queries, candidates)`
    trains on pairs, where the candidates of the other queries in a batch are the negatives.
    `index(candidates)` embeds with the candidate tower; `lookup(queries)`, `match`, `calibrate` and
    `evaluate_retrieval` embed with the query tower. `predict` and `embed` are those of queries; for
    candidates, call `model.candidate_tower.predict`. All is one `.keras` file.

    Args:
        query_tower: A model from queries to embeddings `[batch, dim]`.
        candidate_tower: A model from candidates to embeddings of the same size. Defaults to
            `None`: the query tower, with the same weights.
        temperature: The temperature to begin with, if it is to be trained; see
            `tensorflow_similarity.layers.Temperature`. Defaults to `None`: the scale of the loss.
        name: The name of the model.

    Where more is known of the candidates, `fit(queries, y)` takes a dict:

    | key | shape | |
    |---|---|---|
    | `"candidates"` | `[batch, ...]` | the candidates |
    | `"ids"` | integers or names `[batch]` | which candidate: the same one again is no negative |
    | `"sampling_probability"` | floats `[batch]` | its popularity, which is corrected for (log-q) |
    | `"negatives"` | `[batch, n, ...]` or `[batch, ...]` | candidates of others |
    | `"negative_ids"` | integers or names `[batch, n]` | which these are |

    A `tf.data.Dataset` or `keras.utils.PyDataset` yields `(queries, y)`, or `(queries, y,
    sample_weight)`.

    Losses: `MultiNegativesRankLoss` takes all of these. `TripletMarginLoss` takes `"negatives"`,
    and does without them where it has `in_batch_negatives`. Any other loss on two views compares
    candidates and queries row by row, as does any `MetricLoss` on class ids, with the ids, or the
    pairs, as classes.

    Raises:
        TypeError: If a tower is not a Keras model, or the loss is none of these.
        ValueError: If the towers make embeddings of different sizes, or what is given does not fit
            the loss.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.losses import MultiNegativesRankLoss
    from tensorflow_similarity.models import DualEncoder

    rng = np.random.default_rng(0)
    items = rng.normal(size=(64, 6)).astype("float32")
    users = items[:, :4] + 0.1 * rng.normal(size=(64, 4)).astype("float32")

    def tower(size):
        return keras.Sequential([keras.Input((size,)), keras.layers.Dense(8)])

    model = DualEncoder(tower(4), tower(6))
    model.compile("adam", loss=MultiNegativesRankLoss(distance="cosine", symmetric=True))
    model.fit(users, items, epochs=1, verbose=0)
    model.index(items, verbose=0)
    neighbors = model.lookup(users[:2], k=3, verbose=0)
    ```

    Reference:
        Yi et al., *Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations*,
        RecSys 2019, https://doi.org/10.1145/3298689.3346996
    """

    parts = ("query_tower", "candidate_tower")

    def __init__(
        self,
        query_tower: keras.Model,
        candidate_tower: keras.Model | None = None,
        temperature: float | None = None,
        name: str | None = None,
    ) -> None:
        sizes = {"query_tower": embedding_size(_model(query_tower, "query_tower"), "query_tower")}
        if candidate_tower is not None:
            tower = _model(candidate_tower, "candidate_tower")
            sizes["candidate_tower"] = embedding_size(tower, "candidate_tower")
        if len(set(sizes.values())) > 1:
            raise ValueError(f"The towers must make embeddings of one size. Received: {sizes}.")
        super().__init__(name=name)
        self._query_tower, self._candidate_tower = query_tower, candidate_tower
        self.temperature = None if temperature is None else Temperature(temperature)
        self.built = True

    @property
    def query_tower(self) -> keras.Model:
        """The model that embeds queries."""
        return self._query_tower

    @property
    def candidate_tower(self) -> keras.Model:
        """The model that embeds candidates; the query tower, if it is shared."""
        return self._query_tower if self._candidate_tower is None else self._candidate_tower

    def towers(self) -> tuple[keras.Model, keras.Model]:
        """The query tower and the candidate tower."""
        return self.query_tower, self.candidate_tower

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        loss: Any = None,
        *args: Any,
        distance: DistanceLike = "auto",
        **kwargs: Any,
    ) -> None:
        """Configures training on pairs, and the index of the candidates.

        Args:
            optimizer: As in Keras.
            loss: `MultiNegativesRankLoss()`, `TripletMarginLoss()`, another loss on two views, or
                a `MetricLoss`.
            *args: Further arguments of `keras.Model.compile`.
            distance: The distance of the index. Defaults to `"auto"`: that of the loss, and
                cosine for one that has none.
            **kwargs: Further arguments of `SimilarityModel.compile`.

        Raises:
            TypeError: If the loss is none of these.
        """
        if isinstance(loss, type):
            loss = loss()
        if not _compares_pairs(loss):
            raise TypeError(
                "`loss` must compare queries with candidates: MultiNegativesRankLoss(), "
                "TripletMarginLoss(), another loss on two views, or a loss on pairs of embeddings. "
                f"Received: {loss!r}."
            )
        if loss.takes_triplets and loss.layout != "columns":
            raise ValueError(
                f"`loss` must have layout='columns' for DualEncoder. Received: {loss!r}."
            )
        if self.temperature is not None and not loss.ranks:
            raise ValueError(
                "`temperature` is for MultiNegativesRankLoss. Received: "
                f"temperature={self.temperature.initial} with loss={loss!r}."
            )
        if isinstance(distance, str) and distance == "auto":
            distance = getattr(loss, "distance", None) or "cosine"
        self._step_loss = loss
        super().compile(optimizer, None, *args, distance=distance, **kwargs)

    def call_outside(self, inputs: object, training: bool) -> Any:
        return self.query_tower(inputs, training=training)

    def call_in_step(self, inputs: Any, training: bool) -> Any:
        embedded = {
            "queries": self.query_tower(inputs["queries"], training=training),
            "candidates": self.candidate_tower(inputs["candidates"], training=training),
        }
        if "negatives" in inputs:
            every = keras.tree.map_structure(
                lambda x: ops.reshape(x, (-1, *ops.shape(x)[2:])), inputs["negatives"]
            )
            negatives = self.candidate_tower(every, training=training)
            number = ops.shape(keras.tree.flatten(inputs["negatives"])[0])[1]
            embedded["negatives"] = ops.reshape(negatives, (-1, number, negatives.shape[-1]))
        return embedded

    def step_loss(
        self, inputs: Any, outputs: Any, sample_weight: Tensor | None, training: bool
    ) -> Tensor:
        known = {key: inputs[key] for key in _EXTRA if key in inputs}
        if "negatives" in outputs:
            known["negatives"] = outputs["negatives"]
        return self._loss_of_pairs(outputs["queries"], outputs["candidates"], known, sample_weight)

    def _loss_of_pairs(
        self, queries: Any, candidates: Any, extra: Any, sample_weight: Tensor | None
    ) -> Any:
        loss = self._step_loss
        if loss.ranks:
            scale = None if self.temperature is None else self.temperature.scale
            return loss.ranking(
                queries, candidates, scale=scale, sample_weight=sample_weight, **extra
            )
        taken = () if loss.takes_views else ("negatives",) if loss.takes_triplets else ("ids",)
        unused = [key for key in extra if key not in taken]
        if unused:
            raise ValueError(
                f"`y` must not have {unused} with {type(loss).__name__}: MultiNegativesRankLoss "
                "takes all of `ids`, `sampling_probability`, `negatives` and `negative_ids`."
            )
        if loss.takes_triplets:
            triplets = [queries[:, None], candidates[:, None]]
            if "negatives" in extra:
                triplets.append(extra["negatives"])
            elif loss.in_batch_negatives is None:
                raise ValueError(
                    f"`y` must have 'negatives' with {type(loss).__name__}, as in fit(queries, "
                    "{'candidates': ..., 'negatives': ...}); or give the loss "
                    "in_batch_negatives='hard', to take the other candidates of a batch."
                )
            return loss(None, ops.concatenate(triplets, axis=1), sample_weight=sample_weight)
        if loss.takes_views:
            return loss(candidates, queries, sample_weight=sample_weight)
        replicas = current_replicas() if loss.across_replicas else ALONE
        queries = loss.checked_predictions(queries)
        candidates = loss.checked_predictions(candidates)
        rows = ops.arange(ops.shape(queries)[0], dtype="int32")
        if "ids" in extra:
            ids = ops.reshape(to_tensor(extra["ids"], "ids"), (-1,))
        else:
            # The pairs are numbered, over all replicas.
            owner = replicas.gather(ops.zeros_like(rows) + replicas.number())
            ids = rows + ops.sum(ops.cast(owner < replicas.number(), "int32"))
        every, every_ids = replicas.gather(candidates), replicas.gather(ids)
        with keras.name_scope(loss.name):
            losses = loss.query_losses(ids, queries, every_ids, every)
            return loss.reduced(losses, sample_weight)

    def numbers_of_labels(self, y: object) -> Any:
        """As for other models; names of candidates become ids."""
        if not (isinstance(y, dict) and "candidates" in y):
            return y
        named = {key: hashed_names(y[key], f"y[{key!r}]") for key in _IDS if key in y}
        changed = any(value is not y[key] for key, value in named.items())
        return {**y, **named} if changed else y

    def _targets_for_jax(self, x: object, y: object) -> Any:
        if not (isinstance(y, dict) and "candidates" in y):
            return y
        return {key: numbered(value) if key in _IDS else value for key, value in y.items()}

    def step_inputs(self, x: object, y: object) -> Any:
        if y is None:
            raise ValueError(
                "DualEncoder.fit takes queries and candidates: fit(queries, candidates), or a "
                "dataset of (queries, candidates). Received: queries alone."
            )
        if not (isinstance(y, dict) and "candidates" in y):
            return {"queries": x, "candidates": y}
        unknown = sorted(set(y) - {"candidates", *_EXTRA})
        if unknown:
            raise ValueError(
                f"`y` must have the keys 'candidates' and any of {list(_EXTRA)}. Received also: "
                f"{unknown}."
            )
        return {"queries": x, **y, **_with_axis(y)}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal model."""
        temperature = None if self.temperature is None else self.temperature.initial
        config = {**super().get_config(), "temperature": temperature}
        return config if self._candidate_tower is not None else {**config, "candidate_tower": None}


def _with_axis(y: dict[str, Any]) -> dict[str, Any]:
    """Negatives as `[batch, n, ...]`, if one was given for each query."""
    if "negatives" not in y:
        return {}
    one, several = (keras.tree.flatten(y[key]) for key in ("candidates", "negatives"))
    ranks = [len(x.shape) for x in one], [len(x.shape) for x in several]
    if ranks[0] == ranks[1]:
        return {"negatives": keras.tree.map_structure(lambda x: x[:, None], y["negatives"])}
    if ranks[1] != [rank + 1 for rank in ranks[0]]:
        raise ValueError(
            "`y['negatives']` must be [batch, n, ...] with candidates [batch, ...]. Received: "
            f"shapes {[tuple(x.shape) for x in several]} with {[tuple(x.shape) for x in one]}."
        )
    return {}


def _compares_pairs(loss: object) -> bool:
    """Whether a loss compares queries with candidates: as views, as triplets, or by ids."""
    if not isinstance(loss, PerExampleLoss):
        return False
    if loss.takes_views or loss.takes_triplets:
        return True
    by_ids = hasattr(loss, "query_losses") and not getattr(loss, "numbers_classes", True)
    if not by_ids or getattr(loss, "distance", None) is None:
        return False
    return getattr(loss, "relevance", None) is None


def _model(value: object, argument: str) -> keras.Model:
    if not isinstance(value, keras.Model):
        raise TypeError(f"`{argument}` must be a Keras model. Received: {value!r}.")
    return value
