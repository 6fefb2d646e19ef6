"""Engines that search in the rows of the index itself: held once, saved once."""

import gc
import os

import inside_index
import numpy as np
import pytest

from oracle.engines import require
from tensorflow_similarity.index import Index, _memory, _snapshot
from tensorflow_similarity.index._columns import lies_in_file
from tensorflow_similarity.index.engines import usearch

slow = pytest.mark.slow
DIM = 32
# All is found, so that answers do not depend on the order in which threads add.
THOROUGH = {"M": 16, "efConstruction": 100, "ef": 700}


def vectors(n, seed=0, unit=False):
    x = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True) if unit else x


@pytest.fixture(params=["faiss", "usearch"])
def name(request, graphs_of_any_size):
    """The name of each engine that shares."""
    require(request.param)
    return request.param


def built(name, distance="euclidean", unit=False, **arguments):
    params = {**THOROUGH, **arguments.pop("params", {})}
    index = Index(DIM, distance, search=name, search_params=params, **arguments)
    index.add(vectors(600, unit=unit), labels=np.arange(600))
    index.lookup(vectors(1))
    assert index.engine == name
    return index


def rows_and_engine(index):
    state = inside_index.state(index)
    return state.rows.vectors, state.graph.engine


def assert_same_answers(a, b):
    found, again = (each.lookup(vectors(50, seed=9), k=12) for each in (a, b))
    np.testing.assert_array_equal(found.ids, again.ids)
    np.testing.assert_array_equal(found.distances, again.distances)


@pytest.mark.parametrize(("distance", "unit"), [("euclidean", False), ("cosine", True)])
@pytest.mark.further("usearch-euclidean-False")
def test_rows_are_held_once(name, distance, unit, tmp_path):
    index = built(name, distance, unit)
    assert np.shares_memory(*(rows_and_engine(index)[0], rows_and_engine(index)[1].shared))
    index.save(tmp_path / "x")
    loaded = Index.load(tmp_path / "x")
    rows, engine = rows_and_engine(loaded)
    assert np.shares_memory(rows, engine.shared)
    np.testing.assert_array_equal(rows, vectors(600, unit=unit))
    assert_same_answers(index, loaded)


@pytest.mark.usefixtures("graphs_of_any_size")
@pytest.mark.further
def test_the_library_has_no_copy():
    require("usearch")
    sizes = {}
    for distance, unit in (("cosine", True), ("cosine", False)):
        index = built("usearch", distance, unit)
        sizes[unit] = rows_and_engine(index)[1]._index.memory_usage
    assert sizes[False] - sizes[True] > 0.9 * 600 * DIM * 4


@pytest.mark.parametrize(
    ("distance", "arguments"),
    [
        ("cosine", {}),  # it walks over rows of length 1, which these are not
        ("euclidean", {"params": {"dtype": "bfloat16"}}),
        ("euclidean", {"params": {"dtype": "bfloat16"}, "storage": "int8"}),
    ],
)
@pytest.mark.further("usearch-euclidean-arguments1")
def test_rows_that_a_graph_holds_otherwise_are_its_own(name, distance, arguments, tmp_path):
    index = built(name, distance, **arguments)
    assert rows_and_engine(index)[1].shared is None
    index.save(tmp_path / "x")
    assert_same_answers(index, Index.load(tmp_path / "x"))


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.further("usearch-int8")
def test_rows_stored_in_fewer_bytes_are_read_for_the_graph(name, storage, tmp_path):
    index = built(name, storage=storage)
    index.save(tmp_path / "x")
    for mmap in (False, True):
        loaded = Index.load(tmp_path / "x", mmap=mmap)
        rows, engine = rows_and_engine(loaded)
        np.testing.assert_array_equal(engine.shared, rows[:])
        assert_same_answers(index, loaded)


@pytest.mark.further("usearch")
def test_rows_are_saved_once(name, tmp_path):
    built(name, "cosine", unit=True).save(tmp_path / "once")
    built(name, "cosine").save(tmp_path / "twice")
    once, twice = (os.path.getsize(tmp_path / each) for each in ("once", "twice"))
    assert abs(twice - once - 600 * DIM * 4) < 4096


