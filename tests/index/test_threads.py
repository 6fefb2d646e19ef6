"""Lookups while another thread changes the index."""

import os
import threading
import time

import numpy as np
import pytest

from tensorflow_similarity.index import Index, _folder, _graphs, _journal
from tensorflow_similarity.index.engines import exact

DIM = 6


def code(ids):
    """An embedding that tells its id: every hit can be checked by itself."""
    ids = np.asarray(ids)
    angles = ids[:, None] * np.array([[0.1, 0.37, 1.3]])
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def stress(index, monkeypatch, tolerance=0.0, at_least=0.7):
    """One writer and four readers, who check whatever they find."""
    permanent = np.arange(100)
    stop, failures, lookups, builds = threading.Event(), [], [0], []
    build = _graphs.Folding.build
    monkeypatch.setattr(
        _graphs.Folding, "build", lambda self, state: builds.append(1) or build(self, state)
    )

    def read(seed):
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            wanted = rng.choice(permanent, rng.choice([1, 20]), replace=False)
            k = int(rng.choice([1, 5, 9]))
            found = index.lookup(code(wanted), k=k)
            # Permanent records are found in any state, where they were put.
            np.testing.assert_array_equal(found.ids[:, 0], wanted)
            assert (found.distances[:, 0] <= tolerance).all()
            assert (found.ids >= 0).all()
            np.testing.assert_array_equal(found.labels, found.ids * 3)
            assert all(len(set(row)) == k for row in found.ids.tolist())
            # Every hit is the record that its id says, whatever became of it.
            for hits, query in zip(found, code(wanted), strict=True):
                for hit in hits:
                    np.testing.assert_allclose(
                        hit.embedding, code([hit.id])[0], rtol=0, atol=tolerance
                    )
                    np.testing.assert_allclose(
                        hit.distance, np.linalg.norm(hit.embedding - query), rtol=1e-4, atol=1e-6
                    )
                    assert hit.data in (None, [hit.id])
            lookups[0] += 1

    def guarded(seed):
        try:
            read(seed)
        except BaseException as error:
            failures.append(error)
            raise

    readers = [threading.Thread(target=guarded, args=(seed,)) for seed in range(4)]
    for reader in readers:
        reader.start()
    rng = np.random.default_rng(99)
    fresh, begin = 1000, time.monotonic()

    def enough():
        built = len(builds) > 2 or index.search == "exact"
        return time.monotonic() > begin + at_least and lookups[0] > 50 and built

    while not enough() and time.monotonic() < begin + 300 and not failures:
        ids = np.arange(fresh, fresh + int(rng.integers(1, 30)))
        fresh = int(ids[-1]) + 1
        index.add(code(ids), labels=ids * 3, ids=ids, data=ids[:, None].tolist())
        found = index.lookup(code(ids[:1]), k=1)
        assert found.ids.item() == ids[0]
        candidates = np.setdiff1d(index.ids, permanent)
        index.delete(rng.choice(candidates, len(candidates) // 8, replace=False))
        some = rng.choice(permanent, 3, replace=False)
        index.upsert(some, code(some), labels=some * 3)
        if rng.random() < 0.1:
            index.compact()
        time.sleep(0.001)
    stop.set()
    for reader in readers:
        reader.join(300)
    assert not failures
    assert not any(reader.is_alive() for reader in readers)
    assert enough()


@pytest.mark.parametrize(
    "engine",
    [
        "exact",
        "faiss",  # which crashes, or waits for ever, if its graph is written to meanwhile
        "nmslib",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("faiss_ivf", "scann", "usearch")),
    ],
    indirect=True,
)
@pytest.mark.further
def test_one_writer_and_many_readers(make, monkeypatch):
    monkeypatch.setattr(_graphs, "_BUILD_COST", 300)  # graphs are built meanwhile, many times
    index = make(DIM, "euclidean")
    index.add(code(np.arange(300)), labels=np.arange(300) * 3)
    stress(index, monkeypatch, at_least=1.5)


@pytest.mark.usefixtures("graphs_of_any_size")
@pytest.mark.further
def test_readers_of_an_index_that_lives_in_a_folder(monkeypatch, tmp_path):
    """Snapshots and graphs are made by threads of their own meanwhile."""
    monkeypatch.setattr(_graphs, "_BUILD_COST", 300)
    monkeypatch.setattr(_folder, "_SMALLEST_JOURNAL", 5000)
    params = {"M": 24, "efConstruction": 300, "ef": 600}
    index = Index(
        DIM, "euclidean", "nmslib", search_params=params, background=True, path=tmp_path / "index"
    )
    index.add(code(np.arange(300)), labels=np.arange(300) * 3)
    stress(index, monkeypatch)
    index.close()
    with Index.open(tmp_path / "index") as again:
        np.testing.assert_array_equal(again.ids, index.ids)
        a, b = again.get(again.ids), index.get(again.ids)
        np.testing.assert_array_equal(a.embeddings, b.embeddings)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert a.data == b.data
    assert int(max(name for name in os.listdir(index.path) if "snap" in name).split(".")[1]) > 1


@pytest.mark.further
def test_readers_of_a_mapped_file_in_half_precision(monkeypatch, tmp_path):
    index = Index(DIM, "euclidean", "exact", storage="float16")
    index.add(code(np.arange(300)), labels=np.arange(300) * 3, data=np.c_[:300].tolist())
    index.save(tmp_path / "x")
    stress(Index.load(tmp_path / "x", mmap=True), monkeypatch, tolerance=1e-3)


def test_lookups_run_together_and_wait_for_no_writer(tmp_path, monkeypatch):
    index = Index(DIM, "euclidean", path=tmp_path / "index")
    index.add(code(np.arange(50)))
    together, inside, go_on = threading.Barrier(3), threading.Event(), threading.Event()
    real, append = exact.ExactScan.search, _journal.Journal.append

    def search(*args, **kwargs):
        together.wait(300)  # until three lookups are in here
        return real(*args, **kwargs)

    def slow(*args):
        inside.set()
        assert go_on.wait(300)
        append(*args)

    monkeypatch.setattr(exact.ExactScan, "search", search)
    monkeypatch.setattr(_journal.Journal, "append", slow)
    writer = threading.Thread(target=lambda: index.delete(7))
    writer.start()
    assert inside.wait(300)
    found = []
    readers = [
        threading.Thread(target=lambda: found.append(index.lookup(code([7]), k=1)))
        for _ in range(3)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(300)
    assert [each.ids.item() for each in found] == [7, 7, 7]
    go_on.set()
    writer.join(300)
    assert 7 not in index
    index.close()


@pytest.mark.parametrize("engine", ["faiss", "nmslib", "usearch"], indirect=True)
@pytest.mark.further("faiss")
def test_lookups_of_other_efforts_do_not_disturb_each_other(make):
    """`ef` belongs to the whole graph: a wide lookup must not widen the narrow one beside it."""
    index = make(DIM, search_params={})
    rng = np.random.default_rng(0)
    index.add(rng.normal(size=(3000, DIM)))
    queries = rng.normal(size=(60, DIM))
    alone = {k: index.lookup(queries, k=k).ids for k in (3, 200)}
    failures = []

    def repeat(k):
        try:
            for _ in range(20):
                np.testing.assert_array_equal(index.lookup(queries, k=k).ids, alone[k])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=(k,)) for k in (3, 200, 3, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


def test_a_snapshot_does_not_change(make):
    index = make(DIM)
    index.add(code(np.arange(50)), labels=np.arange(50), data=list(range(50)))
    before = index.lookup(code([3]), k=2)
    index.update([3], labels=[77], data=["other"])
    index.delete(before.ids[0, 1])
    index.compact()
    assert before[0][0].label == 3
    assert before[0][0].data == 3
    assert before[0][1].data == before.ids[0, 1]
    assert index.lookup(code([3]), k=1)[0][0].data == "other"


def test_graphs_built_in_the_background(graphs_of_any_size, monkeypatch):
    index = Index(DIM, "euclidean", search="nmslib", background=True)
    index.add(code(np.arange(500)))
    begun, go_on = threading.Event(), threading.Event()
    build = _graphs.Folding.build

    def slow(self, state):
        begun.set()
        assert go_on.wait(300)
        return build(self, state)

    monkeypatch.setattr(_graphs.Folding, "build", slow)
    assert index.lookup(code([3]), k=1).ids.item() == 3  # does not wait
    assert begun.wait(300)
    (added,) = index.add(code([7777]))
    index.delete(4)
    assert index.lookup(code([7777]), k=1).ids.item() == added
    assert index.engine == "exact"
    go_on.set()
    deadline = time.monotonic() + 300
    while index.engine == "exact":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert index.lookup(code([7777]), k=1).ids.item() == added
    assert index.lookup(code([4]), k=1).ids.item() != 4
    assert index.stats()["scanned"] == 1
    assert Index.from_config(index.get_config()).get_config()["background"] is True


def test_a_graph_of_records_that_are_gone_is_let_go(graphs_of_any_size, monkeypatch):
    """The index is cleared while a graph of its records is being built."""
    index = Index(DIM, "euclidean", search="nmslib")
    index.add(code(np.arange(100)))
    build = _graphs.Folding.build

    def cleared_meanwhile(self, state):
        built = build(self, state)
        index.clear()
        index.add(code(np.arange(200, 230)))
        return built

    with monkeypatch.context() as patch:
        patch.setattr(_graphs.Folding, "build", cleared_meanwhile)
        assert index.lookup(code([205]), k=1).ids.item() == 105
    assert index.engine == "exact"
    assert index.lookup(code([205]), k=1).distances.item() == 0
    assert index.engine == "nmslib"


def test_a_note_is_set_while_names_are_added_to_a_selection(tmp_path):
    """Both hold what the other needs, unless they take it in the same order."""
    index = Index(DIM, "euclidean", path=tmp_path / "folder")
    index.add(code([0, 1]), data=[{"a": 1}, {"a": 2}])
    chosen = threading.Event()

    def both(data):
        chosen.set()
        time.sleep(0.1)
        return True

    def note():
        chosen.wait(10)
        index.notes["a"] = 1

    threads = [
        threading.Thread(target=note, daemon=True),
        threading.Thread(
            target=index.update, kwargs={"filter": both, "labels": "new"}, daemon=True
        ),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    index.close()
    with Index.open(tmp_path / "folder") as again:
        assert again.notes["a"] == 1
        assert again.get([0, 1]).labels.tolist() == ["new", "new"]
