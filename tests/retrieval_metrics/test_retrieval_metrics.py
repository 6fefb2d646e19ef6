"""Names, configs and errors of the retrieval metrics."""

import pytest

from tensorflow_similarity.evaluation import evaluate_lookup
from tensorflow_similarity.retrieval_metrics import (
    BNDCG,
    MapAtK,
    PrecisionAtK,
    RecallAtK,
    make_retrieval_metric,
)

QUERIES = [0, 1, 1]
LABELS = [[0, 1, 0], [0, 0, 1], [1, 1, 0]]


def test_same_as_the_new_metrics_under_their_names():
    new = evaluate_lookup(LABELS, QUERIES, {0: 4, 1: 3}, ["hit_rate@2", "precision@2"])
    old = {"query_labels": QUERIES, "lookup_labels": LABELS}
    assert RecallAtK(k=2).compute(**old) == pytest.approx(new["hit_rate@2"])
    assert PrecisionAtK(k=2).compute(**old) == pytest.approx(new["precision@2"])
    whole = evaluate_lookup(LABELS, QUERIES, {0: 2, 1: 3}, ["r_precision", "map@r"])
    sizes = {0: 2, 1: 3}
    assert MapAtK(sizes, True, k=3).compute(**old) == pytest.approx(whole["map@r"])
    assert PrecisionAtK(sizes, True, k=3).compute(**old) == pytest.approx(whole["r_precision"])


def test_made_by_name():
    assert isinstance(make_retrieval_metric("recall@k", k=2), RecallAtK)
    assert isinstance(make_retrieval_metric("map", r={0: 1}), MapAtK)
    metric = BNDCG(k=3)
    assert make_retrieval_metric(metric) is metric
    assert make_retrieval_metric("bndcg", k=3, distance_threshold=0.5).name == (
        "ndcg@3 : distance_threshold@0.5"
    )


@pytest.mark.parametrize(
    "metric",
    [RecallAtK(k=2), PrecisionAtK({0: 2, 1: 1}, True, k=2), MapAtK({0: 2, 1: 1}), BNDCG(k=3)],
)
def test_config_round_trip(metric):
    again = type(metric).from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    assert str(again) == metric.name
    assert metric.name in repr(again)


def test_bad_input():
    with pytest.raises(ValueError, match="average"):
        RecallAtK(average="weighted")
    with pytest.raises(ValueError, match="micro"):
        MapAtK({}, average="macro")
    with pytest.raises(ValueError, match="clip_at_r"):
        PrecisionAtK(clip_at_r=True)
    with pytest.raises(ValueError, match="`k`"):
        RecallAtK(k=0)
    with pytest.raises(ValueError, match="k=4"):
        RecallAtK(k=3, drop_closest_lookup=True).compute(query_labels=QUERIES, lookup_labels=LABELS)
    with pytest.raises(ValueError, match=r"shape \[queries, k\]"):
        RecallAtK(k=1).compute(query_labels=[0, 1], lookup_labels=[0, 1])
    with pytest.raises(ValueError, match="match_mask"):
        RecallAtK(k=1).compute(query_labels=[0, 1])
    with pytest.raises(ValueError, match="empty"):
        RecallAtK(k=1).compute(query_labels=[], lookup_labels=LABELS)
    with pytest.raises(ValueError, match="lookup_distances"):
        RecallAtK(k=1, distance_threshold=0.5).compute(query_labels=QUERIES, lookup_labels=LABELS)
    with pytest.raises(ValueError, match=r"without \[1\]"):
        MapAtK({0: 2}, k=2).compute(query_labels=QUERIES, lookup_labels=LABELS)
    with pytest.raises(TypeError, match="query_labels"):
        RecallAtK(k=1).compute(query_labels=[0.5, 1, 1], lookup_labels=LABELS)
    with pytest.raises(ValueError, match="bndcg"):
        make_retrieval_metric("ndgc")
    with pytest.raises(ValueError, match="`r`"):
        MapAtK(clip_at_r=True)
    with pytest.raises(TypeError, match="RetrievalMetric"):
        make_retrieval_metric(3)
