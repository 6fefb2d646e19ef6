"""Engines that search fewer numbers, or codes, than the index stores: on real digits."""

import functools

import numpy as np
import pytest

from oracle.engines import require
from oracle.search import nearest
from tensorflow_similarity.index import Index, engines


@functools.cache
def digits():
    """Images of digits, 1,500 and 100 others, in the order of their principal components."""
    sklearn = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    pixels = sklearn.load_digits().data / 16
    pixels = pixels - pixels.mean(axis=0)
    x = (pixels @ np.linalg.svd(pixels, full_matrices=False)[2].T).astype(np.float32)
    return x[:1500], x[1500:1600]


def recall(found, queries, x, distance):
    true, _ = nearest(queries, x, found.ids.shape[1], distance)
    return np.mean([len(set(a) & set(b)) for a, b in zip(found.ids, true, strict=True)]) / 10


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    ("search", "params", "share"),
    [
        ("prefix", {"prefix": 16}, 16 / 64),
        ("prefix", {"prefix": 32}, 32 / 64),
        ("faiss_pq", {}, 0.14),
        ("faiss_pq", {"dimensions_per_block": 3}, 0.14),  # 64 is no multiple of it
    ],
)
@pytest.mark.usefixtures("graphs_of_any_size")
@pytest.mark.further("prefix-params1-0.5-cosine")
def test_true_distances_and_the_recall_that_was_asked_for(
    search, params, share, distance, tmp_path
):
    require(search)
    x, queries = digits()
    index = Index(64, distance, search, search_params=params, target_recall=0.95)
    index.add(x)
    found = index.lookup(queries, k=10)
    assert index.engine == search
    assert index.recall.recall >= 0.95
    assert recall(found, queries, x, distance) >= 0.93  # other queries than it was measured on
    true = [
        nearest(q[None], x[ids], 10, distance)[1][0]
        for q, ids in zip(queries, found.ids, strict=True)
    ]
    np.testing.assert_allclose(found.distances, true, rtol=2e-5, atol=2e-6)
    engine = engines.get(search)(distance, params)
    engine.build(x)
    assert len(b"".join(engine.content())) <= share * x.nbytes + 16
    index.save(tmp_path / "index")
    again = Index.load(tmp_path / "index", mmap=True).lookup(queries, k=10)
    np.testing.assert_array_equal(again.ids, found.ids)
    np.testing.assert_array_equal(again.distances, found.distances)


@pytest.mark.parametrize(
    ("search", "params"),
    [
        ("prefix", {"prefix": 1}),
        ("faiss_pq", {"dimensions_per_block": 32, "rescore": 1}),
    ],
)
@pytest.mark.usefixtures("graphs_of_any_size")
@pytest.mark.further("faiss_pq-params1")
def test_a_recall_below_the_target_is_warned_of(search, params):
    require(search)
    x, queries = (rows[:, ::-1] for rows in digits())  # what tells least comes first
    index = Index(64, "euclidean", search, search_params=params)
    index.add(x)
    with pytest.warns(UserWarning, match=r"finds \d+\.\d% of the true nearest, less than"):
        found = index.lookup(queries, k=10)
    measured = index.recall.recall
    assert abs(measured - recall(found, queries, x, "euclidean")) < 0.2
    assert measured < 0.95


@pytest.mark.further
def test_more_numbers_are_searched_where_few_do_not_tell(graphs_of_any_size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 96)).astype(np.float32)
    x[:, :64] *= 1e-3  # the first numbers tell nothing
    index = Index(96, "euclidean", search="prefix")
    index.add(x)
    index.lookup(x[:1])
    assert index.stats()["params"] == {"prefix": 128}
    assert index.recall.recall >= 0.95


def test_the_choice_leaves_out_what_a_part_of_the_records_does_not_tell():
    assert engines.get("auto").name == "nmslib"
    assert not engines.get("prefix").automatic


@pytest.mark.parametrize("search", ["faiss_pq", "prefix"])
@pytest.mark.parametrize("kind", ["equal", "huge", "tiny", "offset"])
@pytest.mark.usefixtures("graphs_of_any_size")
@pytest.mark.slow_cases("equal-faiss_pq", "offset-faiss_pq")
def test_embeddings_of_any_scale_and_equal_ones(search, kind):
    require(search)
    x = np.random.default_rng(0).normal(size=(1000, 16)).astype(np.float32)
    x *= 0.7 ** np.arange(16, dtype=np.float32)
    x[:50] = 0
    scale, offset = {"huge": (1e15, 0), "tiny": (1e-15, 0), "offset": (1, 100)}.get(kind, (1, 0))
    x = (scale * x + offset).astype(np.float32)
    index = Index(16, "euclidean", search)
    index.add(x)
    found = index.lookup(x[:100], k=10)
    assert recall(found, x[:100], x, "euclidean") >= 0.9
    np.testing.assert_array_equal(found.distances[:, 0], 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:7], "truncated"),
        (lambda content: content[:-1], "its end"),
        (lambda content: b"\x09" + content[1:], "9 rows, and should be of 40"),
        (lambda content: content[:8] + b"\xff" * 8 + content[16:], "more than the 8"),
        (lambda content: content[:-4] + b"\xff" * 4, "not finite"),
    ],
)
def test_a_forged_file_of_prefixes(change, message, tmp_path):
    engine = engines.get("prefix")("euclidean", {"prefix": 4})
    engine.build(np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))
    path = tmp_path / "content"
    path.write_bytes(change(b"".join(engine.content())))

    def read():
        engine.check(str(path), 40, 8)
        engine.load(str(path))

    with pytest.raises(ValueError, match=message):
        read()
