"""Mining strategies: which pairs of a query a loss looks at."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._configured import Configured
from tensorflow_similarity.mining.selection import farthest, nearest, nearest_beyond

__all__ = [
    "All",
    "Farthest",
    "MiningStrategy",
    "Nearest",
    "SemiHard",
    "get_negative",
    "get_positive",
]


class MiningStrategy(Configured):
    """Base of the strategies. A subclass writes `pick`, or `keep`, or both.

    Strategies see distances and a mask of candidates (the positive pairs, or
    the negative ones), never labels, and the same object serves both sides: the
    hard positive and the easy negative are both `Farthest`.
    """

    def pick(self, distances: Any, candidates: Any, thresholds: Any) -> Any:
        """Picks one key for each query.

        Args:
            distances: Float `[queries, keys]`.
            candidates: Bool `[queries, keys]`.
            thresholds: Float `[queries]`, the distance of the positive that was
                mined; zeros while the positive itself is mined.

        Returns:
            int32 `[queries]`. Where a query has no candidate any key will do.
        """
        raise NotImplementedError(f"{type(self).__name__} does not pick a single key per query.")

    def keep(self, distances: Any, candidates: Any, thresholds: Any) -> Any:
        """The mask of the candidates that are kept, bool `[queries, keys]`.

        Unless overridden, the one that `pick` picks.
        """
        place = self.pick(distances, candidates, thresholds)
        keys = ops.arange(ops.shape(distances)[1], dtype=place.dtype)
        return ops.logical_and(candidates, keys[None, :] == place[:, None])


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class Nearest(MiningStrategy):
    """The nearest candidate: the easy positive, the hard negative."""

    def pick(self, distances: Any, candidates: Any, thresholds: Any) -> Any:
        return nearest(distances, candidates)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class Farthest(MiningStrategy):
    """The farthest candidate: the hard positive, the easy negative."""

    def pick(self, distances: Any, candidates: Any, thresholds: Any) -> Any:
        return farthest(distances, candidates)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SemiHard(MiningStrategy):
    """The nearest negative strictly farther than the mined positive.

    If there is none, the farthest negative.

    Reference:
        Schroff et al., *FaceNet*, CVPR 2015, https://arxiv.org/abs/1503.03832
    """

    def pick(self, distances: Any, candidates: Any, thresholds: Any) -> Any:
        return nearest_beyond(distances, candidates, thresholds[:, None])[:, 0]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class All(MiningStrategy):
    """Every candidate."""

    def keep(self, distances: Any, candidates: Any, thresholds: Any) -> Any:
        return candidates


_POSITIVE: dict[str, type[MiningStrategy]] = {"easy": Nearest, "hard": Farthest, "all": All}
_NEGATIVE: dict[str, type[MiningStrategy]] = {
    "easy": Farthest,
    "hard": Nearest,
    "semi-hard": SemiHard,
    "all": All,
}


def _get(strategy: Any, side: str, known: dict[str, type[MiningStrategy]]) -> MiningStrategy:
    if isinstance(strategy, dict):
        strategy = keras.saving.deserialize_keras_object(strategy)
    if isinstance(strategy, MiningStrategy):
        return strategy
    if isinstance(strategy, str):
        key = strategy.lower().replace("_", "-").replace("semihard", "semi-hard")
        if key in known:
            return known[key]()
        raise ValueError(
            f"Invalid {side} mining strategy. `{side}_mining_strategy` must be one of "
            f"{list(known)} or a MiningStrategy object. Received: {strategy!r}."
        )
    raise TypeError(
        f"`{side}_mining_strategy` must be one of {list(known)} or a MiningStrategy object. "
        f"Received: {strategy!r}."
    )


def get_positive(strategy: Any) -> MiningStrategy:
    """Resolves a strategy for positives: `"easy"`, `"hard"`, `"all"`, or an object.

    Raises:
        ValueError: If no strategy for positives has that name.
        TypeError: If it is neither a name nor a `MiningStrategy`.
    """
    return _get(strategy, "positive", _POSITIVE)


def get_negative(strategy: Any) -> MiningStrategy:
    """Resolves a strategy for negatives: `"easy"`, `"hard"`, `"semi-hard"`, `"all"`, or an object.

    Raises:
        ValueError: If no strategy for negatives has that name.
        TypeError: If it is neither a name nor a `MiningStrategy`.
    """
    return _get(strategy, "negative", _NEGATIVE)
