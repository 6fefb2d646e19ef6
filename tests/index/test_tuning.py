"""Measured recall, and the effort that reaches a target."""

import warnings

import numpy as np
import pytest

from tensorflow_similarity.index import Index, _graphs, engines


def vectors(n, dim=24, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def true_recall(index, queries, k=10):
    """By another way than the package's: distances of all records, in float64."""
    records = index.get(index.ids)
    found = index.lookup(queries, k=k).ids
    matrix = ((queries[:, None].astype(float) - records.embeddings[None]) ** 2).sum(-1)
    true = records.ids[np.argsort(matrix, axis=1)[:, :k]]
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(found, true, strict=True)])


@pytest.mark.further
def test_the_target_is_reached_with_the_least_effort():
    reached = {}
    for target in (0.6, 0.99):
        index = Index(24, "euclidean", search="nmslib", target_recall=target)
        index.add(vectors(4000))
        queries = vectors(200, seed=1)
        index.lookup(queries[:1])
        assert index.recall.recall >= target
        assert true_recall(index, queries) >= target - 0.04  # other queries than were measured
        reached[target] = index.recall
        assert index.stats()["effort"] == index.recall.effort
    assert reached[0.6].effort < reached[0.99].effort
    assert reached[0.6].recall < reached[0.99].recall


@pytest.mark.further
def test_a_warning_where_it_is_not_reached():
    params = {"M": 2, "efConstruction": 50}
    index = Index(24, search="nmslib", target_recall=1.0, search_params=params)
    index.add(vectors(3000))
    with pytest.warns(UserWarning, match=r"less than its `target_recall` of 100.0%"):
        index.lookup(vectors(1))
    assert index.engine == "nmslib"
    index.lookup(vectors(1))  # once is enough


@pytest.mark.further
def test_measured_on_request():
    index = Index(24, "euclidean", search="nmslib", target_recall=0.9, search_params={"ef": 30})
    assert index.measure_recall() is None
    index.add(vectors(4000))
    index.lookup(vectors(1))
    queries = vectors(150, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measured = index.measure_recall(queries, k=10)
        own = index.measure_recall()
    assert (measured.k, measured.queries, measured.effort) == (10, 150, 30)
    assert measured.recall == pytest.approx(true_recall(index, queries), abs=1e-9)
    assert index.recall is own
    assert own.queries == 256
    assert own.seconds > 0


def test_a_fixed_effort_below_the_target_is_the_users_choice():
    index = Index(24, search="nmslib", search_params={"ef": 10}, target_recall=1.0)
    index.add(vectors(3000))
    index.lookup(vectors(1))  # no warning, which would be an error here
    with pytest.warns(UserWarning, match="target_recall"):
        index.measure_recall()


def test_auto_is_exact_until_a_graph_pays(monkeypatch):
    monkeypatch.setattr(_graphs, "_FAST_NUMBERS", 2500 * 24)
    monkeypatch.setattr(_graphs, "_BUILD_COST", 100)
    # Which engine is quickest, and whether a scan is quicker, is not for small tests.
    monkeypatch.setattr(_graphs, "trial_order", lambda *_: [engines.get("nmslib")])
    monkeypatch.setattr(_graphs, "seconds_exact", lambda *_: (1.0, 1.0))
    index = Index(24, "euclidean", search="auto", target_recall=0.99)
    index.add(vectors(2501))
    index.lookup(vectors(90))
    assert index.engine == "exact"
    index.lookup(vectors(90))
    assert index.engine == "exact"
    found = index.lookup(vectors(3), k=1)  # 180 queries scanned all: building cost 100
    assert index.engine == "nmslib"
    assert index.recall.recall >= 0.99
    np.testing.assert_array_equal(found.ids[:, 0], [0, 1, 2])

    small = Index(24, "euclidean", search="auto")
    small.add(vectors(2499))
    for _ in range(3):
        small.lookup(vectors(90))
    assert small.engine == "exact"


@pytest.mark.further
def test_a_tail_is_folded_in_when_that_pays(monkeypatch):
    monkeypatch.setattr(_graphs, "_BUILD_COST", 100)
    index = Index(24, "euclidean", search="nmslib")
    index.add(vectors(3000))
    index.lookup(vectors(1))
    assert index.stats()["scanned"] == 0
    index.add(vectors(1500, seed=1))
    for _ in range(3):
        index.lookup(vectors(90))
        assert index.stats()["scanned"] == 1500
    for _ in range(3):  # 270 * 1500 rows scanned of 100 * 4500, and now more
        index.lookup(vectors(90))
    assert index.stats()["scanned"] == 0
    assert index.recall.records == 4500


def test_summary(capsys):
    index = Index(24, "euclidean", search="nmslib")
    index.add(vectors(3000), labels=np.arange(3000) % 7)
    index.summary()
    assert "3,000" in capsys.readouterr().out
    index.lookup(vectors(1))
    lines = []
    index.summary(print_fn=lines.append)
    assert f"{index.recall.recall:.1%} of the true 10 nearest" in lines[0]
    assert f"{index.recall.latency * 1e6:.0f} µs alone" in lines[0]
    assert f"M 16, efConstruction 100, effort {index.recall.effort}" in lines[0]
    assert "3,000 records in 7 classes" in lines[0]
    assert repr(index) == (
        "Index(3000 records, embedding_size=24, distance='euclidean', search='nmslib')"
    )


def test_data_frame():
    index = Index(2)
    index.add(np.eye(2), labels=[2**60 + 1, None], data=["a", None], ids=[9, 4])
    frame = index.to_data_frame()
    assert frame.index.tolist() == [4, 9]
    assert frame["label"].isna().tolist() == [True, False]
    assert frame["label"].loc[9] == 2**60 + 1
    assert frame["data"].tolist() == [None, "a"]
    np.testing.assert_array_equal(frame["embedding"].loc[4], [0, 1])
    assert len(index.to_data_frame(1)) == 1
