"""How the classes of a batch are chosen."""

from __future__ import annotations

import abc

import numpy as np

from tensorflow_similarity.samplers._distinct import distinct

__all__ = ["ClassChoice", "UniformClasses", "others"]


class ClassChoice(abc.ABC):
    """Base of the rules by which `BalancedDraws` chooses the classes of a batch.

    A subclass writes `choose`, and `prepare` if it needs to set itself up. Use one object
    per sampler. One that chooses the classes of many batches at once, by `choose_many`, sets
    `ahead = True`.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import BalancedDraws, ClassChoice

    class Neighbouring(ClassChoice):
        '''Classes whose ids follow one another.'''

        def choose(self, rng, count):
            first = rng.integers(len(self.classes) - count + 1)
            return first + np.arange(count)

    labels = np.repeat(np.arange(10), 4)
    draws = BalancedDraws(labels, 3, 2, class_choice=Neighbouring(), seed=0)
    labels[draws.draw(epoch=0, step=0)]  # three ids that follow one another, each twice
    ```
    """

    classes: np.ndarray
    #: The names of classes 0, 1, 2, …, where labels are names.
    class_names: list[str] | None = None
    #: Whether batches may be chosen long before they are made, and kept. Only where a choice
    #: depends on nothing but `rng`: not on what changes while a model trains.
    ahead = False

    def bind(self, classes: np.ndarray, count: int, class_names: list[str] | None = None) -> None:
        """Called by `BalancedDraws` with the classes to choose from.

        Args:
            classes: int64 `[classes]`, sorted.
            count: Number of classes in a batch.
            class_names: The names of classes 0, 1, 2, … if labels are names.

        Raises:
            ValueError: If it is already in use by a sampler with other classes.
        """
        bound = getattr(self, "classes", None)
        if bound is not None and not np.array_equal(bound, classes):
            raise ValueError(
                "`class_choice` must serve one sampler: make another one for these classes. "
                f"Received: {self!r}, which serves {len(bound)} classes, for {len(classes)} others."
            )
        self.classes, self.class_names = classes, class_names
        self.prepare(count)

    def prepare(self, count: int) -> None:  # noqa: B027 (nothing to prepare is usual)
        """Called once the attribute `classes` is known. Does nothing by default.

        Args:
            count: Number of classes in a batch.
        """

    @abc.abstractmethod
    def choose(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Chooses the classes of a batch.

        Args:
            rng: The only source of randomness to use, so that batches are reproducible.
            count: Number of classes.

        Returns:
            Distinct positions in `self.classes`, integers `[count]`.
        """

    def choose_many(self, rng: np.random.Generator, count: int, batches: int) -> np.ndarray:
        """Chooses the classes of several batches: by default one after the other.

        Args:
            rng: The only source of randomness to use.
            count: Number of classes in a batch.
            batches: Number of batches; 1, unless `ahead` is True.

        Returns:
            Positions in `self.classes`, integers `[batches, count]`, distinct within a batch.
        """
        return np.stack([self.choose(rng, count) for _ in range(batches)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class UniformClasses(ClassChoice):
    """Chooses classes uniformly at random: the default."""

    ahead = True

    def choose(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.choose_many(rng, count, 1)[0]

    def choose_many(self, rng: np.random.Generator, count: int, batches: int) -> np.ndarray:
        return distinct(rng, np.full(batches, len(self.classes)), count)


def others(rng: np.random.Generator, total: int, taken: np.ndarray, count: int) -> np.ndarray:
    """`count` distinct integers below `total` that are not taken, uniform and in random order."""
    # With this many drawn, enough remain however many of them are taken.
    drawn = rng.choice(total, min(total, count + len(taken)), replace=False)
    return drawn[~np.isin(drawn, taken)][:count]
