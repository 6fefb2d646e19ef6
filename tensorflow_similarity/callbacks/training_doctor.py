"""A callback that reports in words what goes wrong during training."""

from __future__ import annotations

import dataclasses
import math
import warnings

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity._class_names import ClassNames
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity._types import Logs
from tensorflow_similarity.callbacks.doctor.diagnoses import diagnose
from tensorflow_similarity.callbacks.doctor.findings import Finding, TrainingWarning
from tensorflow_similarity.callbacks.doctor.measurements import VitalSigns, examine, pairwise
from tensorflow_similarity.callbacks.doctor.probe import Probe
from tensorflow_similarity.callbacks.doctor.suspects import Suspect, equal_inputs, find_suspects
from tensorflow_similarity.callbacks.doctor.training_run import TrainingRun
from tensorflow_similarity.callbacks.model_access import (
    distance_of,
    embedder_of,
    ignored_class,
    loss_on_pairs,
)
from tensorflow_similarity.callbacks.schedule import Schedule
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.targets import Targets

__all__ = ["TrainingDoctor"]

_MOST_SUSPECTS = 100
_COLUMNS = {
    "step": "step",
    "loss": "loss",
    "chance_loss": "chance",
    "active_queries": "active",
    "positive_distance": "positive",
    "negative_distance": "negative",
    "separation": "separation",
    "mean_cosine": "cosine",
    "effective_rank": "rank",
    "mean_norm": "norm",
}


