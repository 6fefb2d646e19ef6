"""The methods of similarity models that index, look up, match and evaluate examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.calibration import Calibration, CutpointResults, Matches
from tensorflow_similarity.evaluation import EvaluationResult
from tensorflow_similarity.index import Index, Lookup
from tensorflow_similarity.models import assessment
from tensorflow_similarity.models.assessment import ANY_KIND
from tensorflow_similarity.models.baselines import BaselineResult, evaluate_baselines
from tensorflow_similarity.models.binding import IndexBinding
from tensorflow_similarity.models.compatibility import CompatibilityResult, evaluate_compatibility
from tensorflow_similarity.models.resuming import index_in_pieces

__all__ = ["RetrievalMethods"]


class RetrievalMethods:
    """The methods of `SimilarityModel` that embed examples and use the index.

    They have no state of their own: it is in the model's `IndexBinding`.
    """

    _binding: IndexBinding
    vector_index: Index

    def embed(self, x: Any, batch_size: int | None = None, verbose: int = 1) -> np.ndarray:
        """Embeds examples, like `predict` restricted to the embedding output.

        Args:
            x: Anything that `predict` takes.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            verbose: 0 for silence, 1 for a progress bar.

        Returns:
            float32 `[n, dim]`.
        """
        embedder = self._binding.embedder
        return embedder.embed(embedder.batches(x, None, batch_size), False, verbose)[0]

    @explains_arguments("SimilarityModel.index")
    def index(
        self,
        x: Any,
        y: Any = None,
        data: Any = None,
        ids: Any = None,
        batch_size: int | None = None,
        verbose: int = 1,
        resume: bool = False,
    ) -> np.ndarray:
        """Embeds examples and adds them to the index. They can be looked up immediately.

        Either all of them are added or, on any error, none, unless `resume` is set.

        Args:
            x: Anything that `predict` takes.
            y: Class ids or class names `[n]`, None for a record without a label. Names
                are kept with the index, and come back in answers. Or several labels of each,
                as `Targets.multi_hot` or `Targets.label_sets`. Datasets yield their own.
                Defaults to `None`: records without labels.
            data: A payload to store with each record and return with it: rows of an
                array `[n, ...]`, or a list of n JSON values. Defaults to `None`.
            ids: Ids of the records, distinct integers `[n]`; or keys, distinct strings, see
                `Index.add`. Defaults to `None`: assigned; with `resume`, the position of each
                example in `x`.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            verbose: 0 for silence, 1 for a progress bar.
            resume: Whether to add examples in chunks, as they are embedded, and to skip those
                whose ids are in the index. If the index is in a folder or in Milvus, the
                same call continues after an interruption, and `x` may be larger than
                memory.

        Returns:
            int64 `[n]`, the ids of the records.

        Raises:
            TypeError: If labels are neither ids nor names.
            ValueError: If lengths differ, labels are one-hot, embeddings are not
                finite, or an id is taken.
        """
        embedder = self._binding.record_embedder
        batches = embedder.batches(x, y, batch_size, ("classes", "multi_hot"))
        # Checked now, not after hours of embedding.
        for name, value in (("data", data), ("ids", ids)):
            if value is not None and batches.examples not in (None, len(value)):
                raise ValueError(
                    f"`{name}` must hold one value per example: expected {batches.examples}. "
                    f"Received: {len(value)}."
                )
        if checks.flag(resume, "resume"):
            return index_in_pieces(self._binding, batches, data, ids, verbose)
        embeddings, labels = embedder.embed(batches, True, verbose)
        return self._binding.add(embeddings, labels, data, ids)

    @explains_arguments("SimilarityModel.index_single")
    def index_single(
        self, x: Any, y: int | str | None = None, data: Any = None, id: int | str | None = None
    ) -> int:
        """Embeds one example and adds it to the index.

        Args:
            x: One example, without a batch axis.
            y: Its class id, or name.
            data: A payload to store with it: an array, or a JSON value.
            id: The id of the record, or its key. Defaults to `None`: assigned.

        Returns:
            The id of the record.
        """
        embedding = self._binding.record_embedder.call(_one(x))
        if data is not None:
            data = np.asarray(data)[None] if hasattr(data, "__array__") else [data]
        labels, ids = (None if value is None else [value] for value in (y, id))
        return int(self._binding.add(embedding, labels, data, ids)[0])

    def index_embeddings(
        self,
        embeddings: Any,
        y: Any = None,
        data: Any = None,
        ids: Any = None,
        replace: bool = False,
    ) -> np.ndarray:
        """Adds embeddings that this model computed elsewhere, such as on several machines.

        Args:
            embeddings: The result of `embed`, `[n, dim]`.
            y: As in `index`.
            data: As in `index`.
            ids: As in `index`.
            replace: Whether to replace records with the same ids instead of raising an error,
                so that a program can be run again after an interruption without
                duplicates. Needs `ids`.

        Returns:
            int64 `[n]`, the ids of the records.

        Raises:
            TypeError: If embeddings or labels have the wrong type.
            ValueError: If lengths differ, embeddings differ in size from the model's or
                are not finite, an id is taken, or `ids` are missing.

        Example:

        ```python
        import keras
        import numpy as np
        from tensorflow_similarity.layers import L2Embedding
        from tensorflow_similarity.models import SimilarityModel

        inputs = keras.Input((8,))
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        model.create_index(distance="cosine")

        embeddings = model.embed(np.ones((3, 8)), verbose=0)
        model.index_embeddings(embeddings, y=[0, 0, 1], ids=[10, 11, 12], replace=True)
        # [10, 11, 12]
        ```
        """
        if checks.flag(replace, "replace") and ids is None:
            raise ValueError(
                "`ids` must be given where records are to be replaced. Received: None."
            )
        embeddings = checks.embeddings(embeddings, "embeddings", self._binding.record_embedder.size)
        return self._binding.add(embeddings, y, data, ids, replace)

    @explains_arguments("SimilarityModel.lookup")
    def lookup(
        self,
        x: Any,
        k: int | None = None,
        filter: Any = None,
        batch_size: int | None = None,
        verbose: int = 1,
        *,
        max_distance: float | str | None = None,
        distinct: Any = None,
        exclude: Any = None,
        offset: int = 0,
        rerank: Callable[..., Any] | None = None,
        rerank_top: int = 100,
    ) -> Any:
        """Finds the nearest records of each example: the k nearest, or all within a distance.

        Args:
            x: Anything that `predict` takes.
            k: Number of records. Defaults to `None`: 5, or all within `max_distance`.
            filter: Which records may be found, see `Index.lookup`. Defaults to
                `None`: all.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            verbose: 0 for silence, 1 for a progress bar.
            max_distance: The largest distance of a record, or the name of a cutpoint of the
                calibration. See `Index.lookup` for this and the following arguments.
            distinct: `"label"`, a key of the payload or a function of it: only the nearest
                record for each value is returned.
            exclude: For each example, a list of ids or keys to leave out.
            offset: Number of nearest records to skip. Defaults to 0.
            rerank: A function that reorders the nearest records; it gets embeddings.
            rerank_top: Number of records given to `rerank`. Defaults to 100.

        Returns:
            `Neighbors`, with the arrays `.ids`, `.distances` and `.labels`, `[n, k]`, and
            `neighbors[i]`, the list of `Lookup` of example i, nearest first. With
            `max_distance` and without `k`, `NeighborsWithin`. If there are fewer than k
            records, arrays are padded as in `Index.lookup`.

        Raises:
            ValueError: If there is no index yet, or k is not positive.
        """
        if k is not None:
            checks.count(k, "k")
        index = self._binding.require_made()
        embeddings, _ = self._embedded(x, None, batch_size, verbose, labels=False)
        answer: Callable[..., Any] = index.lookup
        return answer(
            embeddings,
            k=k,
            filter=filter,
            max_distance=assessment.limit_of(index, max_distance),
            distinct=distinct,
            exclude=exclude,
            offset=offset,
            rerank=rerank,
            rerank_top=rerank_top,
        )

    def lookup_one(
        self,
        x: Any,
        k: int | None = None,
        filter: Any = None,
        *,
        max_distance: float | str | None = None,
        distinct: Any = None,
        exclude: Any = None,
        offset: int = 0,
    ) -> list[Lookup]:
        """Finds the nearest records of one example.

        Args:
            x: One example, without a batch axis.
            k: Number of records. Defaults to `None`: 5, or all within `max_distance`.
            filter: Which records may be found, see `Index.lookup`.
            max_distance: As for `lookup`.
            distinct: As for `lookup`.
            exclude: A list of ids or keys to leave out.
            offset: As for `lookup`.

        Returns:
            A list of `Lookup`, nearest first; empty if there are no records.

        Raises:
            ValueError: If there is no index yet, or k is not positive.
        """
        index = self._binding.require_made()
        self._binding.warn_if_stale()
        answer: Callable[..., Any] = index.lookup
        found: list[Lookup] = answer(
            self._binding.embedder.call(_one(x)),
            k=k,
            filter=filter,
            max_distance=assessment.limit_of(index, max_distance),
            distinct=distinct,
            exclude=None if exclude is None else [exclude],
            offset=offset,
        )[0]
        return found

    def single_lookup(
        self, x: Any, k: int | None = None, filter: Any = None, **options: Any
    ) -> list[Lookup]:
        """`lookup_one`, by its name in TensorFlow Similarity."""
        return self.lookup_one(x, k, filter, **options)

    @explains_arguments("SimilarityModel.calibrate")
    def calibrate(
        self,
        x: Any,
        y: Any = None,
        thresholds_targets: Any = None,
        k: int = 1,
        calibration_metric: Any = "f1",
        matcher: Any = "match_nearest",
        extra_metrics: Sequence[Any] = ("precision", "recall"),
        batch_size: int | None = None,
        verbose: int = 1,
        **kwargs: Any,
    ) -> Calibration:
        """Finds the distance thresholds at which queries count as matched, from labelled examples.

        The calibration is stored in the index and saved with it.

        Args:
            x: Examples that are not in the index, as anything that `predict` takes.
            y: Their class ids or names `[n]`, with None for examples of no known class, whose
                acceptance is a mistake; or several labels as `Targets`. Datasets bring
                their own.
            thresholds_targets: Name -> target, as in
                `tensorflow_similarity.calibration.calibrate`: `{"strict": {"precision":
                0.99}}`. Defaults to `None`: only the cutpoint `"optimal"`.
            k: Number of neighbours given to the matcher. Defaults to 1.
            calibration_metric: The metric that `"optimal"` maximises. Defaults to `"f1"`.
                `"row_f1"` is for match sets, `lookup(x, max_distance="optimal")`: the mean
                over queries of the F1 between all records within the distance and all
                records of the query's class.
            matcher: `"match_nearest"` (the default), `"match_majority_vote"` or a
                `ClassificationMatch`.
            extra_metrics: Further metrics to report. Defaults to precision and recall.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            verbose: 0 for silence, 1 for a progress bar.
            **kwargs: `confidence`, `guarantee`, `per_class` and `min_per_class` of
                `tensorflow_similarity.calibration.calibrate`.

        Returns:
            The `Calibration`, which prints as a table.

        Raises:
            TypeError: If labels are neither ids nor names.
            ValueError: If the index is empty, labels are missing, or a target, metric
                or matcher does not exist.
        """
        checks.count(k, "k")
        index, embeddings, labels = self._queries(x, y, batch_size, verbose)
        return assessment.calibrate(
            index,
            embeddings,
            labels,
            k,
            thresholds_targets=thresholds_targets,
            calibration_metric=calibration_metric,
            matcher=matcher,
            extra_metrics=extra_metrics,
            **kwargs,
        )

    @explains_arguments("SimilarityModel.match")
    def match(
        self,
        x: Any,
        cutpoint: str = "optimal",
        no_match_label: Any = -1,
        k: int | None = None,
        matcher: Any = None,
        batch_size: int | None = None,
        verbose: int = 0,
        *,
        return_details: bool = False,
    ) -> np.ndarray | Matches | dict[str, np.ndarray] | dict[str, Matches]:
        """Matches each example to a class, or to none.

        Args:
            x: Anything that `predict` takes.
            cutpoint: The name of the threshold. Defaults to `"optimal"`; `"all"` applies every
                threshold.
            no_match_label: Label of examples without a match. Defaults to -1, or to None
                if the records have class names.
            k: Number of neighbours given to the matcher. Defaults to `None`: as in the
                calibration.
            matcher: The matcher. Defaults to `None`: that of the calibration.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            verbose: 0 for silence, 1 for a progress bar.
            return_details: Whether to return `calibration.Matches`, with the distance of each
                match, the probability that it is right and the id of its record.

        Returns:
            int64 `[n]` class ids, or class names; or `Matches`. For `"all"` a dict of them
            by cutpoint.

        Raises:
            KeyError: If there is no such cutpoint.
            ValueError: If the index is empty or not calibrated.
        """
        assessment.require_calibration(self._binding.require_records())
        index, embeddings, _ = self._queries(x, None, batch_size, verbose, labels=False)
        found = assessment.match(index, embeddings, cutpoint, no_match_label, k, matcher)
        if checks.flag(return_details, "return_details"):
            return found
        if isinstance(found, dict):
            return {name: matches.labels for name, matches in found.items()}
        return found.labels

    @explains_arguments("SimilarityModel.evaluate_retrieval")
    def evaluate_retrieval(
        self,
        x: Any,
        y: Any = None,
        retrieval_metrics: Any = None,
        ids: Any = None,
        confidence: float = 0.95,
        seed: int = 0,
        batch_size: int | None = None,
        verbose: int = 1,
        *,
        relevance: Any = None,
        ignore: Any = None,
        ignore_class: Any = None,
        record_labels: Any = None,
    ) -> EvaluationResult | dict[str, float]:
        """Evaluates retrieval of the index's records with labelled queries.

        Args:
            x: The queries, as anything that `predict` takes.
            y: Their labels, as `tensorflow_similarity.evaluation.evaluate` takes them: class ids
                or names `[n]`, None where the class is unknown, or `Targets`. Datasets yield
                their own class ids or names; if they yield other labels, pass a constructor
                such as `Targets.multi_hot`.
            retrieval_metrics: Names such as `"precision@1"`, `"map@r"` or
                `"recall@10"` (see `tensorflow_similarity.evaluation.metrics`), or
                objects of `tensorflow_similarity.retrieval_metrics`, the metrics of
                TensorFlow Similarity. Defaults to `None`: precision@1, hit_rate@4,
                r_precision and map@r.
            ids: If queries are themselves records, their ids `[n]` as returned by `index`, so
                that none finds itself, -1 for a query that is not a record; or their keys.
            confidence: Level of the confidence intervals. Defaults to 0.95.
            seed: Seed of their bootstrap. Defaults to 0.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            verbose: 0 for silence, 1 for a progress bar.
            relevance: As `evaluate` takes it. The gallery is all records in the order of their
                ids, including those without labels.
            ignore: Pairs to leave out, as `evaluate` takes it, such as
                `SameGroup(query_cameras, record_cameras)`, with records in that order.
            ignore_class: A class id or name that stands for an unknown class.
            record_labels: Labels of all records in that order, in place of those in the index:
                `Targets` of several labels, or of a hierarchy.

        Returns:
            An `EvaluationResult`: a mapping from metric to value, with intervals. For
            metrics of `tensorflow_similarity.retrieval_metrics` a dict.

        Raises:
            TypeError: If labels are neither ids nor names.
            ValueError: If the index is empty, labels are missing, nothing is relevant to
                any query, or a metric does not exist.
        """
        if relevance is None or y is None or callable(y):
            index, embeddings, labels = self._queries(x, y, batch_size, verbose, kinds=ANY_KIND)
        else:  # In that case labels may be anything.
            index, embeddings, _ = self._queries(x, None, batch_size, verbose, labels=False)
            labels = y
        return assessment.evaluate_retrieval(
            index,
            embeddings,
            labels,
            retrieval_metrics,
            ids,
            confidence,
            seed,
            record_labels,
            relevance=relevance,
            ignore=ignore,
            ignore_class=ignore_class,
        )

    def evaluate_with_baselines(
        self,
        x: Any,
        y: Any = None,
        gallery: Any = None,
        gallery_labels: Any = None,
        retrieval_metrics: Any = None,
        confidence: float = 0.95,
        seed: int = 0,
        batch_size: int | None = None,
        *,
        relevance: Any = None,
        ignore: Any = None,
        ignore_class: Any = None,
    ) -> BaselineResult:
        """Evaluates the model beside its baselines: the raw input, and itself untrained.

        Easy data look good with any model, so compare the model with its raw input, and with the
        same layers before training. All layers are initialised again, including pretrained
        ones; only layers with `adapt`, such as `Normalization` and `StringLookup`, keep their
        state. All three rank the same examples by the same distance. The index is not used.
        Warns of gallery examples among the queries.

        Args:
            x: The queries, as anything that `predict` takes.
            y: Their class ids `[n]`. Datasets yield their own.
            gallery: The examples to search, likewise. Defaults to `None`: the queries, each
                left out of its own ranking.
            gallery_labels: Class ids of the gallery.
            retrieval_metrics: As for `evaluate_retrieval`, names and `RankMetric` objects.
            confidence: Level of the confidence intervals. Defaults to 0.95.
            seed: Seed of their bootstrap. Defaults to 0.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            relevance: As `tensorflow_similarity.evaluation.evaluate` takes it.
            ignore: As `evaluate` takes it.
            ignore_class: As `evaluate` takes it.

        Returns:
            A `BaselineResult`, which prints as a table: `result["untrained"]["map@r"]`.

        Raises:
            TypeError: If labels are neither ids nor names.
            ValueError: If labels are missing, the model is not functional, or it has no
                distance yet.
        """
        embedder = self._binding.embedder
        if self._binding.distance is None:
            raise ValueError(
                "The model has no distance yet: call compile() with a loss that has one, or "
                "create_index(distance=...)."
            )
        return evaluate_baselines(
            self,
            self._binding.embedding_output,
            self._binding.distance,
            embedder.batches(x, y, batch_size, ANY_KIND),
            None
            if gallery is None
            else embedder.batches(gallery, gallery_labels, batch_size, ANY_KIND),
            metrics=retrieval_metrics,
            confidence=confidence,
            seed=seed,
            relevance=relevance,
            ignore=ignore,
            ignore_class=ignore_class,
        )

    def compatible_with(
        self,
        old: Any,
        x: Any,
        y: Any = None,
        gallery: Any = None,
        gallery_labels: Any = None,
        retrieval_metrics: Any = None,
        confidence: float = 0.95,
        seed: int = 0,
        batch_size: int | None = None,
        *,
        ignore_class: Any = None,
    ) -> CompatibilityResult:
        """Measures whether queries of this model can search the index of an older one.

        The same queries are ranked three times: both sides embedded by the older model, the
        queries by this model against the older one's gallery, and both sides by this model.
        Backward-compatible training aims for the second to beat the first, so that deploying this
        model helps before any record is embedded again. No index is used or changed.
        The distance is that of the older model's index.

        Args:
            old: The older `SimilarityModel`, with embeddings of the same size.
            x: The queries, as anything that `predict` takes, of both models.
            y: Their class ids `[n]`. Datasets yield their own.
            gallery: The examples to search, likewise. Defaults to `None`: the queries, each
                left out of its own ranking.
            gallery_labels: Class ids of the gallery.
            retrieval_metrics: As for `evaluate_retrieval`, names and `RankMetric` objects.
            confidence: Level of the confidence intervals. Defaults to 0.95.
            seed: Seed of their bootstrap. Defaults to 0.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            ignore_class: As `evaluate` takes it.

        Returns:
            A `CompatibilityResult`, which prints as a table; `result.holds["map@r"]`.

        Raises:
            TypeError: If `old` is not a `SimilarityModel`.
            ValueError: If it has no distance, embeddings differ in size, labels are missing or
                of fewer than two classes.

        Example:

        ```python
        import keras
        import numpy as np
        from tensorflow_similarity.layers import L2Embedding
        from tensorflow_similarity.models import SimilarityModel

        rng = np.random.default_rng(0)
        y = np.arange(60) % 5
        x = (np.eye(5)[y] + 0.3 * rng.normal(size=(60, 5))).astype("float32")
        inputs = keras.Input((5,))
        old, new = (SimilarityModel(inputs, L2Embedding(4)(inputs)) for _ in range(2))
        old.create_index("cosine")

        result = new.compatible_with(old, x, y)
        result.holds["map@r"]  # False: nothing made the two alike
        print(result)
        ```

        Reference:
            Shen et al., *Towards Backward-Compatible Representation Learning*, CVPR 2020,
            https://arxiv.org/abs/2003.11942
        """
        if not isinstance(old, RetrievalMethods):
            raise TypeError(
                "`old` must be the older SimilarityModel: an index alone cannot embed these "
                f"queries as it did. Received: {type(old).__name__}. SimilarityModel.from_model "
                "makes one of a keras.Model."
            )
        distance = old._binding.distance
        if distance is None:
            raise ValueError(
                "`old` has no distance yet: call its compile() with a loss that has one, or its "
                "create_index(distance=...)."
            )
        embedder = self._binding.embedder
        return evaluate_compatibility(
            old._binding.embedder,
            embedder,
            distance,
            embedder.batches(x, y, batch_size, ANY_KIND),
            None
            if gallery is None
            else embedder.batches(gallery, gallery_labels, batch_size, ANY_KIND),
            metrics=retrieval_metrics,
            confidence=confidence,
            seed=seed,
            ignore_class=ignore_class,
        )

    @explains_arguments("SimilarityModel.evaluate_classification")
    def evaluate_classification(
        self,
        x: Any,
        y: Any = None,
        k: int | None = None,
        extra_metrics: Sequence[Any] = ("precision", "recall"),
        matcher: Any = None,
        batch_size: int | None = None,
        verbose: int = 1,
    ) -> CutpointResults:
        """Evaluates `match` on labelled examples, at every cutpoint.

        Args:
            x: The queries, as anything that `predict` takes.
            y: Their class ids `[n]`. Datasets yield their own.
            k: Number of neighbours given to the matcher. Defaults to `None`: as in the
                calibration.
            extra_metrics: Metrics in addition to that of the calibration. Defaults to
                precision and recall.
            matcher: The matcher. Defaults to `None`: that of the calibration.
            batch_size: Number of examples embedded at a time, for arrays. Defaults to `None`: 128.
            verbose: 0 for silence, 1 for a progress bar.

        Returns:
            Cutpoint -> `{"name", "distance", metric: value, ...}`, a dict that prints as a
            table.

        Raises:
            TypeError: If labels are neither ids nor names.
            ValueError: If the index is empty or not calibrated, or labels are missing.
        """
        assessment.require_calibration(self._binding.require_records())
        index, embeddings, labels = self._queries(x, y, batch_size, verbose)
        return assessment.evaluate_classification(
            index, embeddings, labels, k, extra_metrics, matcher
        )

    def index_size(self) -> int:
        """The number of records in the index."""
        return 0 if self._binding.index is None else len(self._binding.index)

    def index_summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints the contents and search settings of the index, see `Index.summary`.

        Args:
            print_fn: A function that gets the text. Defaults to `print`.
        """
        self.vector_index.summary(print_fn)

    def reset_index(self) -> None:
        """Removes all records and the calibration."""
        self._binding.reset()

    @explains_arguments("SimilarityModel.to_data_frame")
    def to_data_frame(self, num_records: int | None = None) -> Any:
        """The records as a pandas data frame: see `Index.to_data_frame`."""
        return self.vector_index.to_data_frame(num_records)

    def _queries(
        self,
        x: Any,
        y: Any,
        batch_size: int | None,
        verbose: int,
        labels: bool = True,
        kinds: Sequence[str] = ("classes", "multi_hot"),
    ) -> tuple[Index, np.ndarray, Any]:
        """The index, and the embeddings and labels of examples to compare with its records."""
        index = self._binding.require_records()
        return index, *self._embedded(x, y, batch_size, verbose, labels, kinds)

    def _embedded(
        self,
        x: Any,
        y: Any,
        batch_size: int | None,
        verbose: int,
        labels: bool = True,
        kinds: Sequence[str] = ("classes", "multi_hot"),
    ) -> tuple[np.ndarray, Any]:
        """The embeddings of examples to compare with records, and their labels."""
        self._binding.warn_if_stale()
        embedder = self._binding.embedder
        batches = embedder.batches(x, y, batch_size, kinds)
        if labels and y is None and batches.examples is not None:
            raise ValueError(
                "`y` must hold the class id of each example, or its name. Received: None."
            )
        embeddings, ids = embedder.embed(batches, labels, verbose)
        if labels and ids is None:
            raise ValueError("`x` must yield (x, y). Received: batches without labels.")
        return embeddings, ids


def _one(x: Any) -> Any:
    """A batch of one example."""

    def batch(leaf: Any) -> Any:
        return (leaf if hasattr(leaf, "shape") else np.asarray(leaf))[None]

    return batch(x) if isinstance(x, list) else keras.tree.map_structure(batch, x)
