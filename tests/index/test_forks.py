"""A process that is forked after a lookup answers, or says at once what to do."""

import os
import signal
import time
import traceback
import warnings

import keras
import numpy as np
import pytest

from oracle.engines import ENGINES, require
from tensorflow_similarity.evaluation import evaluate, verify
from tensorflow_similarity.index import Index

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8000, 32)).astype(np.float32)
Q = X[:200] + np.float32(0.01)
_SECONDS = 300


def in_fork(task):
    """Runs a task in a forked process. Raises if it fails, or does not come back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of a fork of several threads
        child = os.fork()
    if not child:
        code = 1
        try:
            task()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, "the forked process failed, see what it wrote"
            return
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError(f"the forked process did not come back within {_SECONDS} s")


@pytest.mark.further("exact")
@pytest.mark.parametrize("search", ENGINES)
def test_a_lookup_after_a_fork(search):
    require(search)
    index = Index(32, "cosine", search=search)
    index.add(X)
    before = index.lookup(Q, k=5)
    assert index.engine == search

    def child():
        found = index.lookup(Q, k=5)
        assert (found.ids == before.ids).mean() > 0.99  # products are rounded in another order
        np.testing.assert_allclose(found.distances, before.distances, rtol=1e-4, atol=1e-5)
        index.add(X[:3000])
        assert len(index.lookup(Q[:50], k=3)) == 50

    in_fork(child)
    np.testing.assert_array_equal(index.lookup(Q, k=5).ids, before.ids)


@pytest.mark.further
def test_a_graph_is_built_after_a_fork():
    require("faiss")
    first = Index(32, "cosine", search="faiss")
    first.add(X[:3000])
    first.lookup(Q)

    def child():
        for search in ("faiss", "faiss_ivf", "faiss_pq"):
            index = Index(32, "euclidean", search=search)
            index.add(X[:3000])
            assert (index.lookup(X[:100], k=1).ids[:, 0] == np.arange(100)).mean() > 0.9
            assert index.engine == search

    in_fork(child)


def test_evaluation_after_a_fork():
    labels = np.arange(2000) % 10
    before = evaluate(X[:2000], labels)

    def child():
        after = evaluate(X[:2000], labels)
        for name in before:
            np.testing.assert_allclose(after[name], before[name], atol=1e-3)

    in_fork(child)


def test_a_distance_that_needs_tensorflow_says_so():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the distance is computed by another backend")
    index = Index(32, "manhattan", search="exact")
    index.add(X[:500])
    index.lookup(Q[:5])

    def child():
        with pytest.raises(RuntimeError, match=r"'manhattan'.*forked.*spawn"):
            index.lookup(Q[:5])
        with pytest.raises(RuntimeError, match=r"'manhattan'.*forked.*spawn"):
            evaluate(X[:100], np.arange(100) % 5, distance="manhattan")
        with pytest.raises(RuntimeError, match=r"between pairs.*forked.*spawn"):
            verify(X[:100], np.arange(100) % 5)

    in_fork(child)
