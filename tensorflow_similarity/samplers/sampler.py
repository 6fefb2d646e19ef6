"""The base of samplers: draws positions, fetches the examples, augments the batch."""

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
    """Base of samplers: a subclass only writes `take`, which fetches examples.

    Batch `i` of epoch `e` depends only on the seed, `i` and `e`, not on the worker that
    makes it. `SimilarityModel.fit` sets the epoch; with a plain `keras.Model`, see
    `FollowEpochs`.

    Args:
        draws: Draws the positions of the examples of a batch.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        augmenter: Augments a batch before it is returned: a Keras layer or model, called
            on `x` with `training=True`, or a function `(x, y) -> (x, y)`, which may also
            return `(x, y, sample_weight)` or a dict `{"x": x, "y": y}`. A function with
            a parameter `sample_weight` gets the weights; one with a parameter `seed`
            gets an integer unique to the batch and can be reproducible, otherwise its
            randomness does not follow the sampler's seed. Defaults to `None`.
        padding: How to pad sequences of different lengths, see `Padding`.
            Defaults to `None`: `Padding()`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        class_list: int64 array, the class ids drawn from, sorted.
        class_names: The names of classes 0, 1, 2, … if labels are names, else None.
        num_examples: The number of examples drawn from.
        batch_size: Examples in a batch, before augmentation.
        epoch: The current epoch, counted from 0.
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
            positions: int64 `[n]`, positions among all examples.

        Returns:
            `(x, y)` or `(x, y, sample_weight)`, of n examples in that order. Text may be
            NumPy's, and sequences of different lengths an object array of arrays.
        """

    @property
    def classes_per_batch(self) -> int:
        """Number of classes in a batch."""
        return self._draws.classes_per_batch

    @property
    def examples_per_class_per_batch(self) -> int:
        """Number of examples of each class in a batch, before augmentation."""
        return self._draws.examples_per_class

    @property
    def class_list(self) -> np.ndarray:
        """The class ids drawn from, sorted."""
        return self._draws.classes

    @property
    def class_names(self) -> list[str] | None:
        """The names of classes 0, 1, 2, … if labels are names, else None."""
        return self._draws.class_names

    @property
    def num_examples(self) -> int:
        """The number of examples drawn from."""
        return len(self._draws.positions)

    @property
    def batch_size(self) -> int:
        """Number of examples in a batch, before augmentation."""
        return self._draws.batch_size

    @property
    def seed(self) -> int:
        """The seed in use; the same seed makes the same batches."""
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
        """Makes a batch of the current epoch, before augmentation.

        Args:
            batch_id: Number of the batch, from 0. `sampler[batch_id]` is the augmented one.

        Returns:
            `(x, y)`, or `(x, y, sample_weight)` if there are weights.
        """
        batch_id = checks.count(batch_id, "batch_id", minimum=0)
        return self._finished(*self._fetched(self._draws.draw(self.epoch, batch_id)))

    def _batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        batch = self._fetched(self._draws.draw(epoch, index))
        return self._finished(*self._augmented(*batch, epoch, index))

    def _fetched(self, positions: np.ndarray) -> tuple[Any, Any, Any]:
        """`(x, y, weight)` of the given examples, with sequences padded."""
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
        """Replaces class ids beyond 32 bits by their position in `class_list`."""
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
        """Returns a slice of the examples drawn from, in the order of the data.

        Args:
            begin: The first example, from 0. Defaults to 0.
            size: The number of examples. Defaults to `None` (or -1): all that follow.
            augment: Whether to augment them like a batch. A sampler of several views returns
                all of these, one after the other. Defaults to False.

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
            # No batch has this number, so its seed is unique.
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
