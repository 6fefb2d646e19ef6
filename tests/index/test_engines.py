"""The registry, and the traps of nmslib."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tensorflow_similarity.index import Index, engines
from tensorflow_similarity.index.engines import nmslib
from tensorflow_similarity.index.engines.nmslib import NmslibEngine


def vectors(n, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


class Reversed(engines.Engine):
    """Finds the last rows, and is honest about nothing."""

    name = "reversed"
    distances = frozenset(["euclidean"])

    def build(self, vectors):
        self.vectors = vectors

    def search(self, queries, k):
        return np.tile(np.arange(len(self.vectors))[::-1][:k], (len(queries), 1))

    def content(self):
        yield self.vectors.tobytes()

    def load(self, path):
        self.vectors = np.fromfile(path, np.float32).reshape(-1, 8)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(engines, "_ENGINES", dict(engines._ENGINES))
    engines.register(Reversed)


def test_a_new_engine_is_one_class(registered, graphs_of_any_size, tmp_path):
    index = Index(8, "euclidean", search="reversed", target_recall=1e-9)
    x = vectors(40)
    index.add(x)
    found = index.lookup(x[:1], k=3)
    assert index.engine == "reversed"
    assert set(found.ids[0]) == {39, 38, 37}
    np.testing.assert_allclose(
        found.distances[0], np.linalg.norm(x[found.ids[0]] - x[0], axis=1), rtol=1e-5
    )
    index.save(tmp_path / "x")
    np.testing.assert_array_equal(Index.load(tmp_path / "x").lookup(x[:1], k=3).ids, found.ids)


def test_registration(registered):
    every = ["faiss", "faiss_ivf", "faiss_pq", "nmslib", "prefix", "reversed", "scann", "usearch"]
    assert engines.names() == ["auto", "exact", *every]
    engines.register(Reversed)  # twice is no harm
    with pytest.raises(ValueError, match="must not be one of"):
        engines.register(type("Other", (Reversed,), {}))
    with pytest.raises(ValueError, match="must not be one of"):
        engines.register(type("Other", (Reversed,), {"name": "exact"}))
    with pytest.raises(TypeError, match="subclass of Engine"):
        engines.register(dict)


def test_an_index_saved_with_an_engine_that_is_not_there(registered, tmp_path, monkeypatch):
    index = Index(8, "euclidean", search="reversed")
    index.add(vectors(3))
    index.save(tmp_path / "x")
    monkeypatch.delitem(engines._ENGINES, "reversed")
    with pytest.raises(ValueError, match=r"Unknown `search`.*'reversed'"):
        Index.load(tmp_path / "x")


def test_only_the_advice_is_kept_from_standard_error(monkeypatch, capfd):
    def noisy(name, *args, real=__import__, **kwargs):
        if name == "nmslib":
            os.write(
                2, b"Your CPU supports instructions\nanother line\npip install --no-binary x\n"
            )
        return real(name, *args, **kwargs)

    monkeypatch.setattr("builtins.__import__", noisy)
    nmslib._nmslib.__wrapped__()
    assert capfd.readouterr().err == "another line\n"
    os.write(2, b"still open\n")
    assert capfd.readouterr().err == "still open\n"


@pytest.mark.slow
def test_nmslib_says_nothing_when_imported():
    code = (
        "import tensorflow_similarity.index, sys; "
        "assert 'nmslib' not in sys.modules; "  # imported only when used
        "from tensorflow_similarity.index.engines.nmslib import _nmslib; "
        "print('begin', file=sys.stderr, flush=True); _nmslib(); import os; "
        "os.write(2, b'end')"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=True)
    assert done.stderr.split(b"begin\n")[1] == b"end"
    assert done.stdout == b""


def test_nmslib_without_standard_error(monkeypatch):
    def closed(_):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(nmslib.os, "dup", closed)
    assert hasattr(nmslib._nmslib.__wrapped__(), "init")


def test_nmslib_effort_is_the_users(graphs_of_any_size):
    assert NmslibEngine("cosine", {"ef": 77}).effort == 77
    index = Index(8, search="nmslib", search_params={"ef": 77})
    index.add(vectors(300))
    index.lookup(vectors(1))
    assert index.stats()["effort"] == 77
