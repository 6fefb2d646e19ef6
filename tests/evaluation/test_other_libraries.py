"""Metrics that scikit-learn and keras-rs define as we do have the values that they give."""

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from oracle import distances
from tensorflow_similarity.evaluation import clustering, evaluate, verify

KERAS_RS = json.loads(
    (Path(__file__).parents[1] / "golden" / "evaluation" / "keras_rs.json").read_text()
)


@pytest.mark.parametrize("name", KERAS_RS["values"])
def test_keras_rs(name):
    grades = np.asarray(KERAS_RS["grades"])
    relevance = 2**grades - 1 if name.startswith("ndcg") else grades > 0
    result = evaluate(
        KERAS_RS["queries"], np.arange(12), KERAS_RS["gallery"], np.arange(24), "euclidean", name,
        relevance=relevance,
    )  # fmt: skip
    np.testing.assert_allclose(result.per_query[name], KERAS_RS["values"][name], rtol=1e-5)


@pytest.fixture(scope="module")
def picture():
    """Embeddings in five classes, and all pairs of them."""
    rng = np.random.default_rng(0)
    y = rng.integers(5, size=80)
    x = (rng.normal(size=(5, 4))[y] + rng.normal(size=(80, 4))).astype(np.float32)
    return x, y, distances.matrix("euclidean", x, x)


@pytest.mark.further
def test_average_precision_of_scikit_learn(picture):
    x, y, matrix = picture
    names = ["map@79", "mrr", "ndcg@79", "precision@10", "recall@10"]
    result = evaluate(x, y, distance="euclidean", metrics=names)
    for i in range(len(y)):
        others = np.arange(80) != i
        relevant, scores = (y == y[i])[others], -matrix[i][others]
        expected = {
            "map@79": sklearn.metrics.average_precision_score(relevant, scores),
            "ndcg@79": sklearn.metrics.ndcg_score(relevant[None], scores[None], ignore_ties=True),
        }
        # The nearest relevant key alone: its label ranking precision is 1 / its rank.
        first = np.flatnonzero(relevant)[scores[relevant].argmax()]
        expected["mrr"] = sklearn.metrics.label_ranking_average_precision_score(
            np.arange(79)[None] == first, scores[None]
        )
        top = np.argsort(-scores)[:10]
        taken = np.isin(np.arange(79), top)
        expected["precision@10"] = sklearn.metrics.precision_score(relevant, taken)
        expected["recall@10"] = sklearn.metrics.recall_score(relevant, taken)
        for name, value in expected.items():
            assert result.per_query[name][i] == pytest.approx(value, rel=1e-6), (name, i)


def test_verification_of_scikit_learn(picture):
    x, y, matrix = picture
    pairs = np.triu_indices(80, 1)
    same, scores = (y[:, None] == y)[pairs], -matrix[pairs]
    result = verify(x, y, distance="euclidean")
    assert result.roc_auc == pytest.approx(sklearn.metrics.roc_auc_score(same, scores), rel=1e-6)
    false, true, _ = sklearn.metrics.roc_curve(same, scores, drop_intermediate=False)
    for far, tar in result.tar_at_far.items():
        assert tar == pytest.approx(true[false <= far].max(), rel=1e-6)


def test_clustering_of_scikit_learn(picture):
    _, y, _ = picture
    clusters = np.random.default_rng(1).integers(4, size=80)
    expected = {
        "ami": sklearn.metrics.adjusted_mutual_info_score(y, clusters),
        "nmi": sklearn.metrics.normalized_mutual_info_score(y, clusters),
    }
    assert clustering(labels=y, clusters=clusters) == pytest.approx(expected)
