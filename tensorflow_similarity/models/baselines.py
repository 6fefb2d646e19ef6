"""Compares a model with the raw input, and with itself before training."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from tensorflow_similarity._text_table import text_table
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.evaluation import (
    Comparison,
    EvaluationResult,
    compare,
    evaluate,
    splits,
)
from tensorflow_similarity.models.assessment import say_without_positives
from tensorflow_similarity.models.batches import Batches
from tensorflow_similarity.models.embedding import Embedder
from tensorflow_similarity.targets import Targets

__all__ = ["BaselineResult", "embed_all", "evaluate_baselines"]

RAW, UNTRAINED, MODEL = "raw input", "untrained", "model"


@dataclasses.dataclass(frozen=True)
class BaselineResult:
    """A model beside its baselines, on the same queries and gallery.

    Attributes:
        results: `"model"`, `"untrained"` and `"raw input"` -> `EvaluationResult`. The last
            is missing where the input is not numbers.
        comparisons: The last two -> `Comparison` of the model with them, query by
            query, with p-values; empty where there is one class only.
    """

    results: dict[str, EvaluationResult]
    comparisons: dict[str, Comparison]

    def __getitem__(self, name: str) -> EvaluationResult:
        return self.results[name]

    def __str__(self) -> str:
        names = list(self.results)
        rows = []
        for metric in self.results[MODEL]:
            values: list[object] = [self.results[name][metric] for name in names]
            p_values = [c.p_values[metric] for c in self.comparisons.values()]
            rows.append([metric, *values, max(p_values) if p_values else None])
        table = text_table(["metric", *names, "p-value"], rows)
        model = self.results[MODEL]
        return (
            f"{table}\n{model.queries} queries of {model.classes} classes; p-value: that of the "
            "model being no better than the better of the others"
        )


def evaluate_baselines(
    model: keras.Model,
    output: int | str | None,
    distance: Distance,
    queries: Batches,
    gallery: Batches | None,
    **options: Any,
) -> BaselineResult:
    """Evaluates a model, a copy with new weights, and the raw input.

    Layers that were adapted to data (`Normalization`, `StringLookup`) are part of the
    input and not of the training: the copy has them as they are.

    Args:
        model: A functional model.
        output: Its embedding output.
        distance: The distance to rank by.
        queries: Examples with labels.
        gallery: Examples with labels; None: the queries, leave-one-out.
        **options: `metrics`, `confidence`, `seed`, `relevance`, `ignore` and `ignore_class`
            of `evaluate`.

    Raises:
        ValueError: If the model cannot be copied, labels are missing, or nothing is relevant to
            any query.
    """
    embedders = {
        UNTRAINED: Embedder(_with_new_weights(model), output),
        MODEL: Embedder(model, output),
    }
    found, labels = embed_all(queries, embedders, "x", raw=RAW)
    searched: dict[str, Any] = dict.fromkeys(found)
    searched_labels = None
    if gallery is not None:
        searched, searched_labels = embed_all(gallery, embedders, "gallery", raw=RAW)
        if RAW in found and RAW in searched:
            splits.shared_examples(searched[RAW], found[RAW])
    results = {
        name: evaluate(
            found[name], labels, searched[name], searched_labels, distance=distance, **options
        )
        for name in found
    }
    say_without_positives(results[MODEL], "examples of `x`", "nothing that is searched is relevant")
    confidence, seed = options["confidence"], options["seed"]
    comparisons = {}
    if results[MODEL].classes > 1:
        comparisons = {
            name: compare(results[MODEL], results[name], confidence, seed)
            for name in results
            if name != MODEL
        }
    return BaselineResult(results, comparisons)


def _with_new_weights(model: keras.Model) -> keras.Model:
    if not hasattr(model, "output_names"):
        raise ValueError(
            "Baselines need a functional model, of which an untrained copy can be made. Received: "
            f"{type(model).__name__}, a subclass. Evaluate a model that was just made as well."
        )
    # A plain model: it needs no index.
    return keras.models.clone_model(keras.Model(model.input, model.output), clone_function=_new)


def _new(layer: keras.Layer) -> keras.Layer:
    """A copy of a layer with new weights, except weights that were adapted to data."""
    if _is_adapted(layer):
        return _Same(layer)
    if isinstance(layer, keras.Model) and any(map(_is_adapted, layer._flatten_layers())):
        return keras.models.clone_model(layer, clone_function=_new)
    return layer.__class__.from_config(layer.get_config())


def _is_adapted(layer: keras.Layer) -> bool:
    return hasattr(layer, "adapt")


class _Same(keras.layers.Layer):
    """Wraps a layer for use in another model; calling it directly would keep that model alive."""

    def __init__(self, layer: keras.Layer) -> None:
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self._same = layer
        self.built = True

    def call(self, *inputs: Any, **options: Any) -> Any:
        return self._same(*inputs, **options)


def embed_all(
    batches: Batches, embedders: dict[str, Embedder], name: str, raw: str | None = None
) -> tuple[dict[str, np.ndarray], Targets]:
    """Embeddings of labelled examples by several models, in one pass, and the labels.

    Args:
        batches: The examples.
        embedders: The models, by names that are those of the results.
        name: The name of the argument that the examples came as.
        raw: A name for the examples as they are; they are left out where they are not numbers.
    """
    parts: dict[str, list[np.ndarray]] = {key: [] for key in embedders}
    inputs_as_they_are: list[np.ndarray] = []
    labels: list[Any] = []
    for inputs, y in batches:
        for key, embedder in embedders.items():
            parts[key].append(embedder.call(inputs))
        last, embedder = list(embedders.items())[-1]
        count = len(parts[last][-1])
        found = embedder.labels_of(y, count)
        if found is None:
            raise ValueError(f"`{name}` must come with class ids, or other labels. Received: none.")
        labels.append(found)
        if raw is not None:
            inputs_as_they_are += _as_rows(inputs, count)
    if not labels:
        raise ValueError(f"`{name}` must hold at least one example. Received: none.")
    if inputs_as_they_are and raw is not None:
        parts = {raw: inputs_as_they_are, **parts}
    together = {key: np.concatenate(part) for key, part in parts.items()}
    known: Any = batches.labels(labels)  # Each batch has some.
    return together, known


def _as_rows(inputs: Any, count: int) -> list[np.ndarray]:
    """The raw inputs of a batch as rows; nothing where they are not numbers."""
    leaves = [
        np.asarray(keras.ops.convert_to_numpy(leaf)) if hasattr(leaf, "numpy") else leaf
        for leaf in keras.tree.flatten(inputs)
    ]
    if not all(np.asarray(leaf).dtype.kind in "fiub" for leaf in leaves):
        return []
    rows = [np.reshape(leaf, (count, -1)).astype(np.float32) for leaf in leaves]
    return [np.concatenate(rows, axis=1)]