@pytest.mark.usefixtures("graphs_of_any_size")
def test_a_mapped_graph_leaves_the_rows_in_the_file(tmp_path):
    require("faiss")
    index = built("faiss")
    index.save(tmp_path / "x")
    mapped = Index.load(tmp_path / "x", mmap=True)
    rows, engine = rows_and_engine(mapped)
    assert lies_in_file(engine.shared)
    assert np.shares_memory(rows, engine.shared)
    os.remove(tmp_path / "x")
    assert_same_answers(index, mapped)


@pytest.mark.parametrize("mmap", [None, False, True])
@pytest.mark.further("faiss-False")
def test_the_graph_outlives_what_the_index_does(name, mmap, tmp_path):
    """The index moves its rows where there is more room; the graph stays in the old place."""
    index = built(name)
    if mmap is not None:
        index.save(tmp_path / "x")
        index = Index.load(tmp_path / "x", mmap=mmap)
    plain = Index(DIM, "euclidean", search="exact")
    plain.add(vectors(600))
    for seed in range(1, 5):
        for each in (index, plain):
            each.add(vectors(500, seed=seed))
            each.delete(np.arange(20 * seed, 20 * seed + 10))
        if seed == 4:
            gc.collect()
        assert_same_answers(index, plain)
    assert rows_and_engine(index)[1].shared.shape == (600, DIM)


@pytest.mark.parametrize(
    ("data", "mmap"),
    [
        ("json", False),
        ("array", True),
        (None, True),
        *(pytest.param(*rest, marks=slow) for rest in (("json", True), ("array", False))),
    ],
)
@pytest.mark.further("usearch-array-True")
def test_a_few_dead_rows_stay_in_place(name, data, mmap, tmp_path):
    """So that the graph, when it is loaded, still walks over the rows of the index."""
    if data == "json":
        data = [f"of {i}" for i in range(600)]
    elif data == "array":
        data = 10**9 + np.arange(600)
    index = Index(DIM, "euclidean", search=name, search_params=THOROUGH)
    index.add(vectors(600), labels=np.arange(600), data=data)
    index.lookup(vectors(1))
    new = None if data is None else data[:10]
    index.upsert(np.arange(5, 15), vectors(10, seed=3), labels=[7] * 10, data=new)
    index.add(vectors(10, seed=4), data=new)
    index.delete([30, 31, 599, 605, 14])
    index.save(tmp_path / "x")
    loaded = Index.load(tmp_path / "x", mmap=mmap)
    rows, engine = rows_and_engine(loaded)
    assert inside_index.state(loaded).rows.dead == 13  # and not those that came after the graph
    if name == "faiss":
        assert np.shares_memory(rows[:1], engine.shared)
        assert lies_in_file(engine.shared) == mmap
    for _ in range(2):
        assert len(loaded) == len(index)
        np.testing.assert_array_equal(loaded.ids, index.ids)
        a, b = index.get(index.ids), loaded.get(index.ids)
        np.testing.assert_array_equal(a.embeddings, b.embeddings)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.has_label, b.has_label)
        np.testing.assert_equal(a.data, b.data)
        assert 30 not in loaded
        assert_same_answers(index, loaded)
        for each in (index, loaded):
            each.upsert([3, 30], vectors(2, seed=8))
            each.delete([3])
            each.add(vectors(1, seed=11), ids=[31])
            each.delete([31, 30])
    if data is not None:
        content = (tmp_path / "x").read_bytes()
        gone = b"of 599" if isinstance(data, list) else np.int64(10**9 + 599).tobytes()
        assert gone not in content
    loaded.compact()
    index.compact()
    assert np.shares_memory(*(rows_and_engine(loaded)[0], rows_and_engine(loaded)[1].shared))
    assert_same_answers(index, loaded)


