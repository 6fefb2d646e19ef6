"""Blocks, threads and the compiled product together, and agreement with scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tensorflow_similarity import distances
from tensorflow_similarity.evaluation import evaluate, ranks
from tensorflow_similarity.evaluation.products import RankingProduct

N = 1500


def whole_numbers(seed, classes):
    """Embeddings whose distances are exact in float32, full of ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=N)
    centres = rng.integers(-6, 7, size=(classes, 6))
    return (centres[labels] + rng.integers(-4, 5, size=(N, 6))).astype(np.float32), labels


def expected_map_at_r(x, y):
    """MAP@R by sorting whole rows, ties by position."""
    x = x.astype(np.float64)  # Exact: whole numbers.
    lengths = (x**2).sum(axis=1)
    squares = lengths[:, None] + lengths - 2 * x @ x.T
    squares[np.arange(N), np.arange(N)] = np.inf
    relevance = y[np.argsort(squares, axis=1, kind="stable")] == y[:, None]
    r = np.bincount(y)[y] - 1
    relevance &= np.arange(N) < r[:, None]
    relevance[:, -1] = False  # Itself.
    precisions = np.cumsum(relevance, axis=1) / np.arange(1, N + 1)
    return (precisions * relevance).sum(axis=1) / np.maximum(r, 1)


@pytest.mark.parametrize("classes", [5, 800])
@pytest.mark.further("800")
def test_exact_in_many_blocks(classes, monkeypatch):
    monkeypatch.setattr(ranks, "_WORTH_COMPILING", 1)
    monkeypatch.setattr(ranks, "_BLOCK_ELEMENTS", 400 * N)
    monkeypatch.setattr(ranks, "_CHUNK_ELEMENTS", 30 * N)
    x, y = whole_numbers(0, classes)
    result = evaluate(x, y, distance="squared_euclidean", metrics=["map@r", "mrr"])
    alone = np.bincount(y)[y] == 1
    expected = np.where(alone, np.nan, expected_map_at_r(x, y))
    np.testing.assert_allclose(result.per_query["map@r"], expected, rtol=1e-9)
    assert result.skipped == alone.sum()


@pytest.mark.parametrize("equal", [0, 40, 1400])
@pytest.mark.further("1400")
def test_few_ranks_of_many_keys(equal):
    """Of which few are looked at, unless nearly all are equally near."""
    x, y = whole_numbers(3, 800)
    x[100 : 100 + equal] = x[100]
    result = evaluate(x, y, distance="squared_euclidean", metrics=["map@r"])
    expected = np.where(np.bincount(y)[y] == 1, np.nan, expected_map_at_r(x, y))
    np.testing.assert_allclose(result.per_query["map@r"], expected, rtol=1e-9)


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    y = rng.integers(4, size=120)
    x = rng.normal(size=(120, 5)) + np.eye(4, 5)[y]
    queries, gallery = slice(0, 40), slice(40, 120)
    result = evaluate(
        x[queries], y[queries], x[gallery], y[gallery], "euclidean", ["ndcg@7", "map@80", "ndcg@80"]
    )
    scores = -np.asarray(distances.get("euclidean")(x[queries], x[gallery]))
    relevance = y[queries, None] == y[None, gallery]
    for k in (7, 80):
        expected = sk.ndcg_score(relevance.astype(int), scores, k=k)
        assert result[f"ndcg@{k}"] == pytest.approx(expected)
    expected = [sk.average_precision_score(r, s) for r, s in zip(relevance, scores, strict=True)]
    assert result["map@80"] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("name", ["euclidean", "squared_euclidean", "cosine"])
@pytest.mark.parametrize("offset", [0, 1, 300])
def test_product_has_the_order_of_the_distance(name, offset):
    rng = np.random.default_rng(2)
    keys = (rng.normal(size=(300, 8)) + offset).astype(np.float32)
    queries = (rng.normal(size=(50, 8)) + offset).astype(np.float32)
    keys[7], queries[3] = 0, 0
    product = RankingProduct.of(distances.get(name), keys)
    squares = product.left(queries) @ product.right.T
    a, b = queries.astype(np.float64), keys.astype(np.float64)
    if name == "cosine":
        lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
        expected = 2 * (1 - (a @ b.T) / np.where(lengths > 0, lengths, 1))
        squares, expected = np.delete(squares, 3, axis=0), np.delete(expected, 3, axis=0)
    else:
        expected = ((a[:, None] - b) ** 2).sum(axis=2)
    scale = np.median(expected)
    np.testing.assert_allclose(squares, expected, rtol=2e-4, atol=2e-6 * max(scale, 1e-3))


def test_only_our_own_distances_have_a_product():
    class Weighted(distances.EuclideanDistance):
        def pairwise(self, queries, keys):
            return super().pairwise(queries * 2, keys * 2)

    assert RankingProduct.of(Weighted(), np.eye(3, dtype=np.float32)) is None
    assert RankingProduct.of(distances.get("manhattan"), np.eye(3, dtype=np.float32)) is None
