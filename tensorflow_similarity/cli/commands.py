"""The commands of `tfsim`."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import evaluation
from tensorflow_similarity._json import plain
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity.cli.examples import Examples, ids_in, read_examples
from tensorflow_similarity.cli.pictures import draw
from tensorflow_similarity.compat import migration
from tensorflow_similarity.index import Index
from tensorflow_similarity.models import SimilarityModel, assessment
from tensorflow_similarity.models.loading import load_model

__all__ = ["evaluate", "index", "info", "lookup", "match", "migrate", "serve"]


_STATUSES = {"gone": "must change", "changed": "differs", "renamed": "has another name"}


def index(options: argparse.Namespace) -> None:
    """Adds examples to the index of a model, and saves it."""
    model = _load(options)
    if not isinstance(model, keras.Model):
        raise ValueError(f"MODEL must be a .keras file. Received: {options.model!r}.")
    if not isinstance(model, SimilarityModel):
        if options.output is None:
            raise ValueError(
                f"{options.model!r} is a plain Keras model: name a file for the model with its "
                "index, by --output."
            )
        model = SimilarityModel.from_model(model)
    if not _has_index(model):
        model.create_index(distance=options.distance or "cosine")
    elif options.distance not in (None, model.vector_index.distance.name):
        raise ValueError(
            f"--distance is for a new index. Received: {options.distance!r}, and an index with "
            f"{model.vector_index.distance.name!r}."
        )
    output = options.output or options.model
    examples = _examples(options, model)
    if options.reset:
        model.reset_index()
    labels, names = _named_labels(examples, model.vector_index)
    examples.relabel(labels)
    data = None
    if examples.paths is not None:
        data = [
            {"path": path} | ({} if names is None else {"class": names[i]})
            for i, path in enumerate(examples.paths)
        ]
    ids = model.index(
        examples.x,
        labels if examples.paths is None else None,
        data=data,
        ids=None if options.ids is None else ids_in(options.ids),
        batch_size=options.batch_size,
        verbose=int(not options.quiet),
    )
    model.save(output)
    result = {
        "added": len(ids),
        "records": len(model.vector_index),
        "first_id": int(ids[0]),
        "last_id": int(ids[-1]),
        "saved": str(output),
    }
    _write(
        options,
        result,
        f"Added {len(ids):,} records, ids {ids[0]} to {ids[-1]}. The index holds "
        f"{result['records']:,}. Saved to {output}.",
    )


def lookup(options: argparse.Namespace) -> None:
    """Finds the nearest records of examples."""
    model = _load(options)
    examples = _examples(options, model)
    embeddings, records = _embedded(model, examples, options)
    neighbors = records.lookup(embeddings, k=min(options.k, len(records)))
    results, rows = [], []
    for number in range(len(neighbors)):
        found = []
        for rank, record in enumerate(neighbors[number], start=1):
            data = record.data if isinstance(record.data, dict) else {}
            found.append(
                {
                    "rank": rank,
                    "id": record.id,
                    **({} if record.key is None else {"key": record.key}),
                    "label": record.label,
                    "class": data.get("class", _name(record.label)),
                    "distance": float(record.distance),
                    "path": data.get("path"),
                }
            )
            rows.append(
                [
                    examples.name(number) if rank == 1 else "",
                    rank,
                    float(record.distance),
                    data.get("class", record.label),
                    data.get("path", record.id if record.key is None else record.key),
                ]
            )
        results.append({"query": examples.name(number), "neighbors": found})
    if options.picture is not None:
        draw(options.picture, examples, neighbors)
    _write(options, results, text_table(["query", "rank", "distance", "class", "record"], rows))


def match(options: argparse.Namespace) -> None:
    """Says which class each example matches, if any, with distance and probability."""
    model = _load(options)
    examples = _examples(options, model)
    embeddings, records = _embedded(model, examples, options)
    if records.calibration is None:
        raise ValueError(
            f"{options.model!r} must be calibrated: call model.calibrate(x, y) in Python, and save "
            "it."
        )
    found: Any = assessment.match(records, embeddings, options.cutpoint, -1, None, None)
    known = found.ids >= 0
    kept = records.get(np.unique(found.ids[known]))
    stored = dict(zip(kept.ids.tolist(), kept.data if kept.data is not None else [], strict=False))
    results, rows = [], []
    for number in range(len(found)):
        there = bool(known[number])
        id_ = int(found.ids[number]) if there else None
        data = stored.get(id_)
        data = data if isinstance(data, dict) else {}
        candidate = plain(found.candidates[number]) if there else None
        named = data.get("class", _name(candidate))
        result = {
            "query": examples.name(number),
            "accepted": bool(found.accepted[number]),
            "label": candidate if found.accepted[number] else None,
            "candidate": candidate,
            "class": named,
            "distance": plain(found.distances[number]),
            "probability": plain(found.probabilities[number]),
            "id": id_,
            "path": data.get("path"),
        }
        key = None if found.keys is None else found.keys[number]
        if key is not None:
            result["key"] = key
        results.append(result)
        shown = candidate if named is None else named
        rows.append(
            [
                result["query"],
                shown if result["accepted"] else "none",
                shown,
                result["distance"],
                result["probability"],
                result["path"] or key or id_,
            ]
        )
    header = ["query", "match", "candidate", "distance", "probability", "record"]
    _write(options, results, text_table(header, rows))


def evaluate(options: argparse.Namespace) -> None:
    """Evaluates retrieval with labelled examples."""
    model = _load(options)
    examples = _examples(options, model, need_labels=True)
    if options.leave_one_out:
        alone = evaluation.evaluate(
            _embed(model, examples, options),
            examples.labels,
            distance=_distance(model),
            metrics=options.metrics,
        )
        _write(options, alone.to_dict(), str(alone))
        return
    embeddings, records = _embedded(model, examples, options)
    names = examples.class_names or []
    known, used = _classes(records) if records.class_names is None else ({}, set())
    if used and not known and not all(name.isdecimal() for name in names):
        raise ValueError(
            "The subfolders of DATA must be class ids: the index has no names of classes. "
            f"Received: {', '.join(names)}."
        )
    labels: Any = _named_labels(examples, records)[0]
    found: Any = assessment.evaluate_retrieval(
        records, embeddings, labels, options.metrics, None, confidence=0.95, seed=0
    )
    result, text = found.to_dict(), str(found)
    if records.calibration is not None:
        cutpoints = assessment.evaluate_classification(
            records, embeddings, labels, None, ["precision", "recall"], None
        )
        result["cutpoints"] = cutpoints
        header = list(next(iter(cutpoints.values())))
        lines = [[cutpoint[key] for key in header] for cutpoint in cutpoints.values()]
        text += "\n\n" + text_table(["cutpoint", *header[1:]], lines)
    _write(options, result, text)


def info(options: argparse.Namespace) -> None:
    """Describes a model with its index, or an index."""
    model = _load(options)
    result: dict[str, Any] = {"file": options.model}
    lines: list[tuple[str, Any]] = []
    records = model if isinstance(model, Index) else None
    if isinstance(model, keras.Model):
        trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        result["model"] = {
            "name": model.name,
            "class": type(model).__name__,
            "inputs": [list(tensor.shape) for tensor in getattr(model, "inputs", None) or []],
            "outputs": [list(tensor.shape) for tensor in getattr(model, "outputs", None) or []],
            "parameters": model.count_params(),
            "trainable_parameters": trained,
        }
        of = result["model"]
        lines = [
            ("model", f"{of['name']} ({of['class']})"),
            ("inputs", ", ".join(_shape(shape) for shape in of["inputs"]) or "not known"),
            ("outputs", ", ".join(_shape(shape) for shape in of["outputs"]) or "not known"),
            ("parameters", f"{of['parameters']:,}, of which {trained:,} trainable"),
        ]
        if isinstance(model, SimilarityModel) and _has_index(model):
            records = model.vector_index
        else:
            lines.append(("index", "none"))
    text = "\n".join(f"{name + ':':12}{value}" for name, value in lines)
    if records is not None:
        result["index"] = records.stats()
        parts: list[str] = [text] if text else []
        records.summary(parts.append)
        if records.calibration is not None:
            result["calibration"] = {
                name: float(cutpoint["distance"])
                for name, cutpoint in records.calibration.cutpoints.items()
            }
        text = "\n".join(parts)
    _write(options, result, text)


def migrate(options: argparse.Namespace) -> None:
    """Lists what programs for the older libraries must change."""
    found = {name: _changes(name) for name in options.files}
    if options.json:
        rows = [
            {"file": name, **dataclasses.asdict(change)}
            for name, changes in found.items()
            for change in changes
        ]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    counts = dict.fromkeys(_STATUSES, 0)
    for name, changes in found.items():
        for change in changes:
            counts[change.status] += 1
            cell = "" if change.cell is None else f"cell {change.cell}, line "
            status = _STATUSES[change.status]
            where = f"{name}:{cell}{change.line}"
            sys.stdout.write(f"{where}: {status}: {change.name}: {change.advice}\n")
    total = ", ".join(f"{_STATUSES[status]}: {count}" for status, count in counts.items())
    sys.stdout.write(f"{total}. Nothing was run or written.\n")


def _changes(name: str) -> list[migration.Change]:
    """The changes that one program needs; errors name the file."""
    try:
        text = Path(name).read_text(encoding="utf-8")
        if name.endswith(".ipynb"):
            return migration.notebook_changes(json.loads(text))
        return migration.changes(text)
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from error


def serve(options: argparse.Namespace) -> None:
    """Answers lookups over HTTP."""
    from tensorflow_similarity.serving import Limits
    from tensorflow_similarity.serving import serve as run

    model = _load(options)
    if isinstance(model, keras.Model) and not isinstance(model, SimilarityModel):
        raise ValueError(
            f"{options.model!r} must have an index with records. Received: a plain Keras model; "
            "see tfsim index."
        )
    limits = Limits(max_body=options.max_body * 2**20, max_examples=options.max_examples)
    run(model, options.host, options.port, limits, verbose=int(not options.quiet))


def _shape(shape: list[int | None]) -> str:
    return "[" + ", ".join("any" if side is None else str(side) for side in shape) + "]"


def _load(options: argparse.Namespace) -> Any:
    """Loads a model or an index."""
    path, trust = options.model, {"yes": True, "no": False, None: None}[options.trust_graph]
    if not Path(path).exists():
        raise ValueError(f"MODEL must be a file that exists. Received: {path!r}.")
    if path.endswith(".keras"):
        return load_model(path, trust)
    read = Index.open if Path(path).is_dir() else Index.load
    return read(path, trust_graph=trust)


def _has_index(model: SimilarityModel) -> bool:
    try:
        return model.vector_index is not None
    except ValueError:
        return False


def _examples(
    options: argparse.Namespace, model: keras.Model, need_labels: bool = False
) -> Examples:
    inputs = getattr(model, "inputs", None) or []
    shape, texts = None, False
    if len(inputs) == 1:
        shape = tuple(inputs[0].shape[1:])
        texts = keras.backend.standardize_dtype(inputs[0].dtype) == "string"
    elif isinstance(model, Index):
        shape = (model.embedding_size,)
    return read_examples(
        options.data,
        getattr(options, "text", None),
        options.labels,
        shape,
        texts,
        options.size,
        options.scale,
        options.batch_size,
        need_labels,
    )


def _embed(model: keras.Model, examples: Examples, options: argparse.Namespace) -> np.ndarray:
    if isinstance(model, Index):
        if not hasattr(examples.x, "ndim") or examples.x.ndim != 2:
            raise ValueError("The queries of an index must be embeddings [n, dim].")
        return np.asarray(examples.x)
    if not isinstance(model, SimilarityModel):
        model = SimilarityModel.from_model(model)
        model.create_index(distance="cosine")
    return model.embed(examples.x, options.batch_size, int(not options.quiet))


def _embedded(
    model: keras.Model, examples: Examples, options: argparse.Namespace
) -> tuple[np.ndarray, Index]:
    """Embeddings, and the index to compare them with."""
    records = model if isinstance(model, Index) else None
    if isinstance(model, SimilarityModel) and _has_index(model):
        records = model.vector_index
    if records is None or not len(records):
        raise ValueError(
            f"{options.model!r} must have an index with records. Received: none; see tfsim index."
        )
    return _embed(model, examples, options), records


def _distance(model: keras.Model) -> Any:
    if isinstance(model, Index):
        return model.distance
    if isinstance(model, SimilarityModel) and _has_index(model):
        return model.vector_index.distance
    return "cosine"


def _classes(records: Index) -> tuple[dict[str, int], set[int]]:
    """The ids of the class names that `tfsim index` stored with the records, and all ids."""
    if not len(records):
        return {}, set()
    kept = records.get(records.ids)
    data = kept.data if isinstance(kept.data, list) else []
    labels = kept.labels.tolist()
    names = {
        row["class"]: label
        for row, label in zip(data, labels, strict=False)
        if isinstance(row, dict) and isinstance(row.get("class"), str)
    }
    return names, set(labels) - {-1}  # which stands for no label


def _name(label: object) -> str | None:
    """The label, if it is the name of a class."""
    return str(label) if isinstance(label, str) else None


def _named_labels(examples: Examples, records: Index) -> tuple[np.ndarray | None, list[str] | None]:
    """Class ids consistent with those of the index, and the class name of each example."""
    if examples.class_names is None or examples.labels is None:
        return examples.labels, None
    names = examples.class_names
    shown = [names[label] for label in examples.labels.tolist()]
    if records.class_names is not None:
        return np.array(shown, object), shown
    ids, used = _classes(records)
    taken = set(ids.values())
    # A number is the id of its class, unless another name has it; other names get new ids.
    for name in names:
        if name not in ids and name.isdecimal() and (number := int(name)) not in taken:
            ids[name] = number
            taken.add(number)
    free = itertools.filterfalse(taken.__contains__, itertools.count(max(used, default=-1) + 1))
    for name in names:
        if name not in ids:
            ids[name] = next(free)
    by_number = np.array([ids[name] for name in names], np.int64)
    return by_number[examples.labels], shown


def _write(options: argparse.Namespace, result: Any, text: str) -> None:
    if options.json:
        text = json.dumps(plain(result), indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
