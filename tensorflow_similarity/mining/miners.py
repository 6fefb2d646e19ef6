"""Miners: which pairs of the picture are left for a loss.

A `MiningStrategy` looks at one side of a query, its positives or its negatives. A
miner sees both, on the same distances that the loss goes on with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._configured import Configured
from tensorflow_similarity.mining.rows import Rows
from tensorflow_similarity.mining.sorting import places_beyond, sort_rows

__all__ = [
    "CallableMiner",
    "Miner",
    "MultiSimilarityMiner",
    "PairMarginMiner",
    "TripletMarginMiner",
]


class Miner(Configured):
    """Base of the miners. A subclass writes `keep`, and `get_config` if it has arguments.

    A loss with `mining=` looks at the pairs that its miner keeps, and at no others.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import SupConLoss
    from tensorflow_similarity.mining import Miner

    @keras.saving.register_keras_serializable(package="mine")
    class FarPositives(Miner):
        def keep(self, rows):
            return rows.distances > 0.1, rows.negatives

    loss = SupConLoss(mining=FarPositives())
    ```
    """

    #: Names of the distances that it can be used with; None for all.
    distances: tuple[str, ...] | None = None

    def keep(self, rows: Rows) -> tuple[Any, Any]:
        """The pairs that are kept.

        Args:
            rows: Some queries against all keys; distances are constants to the
                gradient.

        Returns:
            Masks of positives and of negatives, bool `[queries, keys]` each. What
            was no positive before will be none; so for negatives.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `keep`.")

    def __call__(self, rows: Rows) -> Rows:
        """The rows with the pairs that are kept."""
        constant = {
            name: None if value is None else ops.stop_gradient(value)
            for name, value in rows._asdict().items()
            if name in ("distances", "queries", "keys")
        }
        positives, negatives = self.keep(rows._replace(**constant))
        return rows._replace(
            positives=ops.logical_and(rows.positives, positives),
            negatives=ops.logical_and(rows.negatives, negatives),
        )


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CallableMiner(Miner):
    """A plain function of `Rows` as a miner.

    Args:
        function: Takes `Rows`, and returns the masks of the positives and of the
            negatives that are kept, or `Rows` with these. To be saved with a model
            it must be registered with `keras.saving.register_keras_serializable`.

    Raises:
        TypeError: If `function` cannot be called.

    Example:

    ```python
    from tensorflow_similarity.losses import SupConLoss
    from tensorflow_similarity.mining import CallableMiner

    near = CallableMiner(lambda rows: (rows.positives, rows.distances < 0.5))
    loss = SupConLoss(mining=near)  # mining=lambda rows: … is the same
    ```
    """

    def __init__(self, function: Callable[[Rows], Any]) -> None:
        if isinstance(function, dict):
            function = keras.saving.deserialize_keras_object(function)
        if not callable(function):
            raise TypeError(f"`function` must be callable. Received: {function!r}.")
        self.function = function

    def keep(self, rows: Rows) -> tuple[Any, Any]:
        kept = self.function(rows)
        if isinstance(kept, Rows):
            return kept.positives, kept.negatives
        positives, negatives = kept
        return ops.cast(positives, "bool"), ops.cast(negatives, "bool")

    def get_config(self) -> dict[str, Any]:
        return {"function": keras.saving.serialize_keras_object(self.function)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallableMiner) and self.function == other.function

    __hash__ = Configured.__hash__

    def __repr__(self) -> str:
        return f"CallableMiner({getattr(self.function, '__name__', self.function)})"


def _lowest(distances: Any, mask: Any) -> Any:
    """The least distance of each row where `mask`, `[rows, 1]`; inf where there is none."""
    return ops.min(ops.where(mask, distances, float("inf")), axis=1, keepdims=True)


def _highest(distances: Any, mask: Any) -> Any:
    """The greatest distance of each row where `mask`, `[rows, 1]`; -inf where there is none."""
    return -_lowest(-distances, mask)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MultiSimilarityMiner(Miner):
    """Positives farther than the nearest negative, negatives nearer than the farthest positive.

    Args:
        epsilon: How much an easy pair may miss that, in units of the distance.

    Example:

    ```python
    from tensorflow_similarity.losses import ContrastiveLoss
    from tensorflow_similarity.mining import MultiSimilarityMiner

    loss = ContrastiveLoss(distance="cosine", mining=MultiSimilarityMiner(epsilon=0.2))
    ```

    Reference:
        Wang et al., *Multi-Similarity Loss with General Pair Weighting for Deep
        Metric Learning*, CVPR 2019, https://arxiv.org/abs/1904.06627
    """

    def __init__(self, epsilon: float = 0.1) -> None:
        self.epsilon = float(epsilon)

    def keep(self, rows: Rows) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = rows
        return (
            ops.logical_and(positives, distances > _lowest(distances, negatives) - self.epsilon),
            ops.logical_and(negatives, distances < _highest(distances, positives) + self.epsilon),
        )

    def get_config(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class PairMarginMiner(Miner):
    """Positives farther than one margin, negatives nearer than another.

    Args:
        positive_margin: Nearer positives are left out, in units of the distance.
        negative_margin: Farther negatives are left out.

    Example:

    ```python
    from tensorflow_similarity.losses import SupConLoss
    from tensorflow_similarity.mining import PairMarginMiner

    loss = SupConLoss(mining=PairMarginMiner(positive_margin=0.1, negative_margin=0.6))
    ```
    """

    def __init__(self, positive_margin: float = 0.2, negative_margin: float = 0.8) -> None:
        self.positive_margin = float(positive_margin)
        self.negative_margin = float(negative_margin)

    def keep(self, rows: Rows) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = rows
        return (
            ops.logical_and(positives, distances > self.positive_margin),
            ops.logical_and(negatives, distances < self.negative_margin),
        )

    def get_config(self) -> dict[str, Any]:
        return {"positive_margin": self.positive_margin, "negative_margin": self.negative_margin}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletMarginMiner(Miner):
    """The pairs of a query that are in at least one triplet of a kind.

    With the gap `d(a, n) - d(a, p)` of a triplet these are: `"all"`, gaps of at most
    `margin`; `"hard"`, of at most 0; `"semi-hard"`, above 0 and at most `margin`;
    `"easy"`, above `margin`. No triplet is formed.

    Args:
        margin: In units of the distance.
        type_of_triplets: `"all"` (the default), `"hard"`, `"semi-hard"` or
            `"easy"`.

    Raises:
        ValueError: If there is no such kind.

    Example:

    ```python
    from tensorflow_similarity.losses import MultiSimilarityLoss
    from tensorflow_similarity.mining import TripletMarginMiner

    miner = TripletMarginMiner(margin=0.1, type_of_triplets="semi-hard")
    loss = MultiSimilarityLoss(epsilon=None, mining=miner)
    ```
    """

    def __init__(self, margin: float = 0.2, type_of_triplets: str = "all") -> None:
        kinds = ("all", "hard", "semi-hard", "easy")
        kind = str(type_of_triplets).lower().replace("_", "-").replace("semihard", "semi-hard")
        if kind not in kinds:
            raise ValueError(
                f"`type_of_triplets` must be one of {list(kinds)}. Received: {type_of_triplets!r}."
            )
        self.margin = float(margin)
        self.type_of_triplets = kind

    def keep(self, rows: Rows) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = rows
        if self.type_of_triplets == "semi-hard":
            return self._semi_hard(distances, positives, negatives)
        margin = 0.0 if self.type_of_triplets == "hard" else self.margin
        if self.type_of_triplets == "easy":
            in_one = (
                _highest(distances, negatives) - distances > margin,
                distances - _lowest(distances, positives) > margin,
            )
        else:
            in_one = (
                _lowest(distances, negatives) - distances <= margin,
                distances - _highest(distances, positives) <= margin,
            )
        return ops.logical_and(positives, in_one[0]), ops.logical_and(negatives, in_one[1])

    def _semi_hard(self, distances: Any, positives: Any, negatives: Any) -> tuple[Any, Any]:
        # The negative next beyond a positive, and the positive next before a negative.
        beyond = _next_beyond(distances, negatives)
        before = -_next_beyond(-distances, positives)
        return (
            ops.logical_and(positives, beyond - distances <= self.margin),
            ops.logical_and(negatives, distances - before <= self.margin),
        )

    def get_config(self) -> dict[str, Any]:
        return {"margin": self.margin, "type_of_triplets": self.type_of_triplets}


def _next_beyond(values: Any, mask: Any) -> Any:
    """The least value of the same row, where `mask`, that is above each; inf if there is none."""
    ordered, _ = sort_rows(ops.where(mask, values, float("inf")))
    ordered = ops.concatenate([ordered, ops.full_like(ordered[:, :1], float("inf"))], axis=1)
    return ops.take_along_axis(ordered, places_beyond(ordered[:, :-1], values), axis=1)