@pytest.mark.usefixtures("graphs_of_any_size")
def test_what_came_after_the_graph_is_held_beside_it(tmp_path):
    """usearch wants its rows in one piece with its links: the index takes them from there."""
    require("usearch")
    index = built("usearch")
    index.add(vectors(30, seed=1))
    index.save(tmp_path / "x")
    rows, engine = rows_and_engine(Index.load(tmp_path / "x"))
    first, second = rows.parts
    assert first is engine.shared
    assert second.base is None or len(second.base) == 30
    np.testing.assert_array_equal(rows[:], np.concatenate([vectors(600), vectors(30, seed=1)]))


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.further("usearch-True-True")
def test_a_graph_through_records_that_are_gone(name, monkeypatch, tmp_path, moved, mmap):
    """The file has the rows that it leads through, though not the records."""
    monkeypatch.setattr(_memory, "_MOST_DEAD", 0 if moved else 10**6)
    monkeypatch.setattr(_snapshot, "_DEAD_SHARE", 0)
    index = built(name)
    index.upsert(np.arange(10), vectors(10, seed=3))
    for start in range(0, 400, 80):
        index.delete(np.arange(start + 20, start + 90))
    assert (inside_index.state(index).rows.dead == 0) == moved
    index.save(tmp_path / "x")
    loaded = Index.load(tmp_path / "x", mmap=mmap)
    assert loaded.engine == name
    np.testing.assert_array_equal(loaded.ids, index.ids)
    np.testing.assert_array_equal(
        rows_and_engine(loaded)[1].shared, rows_and_engine(index)[1].shared
    )
    assert_same_answers(index, loaded)
    loaded.save(tmp_path / "x")
    assert_same_answers(index, Index.load(tmp_path / "x", mmap=mmap))


@pytest.mark.further("usearch")
def test_the_last_to_go(name, tmp_path):
    """Neither is left without the rows by the end of the other."""
    index = built(name)
    rows, engine = rows_and_engine(index)
    before = rows.copy()
    expected = engine.search(before[:20], 5)
    del index, rows
    gc.collect()
    np.testing.assert_array_equal(engine.search(before[:20], 5), expected)
    rows = engine.shared
    del engine
    gc.collect()
    np.testing.assert_array_equal(rows, before)


@pytest.mark.usefixtures("graphs_of_any_size")
def test_usearch_files_of_another_kind_are_not_cut():
    require("usearch")
    index = built("usearch")
    engine = rows_and_engine(index)[1]
    engine.shared = engine.shared[:-1]
    with pytest.raises(RuntimeError, match="not understood"):
        list(engine.content())


@pytest.mark.usefixtures("graphs_of_any_size")
def test_usearch_files_of_another_kind_hold_the_rows(monkeypatch, tmp_path):
    require("usearch")
    monkeypatch.setattr(usearch, "_files_are_known", lambda: False)
    index = built("usearch")
    assert rows_and_engine(index)[1].shared is None
    index.save(tmp_path / "x")
    assert_same_answers(index, Index.load(tmp_path / "x"))


@pytest.mark.usefixtures("graphs_of_any_size")
def test_usearch_walks_over_no_copy_that_goes_away(monkeypatch):
    """Whether all rows are of length 1 is asked of other blocks than are added."""
    require("usearch")
    monkeypatch.setattr(usearch.UsearchEngine, "_as_they_are", lambda self, vectors: True)
    x = 1.5 * vectors(300, unit=True)
    engine = usearch.UsearchEngine("cosine", THOROUGH)
    engine.build(x)
    before = engine.search(vectors(20, seed=2, unit=True), 5)
    gc.collect()
    x /= 1.5  # what it walks over
    assert (engine.search(x, 1)[:, 0] == np.arange(300)).mean() > 0.9
    assert before.shape == (20, 5)


@pytest.mark.parametrize("search", ["nmslib", "faiss"])
@pytest.mark.usefixtures("graphs_of_any_size")
def test_a_graph_takes_nothing_out_of_the_file(search, tmp_path):
    require(search)
    index = Index(DIM, "euclidean")
    index.add(vectors(600), data=np.arange(600))
    index.save(tmp_path / "x")
    saved = Index.load(tmp_path / "x")
    mapped = Index.load(tmp_path / "x", mmap=True)
    inside_index.live(mapped).folding = inside_index.live(
        Index(DIM, "euclidean", search=search)
    ).folding
    mapped.delete([7])
    rows = inside_index.state(mapped).rows
    mapped.lookup(vectors(1))
    assert mapped.engine == search
    assert inside_index.state(mapped).rows is rows
    assert lies_in_file(rows.vectors)
    assert lies_in_file(rows.data.values)
    assert len(saved) == len(mapped) + 1


def test_a_graph_is_built_of_rows_that_lie_together(name):
    """Else it would be built of a copy of those that are alive."""
    index = Index(DIM, "euclidean", search=name, search_params=THOROUGH)
    index.add(vectors(600))
    index.delete(np.arange(0, 600, 50))
    index.lookup(vectors(1))
    rows, engine = rows_and_engine(index)
    assert np.shares_memory(rows, engine.shared)
    assert len(rows) == 588
