"""Batches of classes that the model finds hard to tell apart."""

from __future__ import annotations

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances, targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.samplers.class_choice import ClassChoice, others

__all__ = ["HardClasses"]

# Rows of the matrix of distances between classes that are held at a time.
_ROWS = 1024


class HardClasses(ClassChoice):
    """Chooses a class together with classes that the model confuses with it.

    The first class of a batch is drawn at random; `share` of the others come from its
    `neighbors` nearest classes, and the rest are random. Call `update` with embeddings of
    labelled examples to determine which classes are near, and repeat it as training moves
    them. Before the first call all classes are equally likely.

    The distance between two classes is that between the means of their embeddings.

    Args:
        share: Average fraction, from 0 to 1, of near classes among the other classes of a
            batch. Defaults to 0.5: with two classes per batch, every other batch has a near
            one.
        neighbors: Number of classes that count as near. Defaults to 10.
        distance: A distance or its name. Defaults to `"cosine"`.

    Raises:
        ValueError: If `share` is not in [0, 1], or `neighbors` is not positive.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import HardClasses, MultiShotMemorySampler

    x, y = np.random.rand(80, 8), np.repeat(np.arange(20), 4)
    hard = HardClasses(share=1.0, neighbors=3)
    sampler = MultiShotMemorySampler(x, y, classes_per_batch=4, class_choice=hard, seed=0)
    hard.update(x, y)  # in training: model.embed(x) in the place of x, after each epoch
    np.unique(sampler[0][1])  # a class, and the three nearest to it
    ```
    """

    def __init__(
        self, share: float = 0.5, neighbors: int = 10, distance: DistanceLike = "cosine"
    ) -> None:
        self.share = checks.fraction(share, "share", ends=True)
        self.neighbors = checks.count(neighbors, "neighbors")
        self.distance = distances.get(distance)
        self._near: np.ndarray | None = None

    def update(self, embeddings: ArrayLike, labels: ArrayLike) -> None:
        """Determines which classes are near each other, from current embeddings.

        Safe to call while other threads draw: a batch uses either the old or the new result.

        Args:
            embeddings: `[n, dim]`, of examples of the classes.
            labels: Their class ids or names `[n]`. None, and classes that the sampler does not
                draw from, are ignored; classes missing here are only drawn at random.

        Raises:
            TypeError: If labels are neither ids nor names, or names where the sampler has ids.
            ValueError: If lengths differ, an embedding is not finite, no sampler uses this
                object yet, or fewer than two of its classes are among the labels.
        """
        if not hasattr(self, "classes"):
            raise ValueError("`class_choice` must be given to a sampler before `update`.")
        rows = checks.embeddings(embeddings)
        found = targets.get(labels, "labels", length=len(rows))
        if found.class_names is not None and self.class_names is not None:
            found = found.recode(self.class_names, "labels")
        elif found.class_names is not None:
            raise TypeError(
                "`labels` must be class ids, as the sampler draws by. Received: names, such as "
                f"{found.class_names[0]!r}."
            )
        ids = found.ids
        known = found.known & np.isin(ids, self.classes)
        present, owner = np.unique(np.searchsorted(self.classes, ids[known]), return_inverse=True)
        if len(present) < 2:
            raise ValueError(
                "`labels` must hold at least two of the classes that are drawn from. "
                f"Received: {len(present)}."
            )
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(len(present)))
        sums = np.add.reduceat(rows[known][order].astype(np.float64), starts, axis=0)
        sizes = np.diff(np.append(starts, len(order)))
        means = (sums / sizes[:, None]).astype(np.float32)
        near = np.full((len(self.classes), min(self.neighbors, len(present) - 1)), -1)
        near[present] = present[_nearest(means, near.shape[1], self.distance)]
        self._near = near

    def choose(self, rng: np.random.Generator, count: int) -> np.ndarray:
        total = len(self.classes)
        found = rng.integers(total, size=1)
        if self._near is not None:
            near = self._near[found[0]]
            near = near[near >= 0]
            # A fraction of a class is a chance of one, so that the share is right on
            # average even if batches have few classes.
            whole, part = divmod(self.share * (count - 1), 1)
            wanted = min(int(whole) + int(rng.random() < part), len(near))
            hard = near[rng.choice(len(near), wanted, replace=False)] if wanted else near[:0]
            found = np.concatenate([found, hard])
        return np.concatenate([found, others(rng, total, found, count - len(found))])

    def __repr__(self) -> str:
        return (
            f"HardClasses(share={self.share}, neighbors={self.neighbors}, "
            f"distance={self.distance.name!r})"
        )


def _nearest(means: np.ndarray, count: int, distance: distances.Distance) -> np.ndarray:
    """The `count` nearest others of each row: int64 `[n, count]`."""
    found = np.empty((len(means), count), np.int64)
    for begin in range(0, len(means), _ROWS):
        block = means[begin : begin + _ROWS]
        # A copy: some backends return what may not be written to.
        matrix = np.array(keras.ops.convert_to_numpy(distance(block, means)))
        matrix[np.arange(len(block)), begin + np.arange(len(block))] = np.inf
        found[begin : begin + _ROWS] = np.argpartition(matrix, count - 1, axis=1)[:, :count]
    return found
