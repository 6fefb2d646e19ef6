"""Lookups while another thread changes the index."""

import threading
import time

import numpy as np
import pytest

from tensorflow_similarity.index import Index, folding

DIM = 6


def code(ids):
    """An embedding that tells its id: every hit can be checked by itself."""
    ids = np.asarray(ids)
    angles = ids[:, None] * np.array([[0.1, 0.37, 1.3]])
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize("distance", ["euclidean"])
def test_one_writer_and_many_readers(make, monkeypatch, distance):
    monkeypatch.setattr(folding, "_BUILD_COST", 300)  # graphs are built meanwhile, many times
    index = make(DIM, distance)
    index.add(code(np.arange(300)), labels=np.arange(300) * 3)
    permanent = np.arange(100)
    stop, failures, lookups = threading.Event(), [], [0]
    builds = []
    build = folding.Folding.build
    monkeypatch.setattr(
        folding.Folding, "build", lambda self, state: builds.append(1) or build(self, state)
    )

    def read(seed):
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            wanted = rng.choice(permanent, rng.choice([1, 20]), replace=False)
            k = int(rng.choice([1, 5, 9]))
            found = index.lookup(code(wanted), k=k)
            # Permanent records are found in any state, at distance 0.
            np.testing.assert_array_equal(found.ids[:, 0], wanted)
            np.testing.assert_array_equal(found.distances[:, 0], 0)
            assert (found.ids >= 0).all()
            np.testing.assert_array_equal(found.labels, found.ids * 3)
            assert all(len(set(row)) == k for row in found.ids.tolist())
            # Every hit is the record that its id says, whatever became of it.
            for hits, query in zip(found, code(wanted), strict=True):
                for hit in hits:
                    np.testing.assert_array_equal(hit.embedding, code([hit.id])[0])
                    np.testing.assert_allclose(
                        hit.distance, np.linalg.norm(hit.embedding - query), rtol=1e-4, atol=1e-6
                    )
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
        return time.monotonic() > begin + 1.5 and lookups[0] > 50 and built

    while not enough() and time.monotonic() < begin + 30 and not failures:
        ids = np.arange(fresh, fresh + int(rng.integers(1, 30)))
        fresh = int(ids[-1]) + 1
        index.add(code(ids), labels=ids * 3, ids=ids)
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
        reader.join(30)
    assert not failures
    assert not any(reader.is_alive() for reader in readers)
    assert enough()


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
        thread.join(60)
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
    build = folding.Folding.build

    def slow(self, state):
        begun.set()
        assert go_on.wait(30)
        return build(self, state)

    monkeypatch.setattr(folding.Folding, "build", slow)
    assert index.lookup(code([3]), k=1).ids.item() == 3  # does not wait
    assert begun.wait(30)
    (added,) = index.add(code([7777]))
    index.delete(4)
    assert index.lookup(code([7777]), k=1).ids.item() == added
    assert index.engine == "exact"
    go_on.set()
    deadline = time.monotonic() + 30
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
    build = folding.Folding.build

    def cleared_meanwhile(self, state):
        built = build(self, state)
        index.clear()
        index.add(code(np.arange(200, 230)))
        return built

    with monkeypatch.context() as patch:
        patch.setattr(folding.Folding, "build", cleared_meanwhile)
        assert index.lookup(code([205]), k=1).ids.item() == 105
    assert index.engine == "exact"
    assert index.lookup(code([205]), k=1).distances.item() == 0
    assert index.engine == "nmslib"
