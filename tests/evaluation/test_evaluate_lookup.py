"""Metrics of a lookup: the same numbers, or a clear error where it shows too little."""

import numpy as np
import pytest

from oracle import distances
from tensorflow_similarity.evaluation import evaluate, evaluate_lookup

rng = np.random.default_rng(0)
GALLERY, GALLERY_LABELS = rng.normal(size=(60, 4)), np.repeat(np.arange(6), 10)
QUERIES, LABELS = rng.normal(size=(30, 4)), rng.integers(7, size=30)
ORDER = np.argsort(distances.matrix("cosine", QUERIES, GALLERY), axis=1)
FOUND = GALLERY_LABELS[ORDER]
COUNTS = dict.fromkeys(range(6), 10)
NAMES = ["hit_rate@3", "recall@10", "precision@5", "r_precision", "map@r", "map@4", "ndcg@10"]


@pytest.mark.parametrize("relevant", [COUNTS, [COUNTS.get(c, 0) for c in LABELS.tolist()]])
def test_equals_evaluate(relevant):
    whole = evaluate(QUERIES, LABELS, GALLERY, GALLERY_LABELS, metrics=NAMES)
    result = evaluate_lookup(FOUND[:, :10], LABELS, relevant, NAMES)
    assert result.skipped == whole.skipped == (LABELS == 6).sum() > 0
    for name in NAMES:
        np.testing.assert_allclose(result.per_query[name], whole.per_query[name], rtol=1e-12)
        assert result.interval(name) == whole.interval(name)


def test_without_counts():
    result = evaluate_lookup(FOUND[:, :5], LABELS, metrics=["hit_rate@5", "precision@2", "mrr@5"])
    hits = FOUND[:, :5] == LABELS[:, None]
    assert result.skipped == 0
    assert result["hit_rate@5"] == pytest.approx(hits.any(axis=1).mean())
    assert result["precision@2"] == pytest.approx(hits[:, :2].mean())
    first = [1 / (row.argmax() + 1) if row.any() else 0 for row in hits]
    assert result["mrr@5"] == pytest.approx(np.mean(first))


def test_default_metrics_are_those_the_lookup_suffices_for():
    assert list(evaluate_lookup(FOUND[:, :3], LABELS)) == ["precision@1"]
    assert list(evaluate_lookup(FOUND[:, :5], LABELS, COUNTS)) == ["precision@1", "hit_rate@4"]
    assert "map@r" in evaluate_lookup(FOUND[:, :10], LABELS, COUNTS)


def test_padding_is_no_match():
    labels = np.where(np.arange(5) < 2, FOUND[:, :5], -1)
    for present in (None, labels != -1):
        result = evaluate_lookup(labels, LABELS, metrics="hit_rate@5", present=present)
        hits = (FOUND[:, :2] == LABELS[:, None]).any(axis=1)
        assert result["hit_rate@5"] == pytest.approx(hits.mean())


def test_too_little_to_say():
    with pytest.raises(ValueError, match=r"precision@6 needs 6 neighbours.*k=6"):
        evaluate_lookup(FOUND[:, :5], LABELS, COUNTS, ["precision@6"])
    with pytest.raises(ValueError, match=r"map@r needs 10 neighbours.*k=10"):
        evaluate_lookup(FOUND[:, :5], LABELS, COUNTS, ["map@r"])
    with pytest.raises(ValueError, match=r"recall@2.*`relevant`"):
        evaluate_lookup(FOUND[:, :5], LABELS, metrics=["recall@2"])
    with pytest.raises(ValueError, match="mrr@5"):
        evaluate_lookup(FOUND[:, :5], LABELS, COUNTS, ["mrr"])


def test_bad_input():
    with pytest.raises(ValueError, match="neighbor_labels"):
        evaluate_lookup(FOUND[:, 0], LABELS)
    with pytest.raises(TypeError, match="neighbor_labels"):
        evaluate_lookup(FOUND + 0.5, LABELS)
    with pytest.raises(ValueError, match="query_labels"):
        evaluate_lookup(FOUND, LABELS[:-1])
    with pytest.raises(ValueError, match="relevant"):
        evaluate_lookup(FOUND, LABELS, -np.ones(30, int))
    with pytest.raises(ValueError, match="present"):
        evaluate_lookup(FOUND, LABELS, present=np.ones(30, bool))
    with pytest.raises(ValueError, match="queries"):
        evaluate_lookup(FOUND[:0], LABELS[:0])
