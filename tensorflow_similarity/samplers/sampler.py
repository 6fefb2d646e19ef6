"""The base of the samplers: draws, then takes what was drawn, then augments it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.samplers._epochs import EpochDataset
from tensorflow_similarity.samplers._inputs import as_batch, holds_64_bits, padded
from tensorflow_similarity.samplers.augmentation import Augmentation
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.padding import Padding, checked_padding

__all__ = ["Sampler"]


class Sampler(EpochDataset):
    """Base of the samplers: a subclass says how examples are fetched, and nothing else.

    Batch `i` of epoch `e` depends on the seed, `i` and `e` only: it is the same
    whichever worker makes it. `SimilarityModel.fit` tells which epoch it is; with a plain
    `keras.Model`, which does not, see `FollowEpochs`.

    Args:
        draws: Which examples make up a batch.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        augmenter: What to do with a batch before it is returned: a Keras layer or
            model, called on `x` with `training=True`, or a function
            `(x, y) -> (x, y)`, which may also return `(x, y, sample_weight)` or a dict
            `{"x": x, "y": y}`. One that takes `sample_weight` gets the weights, and one
            that takes `seed` an integer that is the batch's own, and can so be
            reproducible; the randomness of any other is not governed by the seed of the
            sampler. Defaults to `None`.
        padding: How sequences of different lengths become one array, see `Padding`.
            Defaults to `None`: `Padding()`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        class_list: int64 array, the class ids drawn from, sorted.
        class_names: The names of classes 0, 1, 2, …, where labels are names; else None.
        num_examples: The number of examples drawn from.
        batch_size: Examples in a batch, before augmentation.
        epoch: The epoch whose batches are made now, from 0.
        seed: The seed in use.

    Raises:
        TypeError: If `augmenter` cannot be called.
        ValueError: If `steps_per_epoch` is not positive.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import BalancedDraws, Sampler

    class Squares(Sampler):
        '''Numbers, by their last digit.'''

        def __init__(self, numbers, **kwargs):
            super().__init__(BalancedDraws(numbers % 10, 3, 2, seed=0), **kwargs)
            self.numbers = numbers

        def take(self, positions):
            return self.numbers[positions] ** 2, self.numbers[positions] % 10

    x, y = Squares(np.arange(100), steps_per_epoch=5)[0]  # 6 squares, and 3 digits twice each
    ```
    """

    def __init__(
        self,
        draws: BalancedDraws,
        steps_per_epoch: int = 1000,
        augmenter: Callable[..., Any] | None = None,
        padding: Padding | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(steps_per_epoch, **kwargs)
        self.padding = checked_padding(padding)
        self.augmenter = augmenter
        self._augment = None if augmenter is None else Augmentation(augmenter)
        self._draws = draws

    @abc.abstractmethod
    def take(self, positions: np.ndarray) -> tuple[Any, ...]:
        """Fetches examples, without augmenting them.

        Args:
            positions: int64 `[n]`, which of all examples.

        Returns:
            `(x, y)` or `(x, y, sample_weight)`, of n examples in that order. Text may be
            NumPy's, and sequences of different lengths an object array of arrays.
        """

    @property
    def classes_per_batch(self) -> int:
        """Classes in a batch."""
        return self._draws.classes_per_batch

    @property
    def examples_per_class_per_batch(self) -> int:
        """Examples of each class in a batch, before augmentation."""
        return self._draws.examples_per_class

    @property
    def class_list(self) -> np.ndarray:
        """The class ids drawn from, sorted."""
        return self._draws.classes

    @property
    def class_names(self) -> list[str] | None:
        """The names of classes 0, 1, 2, …, where labels are names; else None."""
        return self._draws.class_names

    @property
    def num_examples(self) -> int:
        """The number of examples drawn from."""
        return len(self._draws.positions)

    @property
    def batch_size(self) -> int:
        """Examples in a batch, before augmentation."""
        return self._draws.batch_size

    @property
    def seed(self) -> int:
        """The seed in use: the same one makes the same batches."""
        return self._draws.seed

    @property
    def index_per_class(self) -> dict[int, np.ndarray]:
        """The positions of the examples of each class drawn from: class id -> int64 `[n]`."""
        return self._draws.index_per_class

    @property
    def example_shape(self) -> Any:
        """The shape of an example, without padding; a structure of shapes for several inputs."""
        x, *_ = self.take(self._draws.positions[:1])
        return keras.tree.map_structure(
            lambda leaf: tuple(leaf[0].shape if isinstance(leaf[0], np.ndarray) else ()), x
        )

    def generate_batch(self, batch_id: int) -> tuple[Any, ...]:
        """Makes a batch of this epoch as it is before augmentation.

        Args:
            batch_id: Which batch, from 0. `sampler[batch_id]` is augmented.

        Returns:
            `(x, y)`, or `(x, y, sample_weight)` if there are weights.
        """
        batch_id = checks.count(batch_id, "batch_id", minimum=0)
        return self._finished(*self._fetched(self._draws.draw(self.epoch, batch_id)))

    def _batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        batch = self._fetched(self._draws.draw(epoch, index))
        return self._finished(*self._augmented(*batch, epoch, index))

    def _fetched(self, positions: np.ndarray) -> tuple[Any, Any, Any]:
        """`(x, y, weight)` of some examples, with sequences as one array."""
        x, y, *weight = self.take(positions)
        return padded(x, self.padding), y, weight[0] if weight else None

    def _augmented(
        self, x: object, y: object, weight: object, epoch: int, index: int
    ) -> tuple[Any, Any, Any]:
        if self._augment is None:
            return x, y, weight
        return self._augment(x, y, weight, (self.seed, epoch, index))

    def _finished(self, x: object, y: object, weight: object) -> tuple[Any, ...]:
        """A batch as Keras takes it."""
        x = as_batch(x)
        if not holds_64_bits():
            y = keras.tree.map_structure(self._in_32_bits, y)
        return (x, y) if weight is None else (x, y, weight)

    def _in_32_bits(self, labels: Any) -> Any:
        """Class ids that 32 bits do not hold, by their place in `class_list`."""
        if getattr(labels, "dtype", np.dtype(float)).kind not in "iu" or not labels.size:
            return labels
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest >= -(2**31) and highest < 2**31:
            return labels
        ids = labels.astype(np.int64)
        places = np.searchsorted(self.class_list, ids)
        found = self.class_list[np.minimum(places, len(self.class_list) - 1)] == ids
        return places.astype(np.int32) if found.all() else labels

    def get_slice(
        self, begin: int = 0, size: int | None = None, augment: bool = False
    ) -> tuple[Any, Any]:
        """Returns some of the examples drawn from, in their order in the data.

        Args:
            begin: The first example, from 0. Defaults to 0.
            size: The number of examples. Defaults to `None` (or -1): all that follow.
            augment: Whether to augment them as a batch is: for several views of each, all of
                these, one after the other. Defaults to False.

        Returns:
            `(x, y)`, of at most `size` examples before augmentation.

        Raises:
            TypeError: If an argument is not an integer.
            ValueError: If an argument is negative.
        """
        begin = checks.count(begin, "begin", minimum=0)
        end = None if size is None or size == -1 else begin + checks.count(size, "size", minimum=0)
        batch = self._fetched(self._draws.positions[begin:end])
        if augment:
            # No batch has this number: its seed is its own.
            batch = self._augmented(*batch, self.epoch, self.steps_per_epoch + begin)
        x, y, _ = batch
        return as_batch(x), y

    def __repr__(self) -> str:
        names = ""
        if self.class_names is not None:
            first = ", ".join(repr(self.class_names[label]) for label in self.class_list[:3])
            names = f" ({first}{', …' if len(self.class_list) > 3 else ''})"
        return (
            f"{type(self).__name__}(examples={self.num_examples}, "
            f"classes={len(self.class_list)}{names}, classes_per_batch={self.classes_per_batch}, "
            f"examples_per_class_per_batch={self.examples_per_class_per_batch}, "
            f"steps_per_epoch={self.steps_per_epoch}, seed={self.seed})"
        )
