"""The state of a training run, as `TrainingDoctor` sees it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from tensorflow_similarity._class_names import ClassNames, class_name
from tensorflow_similarity.callbacks.doctor.measurements import VitalSigns
from tensorflow_similarity.callbacks.doctor.suspects import Suspect
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.losses import MetricLoss

__all__ = ["TrainingRun"]


@dataclasses.dataclass
class TrainingRun:
    """What is known of a training run.

    Attributes:
        patience: Number of consecutive examinations that must agree.
        embedding_size: Size of the embeddings.
        loss: The pair loss the model is trained with; None if its loss is of another type.
        distance: The distance used to compare embeddings.
        index_distance: The distance of the model's index, or None.
        learning_rate: The current learning rate, or NaN.
        history: All examinations, oldest first.
        class_names: The names of class ids, or None.
        batches: Where batches come from: "sampler" for balanced ones, else "data".
        clipped: Whether the optimizer clips gradients.
        suspects: Examples that look like another class; the first ones found.
        conflicts: The two labels and the two positions of each pair of equal examples.
        sorted_by_class: Whether batches would hold a single class if `fit` did not shuffle.
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
        """Whether a sign holds in each of the last `times * patience` examinations."""
        recent = self.recent(times)
        return len(recent) == times * self.patience and all(map(sign, recent))

    def recent(self, times: int = 1) -> list[VitalSigns]:
        """The last `times * patience` examinations, without the one before the first step."""
        return [signs for signs in self.history if signs.step > 0][-times * self.patience :]

    def named(self, label: int | str) -> str:
        """The name of a class, or its id if it has none."""
        return class_name(label, self.class_names)

    def loss_is(self, *names: str) -> bool:
        """Whether the loss, or the loss wrapped by a memory, is of one of these classes."""
        loss = getattr(self.loss, "loss", self.loss)
        return type(loss).__name__ in names

    def losses_but_this(self, *names: str) -> str:
        """Names of losses to try, except the current one."""
        return " or ".join(name for name in names if not self.loss_is(name))

    def slower(self, factor: float = 10) -> str:
        """Advice to lower the learning rate."""
        rate = self.learning_rate
        now = "" if math.isnan(rate) else f": {rate / factor:.2g} instead of {rate:.2g}"
        return f"a smaller learning rate{now}"
