"""The values of TensorFlow Similarity, where they were right."""

import math

import numpy as np
import pytest

from oracle import evaluation_golden as golden
from tensorflow_similarity import retrieval_metrics
from tensorflow_similarity.compat import tensorflow_similarity as original

ENTRIES = golden.entries("tfsim", "retrieval_metric")


def arguments(entry):
    params = dict(entry["params"])
    if entry["metric"] not in ("PrecisionAtK", "MapAtK"):
        params.pop("r", None)
        params.pop("clip_at_r", None)
    elif params.get("r"):
        params["r"] = {int(label): size for label, size in params["r"].items()}
    return params


def compute(entry, **changed):
    metric = getattr(retrieval_metrics, entry["metric"])(**{**arguments(entry), **changed})
    distances, labels, queries = golden.lookup(entry)
    return metric, metric.compute(
        query_labels=queries, lookup_labels=labels, lookup_distances=distances
    )


KEPT = [e for e in ENTRIES if not e["params"]["drop_closest_lookup"]]
DROPPED = [e for e in ENTRIES if e["params"]["drop_closest_lookup"]]


def test_all_metrics_are_here():
    assert {e["metric"] for e in KEPT} == {"RecallAtK", "PrecisionAtK", "MapAtK", "BNDCG"}


def divides_by_r_unclipped(entry):
    """Whether the original gave hits / R, which may be 2, for the name precision@k."""
    params = entry["params"]
    return entry["metric"] == "PrecisionAtK" and params["r"] and not params["clip_at_r"]


@pytest.mark.parametrize("entry", KEPT, ids=lambda e: e["id"])
def test_values_and_names(entry):
    metric, value = compute(entry)
    if entry["metric"] == "RecallAtK":
        # It is called what it is; `compat` has it under the original's name.
        assert metric.name == f"hit_rate@{metric.k}"
        metric = original.RecallAtK(**arguments(entry))
    assert metric.name == entry["name"]
    if divides_by_r_unclipped(entry):
        params = {**arguments(entry), "r": None}
        _, labels, queries = golden.lookup(entry)
        assert value == retrieval_metrics.PrecisionAtK(**params).compute(
            query_labels=queries, lookup_labels=labels
        )
    else:
        assert value == pytest.approx(entry["value"], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    "entry",
    [e for e in DROPPED if e["metric"] in ("RecallAtK", "BNDCG")],
    ids=lambda e: e["id"],
)
def test_values_after_dropping(entry):
    if entry["params"]["k"] + 1 > golden.lookup(entry)[1].shape[1]:
        pytest.skip("not enough neighbours")
    assert compute(entry)[1] == pytest.approx(entry["value"], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    "entry",
    [
        e
        for e in DROPPED
        if e["metric"] in ("PrecisionAtK", "MapAtK")
        and e["params"]["k"] > 1
        and not divides_by_r_unclipped(e)
    ],
    ids=lambda e: e["id"],
)
def test_the_original_looked_at_one_rank_less_after_dropping(entry):
    # So its value at k is the right one at k - 1.
    _, value = compute(entry, k=entry["params"]["k"] - 1)
    assert value == pytest.approx(entry["value"], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("entry", DROPPED, ids=lambda e: e["id"])
def test_dropping_is_looking_up_without_the_first(entry):
    params = arguments(entry)
    params["drop_closest_lookup"] = False
    if params.get("r"):
        params["r"] = {label: max(size - 1, 0) for label, size in params["r"].items()}
    distances, labels, queries = golden.lookup(entry)
    if labels.shape[1] < params["k"] + 1:
        pytest.skip("not enough neighbours")
    expected = getattr(retrieval_metrics, entry["metric"])(**params).compute(
        query_labels=queries, lookup_labels=labels[:, 1:], lookup_distances=distances[:, 1:]
    )
    assert compute(entry)[1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["RecallAtK", "PrecisionAtK"])
@pytest.mark.parametrize("average", ["micro", "macro"])
def test_distance_threshold_counts(name, average):
    entry = next(e for e in KEPT if e["metric"] == "BNDCG")
    distances, labels, queries = golden.lookup(entry)
    k, limit = 3, 0.3
    value = getattr(retrieval_metrics, name)(
        k=k, distance_threshold=limit, average=average
    ).compute(query_labels=queries, lookup_labels=labels, lookup_distances=distances)
    per_query = []
    for i, query in enumerate(queries):
        hits = [labels[i, j] == query and distances[i, j] <= limit for j in range(k)]
        per_query.append(any(hits) if name == "RecallAtK" else sum(hits) / k)
    per_query = np.array(per_query, float)
    if average == "macro":
        per_query = np.array([per_query[queries == c].mean() for c in set(queries.tolist())])
    assert 0 < value == pytest.approx(per_query.mean())
    assert math.isfinite(value)
