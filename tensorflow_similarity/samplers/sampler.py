"""The base of the samplers: draws, then takes what was drawn, then augments it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.samplers.augmentation import Augmentation
from tensorflow_similarity.samplers.balanced import BalancedDraws

__all__ = ["Sampler"]


class Sampler(keras.utils.PyDataset, abc.ABC):
    """Base of the samplers: a subclass says how examples are fetched, and nothing else.

    Batch `i` of epoch `e` depends on the seed, `i` and `e` only: it is the same
    whichever worker makes it. `on_epoch_end` counts the epochs; Keras calls it after
    each, and once before the first.

    Args:
        draws: Which examples make up a batch.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        augmenter: What to do with a batch before it is returned: a Keras layer or
            model, called on `x` with `training=True`, or a function
            `(x, y) -> (x, y)`. One that takes `seed` too gets an integer that is the
            batch's own, and can so be reproducible; the randomness of any other is not
            governed by the seed of the sampler. Defaults to `None`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        class_list: int64 array, the class ids drawn from, sorted.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.steps_per_epoch = checks.count(steps_per_epoch, "steps_per_epoch")
        self.augmenter = augmenter
        self._augment = None if augmenter is None else Augmentation(augmenter)
        self._draws = draws
        self.epoch = 0

    @abc.abstractmethod
    def take(self, positions: np.ndarray) -> tuple[Any, Any]:
        """Fetches examples, without augmenting them.

        Args:
            positions: int64 `[n]`, which of all examples.

        Returns:
            `(x, y)`, of n examples in that order.
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

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < self.steps_per_epoch:
            # IndexError also ends a plain `for` loop over the sampler.
            raise IndexError(
                f"The batch must be in [0, {self.steps_per_epoch}). Received: {index}."
            )
        epoch = self.epoch
        x, y = self.take(self._draws.draw(epoch, index))
        return (x, y) if self._augment is None else self._augmented(x, y, epoch, index)

    def _augmented(self, x: Any, y: Any, epoch: int, index: int) -> tuple[Any, Any]:
        if self._augment is None:
            return x, y
        return self._augment(x, y, (self.seed, epoch, index))

    def on_epoch_end(self) -> None:
        """Moves on to the batches of the next epoch."""
        self.epoch += 1

    def get_slice(self, begin: int = 0, size: int | None = None) -> tuple[Any, Any]:
        """Returns some of the examples drawn from, in their order in the data.

        They are not augmented.

        Args:
            begin: The first example, from 0. Defaults to 0.
            size: The number of examples. Defaults to `None` (or -1): all that follow.

        Returns:
            `(x, y)`, of at most `size` examples.

        Raises:
            TypeError: If an argument is not an integer.
            ValueError: If an argument is negative.
        """
        begin = checks.count(begin, "begin", minimum=0)
        end = None if size is None or size == -1 else begin + checks.count(size, "size", minimum=0)
        return self.take(self._draws.positions[begin:end])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(examples={self.num_examples}, "
            f"classes={len(self.class_list)}, classes_per_batch={self.classes_per_batch}, "
            f"examples_per_class_per_batch={self.examples_per_class_per_batch}, "
            f"steps_per_epoch={self.steps_per_epoch}, seed={self.seed})"
        )