class TrainingDoctor(keras.callbacks.Callback):
    """Watches training and warns of problems, with the evidence and what to try.

    Every few steps it embeds a batch of the training data with the current weights and
    measures what the metrics of `training_metrics` measure. A problem that persists over
    several examinations is reported once, as a `TrainingWarning`:

    - **collapse**: all embeddings at one point, or on a line. Direction, distances, loss
      and rank are judged together, since none of them is conclusive alone.
    - **no_positives**, **no_negatives**: batches that a pair loss cannot learn from.
    - **nothing_active**: a loss of 0 for nearly all queries.
    - **suspicious_labels**: equal examples with different labels; or classes that stop
      separating while many examples are far nearer to another class than to their own.
    - **not_normalised**: embedding lengths that do not suit the distance.
    - **not_learning**: a loss that stays at the value it has when all embeddings are equal,
      and classes that do not separate.
    - **not_finite**: embeddings with NaN or infinity.

    It needs one class per example, by id or by name. Examples of unknown class, or of the
    loss's `ignore_class`, are left out. Findings about the loss need a loss on pairs of
    embeddings (`MetricLoss`, also inside `CrossBatchMemory`); with other losses only the
    embeddings are checked.

    Args:
        x: The training data, as `fit` takes it: arrays, a `tf.data.Dataset` or a
            sampler. Not a generator, which the doctor would exhaust.
        y: Class ids or names, for arrays; None where the class is unknown.
        freq: Steps between examinations, or `"epoch"`. Defaults to 50. An examination takes
            some tens of milliseconds, besides embedding one batch.
        patience: Number of consecutive examinations that must agree. Defaults to 3.
        batch_size: Examples in a batch, for arrays. Pass the batch size of `fit`, so that
            the same batches are judged. Defaults to 64.
        distance: Distance between embeddings. Defaults to `"auto"`: the distance of the loss,
            or else of the model's index.
        embedding_output: Which output or layer holds the embeddings; not needed for a
            `SimilarityModel`, nor for a model with one output.
        seed: Seed for drawing batches from arrays. Defaults to 0.
        shuffle: Pass what `fit` gets. True, the default of both, draws batches of arrays at
            random; False reads arrays in order, so that data sorted by class are noticed.
            Datasets are always read in their own order.
        class_names: Names of class ids, a mapping or a sequence, used in messages. Defaults
            to None: the class names of the sampler, if it has any.

    Attributes:
        findings: The `Finding` objects so far.
        history: One `VitalSigns` per examination.
        suspects: Examples that look like another class: at most 100 `Suspect` objects with
            the label, the class they look like, the position and the example itself. The
            position is in the arrays, or in the order in which a dataset or sampler yields
            examples.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If `x` can be iterated only once, or labels are missing or not one per
            example.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.callbacks import TrainingDoctor
    from tensorflow_similarity.layers import L2Embedding
    from tensorflow_similarity.losses import TripletLoss
    from tensorflow_similarity.models import SimilarityModel
    from tensorflow_similarity.targets import Targets

    y = np.arange(128) % 4
    x = np.eye(4)[y] + 0.2 * np.random.default_rng(0).normal(size=(128, 4))
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, L2Embedding(8)(inputs))
    model.compile("adam", TripletLoss())
    doctor = TrainingDoctor(x, y, freq=2, batch_size=32)
    model.fit(x, y, batch_size=32, epochs=2, verbose=0, callbacks=[doctor])
    doctor.findings  # []
    print(doctor)  # a table of the examinations
    ```
    """

    def __init__(
        self,
        x: object,
        y: object = None,
        freq: object = 50,
        patience: int = 3,
        batch_size: int = 64,
        distance: DistanceLike = "auto",
        embedding_output: int | str | None = None,
        seed: int = 0,
        shuffle: bool = True,
        class_names: ClassNames = None,
    ) -> None:
        super().__init__()
        self.patience = checks.count(patience, "patience")
        automatic = isinstance(distance, str) and distance == "auto"
        self.distance = distance if automatic else distances.get(distance)
        self.embedding_output = embedding_output
        size = checks.count(batch_size, "batch_size", minimum=2)
        self._probe = Probe(x, y, size, seed, shuffle)
        self._shuffle = checks.flag(shuffle, "shuffle")
        self._schedule = Schedule(freq)
        self.class_names = (
            class_names if class_names is not None else getattr(x, "class_names", None)
        )
        # Samplers of the package draw their batches by class.
        self._batches = "sampler" if hasattr(x, "examples_per_class_per_batch") else "data"
        self._start()

    def _start(self) -> None:
        # Whether `fit` shuffles is unknown here, so sorted data are only mentioned as advice.
        self._run = TrainingRun(
            self.patience, sorted_by_class=self._shuffle and self._probe.sorted_by_class
        )
        self._run.class_names = self.class_names
        self._run.batches = self._batches
        self._said: dict[str, Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        """The findings, in the order in which they were reported."""
        return list(self._said.values())

    @property
    def history(self) -> list[VitalSigns]:
        """The examinations, oldest first."""
        return self._run.history

    @property
    def suspects(self) -> list[Suspect]:
        """Examples that look like another class."""
        return self._run.suspects

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called by Keras; examines the untrained model as a baseline."""
        self._schedule.begin()
        self._start()
        self.examine()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called by Keras."""
        self._schedule.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called by Keras; examines every `freq` steps."""
        if self._schedule.end_batch(batch):
            self.examine()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called by Keras; examines if `freq` is `"epoch"`."""
        if self._schedule.every is None:
            self.examine()

    def examine(self) -> VitalSigns:
        """Examines the model now, and warns of what it finds.

        Returns:
            The measurements.
        """
        run, step = self._run, self._schedule.steps
        embedder = embedder_of(self.model, self.embedding_output)
        run.loss = loss_on_pairs(self.model, self.embedding_output)
        run.distance = self._distance(run)
        if isinstance(self.model, SimilarityModel):
            run.index_distance = self.model._binding.distance
        run.learning_rate = _learning_rate(self.model)
        run.clipped = _clips(self.model)
        inputs, classes, places = self._probe.next(embedder)
        embeddings = embedder.call(inputs)
        run.embedding_size = embeddings.shape[1]
        finite = bool(np.isfinite(embeddings).all())
        ignored = ignored_class(self.model, self.embedding_output)
        labels, known = classes.ids, classes.known
        if ignored is not None and classes.class_names is None:
            known = known & (labels != ignored)
        if not known.all():
            inputs = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[known], inputs)
            labels, embeddings, places = labels[known], embeddings[known], places[known]
        if finite and len(labels):
            between = pairwise(run.distance, embeddings)
            signs = examine(step, labels, embeddings, between, run.loss)
            signs = self._look_for_suspects(signs, inputs, labels, between, places, classes)
        else:
            signs = VitalSigns(step, finite=finite)
        run.history.append(signs)
        for finding in diagnose(run, self._said):
            self._said[finding.name] = finding
            warnings.warn(str(finding), TrainingWarning, stacklevel=2)
        return signs

    def _distance(self, run: TrainingRun) -> distances.Distance:
        loss = run.loss
        if self.distance == "auto" and loss is not None and loss.distance is not None:
            return loss.distance
        return distance_of(self.model, self.distance, self.embedding_output)

    def _look_for_suspects(
        self,
        signs: VitalSigns,
        inputs: object,
        labels: np.ndarray,
        between: np.ndarray,
        places: np.ndarray,
        classes: Targets,
    ) -> VitalSigns:
        run = self._run
        conflicts = equal_inputs(inputs, labels, places)
        named = [(*classes.decode([a, b]).tolist(), i, j) for a, b, i, j in conflicts]
        run.conflicts += named
        found = find_suspects(inputs, labels, between, places, classes.decode)
        # Before classes separate, many examples are nearer to another class.
        if signs.step > 0 and signs.separation >= 0.8:
            run.suspects += found[: _MOST_SUSPECTS - len(run.suspects)]
        return dataclasses.replace(signs, suspected=len(found) / len(labels))

    def __str__(self) -> str:
        rows = [[getattr(signs, name) for name in _COLUMNS] for signs in self.history]
        cells = [[None if value != value else value for value in row] for row in rows]
        table = text_table(list(_COLUMNS.values()), cells)
        if not self.findings:
            return f"{table}\nNothing found."
        return "\n".join([table, *map(str, self.findings)])

    def __repr__(self) -> str:
        names = [finding.name for finding in self.findings]
        return f"TrainingDoctor(examinations={len(self.history)}, findings={names})"


def _clips(model: keras.Model) -> bool:
    optimizer = getattr(model, "optimizer", None)
    names = ("clipnorm", "clipvalue", "global_clipnorm")
    return any(getattr(optimizer, name, None) is not None for name in names)


def _learning_rate(model: keras.Model) -> float:
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return math.nan
    # A tensor even where the rate is a variable of several replicas.
    return float(keras.ops.cast(optimizer.learning_rate, "float32"))
