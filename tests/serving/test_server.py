"""The server in a process of its own: `tfsim serve`, and the example that adds to it."""

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from tensorflow_similarity.index import Index
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "serve_http.py"
TFSIM = [sys.executable, "-c", "import sys, _tfsim; sys.exit(_tfsim.main())", "serve"]
PATIENCE = 300  # seconds: what takes longer hangs, on any machine
X = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")


@contextlib.contextmanager
def serving(*command):
    """Starts a server, and gives its process and its port."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:  # TensorFlow may write some of its own before
            if line.startswith("Serving at http://127.0.0.1:"):
                break
        else:
            raise AssertionError("The server ended.")
        yield process, int(re.search(r"127.0.0.1:(\d+)", line)[1])
    finally:
        process.kill()
        process.communicate()


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def drip(connection):
    """Sends a little of a request, and a little more, for a long time."""
    for _ in range(10 * PATIENCE):
        connection.sendall(b"G")
        time.sleep(0.1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    model.create_index(distance="cosine")
    model.index(X, np.arange(60), verbose=0)
    model.save(folder / "m.keras")
    index = Index(embedding_size=4, distance="euclidean")
    index.add(X, labels=np.arange(60))
    index.save(folder / "i.index")
    return folder


def test_many_at_once(saved):
    with serving(*TFSIM, saved / "m.keras", "--port", "0") as (_, port):
        places = np.arange(200) % 60
        queries = [{"inputs": X[i : i + 1].tolist(), "k": 1} for i in places]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda query: ask(port, "POST", "/lookup", query), queries))
        assert [status for status, _ in found] == [200] * 200
        assert [answer["ids"][0][0] for _, answer in found] == places.tolist()


def test_an_index_without_a_model_and_a_graceful_stop(saved):
    with serving(*TFSIM, saved / "i.index", "--port", "0") as (process, port):
        assert ask(port, "GET", "/health")[1]["records"] == 60
        status, answer = ask(port, "POST", "/lookup", {"inputs": X[:2].tolist(), "k": 1})
        assert (status, answer["labels"]) == (200, [[0], [1]])
        with ThreadPoolExecutor(4) as pool:
            query = {"inputs": X.tolist(), "k": 60}
            asked = [pool.submit(ask, port, "POST", "/lookup", query) for _ in range(8)]
            time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            done = [one for one in asked if one.exception() is None]
        # Whoever was let in was answered in full.
        assert all(len(one.result()[1]["ids"][0]) == 60 for one in done)
        process.wait(PATIENCE)
        assert "Traceback" not in process.stderr.read()


def test_half_a_request_is_not_waited_for(saved):
    program = """
import sys
from tensorflow_similarity.index import Index
from tensorflow_similarity.serving import Limits, serve
serve(Index.load(sys.argv[1]), port=0, limits=Limits(request_seconds=1))
"""
    with serving(sys.executable, "-c", program, saved / "i.index") as (_, port):
        head = b"POST /lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        # However slow this machine is, it is the server that ends what would never end.
        for part in (b"", b"POST /loo", head, head + b"\r\n{"):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
                connection.sendall(part)
                answer = connection.recv(100)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 408")
                while answer:
                    answer = connection.recv(1000)
        # A part that comes again and again does not help either, after a whole request.
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            with pytest.raises(ConnectionError):
                drip(connection)
        assert ask(port, "GET", "/health")[0] == 200


def test_a_copy_of_the_example_runs(saved, tmp_path):
    shutil.copy(EXAMPLE, tmp_path / "service.py")
    command = [sys.executable, tmp_path / "service.py", saved / "m.keras", "--port", "0"]
    with serving(*command) as (_, port):
        assert ask(port, "GET", "/health")[1]["records"] == 60
        status, answer = ask(port, "POST", "/lookup", {"inputs": X[:1].tolist(), "k": 1})
        assert (status, answer["ids"]) == (200, [[0]])


def test_a_port_that_is_taken(saved):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [*TFSIM, saved / "i.index", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"Cannot listen at 127.0.0.1:{port}" in done.stderr
