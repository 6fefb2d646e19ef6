"""A real server of Milvus, an old one (2.3), which PyPI has as `milvus`, where it is installed."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tensorflow_similarity.index import Index, MilvusIndex

pytestmark = pytest.mark.slow
N, DIM = 1500, 16

_SERVER = """
import sys, time
from milvus import default_server
default_server.set_base_dir(sys.argv[1])
default_server.listen_port = int(sys.argv[2])
default_server.start()
print(default_server.server_proc.pid, flush=True)
time.sleep(3600)
"""


def vectors(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Server:
    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.starter = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(self.folder), str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        started = self.starter.stdout.readline()
        if not started:
            self.starter.wait()
            self.starter.stdout.close()
            raise RuntimeError("The server did not start.")
        self.pid = int(started)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.starter.kill()
        self.starter.wait()
        self.starter.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("milvus", reason="the embedded server is not installed")
    pytest.importorskip("pymilvus", reason="the extra [milvus] is not installed")
    import fcntl

    # A second one would wait for ports of the first, and give up: several processes may have tests
    # of this file.
    with open(Path(tempfile.gettempdir()) / "milvus-of-tests.lock", "w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        running = Server(tmp_path_factory.mktemp("milvus"))
        yield running
        running.kill()


@pytest.fixture
def name(request):
    return f"c{abs(hash(request.node.name))}_{time.time_ns()}"


def test_it_answers_as_memory_does(server, name):
    """Also for records without a label or without data, of which an old server has no null."""
    labels = [None if i % 3 == 0 else i % 7 for i in range(N)]
    data = [None if i % 2 else {"k": i} for i in range(N)]
    index, memory = MilvusIndex(DIM, "euclidean", uri=server.uri, collection=name), None
    memory = Index(DIM, "euclidean")
    for each in (index, memory):
        each.add(vectors(), labels=labels, data=data)
        each.update([4], labels=[5])
        each.delete([7, 8])
        each.upsert([9], vectors(1, 3), data=[{"k": "text"}])
    queries = vectors(40, 1)
    for wanted in (
        None,
        {"labels": [1, 2]},
        {"labels": 0},
        {"ids": [1, 2, 3, 4]},
        {"k": {"lt": 100}},
        {"not": {"labels": 1}},
        {"not": {"k": {"lt": 100}}},
        {"labels": {"exists": False}},
        {"or": [{"labels": 3}, {"k": {"ge": 1000}}]},
    ):
        one, other = (each.lookup(queries, k=5, filter=wanted) for each in (index, memory))
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.distances, other.distances, rtol=1e-5)
        assert [hit.data for hit in one[0]] == [hit.data for hit in other[0]]
    ids = memory.ids
    np.testing.assert_array_equal(index.ids, ids)
    one, other = index.get(ids), memory.get(ids)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.has_label, other.has_label)
    assert one.data == other.data
    assert index.stats()["labelled"] == memory.stats()["labelled"]
    index.summary(lambda text: None)
    again = MilvusIndex.open(server.uri, name)
    assert again.get([0, 1]).has_label.tolist() == [False, True]
    assert again.get([0, 1]).data == memory.get([0, 1]).data
    again.close()
    index.close()


@pytest.mark.parametrize("consistency", ["Strong", "Session", "Bounded", "Eventually"])
def test_what_lookups_see_is_a_choice(server, name, consistency):
    index = MilvusIndex(DIM, "euclidean", uri=server.uri, collection=name, consistency=consistency)
    index.add(vectors(50))
    until = time.monotonic() + 30
    while consistency in ("Bounded", "Eventually") and time.monotonic() < until:
        if (index.lookup(vectors(50), k=1).ids[:, 0] == np.arange(50)).all():
            break
        time.sleep(0.2)
    assert index.lookup(vectors(50), k=1).ids[:, 0].tolist() == list(range(50))
    index.close()


def test_two_clients_write_at_once(server, name):
    indexes = [
        MilvusIndex(DIM, "cosine", uri=server.uri, collection=name, verbose=0) for _ in range(2)
    ]
    given = [[], []]

    def write(which):
        for number in range(5):
            rows = vectors(20, 10 * which + number)
            given[which] += indexes[which].add(rows, labels=[which] * 20).tolist()

    threads = [threading.Thread(target=write, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not set(given[0]) & set(given[1])
    for which, index in enumerate(indexes):
        assert len(index) == 200
        assert index.get(given[1 - which]).labels.tolist() == [1 - which] * 100
        index.close()


def test_keys_of_the_users_own(server, name):
    """As in memory; two clients write them, and another process attaches to them."""
    keys = [f"sku-{i}" for i in range(N - 3)] + ['"ä"\\', "x" * 3000, "\ud800"]
    indexes = [
        MilvusIndex(DIM, "euclidean", uri=server.uri, collection=name, verbose=0) for _ in range(2)
    ]
    one, other = indexes
    memory = Index(DIM, "euclidean")
    for index in (one, memory):
        index.add(vectors(), labels=np.arange(N) % 5, ids=keys)
    for index in (other, memory):
        index.upsert(["sku-7", "new"], vectors(2, 3), labels=[1, 2])
        index.delete(keys[10:20])
        index.update(keys[-2:], labels=[7, 8])
    with pytest.raises(ValueError, match="must not be in use"):
        other.add(vectors(1), ids=["new"])
    with pytest.raises(TypeError, match="must be strings"):
        one.add(vectors(1))
    queries = vectors(30, 1)
    for wanted in (
        None,
        {"ids": keys[:200]},
        {"ids": {"not_in": keys[3:-2]}},
        {"labels": [7, 8]},
        {"ids": "not there"},
    ):
        near, expected = (i.lookup(queries, k=3, filter=wanted) for i in (one, memory))
        np.testing.assert_array_equal(near.keys, expected.keys)
        np.testing.assert_array_equal(near.labels, expected.labels)
    assert set(one.keys) == set(memory.keys)
    assert one.has([*keys[8:12], "new"]).tolist() == [True, True, False, False, True]
    assert one.keys_of(other.ids_of(keys[-3:])).tolist() == keys[-3:]
    assert one.get(keys[-3:]).labels.tolist() == memory.get(keys[-3:]).labels.tolist()
    program = """if True:
        import sys
        from tensorflow_similarity.index import MilvusIndex
        index = MilvusIndex.open(*sys.argv[1:], verbose=0)
        assert "sku-1" in index and "sku-11" not in index
        index.upsert(["sku-1", "another"], index.get(["sku-2", "sku-3"]).embeddings)
        near = index.lookup(index.get("sku-2").embeddings, k=2)
        assert set(near.keys[0]) == {"sku-1", "sku-2"}
    """
    subprocess.run([sys.executable, "-c", program, server.uri, name], check=True)
    np.testing.assert_array_equal(one.get("sku-1").embeddings, one.get("sku-2").embeddings)
    assert set(other.lookup(one.get("sku-2").embeddings, k=2).keys[0]) == {"sku-1", "sku-2"}
    assert len(one) == len(memory) + 1
    for index in indexes:
        index.close()


def test_two_clients_write_the_same_keys_at_once(server, name):
    indexes = [
        MilvusIndex(DIM, "cosine", uri=server.uri, collection=name, verbose=0) for _ in range(2)
    ]
    keys = [f"k{i}" for i in range(60)]

    def write(which):
        for number in range(5):
            indexes[which].upsert(keys, vectors(60, 10 * which + number), labels=[which] * 60)

    threads = [threading.Thread(target=write, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in indexes:
        assert len(index) == 60
        assert set(index.keys) == set(keys)
        index.close()


def test_a_server_that_is_killed_and_comes_back(server, name):
    """What was acknowledged is there, and calls meanwhile wait for it."""
    index = MilvusIndex(DIM, "euclidean", uri=server.uri, collection=name, verbose=0)
    acknowledged, failures = [], []

    def write():
        try:
            for number in range(12):
                acknowledged.extend(index.add(vectors(100, number)).tolist())
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    while len(acknowledged) < 300:
        time.sleep(0.05)
    server.kill()
    time.sleep(2)
    server.start()
    thread.join()
    assert not failures
    assert len(acknowledged) == 1200
    assert index.has(acknowledged).all()
    index.close()
