"""Positions of the examples of class-balanced batches: indices only, no data."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers._distinct import distinct
from tensorflow_similarity.samplers._epochs import seed_sequence
from tensorflow_similarity.samplers._labels import Labels, class_list_ids, read_labels
from tensorflow_similarity.samplers.class_choice import ClassChoice, UniformClasses
from tensorflow_similarity.targets import TargetsLike

__all__ = ["BalancedDraws"]

# Batches that are drawn together, and the positions in them: few enough that a batch alone is
# not dear, many enough that a batch among others costs nearly nothing.
_TOGETHER, _POSITIONS = 128, 8192
# What is drawn is kept, as batches may be asked for in any order: so many positions.
_KEPT = 2**21


class BalancedDraws:
    """Draws the positions of examples for class-balanced batches.

    Every batch depends on `(seed, epoch, step)` alone, so batches can be drawn in any
    order, from any thread or process.

    Classes are drawn without replacement within a batch, and so are the
    examples of a class. A class with too few examples repeats them as evenly as possible;
    a warning says how many such classes there are.

    An example with several labels belongs to each of them. Labels are drawn like classes, then
    examples of each, and no example is drawn twice while others of the label are left.
    Examples of unknown class are never drawn.

    Args:
        labels: Class ids or class names, `[n]` or `[n, 1]`, with None for an unknown one; or
            `Targets` of classes, several labels, probabilities (drawn by the most probable
            class) or a hierarchy (drawn by its finest level).
        classes_per_batch: Number of classes in a batch.
        examples_per_class: Number of examples of each class in a batch.
        class_list: Ids or names of classes to draw from. Defaults to `None`: all.
        total_examples_per_class: Use at most this many examples of each class, a
            random choice that depends on the seed. Defaults to `None`: all.
        seed: Integer. Defaults to `None`: a random seed (see the attribute).
        class_choice: How the classes of a batch are chosen: a `ClassChoice` such as
            `HierarchicalClasses` or `HardClasses`. Defaults to `None`: any, all of them
            equally likely.

    Attributes:
        classes: int64 `[classes]`, the class ids drawn from, sorted.
        class_names: The names of classes 0, 1, 2, … if labels are names, else None.
        positions: int64 `[examples]`, the positions drawn from, sorted.
        seed: The seed in use.

    Raises:
        TypeError: If the labels are of a kind without classes, or `class_choice` is not a
            `ClassChoice`.
        ValueError: If the labels are not `[n]` or `[n, 1]` or there are none,
            `class_list` has classes that do not occur, or there are fewer classes
            than `classes_per_batch`.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import BalancedDraws

    labels = np.array([7, 7, 7, 3, 3, 3, 5, 5, 5])
    draws = BalancedDraws(labels, classes_per_batch=2, examples_per_class=2, seed=1)
    labels[draws.draw(epoch=0, step=0)]  # two ids, each twice
    ```
    """

    def __init__(
        self,
        labels: TargetsLike | Labels,
        classes_per_batch: int,
        examples_per_class: int,
        class_list: ArrayLike | None = None,
        total_examples_per_class: int | None = None,
        seed: int | None = None,
        class_choice: ClassChoice | None = None,
    ) -> None:
        known = labels if isinstance(labels, Labels) else read_labels(labels, "labels")
        if not len(known.positions):
            which = "none" if not known.length else f"{known.length}, all of unknown class"
            raise ValueError(f"`labels` must hold at least one example. Received: {which}.")
        self.classes_per_batch = checks.count(classes_per_batch, "classes_per_batch")
        self.examples_per_class = checks.count(examples_per_class, "examples_per_class")
        if total_examples_per_class is not None:
            checks.count(total_examples_per_class, "total_examples_per_class")
        if class_choice is not None and not isinstance(class_choice, ClassChoice):
            raise TypeError(f"`class_choice` must be a ClassChoice. Received: {class_choice!r}.")
        entropy = seed_sequence(seed)
        self.seed = int(entropy.entropy)  # type: ignore[arg-type]
        self._key = entropy.generate_state(2, np.uint64)

        # Positions grouped by class: class c owns a run of `_grouped`.
        owners = known.classes
        grouped = np.argsort(owners, kind="stable")
        classes, starts, sizes = np.unique(owners[grouped], return_index=True, return_counts=True)
        self.class_names = known.class_names
        if class_list is not None:
            kept = np.isin(classes, _known(class_list, classes, known.class_names))
            classes, starts, sizes = classes[kept], starts[kept], sizes[kept]
        if total_examples_per_class is not None:
            # Each class is shuffled and cut to its first examples.
            rng = np.random.default_rng(entropy.spawn(1)[0])
            grouped = np.lexsort((rng.random(len(owners)), owners))
            sizes = np.minimum(sizes, total_examples_per_class)
        if len(classes) < self.classes_per_batch:
            raise ValueError(
                "`classes_per_batch` must not exceed the number of classes. "
                f"Received: classes_per_batch={self.classes_per_batch}, and {len(classes)} "
                "classes to draw from."
            )
        self.classes = classes
        self._grouped, self._starts, self._sizes = known.positions[grouped], starts, sizes
        self._several = known.several
        self.positions = np.sort(self._grouped[_runs(starts, sizes)])
        if known.several:
            self.positions = np.unique(self.positions)
        self._choice = UniformClasses() if class_choice is None else class_choice
        self._choice.bind(classes, self.classes_per_batch, known.class_names)
        self._together = 1
        if self._choice.ahead:
            self._together = min(_TOGETHER, max(1, _POSITIONS // self.batch_size))
        self._slots = max(1, _KEPT // (self._together * self.batch_size))
        self._kept: dict[int, tuple[int, int, np.ndarray]] = {}
        self._warn_of_small_classes()

    def _warn_of_small_classes(self) -> None:
        small = self._sizes < self.examples_per_class
        if small.any():
            warnings.warn(
                f"{small.sum()} of {len(small)} classes have fewer than "
                f"{self.examples_per_class} examples and repeat them within a batch, "
                f"for instance class {self._shown(small)} with {self._sizes[small][0]}. "
                "Lower the examples per class, or leave these classes out with `class_list`.",
                stacklevel=levels_to_the_caller(),
            )

    def _shown(self, which: np.ndarray) -> str:
        label = int(self.classes[which][0])
        return str(label) if self.class_names is None else repr(self.class_names[label])

    @property
    def index_per_class(self) -> dict[int, np.ndarray]:
        """The positions of the examples of each class drawn from, by class id."""
        runs = zip(self.classes.tolist(), self._starts, self._sizes, strict=True)
        return {label: np.sort(self._grouped[a : a + size]) for label, a, size in runs}

    @property
    def batch_size(self) -> int:
        """Number of positions in a draw."""
        return self.classes_per_batch * self.examples_per_class

    def draw(self, epoch: int, step: int) -> np.ndarray:
        """Draws the batch of one step.

        Args:
            epoch: Integer, at least 0.
            step: Integer, at least 0.

        Returns:
            int64 positions `[classes_per_batch * examples_per_class]`, class by class.
        """
        run, place = divmod(step, self._together)
        if not self._choice.ahead:
            return self._drawn(epoch, run)[0]
        # Threads may draw the same at the same time, with the same result.
        slot = run % self._slots
        kept = self._kept.get(slot)
        if kept is None or kept[0] != epoch or kept[1] != run:
            kept = self._kept[slot] = epoch, run, self._drawn(epoch, run)
        # Whoever gets it may write to it.
        return kept[2][place].copy()

    def _drawn(self, epoch: int, run: int) -> np.ndarray:
        """Draws batches that follow one another: int64 `[batches, batch_size]`."""
        # Philox is counter-based: each (epoch, run) has 2**128 draws of the stream to itself.
        rng = np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, run, epoch]))
        batches, count, each = self._together, self.classes_per_batch, self.examples_per_class
        chosen = self._choice.choose_many(rng, count, batches).reshape(-1)
        members = distinct(rng, self._sizes[chosen], each)
        drawn = self._grouped[self._starts[chosen, None] + members].reshape(batches, count, each)
        if self._several:
            for classes, batch in zip(chosen.reshape(batches, count), drawn, strict=True):
                batch[:] = self._without_repeats(rng, classes, batch)
        return drawn.reshape(batches, count * each)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": {}}

    def _without_repeats(
        self, rng: np.random.Generator, chosen: np.ndarray, drawn: np.ndarray
    ) -> np.ndarray:
        """Replaces an example drawn for two labels by another of its label, if there is one."""
        if len(np.unique(drawn)) == drawn.size:
            return drawn
        taken: np.ndarray = drawn[:0].ravel()
        for row in np.argsort(self._sizes[chosen], kind="stable"):  # Rare labels choose first.
            again = np.flatnonzero(np.isin(drawn[row], taken))
            if len(again):
                begin = self._starts[chosen[row]]
                every = self._grouped[begin : begin + self._sizes[chosen[row]]]
                free = np.setdiff1d(every, np.concatenate([taken, drawn[row]]))
                others = rng.permutation(free)[: len(again)]
                drawn[row, again[: len(others)]] = others
            taken = np.concatenate([taken, drawn[row]])
        return drawn

    def __repr__(self) -> str:
        return (
            f"BalancedDraws(classes={len(self.classes)}, examples={len(self.positions)}, "
            f"classes_per_batch={self.classes_per_batch}, "
            f"examples_per_class={self.examples_per_class}, seed={self.seed})"
        )


def _known(class_list: ArrayLike, classes: np.ndarray, names: list[str] | None) -> np.ndarray:
    wanted = class_list_ids(class_list, names)
    unknown = np.setdiff1d(wanted, classes)
    if len(unknown):
        raise ValueError(
            "`class_list` must hold class ids that occur in the labels. "
            f"Received: {len(unknown)} unknown ids, {unknown[:5].tolist()}."
        )
    return wanted


def _runs(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The indices of all runs `start, start + 1, …`, one after the other."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - sizes), sizes)
