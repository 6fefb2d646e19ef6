"""Re-ranking by shared neighbours, and expanded queries."""

import numpy as np
import pytest

from tensorflow_similarity.index import Index, KReciprocal, expand_queries


def precision(found, labels):
    return float((found.labels == labels[:, None]).mean())


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.further("euclidean")
def test_shared_neighbors_are_of_the_same_class(distance):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(20, 16))
    labels = np.arange(1000) % 20
    x = (centers[labels] + rng.normal(scale=0.9, size=(1000, 16))).astype(np.float32)
    queries = (centers[labels[:200]] + rng.normal(scale=0.9, size=(200, 16))).astype(np.float32)
    index = Index(16, distance, "exact")
    index.add(x, labels, ids=np.random.default_rng(1).permutation(5000)[:1000])
    plain = precision(index.lookup(queries, k=20), labels[:200])
    rerank = KReciprocal(index)
    found = index.lookup(queries, k=20, rerank=rerank, rerank_top=100)
    assert precision(found, labels[:200]) > plain + 0.02
    expanded = index.lookup(expand_queries(index, queries), k=20)
    assert precision(expanded, labels[:200]) > plain + 0.02


def slow(x, query, k, expand, weight, top):
    """The formula, with sets."""
    matrix = np.linalg.norm(x[:, None] - x[None], axis=-1).astype(np.float64)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(matrix, order, 1)
    scale = np.median(near[:, -1])
    encoded = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        for j in order[i]:
            if i in order[j]:
                encoded[i, j] = np.exp(-matrix[i, j] / scale)
    distances = np.linalg.norm(x - query, axis=1)
    candidates = np.argsort(distances, kind="stable")[:top]
    own = np.zeros(len(x))
    for j in candidates[:k]:
        if distances[j] <= near[j, -1]:
            own[j] = np.exp(-distances[j] / scale)
    if expand:
        own = np.mean([own, *encoded[candidates[:expand]]], axis=0)
    values = []
    for j in candidates:
        whole = np.maximum(own, encoded[j]).sum()
        jaccard = 1 - np.minimum(own, encoded[j]).sum() / whole if whole else 1
        values.append((1 - weight) * jaccard + weight * distances[j] / distances[candidates].max())
    return np.array(values)


@pytest.mark.parametrize(("k", "expand", "weight"), [(5, 3, 0.3), (8, 0, 0.0), (300, 2, 1.0)])
def test_the_formula(k, expand, weight):
    rng = np.random.default_rng(2)
    x, queries = rng.normal(size=(60, 3)), rng.normal(size=(4, 3))
    index = Index(3, "euclidean")
    index.add(x)
    rerank = KReciprocal(index, k=k, expand=expand, weight=weight)
    values = rerank(queries.astype(np.float32), index.lookup(queries, k=25))
    for query, own in zip(queries, values, strict=True):
        np.testing.assert_allclose(own, slow(x, query, min(k, 60), expand, weight, 25), atol=1e-4)
    few = index.lookup(queries, k=3, rerank=rerank, filter={"ids": [4, 7]})
    assert (np.sort(few.ids, axis=1) == [-1, 4, 7]).all()


def test_expanded_queries_are_means():
    index = Index(2, "euclidean")
    index.add([[0.0, 1.0], [0.0, 3.0], [9.0, 9.0]])
    np.testing.assert_allclose(expand_queries(index, [[0.0, 2.5]], k=1, alpha=0), [[0, 2.75]])
    weighted = expand_queries(index, [[0.0, 2.5]], k=2, alpha=1)
    np.testing.assert_allclose(weighted, [[0, (2.5 + 3 * 2 / 3 + 1 / 3) / 2]], rtol=1e-6)
    beyond = expand_queries(index, [[0.0, 2.5]], k=20, alpha=0)
    np.testing.assert_allclose(beyond, [[9 / 4, (2.5 + 13) / 4]], rtol=1e-6)
    cosine = Index(2, "cosine")
    cosine.add([[0.0, 7.0]])
    turned = expand_queries(cosine, [[5.0, 0.0]], k=1, alpha=0)
    np.testing.assert_allclose(turned, [[5 / np.sqrt(2)] * 2], rtol=1e-6)
    assert expand_queries(index, np.empty((0, 2))).shape == (0, 2)


def test_records_that_came_later():
    index = Index(2, "euclidean")
    index.add(np.eye(2))
    rerank = KReciprocal(index)
    index.add([[0.1, 0.1]])
    with pytest.raises(ValueError, match="Make it again"):
        index.lookup([[0.0, 0.0]], rerank=rerank)


@pytest.mark.parametrize(
    ("arguments", "kind", "match"),
    [
        ({"k": 0}, ValueError, "`k` must be at least 1"),
        ({"expand": -1}, ValueError, "`expand` must be at least 0"),
        ({"weight": 2}, ValueError, "`weight` must be from 0 to 1"),
        ({"weight": "1"}, TypeError, "`weight` must be a number"),
    ],
)
def test_what_cannot_be(arguments, kind, match):
    index = Index(2, "euclidean")
    with pytest.raises(ValueError, match="empty"):
        KReciprocal(index)
    index.add(np.eye(2))
    with pytest.raises(kind, match=match):
        KReciprocal(index, **arguments)
    with pytest.raises(ValueError, match="`alpha` must be at least 0"):
        expand_queries(index, np.eye(2), alpha=-1)
    signed = Index(2, "inner_product")
    signed.add(np.eye(2))
    with pytest.raises(ValueError, match="not negative"):
        KReciprocal(signed)
