"""Says in words what goes wrong in training."""

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
from tensorflow_similarity.callbacks.doctor.patient import Patient
from tensorflow_similarity.callbacks.doctor.probe import Probe
from tensorflow_similarity.callbacks.doctor.suspects import Suspect, equal_inputs, find_suspects
from tensorflow_similarity.callbacks.doctor.vital_signs import VitalSigns, examine, pairwise
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
    """Watches training, and says what is wrong: what, by which evidence, and what to try.

    Every few steps it takes a batch of the training data, embeds it with the weights
    as they are, and measures what the metrics of `training_metrics` measure. What
    persists over several examinations is said once, as a `TrainingWarning`:

    - **collapse**: all embeddings at one point, or on a line. Direction, distances, loss
      and rank are looked at together, since none of them alone tells it from health.
    - **no_positives**, **no_negatives**: batches that a loss on pairs cannot learn from.
    - **nothing_active**: a loss of 0 for nearly all queries.
    - **suspicious_labels**: equal examples with different labels; and classes that separate no
      better, with many examples far nearer to another class than to their own.
    - **not_normalised**: lengths of embeddings that get in the way of the distance.
    - **not_learning**: a loss at the value that it has if all embeddings are equal,
      and classes that do not separate.
    - **not_finite**: NaN.

    It needs one class per example, by id or by name. Examples of unknown class, and of the
    loss's `ignore_class`, are left out. What it says
    of losses is about losses on pairs of embeddings (`MetricLoss`, also inside
    `CrossBatchMemory`); of others it sees the embeddings only.

    Args:
        x: The training data, as `fit` takes it: arrays, a `tf.data.Dataset` or a
            sampler. Not a generator, which the doctor would use up.
        y: Class ids or names, for arrays; None where the class is unknown.
        freq: Steps between examinations, or `"epoch"`. Defaults to 50. One embeds a batch
            and takes some tens of milliseconds besides.
        patience: Examinations in a row that must agree. Defaults to 3.
        batch_size: Examples in a batch, for arrays: that of `fit`, if batches are to be
            judged. Defaults to 64.
        distance: Distance between embeddings. Defaults to `"auto"`: that of the loss, or
            of the model's index.
        embedding_output: Which output or layer holds the embeddings; not needed for a
            `SimilarityModel`, nor for a model with one output.
        seed: Which batches of arrays. Defaults to 0.
        shuffle: As `fit` gets it: batches of arrays are drawn at random, as it does by
            default; with False they are looked at in the order of the arrays, so that data
            sorted by class are found. Datasets come in their own order anyway.
        class_names: Names of class ids, as a mapping or as a sequence, for what is said of
            classes. Defaults to None: those of the sampler, where it has some.

    Attributes:
        findings: All `Finding` objects so far.
        history: All `VitalSigns`, one for each examination.
        suspects: Examples that look like another class, as `Suspect` objects with
            label, what they look like, position and the example itself. At most 100. The
            position is that in the arrays, or in the order in which a dataset or sampler
            yields examples.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If `x` can be gone through once only, or labels are missing or not one per
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
        # Sorted by class, and shuffled here: whether `fit` shuffles too, nobody tells.
        self._patient = Patient(
            self.patience, sorted_by_class=self._shuffle and self._probe.sorted_by_class
        )
        self._patient.class_names = self.class_names
        self._patient.batches = self._batches
        self._said: dict[str, Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        """What was found, in the order in which it was said."""
        return list(self._said.values())

    @property
    def history(self) -> list[VitalSigns]:
        """The examinations."""
        return self._patient.history

    @property
    def suspects(self) -> list[Suspect]:
        """Examples that look like another class."""
        return self._patient.suspects

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called by Keras; examines the untrained model, to compare with."""
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
        """Examines the model now, and warns of what is found.

        Returns:
            What was measured.
        """
        patient, step = self._patient, self._schedule.steps
        embedder = embedder_of(self.model, self.embedding_output)
        patient.loss = loss_on_pairs(self.model, self.embedding_output)
        patient.distance = self._distance(patient)
        if isinstance(self.model, SimilarityModel):
            patient.index_distance = self.model._binding.distance
        patient.learning_rate = _learning_rate(self.model)
        patient.clipped = _clips(self.model)
        inputs, classes, places = self._probe.next(embedder)
        embeddings = embedder.call(inputs)
        patient.embedding_size = embeddings.shape[1]
        finite = bool(np.isfinite(embeddings).all())
        ignored = ignored_class(self.model, self.embedding_output)
        labels, known = classes.ids, classes.known
        if ignored is not None and classes.class_names is None:
            known = known & (labels != ignored)
        if not known.all():
            inputs = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[known], inputs)
            labels, embeddings, places = labels[known], embeddings[known], places[known]
        if finite and len(labels):
            between = pairwise(patient.distance, embeddings)
            signs = examine(step, labels, embeddings, between, patient.loss)
            signs = self._look_for_suspects(signs, inputs, labels, between, places, classes)
        else:
            signs = VitalSigns(step, finite=finite)
        patient.history.append(signs)
        for finding in diagnose(patient, self._said):
            self._said[finding.name] = finding
            warnings.warn(str(finding), TrainingWarning, stacklevel=2)
        return signs

    def _distance(self, patient: Patient) -> distances.Distance:
        loss = patient.loss
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
        patient = self._patient
        conflicts = equal_inputs(inputs, labels, places)
        named = [(*classes.decode([a, b]).tolist(), i, j) for a, b, i, j in conflicts]
        patient.conflicts += named
        found = find_suspects(inputs, labels, between, places, classes.decode)
        # Where classes do not separate yet, many examples are nearer to another.
        if signs.step > 0 and signs.separation >= 0.8:
            patient.suspects += found[: _MOST_SUSPECTS - len(patient.suspects)]
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
    return float(keras.ops.convert_to_tensor(optimizer.learning_rate))
