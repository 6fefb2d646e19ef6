"""What embeddings in fewer bytes lose, and that an index knows it."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.index import Index, exact_search

STORAGES = ["float16", "int8"]
BASE = np.random.default_rng(0).normal(size=(1500, 48)).astype(np.float32)


def recall(found, true):
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True)]
    return sum(hits) / true.size


def index_of(x, distance, storage, batch=10_000, **arguments):
    index = Index(x.shape[1], distance, "exact", storage=storage, **arguments)
    for start in range(0, len(x), batch):
        index.add(x[start : start + batch])
    return index


def shifted(x, at, by):
    x = x.copy()
    x[:, at] += by
    return x


def with_outliers(x):
    x = shifted(x, [3, 4], 300)
    x[7, 5] = 1e6
    x[8] = -1e5
    x[:, 9] = 0
    x[:, 10] = -77
    return x


KINDS = {
    "as it is": BASE,
    "one shifted by 10": shifted(BASE, 3, 10),
    "one shifted by 100": shifted(BASE, 3, 100),
    "one shifted by 1000": shifted(BASE, 3, 1000),
    "all shifted": shifted(BASE, slice(None), np.linspace(-500, 500, 48)),
    "scales": BASE * np.logspace(-2, 1, 48, dtype=np.float32),
    "scales and shifts": BASE * np.logspace(-2, 1, 48, dtype=np.float32) + 40,
    "two places": np.concatenate([BASE[:700], BASE[700:] + 200]),
    "outliers and constants": with_outliers(BASE),
    "tiny": shifted(BASE, 3, 1000) * np.float32(1e-20),
    "huge": shifted(BASE, 3, 1000) * np.float32(1e12),
}


@pytest.mark.further(
    "as it is-euclidean-int8",
    "one shifted by 10-euclidean-int8",
    "one shifted by 10-cosine-int8",
    "as it is-cosine-float16",
)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("kind", KINDS)
def test_neighbors_are_kept(kind, distance, storage):
    x = KINDS[kind]
    queries = x[::10]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is lost, and nothing is said of it
        found = index_of(x, distance, storage).lookup(queries, k=10).ids
    true, _ = exact_search(queries, x, 10, distance)
    assert recall(found, true) > 0.96


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_records_that_come_a_few_at_a_time(batch, storage):
    x = shifted(BASE[:400], 3, 1000)
    index = index_of(x, "euclidean", storage, batch)
    assert recall(index.lookup(x, k=10).ids, exact_search(x, x, 10, "euclidean")[0]) > 0.96


@pytest.mark.parametrize("storage", STORAGES)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(2, 12),
    shifts=st.lists(st.sampled_from([0.0, 1.0, 50.0, 1e4]), min_size=12, max_size=12),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=5),
    zeros=st.integers(0, 3),
)
@pytest.mark.further("float16")
def test_no_number_is_stored_less_exactly_than_without(storage, seed, dim, shifts, sizes, zeros):
    """The bounds that are documented, for a row as if it were stored alone."""
    rng = np.random.default_rng(seed)
    index = Index(dim, "euclidean", storage=storage)
    parts = [rng.normal(size=(n, dim)) + shifts[:dim] for n in sizes]
    for part in parts:
        part[: zeros * (zeros < len(part))] = 0
        index.add(part)
    x = np.concatenate(parts).astype(np.float32)
    stored = index.get(index.ids).embeddings.astype(np.float64)
    size = np.abs(x) if storage == "float16" else np.abs(x).max(axis=1, keepdims=True)
    share = 2.0**-11 if storage == "float16" else 0.5 / 127
    assert (np.abs(stored - x) <= size * (share + 2e-6) + 1e-30).all()


def test_what_is_stored_stays_so(tmp_path):
    index = index_of(KINDS["two places"], "euclidean", "int8", 600)
    index.update([1, 900], labels=[3, 4])
    index.delete(np.arange(0, 1500, 7))
    ids, before = index.ids, index.get(index.ids).embeddings
    found = index.lookup(BASE[:20] + 200, k=5)
    for path, mmap in (("a", False), ("b", True)):
        index.save(tmp_path / path)
        index = Index.load(tmp_path / path, mmap=mmap)
        np.testing.assert_array_equal(index.get(ids).embeddings, before)
        np.testing.assert_array_equal(index.lookup(BASE[:20] + 200, k=5).ids, found.ids)
        index.compact()
        np.testing.assert_array_equal(index.get(ids).embeddings, before)
    new = index.add(BASE[:1] + 200)
    np.testing.assert_allclose(index.get(new).embeddings, BASE[:1] + 200, atol=0.05)
    with Index(48, "euclidean", storage="int8", path=tmp_path / "folder") as folder:
        folder.add(KINDS["two places"])
        folder.compact()
        folder.add(BASE[:3] + 200)
        held = folder.get(folder.ids).embeddings
    with Index.open(tmp_path / "folder") as folder:
        np.testing.assert_array_equal(folder.get(folder.ids).embeddings, held)


def test_older_programs_read_what_they_know(tmp_path):
    for x, version in ((BASE, 3), (KINDS["two places"], 4)):
        index_of(x, "euclidean", "int8").save(tmp_path / "x")
        content = (tmp_path / "x").read_bytes()
        assert content[8:12] == version.to_bytes(4, "little")


# -- It is measured -----------------------------------------------------------------------------


def lossy(n=1500, dim=6, seed=0):
    """Close pairs of numbers that are far apart from others: int8 cannot tell them apart."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n // 30, dim)) * 100
    return (np.repeat(centres, 30, axis=0) + rng.normal(size=(n, dim)) * 0.5).astype(np.float32)


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "manhattan"])
@pytest.mark.further("euclidean")
def test_a_loss_is_measured_and_told_once(distance):
    x = lossy()
    index = index_of(x, distance, "int8")
    with pytest.warns(UserWarning, match=r"are found in what is stored.*`target_recall` of 95.0%"):
        found = index.lookup(x, k=11).ids
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.lookup(x, k=11)
        measured = index.measure_recall()
    true = exact_search(x, x, 11, distance)[0]
    # Of itself, a record is not told by the measure.
    expected = (recall(found, true) * 11 - 1) / 10
    assert expected < 0.8
    assert measured.recall == measured.storage == pytest.approx(expected, abs=0.08)
    assert (measured.k, measured.effort, measured.records) == (10, 0, 1500)
    assert index.measure_recall(x[:50], k=3).queries == 50


