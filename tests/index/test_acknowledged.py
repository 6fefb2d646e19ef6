"""What returned was done, and what raises was not: engines that fail cost graphs, not changes."""

import threading

import numpy as np
import pytest

from tensorflow_similarity.index import Engine, Index, engines, register

N, DIM = 3000, 4


def vectors(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


class FailingEngine(Engine):
    """Fails where `fails` says so, as libraries do: by RuntimeError."""

    name = "failing"
    distances = frozenset(["euclidean"])
    fails: frozenset[str] = frozenset()
    builds_begun = 0

    def build(self, vectors):
        type(self).builds_begun += 1
        self._fail("build")
        self._rows = len(vectors)

    def search(self, queries, k):
        return np.tile(np.arange(self._rows), (len(queries), 1))

    def content(self):
        yield b"begun"
        self._fail("content")
        yield str(self._rows).encode()

    def load(self, path, vectors=None):
        with open(path) as file:
            self._rows = int(file.read().removeprefix("begun"))

    def _fail(self, where):
        if where in self.fails:
            raise RuntimeError(f"Cannot {where}: /tmp is full")


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.setattr(engines, "_ENGINES", dict(engines._ENGINES))
    register(FailingEngine)

    def fail(*where):
        monkeypatch.setattr(FailingEngine, "fails", frozenset(where))

    monkeypatch.setattr(FailingEngine, "builds_begun", 0)
    yield fail
    fail()


def _each(call, values):
    for value in values:
        call(value)


def brute(index, queries, k=3):
    records = index.get(index.ids)
    distances = np.linalg.norm(queries[:, None] - records.embeddings, axis=-1)
    return records.ids[np.argsort(distances, axis=1, kind="stable")[:, :k]]


def test_a_graph_that_cannot_be_written_fails_a_save_by_an_os_error(tmp_path, failing):
    index = Index(DIM, "euclidean", search="failing")
    index.add(vectors())
    index.lookup(vectors(1))
    assert index.engine == "failing"
    index.save(tmp_path / "index")
    before = (tmp_path / "index").read_bytes()
    failing("content")
    with pytest.raises(OSError, match=r"graph of the engine 'failing'.*Cannot content"):
        index.save(tmp_path / "index")
    assert (tmp_path / "index").read_bytes() == before
    failing()
    index.save(tmp_path / "index")
    assert Index.load(tmp_path / "index").engine == "failing"


@pytest.mark.further
def test_a_change_that_is_due_for_a_snapshot_is_made_though_that_fails(tmp_path, failing):
    """It raised though the records were there: a caller who tried again doubled them."""
    wide = 1024  # so that the journal is soon longer than what a snapshot waits for
    rng = np.random.default_rng(0)
    with Index(wide, "euclidean", search="failing", path=tmp_path / "index") as index:
        index.add(rng.normal(size=(2100, wide)))
        index.lookup(rng.normal(size=(1, wide)))
        assert index.engine == "failing"
        failing("content")
        with pytest.warns(UserWarning, match="No snapshot.*Cannot content.*in its journal") as told:
            _each(index.add, [rng.normal(size=(1500, wide)) for _ in range(5)])
        assert len(told) < 5  # it is not told again and again
        assert len(index) == 9600
        failing()
        index.save()
    with Index.open(tmp_path / "index") as again:
        assert len(again) == 9600


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.filterwarnings("ignore:No graph of the index could be built")
@pytest.mark.further("True")
def test_a_graph_that_cannot_be_built_leaves_exact_search(failing, background):
    index = Index(DIM, "euclidean", search="failing", background=background)
    index.add(vectors())
    queries = vectors(5, 1)
    failing("build")
    for _ in range(4):
        found = index.lookup(queries, k=3)
        for thread in threading.enumerate():
            if thread.name == "index-build":
                thread.join()
        np.testing.assert_array_equal(found.ids, brute(index, queries))
    assert FailingEngine.builds_begun == 1  # and not with every lookup
    assert index.engine == "exact"
    with pytest.raises(RuntimeError, match="Cannot build"):
        index.compact()
    failing()
    index.compact()
    assert index.engine == "failing"
    np.testing.assert_array_equal(index.lookup(queries, k=3).ids, brute(index, queries))


def test_a_failed_build_is_told_once(failing):
    index = Index(DIM, "euclidean", search="failing")
    index.add(vectors())
    failing("build")
    with pytest.warns(UserWarning, match=r"No graph.*RuntimeError: Cannot build.*exact") as told:
        _each(index.lookup, [vectors(5, 1)] * 4)
    assert len(told) == 1
    assert told[0].filename == __file__


@pytest.mark.further
def test_a_build_that_failed_is_tried_again_later(failing):
    index = Index(DIM, "euclidean", search="failing")
    index.add(vectors(2100))
    failing("build")
    with pytest.warns(UserWarning, match="No graph"):
        index.lookup(vectors(1))
    failing()
    for _ in range(100):  # once lookups have cost as much as a graph
        index.lookup(vectors(4000, 1), k=1)
        if index.engine == "failing":
            return
    pytest.fail("It was not tried again.")
