"""What the doctor knows of a training run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from tensorflow_similarity._class_names import ClassNames, class_name
from tensorflow_similarity.callbacks.doctor.suspects import Suspect
from tensorflow_similarity.callbacks.doctor.vital_signs import VitalSigns
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.losses import MetricLoss

__all__ = ["Patient"]


@dataclasses.dataclass
class Patient:
    """What is known of a training run.

    Attributes:
        patience: Examinations in a row that must agree.
        embedding_size: Size of the embeddings.
        loss: The loss on pairs that is trained with, or None where it is another.
        distance: The distance that embeddings are compared with.
        index_distance: That of the model's index, or None.
        learning_rate: As it is now, or NaN.
        history: All examinations, the oldest first.
        class_names: The names of class ids, or None.
        batches: What draws the batches: "sampler" for balanced ones, else "arrays" or "data".
        clipped: Whether the optimizer clips gradients.
        suspects: Examples that look like another class, the first of them.
        conflicts: Labels of two equal examples, and their positions.
        sorted_by_class: Whether batches would be of one class if `fit` did not shuffle.
    """

    patience: int
    embedding_size: int = 0
    loss: MetricLoss | None = None
    distance: Distance | None = None
    index_distance: Distance | None = None
    learning_rate: float = math.nan
    class_names: ClassNames = None
    batches: str = "data"
    clipped: bool = False
    history: list[VitalSigns] = dataclasses.field(default_factory=list)
    suspects: list[Suspect] = dataclasses.field(default_factory=list)
    conflicts: list[tuple[Any, Any, int, int]] = dataclasses.field(default_factory=list)
    sorted_by_class: bool = False

    @property
    def now(self) -> VitalSigns:
        """The latest examination."""
        return self.history[-1]

    def persists(self, sign: Callable[[VitalSigns], bool], times: int = 1) -> bool:
        """Whether a sign holds in the last `times * patience` examinations, the start apart."""
        recent = self.recent(times)
        return len(recent) == times * self.patience and all(map(sign, recent))

    def recent(self, times: int = 1) -> list[VitalSigns]:
        """The last `times * patience` examinations; before the first step nothing is wrong yet."""
        return [signs for signs in self.history if signs.step > 0][-times * self.patience :]

    def named(self, label: int | str) -> str:
        """A class by its name, or its id."""
        return class_name(label, self.class_names)

    def loss_is(self, *names: str) -> bool:
        """Whether the loss, or the one that a memory is added to, is one of these classes."""
        loss = getattr(self.loss, "loss", self.loss)
        return type(loss).__name__ in names

    def losses_but_this(self, *names: str) -> str:
        """Names of losses to try, without the one that is trained with."""
        return " or ".join(name for name in names if not self.loss_is(name))

    def slower(self, factor: float = 10) -> str:
        """Advice to lower the learning rate."""
        rate = self.learning_rate
        now = "" if math.isnan(rate) else f": {rate / factor:.2g} instead of {rate:.2g}"
        return f"a smaller learning rate{now}"