@pytest.mark.parametrize("kind", ["as it is", "one shifted by 1000", "scales"])
@pytest.mark.parametrize("storage", STORAGES)
def test_the_measure_is_near_the_truth(kind, storage):
    x = KINDS[kind]
    index = index_of(x, "euclidean", storage)
    true = recall(index.lookup(x, k=10).ids, exact_search(x, x, 10, "euclidean")[0])
    assert index.measure_recall().recall == pytest.approx(true, abs=0.02)


def test_equal_records_are_no_loss():
    x = np.repeat(BASE[:60], 20, axis=0)
    for storage in STORAGES:
        assert index_of(x, "euclidean", storage).measure_recall().recall > 0.99


def test_a_lower_target_is_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index_of(lossy(), "euclidean", "int8", target_recall=0.2).lookup(BASE[:2, :6])
        index_of(lossy(), "euclidean", "float32").lookup(BASE[:2, :6])


def test_an_exact_index_loses_nothing():
    assert index_of(BASE, "euclidean", "float32").measure_recall() is None


@pytest.mark.usefixtures("graphs_of_any_size")
def test_a_graph_over_what_is_stored():
    index = Index(48, "euclidean", "nmslib", storage="int8", target_recall=0.9)
    index.add(KINDS["one shifted by 1000"])
    index.lookup(BASE[:1])
    measured = index.measure_recall()
    assert measured == index.recall
    assert 0.9 <= measured.recall <= measured.storage <= 1
    assert measured.effort == index.stats()["effort"]
