"""The base of all losses: rows of queries against keys."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity._checks import count
from tensorflow_similarity.losses.labels import (
    checked_class_id,
    class_ids_or_relevance,
    rows_of_labels,
)
from tensorflow_similarity.losses.per_example_loss import PerExampleLoss, wide_float
from tensorflow_similarity.mining.named_miners import get_miner
from tensorflow_similarity.mining.relevance import get_relevance, relevance_config
from tensorflow_similarity.mining.rows import Rows, is_relevance, relevant_pairs

__all__ = ["MetricLoss", "checked_number"]


def checked_number(value: Any, name: str) -> float:
    """Returns a finite number as float, or raises an error that names the argument."""
    if hasattr(value, "item"):
        value = value.item()  # NumPy scalars.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"`{name}` must be a number. Received: {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"`{name}` must be finite. Received: {value!r}.")
    return float(value)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MetricLoss(PerExampleLoss):
    """Base of the losses on embeddings: a function of queries against keys.

    A subclass writes `row_loss`, the mathematics of one block of queries
    against all keys, and gets from here: class ids compared as integers,
    mathematics in float32 at least, `sample_weight` and `reduction`, blocks in
    bounded memory, serialisation, and the errors.

    Args:
        distance: The distance between embeddings: a name, a `Distance` or a
            function, see `tensorflow_similarity.distances.get`. None where the
            loss takes pairwise values instead of embeddings.
        block_size: Queries computed at a time, to the same value and gradient:
            memory is then that of `block_size` rows of the distance matrix, and
            the gradient recomputes them. None computes all rows at once.
        reduction: As in Keras: `"sum_over_batch_size"` (the default), `"sum"`,
            `"mean"`, `"mean_with_sample_weight"` or None.
        name: Name of the loss.
        dtype: Accepted as in Keras. Half precision is computed in float32 all
            the same, and float64 embeddings in float64.
        mining: Which pairs the loss looks at, of those that the labels make: a
            name, a `Miner` or a function, see
            `tensorflow_similarity.mining.get_miner`. None, the default, leaves
            all. It sees the distances that the loss has computed.
        ignore_class: A class id for examples of which nothing is known: the loss
            is that of the batch without them. None: every id is a class.
        relevance: How labels say which pairs are alike, where they are not class
            ids: `"multi_hot"`, `"jaccard"` or a function, see
            `tensorflow_similarity.mining.get_relevance`.

    Calling it takes:

    - `y_true`: integer class ids, `[batch]` or `[batch, 1]`, of any integer
      dtype and size; or a bool or float matrix `[batch, batch]`, above 0 where
      two examples are alike, and NaN where that is not known. With `relevance`,
      the labels that it takes, `[batch, ...]`.
    - `y_pred`: embeddings `[batch, dim]`.
    - `sample_weight`: optional `[batch]`, the weights of the queries.

    Raises:
        ValueError, TypeError: If labels are one-hot, floats or strings, or their
            number is not that of the embeddings.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import MetricLoss

    @keras.saving.register_keras_serializable(package="mine")
    class PullOnlyLoss(MetricLoss):
        '''The mean distance of each query's positives.'''

        def row_loss(self, rows):
            alike = keras.ops.cast(rows.positives, rows.distances.dtype)
            total = keras.ops.sum(rows.distances * alike, axis=1)
            return total / keras.ops.maximum(keras.ops.sum(alike, axis=1), 1)

    loss = PullOnlyLoss(distance="euclidean")
    loss([1, 1, 2], [[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])  # (5 + 5 + 0) / 3
    ```
    """

    #: Whether class ids must be the numbers of a head's classes, and not any integers.
    numbers_classes: bool = False

    def __init__(
        self,
        distance: Any = "cosine",
        block_size: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        *,
        mining: Any = None,
        ignore_class: int | None = None,
        relevance: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.distance = None if distance is None else distances.get(distance)
        self.block_size = None if block_size is None else count(block_size, "block_size")
        self.ignore_class = checked_class_id(ignore_class, "ignore_class")
        self.mining = get_miner(mining)
        self.relevance = get_relevance(relevance)
        self._check_choice_of_pairs()

    def _check_choice_of_pairs(self) -> None:
        chosen = {
            "mining": self.mining,
            "ignore_class": self.ignore_class,
            "relevance": self.relevance,
        }
        given = [f"{name}={value!r}" for name, value in chosen.items() if value is not None]
        if self.distance is None and given:
            raise ValueError(
                f"`distance` must be given where the loss chooses pairs of embeddings. Received: "
                f"distance=None with {', '.join(given)}."
            )
        if self.relevance is not None and self.ignore_class is not None:
            raise ValueError(
                "`ignore_class` is a class id, and with `relevance` labels are none: return NaN "
                f"for pairs that are not known. Received: {', '.join(given)}."
            )
        possible = None if self.mining is None else self.mining.distances
        if possible is not None and self.distance.name not in possible:  # type: ignore[union-attr]
            raise ValueError(
                f"`distance` must be one of {list(possible)} for {self.mining!r}. Received: "
                f"{self.distance!r}."
            )

    def row_loss(self, rows: Rows) -> Any:
        """The loss of some queries, `[queries]`, from their rows of the picture.

        A query that has not the pairs that the loss needs must get exactly 0.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `row_loss`.")

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        """The loss of each query against the keys.

        Args:
            query_labels: Class ids `[queries]`, or relevance `[queries, keys]`.
            queries: Embeddings `[queries, dim]`.
            key_labels: Class ids `[keys]` (for relevance, anything).
            keys: Embeddings `[keys, dim]`.
            queries_are_keys: Whether the queries are the first of the keys, so
                that query i must not be paired with key i, itself.

        Returns:
            Losses `[queries]`.
        """
        return self.map_rows(
            self.row_loss, query_labels, queries, key_labels, keys, queries_are_keys
        )

    def map_rows(
        self,
        function: Callable[[Rows], Any],
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool,
    ) -> Any:
        """`function` of the rows of all queries, a block at a time.

        For losses that set their queries against each other in the end, such as a
        mean over all pairs: `function` returns sums and counts, `[queries]` each.
        """
        return map_row_blocks(
            lambda *block: function(self.rows(*block)),
            (query_labels, queries, query_places(queries, queries_are_keys)),
            (key_labels, keys),
            self.block_size,
        )

    def rows(
        self, query_labels: Any, queries: Any, places: Any, key_labels: Any, keys: Any
    ) -> Rows:
        """Distances and pairs of some queries; the arguments of `query_losses`, a block of them."""
        if self.relevance is not None:
            query_labels = self._matrix_of(self.relevance, query_labels, key_labels)
        key_places = ops.arange(ops.shape(keys)[0], dtype="int32")
        positives, negatives = relevant_pairs(
            query_labels, key_labels, places, key_places, self.ignore_class
        )
        relevance = query_labels if is_relevance(query_labels) else None
        distances = self._distance()(queries, keys)
        rows = Rows(distances, positives, negatives, relevance, queries, keys)
        return rows if self.mining is None else self.mining(rows)

    @staticmethod
    def _matrix_of(relevance: Callable[..., Any], query_labels: Any, key_labels: Any) -> Any:
        matrix = relevance(query_labels, key_labels)
        shape = query_labels.shape[0], key_labels.shape[0]
        if len(matrix.shape) != 2 or any(
            None not in sizes and sizes[0] != sizes[1]
            for sizes in zip(matrix.shape, shape, strict=True)
        ):
            raise ValueError(
                f"`relevance` must return [queries, keys], here {list(shape)}. Received: shape "
                f"{tuple(matrix.shape)}."
            )
        return matrix

    def are_matrix(self, labels: Any) -> bool:
        """Whether labels are relevance `[queries, keys]`, and not one label for each example."""
        return self.relevance is None and is_relevance(labels)

    def all_of_a_class(self, labels: Any) -> bool:
        """Whether the positives of a query are all of its class: for ways that need no masks."""
        return self.mining is None and self.relevance is None and not is_relevance(labels)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example of a batch against the others: `[batch]`."""
        return self.query_losses(y_true, y_pred, y_true, y_pred, queries_are_keys=True)

    def checked_predictions(self, y_pred: Any) -> Any:
        """Embeddings as a tensor of float32, or float64 if they are that.

        Raises:
            ValueError: If they are not `[batch, dim]`.
        """
        y_pred = wide_float(y_pred)
        if len(y_pred.shape) != 2:
            raise ValueError(
                f"`y_pred` must be embeddings of shape [batch, dim] for {type(self).__name__} "
                f"with a distance. Received: shape {tuple(y_pred.shape)}."
            )
        return y_pred

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        """Labels as a tensor of int64 `[batch]`, or as relevance `[batch, batch]`."""
        if self.relevance is not None:
            return rows_of_labels(y_true, batch)
        return class_ids_or_relevance(y_true, batch)

    def _distance(self) -> distances.Distance:
        if self.distance is None:
            raise ValueError(
                f"{type(self).__name__}(distance=None) takes pairwise values; to form pairs of "
                'embeddings pass a distance, e.g. distance="cosine".'
            )
        return self.distance

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss; JSON-able."""
        distance = self.distance
        by_name = distance is None or type(distance) is type(_by_name(distance.name))
        return {
            **super().get_config(),
            "distance": getattr(distance, "name", None)
            if by_name
            else keras.saving.serialize_keras_object(distance),
            "block_size": self.block_size,
            "mining": None
            if self.mining is None
            else keras.saving.serialize_keras_object(self.mining),
            "ignore_class": self.ignore_class,
            "relevance": relevance_config(self.relevance),
        }

    def __repr__(self) -> str:
        config = {**self.get_config(), "distance": self.distance, "mining": self.mining}
        # What is seldom given is shown where it is.
        for name in ("mining", "relevance", "ignore_class"):
            if config[name] is None:
                del config[name]
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.items())
        return f"{type(self).__name__}({arguments})"


def query_places(queries: Any, queries_are_keys: bool) -> Any:
    """Each query's own place among the keys, int32 `[queries]`; -1 if it is none of them."""
    places = ops.arange(ops.shape(queries)[0], dtype="int32")
    return places if queries_are_keys else ops.zeros_like(places) - 1


def _by_name(name: str) -> Any:
    return distances.get(name) if name in distances.names() else None
