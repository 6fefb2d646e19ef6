"""Retrieval metrics while training."""

from __future__ import annotations

import importlib.util
import math
import os
import time
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from tqdm.auto import tqdm

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import calibration, distances
from tensorflow_similarity import targets as classes
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._extras import missing
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike, Logs
from tensorflow_similarity.calibration import make_classification_matcher
from tensorflow_similarity.callbacks.labelled_examples import LabelledExamples
from tensorflow_similarity.callbacks.model_access import (
    distance_of,
    embedder_of,
    record_embedder_of,
)
from tensorflow_similarity.callbacks.neighbors import nearest_targets
from tensorflow_similarity.callbacks.schedule import Schedule
from tensorflow_similarity.classification_metrics import classification_metrics
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.evaluation import EvaluationResult, evaluate
from tensorflow_similarity.evaluation import metrics as rank_metrics
from tensorflow_similarity.evaluation._supervision import supervise
from tensorflow_similarity.models.assessment import ANY_KIND
from tensorflow_similarity.retrieval_metrics import RetrievalMetric
from tensorflow_similarity.targets import Targets, TargetsLike

__all__ = ["EvalCallback"]

_DEFAULT_METRICS = ("binary_accuracy", "f1")


class EvalCallback(keras.callbacks.Callback):
    """Evaluates retrieval each epoch, or every n steps, and puts the values into `logs`.

    Queries are embedded with the weights as they are then, and ranked against the
    targets, or against each other. Whatever reads `logs` sees the values, under names
    such as `val_map_at_r` and `val_precision_at_1`: `History`, `EarlyStopping`,
    `ModelCheckpoint`, `TensorBoard`. Put this callback **before** those in the list.
    The index of the model is left alone.

    Args:
        queries: Examples that look for others: anything `predict` takes and gives
            again each time, so arrays, a `tf.data.Dataset` or a sampler.
        query_labels: What is known of them `[n]`, as `evaluate` takes it: class ids or
            names, None where the class is unknown, or `Targets` of several labels or of a
            hierarchy. Defaults to `None`: datasets and samplers bring ids or names; where
            they bring something else, `Targets.multi_hot` and its like say what that is.
        targets: Examples that are looked for, likewise. Defaults to `None`: the
            queries, each of which is left out of its own search. Examples that a
            dataset or sampler repeats count once then.
        target_labels: The same of them.
        distance: Distance between embeddings. Defaults to `"auto"`: that of the
            model's index, or of its loss.
        metrics: Classification metrics at `distance_thresholds`, under their own
            names: binary accuracy and F1 by default, as in TensorFlow Similarity. `()`
            for none, which saves their lookup. They need one class per target: without
            that there are none by default.
        tb_logdir: A folder for scalars of these values alone, `<tb_logdir>/index`.
            Defaults to `None`. `keras.callbacks.TensorBoard` writes them too. Either
            needs `pip install "keras-similarity[tensorboard]"`.
        k: Neighbours that the matcher of `metrics` sees. Defaults to 1.
        matcher: `"match_nearest"` (the default), `"match_majority_vote"` or a
            `ClassificationMatch`, for `metrics`.
        distance_thresholds: The distance up to which neighbours match, for `metrics`;
            of several the smallest. Defaults to `None`: any.
        known_classes: Class ids or names that the model is trained on. If given, all values
            are reported for queries of these and of other classes apart as well, with
            `_known_classes` and `_unknown_classes` behind the name.
        retrieval_metrics: Names or `RankMetric` objects, see
            `tensorflow_similarity.evaluation.metrics`. Defaults to `None`:
            precision@1, hit_rate@4, r_precision and map@r. Objects of
            `tensorflow_similarity.retrieval_metrics` may be among them, and are logged
            under their own names, such as `precision@5`, without `prefix`.
        relevance: What is relevant to what where labels do not say it, as `evaluate` takes
            it: `"jaccard"`, a matrix `[queries, targets]` or a function of labels.
        ignore: Pairs to leave out, as `evaluate` takes it, such as
            `SameGroup(query_cameras, target_cameras)`.
        ignore_class: A class id, or a name, that stands for an unknown class.
        freq: `"epoch"` (the default), or the number of steps between evaluations; the
            epoch's logs then have the latest values.
        prefix: What stands before the names of retrieval metrics. Defaults to
            `"val_"`; each needs its own where there are several of these callbacks.
        embedding_output: Which output or layer holds the embeddings; not needed for a
            `SimilarityModel`, nor for a model with one output.
        batch_size: Examples embedded at a time, for arrays. Defaults to `None`: 128.
        verbose: 1 prints what each evaluation cost. Defaults to 0.

    Attributes:
        result: The latest `EvaluationResult`, with confidence intervals.
        seconds: What all evaluations took together.

    Embeddings that are not finite make all values NaN.

    All of it is checked when the callback is made, and not after the first epoch; of datasets
    the first batch is.

    Raises:
        TypeError: If labels are neither ids nor names nor `Targets`.
        ValueError: If labels are missing or of another length, a metric or matcher does not
            exist, there are queries of known or of unknown classes only, nothing is relevant to
            any query (of a dataset: at the first evaluation), or queries cannot be gone through
            twice.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.callbacks import EvalCallback
    from tensorflow_similarity.layers import L2Embedding
    from tensorflow_similarity.losses import TripletLoss
    from tensorflow_similarity.models import SimilarityModel

    rng = np.random.default_rng(0)
    y = np.arange(96) % 6
    x = np.eye(6)[y] + 0.3 * rng.normal(size=(96, 6))
    inputs = keras.Input((6,))
    model = SimilarityModel(inputs, L2Embedding(4)(inputs))
    model.compile("adam", TripletLoss())

    evaluation = EvalCallback(x[64:], y[64:], known_classes=[0, 1, 2, 3])
    stop = keras.callbacks.EarlyStopping("val_map_at_r", mode="max", patience=3)
    train = y[:64] < 4
    history = model.fit(
        x[:64][train], y[:64][train], epochs=2, verbose=0, callbacks=[evaluation, stop]
    )
    history.history["val_map_at_r_unknown_classes"]  # one value for each epoch
    ```
    """

    @explains_arguments("EvalCallback")
    def __init__(
        self,
        queries: ArrayLike,
        query_labels: TargetsLike | None = None,
        targets: object = None,
        target_labels: TargetsLike | None = None,
        distance: DistanceLike = "auto",
        metrics: Sequence[Any] = _DEFAULT_METRICS,
        tb_logdir: str | os.PathLike[str] | None = None,
        k: int = 1,
        matcher: object = "match_nearest",
        distance_thresholds: ArrayLike | None = None,
        known_classes: ArrayLike | None = None,
        retrieval_metrics: object = None,
        *,
        relevance: object = None,
        ignore: object = None,
        ignore_class: object = None,
        freq: object = "epoch",
        prefix: str = "val_",
        embedding_output: int | str | None = None,
        batch_size: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        if targets is None and target_labels is not None:
            raise ValueError("`target_labels` describe `targets`. Received: None for `targets`.")
        self.relevance, self.ignore, self.ignore_class = relevance, ignore, ignore_class
        options: dict[str, Any] = {"kinds": ANY_KIND, "ignore_class": ignore_class}
        if isinstance(relevance, str):  # Of several labels, as `evaluate` takes them.
            query_labels = _several(query_labels, "query_labels")
            target_labels = _several(target_labels, "target_labels")
        self._queries = LabelledExamples(
            queries, query_labels, "queries", "query_labels", **options
        )
        self._targets = None
        if targets is not None:
            self._targets = LabelledExamples(
                targets, target_labels, "targets", "target_labels", **options
            )
        # Resolved now, so that a wrong name is no surprise after the first epoch.
        automatic = isinstance(distance, str) and distance == "auto"
        self.distance = distance if automatic else distances.get(distance)
        given = metrics
        if metrics is _DEFAULT_METRICS and not self._has_classes():
            given = ()
        self.metrics = classification_metrics(given, "metrics")
        self.retrieval_metrics, self._lookup_metrics = self._split(retrieval_metrics)
        self.k = checks.count(k, "k")
        self.matcher = make_classification_matcher(matcher)
        self.distance_thresholds = _thresholds(distance_thresholds)
        self.known_classes = None
        if known_classes is not None:
            self.known_classes = classes.get(known_classes, "known_classes")
        self.prefix = prefix
        self.embedding_output = embedding_output
        self.batch_size = None if batch_size is None else checks.count(batch_size, "batch_size")
        self.verbose = verbose
        self.result: EvaluationResult | None = None
        self.seconds = 0.0
        self._schedule = Schedule(freq)
        self._values: dict[str, float] = {}
        self._writer: Any = None
        if tb_logdir is not None and not isinstance(tb_logdir, (str, os.PathLike)):
            raise TypeError(f"`tb_logdir` must be the path of a folder. Received: {tb_logdir!r}.")
        self._tb_logdir = None if tb_logdir is None else os.path.join(tb_logdir, "index")
        if tb_logdir is not None and importlib.util.find_spec("tensorboard") is None:
            raise missing("`tb_logdir`", "TensorBoard", "tensorboard")
        self._check_labels()

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called by Keras; tries the first batch of queries and targets."""
        self._schedule.begin()
        self._values, self.seconds = {}, 0.0
        self._queries.try_first_batch(
            embedder_of(self.model, self.embedding_output), self.batch_size
        )
        if self._targets is not None:
            self._targets.try_first_batch(
                record_embedder_of(self.model, self.embedding_output), self.batch_size
            )
        self._since = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called by Keras."""
        self._schedule.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called by Keras; evaluates every `freq` steps."""
        if self._schedule.end_batch(batch):
            self._evaluate_and_report(self._schedule.steps)
            if logs is not None:
                logs.update(self._values)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called by Keras; evaluates, unless it did so every few steps."""
        if self._schedule.every is None or not self._values:
            self._evaluate_and_report(epoch)
        if logs is not None:
            logs.update(self._values)

    def on_train_end(self, logs: Logs = None) -> None:
        """Called by Keras."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def evaluate(self) -> dict[str, float]:
        """Evaluates the model now.

        Returns:
            Name -> value, as they go into `logs`.
        """
        embedder = embedder_of(self.model, self.embedding_output)
        distance = distance_of(self.model, self.distance, self.embedding_output)
        alone = self._targets is None
        # Where pairs are given by position, positions are to stay.
        unique = alone and self.relevance is None and self.ignore is None
        queries, labels = self._queries.embed(embedder, self.batch_size, unique=unique)
        targets, target_labels = None, labels
        if self._targets is not None:
            gallery = record_embedder_of(self.model, self.embedding_output)
            targets, target_labels = self._targets.embed(gallery, self.batch_size)
        self._sizes = len(queries), len(target_labels)
        groups = self._groups(labels)
        finite = np.isfinite(queries).all() and (targets is None or np.isfinite(targets).all())
        if not finite:
            names = [_log_name(self.prefix, metric.name) for metric in self.retrieval_metrics]
            names += [metric.name for metric in self.metrics]
            names += [metric.name for metric in self._lookup_metrics]
            return {f"{name}{suffix}": math.nan for suffix in groups for name in names}
        values: dict[str, float] = {}
        if self.retrieval_metrics:
            result = self.result = evaluate(
                queries,
                labels,
                targets,
                None if targets is None else target_labels,
                distance=distance,
                metrics=self.retrieval_metrics,
                relevance=self.relevance,
                ignore=self.ignore,
            )
            _require_positives(result.queries, len(queries))
            values = {
                f"{_log_name(self.prefix, name)}{suffix}": _mean(result.per_query[name][group])
                for suffix, group in groups.items()
                for name in result
            }
        if self._lookup_metrics:
            k = max(metric.k + metric.drop_closest_lookup for metric in self._lookup_metrics)
            near, found = nearest_targets(queries, targets, target_labels, distance, k)
            values |= {
                f"{metric.name}{suffix}": metric.compute(
                    query_labels=labels.take(group),
                    lookup_labels=found[group],
                    lookup_distances=near[group],
                )
                for suffix, group in groups.items()
                for metric in self._lookup_metrics
            }
        if self.metrics:
            near, found = nearest_targets(queries, targets, target_labels, distance, self.k)
            for suffix, group in groups.items():
                measured = self._classify((near[group], found[group]), labels.take(group))
                values |= {f"{name}{suffix}": value for name, value in measured.items()}
        return values

    def _has_classes(self) -> bool:
        """Whether targets have one class each, and queries classes or several of them."""
        kinds = {self._queries.kind} | ({self._targets.kind} if self._targets else set())
        return kinds <= {None, "classes", "hierarchy"}

    def _check_labels(self) -> None:
        """Checks all that is known before the first evaluation.

        Raises:
            ValueError: If nothing is relevant to any query, or labels cannot do what is asked.
        """
        if (self.metrics or self._lookup_metrics) and not self._has_classes():
            raise TypeError(
                "`metrics` need one class per example: the neighbours' labels are compared with "
                f"the query's. Received: {self._queries.kind}. Pass metrics=()."
            )
        labels = self._queries.labels
        others = labels if self._targets is None else self._targets.labels
        if labels is None or others is None:
            return
        groups = self._groups(labels)
        if not self.retrieval_metrics:
            return
        alone = self._targets is None
        own = np.arange(len(labels)) if alone else np.full(len(labels), -1)
        found = supervise(
            labels, None if alone else others, own, len(others), self.relevance, self.ignore, None
        )
        for suffix, group in groups.items():
            counted = found.relevant.count[group] > 0
            _require_positives(int(counted.sum()), len(counted), suffix)
        left_out = int((found.relevant.count == 0).sum()) - int(found.unknown.sum())
        if left_out:
            warnings.warn(
                f"{left_out} of {len(labels)} `queries` count in no mean: nothing is relevant to "
                "them. Give each class two queries or more, or targets.",
                stacklevel=levels_to_the_caller(),
            )

    def _split(self, metrics: Any) -> tuple[list[Any], list[RetrievalMetric]]:
        """Metrics of rankings, and those of lookups, which TensorFlow Similarity has."""
        several = isinstance(metrics, Sequence) and not isinstance(metrics, str)
        given = list(metrics) if several else [metrics]
        of_lookups = [metric for metric in given if isinstance(metric, RetrievalMetric)]
        if not of_lookups:
            return rank_metrics.get_all(metrics, "retrieval_metrics"), []
        dropping = [metric.name for metric in of_lookups if metric.drop_closest_lookup]
        if dropping and self._targets is None:
            raise ValueError(
                "`drop_closest_lookup` leaves the query itself out, which is not found anyway "
                f"where there are no `targets`. Received: True for {dropping}."
            )
        others = [metric for metric in given if not isinstance(metric, RetrievalMetric)]
        return (rank_metrics.get_all(others, "retrieval_metrics") if others else []), of_lookups

    def _evaluate_and_report(self, step: int) -> None:
        start = time.perf_counter()
        self._values = self.evaluate()
        now = time.perf_counter()
        self.seconds += now - start
        if self.verbose:
            queries, targets = self._sizes
            among = "each other" if self._targets is None else f"{targets:,} targets"
            tqdm.write(
                f"Evaluation of {queries:,} queries against {among}: {now - start:.2f} s, "
                f"{(now - start) / max(now - self._since, 1e-9):.0%} of the time since the last."
            )
        self._since = now
        if self._tb_logdir is not None:
            self._write_scalars(step)

    def _write_scalars(self, step: int) -> None:
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self._tb_logdir)
        with self._writer.as_default():
            for name, value in self._values.items():
                tf.summary.scalar(name, value, step=step)

    def _groups(self, labels: Targets) -> dict[str, np.ndarray]:
        """Which queries count, by what stands behind the names."""
        groups = {"": np.ones(len(labels), bool)}
        if self.known_classes is not None:
            mine = classes.get(labels, "query_labels")
            mine, those = classes.align(mine, self.known_classes, ("query_labels", "known_classes"))
            known = np.isin(mine.ids, those.ids[those.known]) & mine.known
            others = mine.known & ~known
            if not others.any() or not known.any():
                raise ValueError(
                    "`known_classes` must be the classes of some of the queries, and not of all. "
                    f"Received: {known.sum()} of {len(known)} queries are of known classes."
                )
            groups |= {"_known_classes": known, "_unknown_classes": others}
        return groups

    def _classify(
        self, columns: tuple[np.ndarray, np.ndarray], labels: Targets
    ) -> dict[str, float]:
        """The classification metrics, of neighbours in columns."""
        values = calibration.evaluate_classification(
            *columns, labels, self.distance_thresholds, self.metrics, self.matcher
        )
        return {name: float(value[0]) for name, value in values.items() if name != "distance"}


def _thresholds(given: object) -> np.ndarray:
    """The distances up to which neighbors match; any, where none are given."""
    if given is None:
        return np.array([math.inf])
    try:
        found = np.atleast_1d(np.asarray(given, np.float64))
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.ndim != 1 or not len(found) or np.isnan(found).any():
        raise ValueError(
            f"`distance_thresholds` must be one number or more of them. Received: {given!r}."
        )
    return found


def _require_positives(counted: int, queries: int, suffix: str = "") -> None:
    """Raises where a mean would be NaN, which every comparison takes for the best value."""
    if not counted:
        of = f" that counts under {suffix!r}" if suffix else ""
        raise ValueError(
            f"`queries` must have at least one{of} to which something is relevant. Received: "
            f"{queries} queries, all alone in their class. Give each class two queries or more, "
            "or targets."
        )


def _several(labels: TargetsLike | None, name: str) -> Targets | None:
    if labels is None or isinstance(labels, Targets) or callable(labels):
        return labels
    return Targets.multi_hot(labels, name=name)


def _log_name(prefix: str, metric: str) -> str:
    """`map@r` as `val_map_at_r`: TensorBoard allows no `@` in names."""
    return prefix + metric.replace("@", "_at_")


def _mean(values: np.ndarray) -> float:
    """The mean over queries that have something relevant."""
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else math.nan
