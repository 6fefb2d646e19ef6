"""Few-shot evaluation: classifying new classes from a few examples of each."""

from __future__ import annotations

import dataclasses
import math
import statistics

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances, targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.distances.scale import check_scale
from tensorflow_similarity.index.engines.forks import refuse_tensorflow
from tensorflow_similarity.targets import TargetsLike

__all__ = ["EpisodeResult", "few_shot"]


@dataclasses.dataclass(frozen=True)
class EpisodeResult:
    """Accuracy over episodes.

    Attributes:
        accuracy: The mean over episodes.
        interval: Its confidence interval, mean ± z · standard error. It covers the random draw
            of episodes, not the choice of classes.
        per_episode: float64 `[episodes]`.
        ways: Classes in an episode.
        shots: Known examples of each class.
        queries: Queries of each class.
        confidence: Level of the interval.

    Example:

    ```python
    from tensorflow_similarity.evaluation import few_shot

    result = few_shot([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1], ways=2, queries=1, distance="l2")
    result.accuracy  # 1.0
    ```
    """

    accuracy: float
    interval: tuple[float, float]
    per_episode: np.ndarray
    ways: int
    shots: int
    queries: int
    confidence: float

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.ways}-way {self.shots}-shot accuracy {self.accuracy:.4f} "
            f"({100 * self.confidence:g}% interval {low:.4f} to {high:.4f}), "
            f"{len(self.per_episode)} episodes of {self.queries} queries a class"
        )


def few_shot(
    embeddings: ArrayLike,
    labels: TargetsLike,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = 600,
    distance: DistanceLike = "squared_euclidean",
    prototypes: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
    ignore_class: object = None,
) -> EpisodeResult:
    """Evaluates N-way K-shot episodes.

    Each episode draws `ways` classes, and from each class `shots` known examples and `queries`
    queries. A query is assigned to the class with the nearest prototype, the mean of its known
    examples.

    Args:
        embeddings: `[n, dim]`.
        labels: Class ids or names `[n]`; None where the class is unknown: such examples are
            left out, and so are classes with fewer than `shots + queries` examples.
        ways: Classes in an episode, the N.
        shots: Known examples of each class, the K.
        queries: Queries of each class.
        episodes: Number of episodes.
        distance: A name, an object or a function: see `distances.get`. Prototypical networks
            use the squared Euclidean distance.
        prototypes: Whether to compare with the mean of each class. If False, with its nearest
            known example.
        confidence: Level of the interval.
        seed: Seed of the draws.
        ignore_class: A class id or name that stands for an unknown class.

    Returns:
        An `EpisodeResult`.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If fewer than `ways` classes have enough examples, or a number is out of range.

    Reference:
        Snell et al., *Prototypical Networks for Few-shot Learning*, NeurIPS 2017,
        https://arxiv.org/abs/1703.05175

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import few_shot

    labels = np.repeat(np.arange(10), 20)
    x = np.eye(10)[labels] + 0.3 * np.random.default_rng(0).normal(size=(200, 10))
    print(few_shot(x, labels, ways=5, shots=5, episodes=100))
    ```
    """
    ways = checks.count(ways, "ways", minimum=2)
    shots, queries = checks.count(shots, "shots"), checks.count(queries, "queries")
    number = checks.count(episodes, "episodes")
    confidence = checks.fraction(confidence, "confidence")
    by_prototypes = checks.flag(prototypes, "prototypes")
    rng = checks.rng(seed)
    resolved = distances.get(distance)
    refuse_tensorflow(f"The distance {resolved.name!r} of episodes")
    x = checks.embeddings(embeddings)
    check_scale(resolved, x)
    found = targets.get(labels, "labels", len(x), ignore_class)
    places = np.flatnonzero(found.known)
    order = places[np.argsort(found.ids[places], kind="stable")]
    starts = np.unique(found.ids[order], return_index=True)[1]
    groups = [group for group in np.split(order, starts[1:]) if len(group) >= shots + queries]
    if len(groups) < ways:
        raise ValueError(
            f"`labels` must hold at least {ways} classes of {shots + queries} examples or more "
            f"(shots + queries). Received: {len(groups)} such classes. Ask for fewer ways "
            "or queries."
        )
    truth = np.repeat(np.arange(ways), queries)
    accuracy = np.empty(number)
    for episode in range(number):
        classes = rng.choice(len(groups), ways, replace=False)
        drawn = np.stack([rng.choice(groups[c], shots + queries, replace=False) for c in classes])
        known = x[drawn[:, :shots]]
        asked = x[drawn[:, shots:].reshape(-1)]
        if by_prototypes:
            near = _distances(resolved, asked, known.mean(axis=1))
        else:
            near = _distances(resolved, asked, known.reshape(ways * shots, -1))
            near = near.reshape(len(asked), ways, shots).min(axis=2)
        accuracy[episode] = (near.argmin(axis=1) == truth).mean()
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    mean = float(accuracy.mean())
    error = z * float(accuracy.std(ddof=1)) / math.sqrt(number) if number > 1 else math.nan
    return EpisodeResult(
        mean, (mean - error, mean + error), accuracy, ways, shots, queries, confidence
    )


def _distances(distance: distances.Distance, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(distance(queries, keys)))
