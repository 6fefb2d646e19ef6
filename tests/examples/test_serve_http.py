"""The HTTP example: it answers as `lookup` does, many at once, and says what is wrong."""

import contextlib
import http.client
import importlib.util
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
EXAMPLE = Path(__file__).parents[2] / "examples" / "serve_http.py"
X = np.random.default_rng(0).normal(size=(60, 4, 2)).astype("float32")


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4, 2))
    model = SimilarityModel(inputs, L2Embedding(3)(keras.layers.Flatten()(inputs)))
    model.create_index(distance="cosine")
    model.index(X[:59], np.arange(59), verbose=0)
    model.vector_index.add(model.embed(X[59:], verbose=0))  # without a label
    return model


def expected(model, x, k):
    found = model.lookup(x, k=k, verbose=0)
    labels = np.where(found.has_label, found.labels.astype(object), None)
    return {"ids": found.ids.tolist(), "labels": labels.tolist()}, found.distances


def check(model, answer, x, k):
    columns, distances = expected(model, x, k)
    assert {name: answer[name] for name in columns} == columns
    np.testing.assert_allclose(answer["distances"], distances, atol=1e-6)


@pytest.fixture(scope="module")
def module():
    sys.path.insert(0, str(EXAMPLE.parent))
    spec = importlib.util.spec_from_file_location("serve_http", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["serve_http"] = module  # where dataclasses and pydantic look names up
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(EXAMPLE.parent))
    del sys.modules["serve_http"]


@pytest.fixture(scope="module")
def client(module, model):
    testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx")
    with testclient.TestClient(module.make_app(model)) as client:
        yield client


def test_lookup(client, model):
    answer = client.post("/lookup", json={"inputs": X[57:].tolist(), "k": 4})
    assert answer.status_code == 200
    check(model, answer.json(), X[57:], 4)
    assert None in np.ravel(answer.json()["labels"])
    assert np.shape(client.post("/lookup", json={"inputs": X[:2].tolist()}).json()["ids"]) == (
        2,
        5,
    )


def test_no_more_than_there_are(client):
    answer = client.post("/lookup", json={"inputs": X[:2].tolist(), "k": 99}).json()
    assert np.shape(answer["ids"]) == (2, 60)


def test_health(client):
    assert client.get("/health").json() == {
        "status": "ok",
        "records": 60,
        "input_shape": [4, 2],
    }


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"inputs": X[0].tolist()}, "must have shape [4, 2] each. Received: [2]"),
        ({"inputs": [[[1, 2]]]}, "Received: [1, 2]"),
        ({"inputs": [[[1, 2], [3]]]}, "must be numbers"),
        ({"inputs": [[["a", 2]] * 4]}, "must be numbers"),
        ({"inputs": [[[1e300, 2]] * 4]}, "must be finite"),
        ({"inputs": []}, "at least 1 item"),
        ({"inputs": X[:1].tolist(), "k": 0}, "greater than or equal to 1"),
        ({"inputs": [1] * 257}, "at most 256 items"),
        ({}, "Field required"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_what_does_not_fit_is_refused(client, query, says):
    answer = client.post("/lookup", json=query)
    assert answer.status_code == 422
    assert says in json.dumps(answer.json())


def test_an_empty_index_is_not_ready(module):
    testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx")
    inputs = keras.Input((4, 2))
    empty = SimilarityModel(inputs, L2Embedding(3)(keras.layers.Flatten()(inputs)))
    empty.create_index(distance="cosine")
    with testclient.TestClient(module.make_app(empty)) as client:
        assert client.get("/health").status_code == 503
        answer = client.post("/lookup", json={"inputs": X[:1].tolist()})
        assert (answer.status_code, answer.json()["detail"]) == (503, "The index is empty.")


def test_those_who_wait_share_a_batch(client, model, monkeypatch):
    sizes, real = [], SimilarityModel.lookup

    def slow(self, x, *args, **kwargs):
        sizes.append(len(x))
        time.sleep(0.1)
        return real(self, x, *args, **kwargs)

    monkeypatch.setattr(SimilarityModel, "lookup", slow)

    def ask(i):
        query = {"inputs": X[i : i + 1 + i % 3].tolist(), "k": 1 + i % 4}
        return client.post("/lookup", json=query).json()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    assert sum(sizes) == sum(1 + i % 3 for i in range(12))
    assert len(sizes) < 12
    monkeypatch.undo()
    for i, answer in enumerate(answers):
        check(model, answer, X[i : i + 1 + i % 3], 1 + i % 4)


def test_a_failing_lookup_fails_its_requests_only(client, monkeypatch):
    def fail(self, *args, **kwargs):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(SimilarityModel, "lookup", fail)
    with pytest.raises(RuntimeError, match="out of luck"):  # a plain 500 in a real server
        client.post("/lookup", json={"inputs": X[:1].tolist()})
    monkeypatch.undo()
    assert client.post("/lookup", json={"inputs": X[:1].tolist()}).status_code == 200


@pytest.mark.slow
def test_a_server_under_load(model, tmp_path):
    model.save(tmp_path / "m.keras")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def ask(method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200
            return json.loads(response.read())

    command = [sys.executable, str(EXAMPLE), str(tmp_path / "m.keras"), "--port", str(port)]
    server = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                assert ask("GET", "/health")["records"] == 60
                break
            except ConnectionRefusedError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)

        places = np.arange(200) % 60
        queries = [json.dumps({"inputs": X[i : i + 1].tolist(), "k": 3}) for i in places]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda query: ask("POST", "/lookup", query), queries))
        for i, answer in zip(places, found, strict=True):
            check(model, answer, X[i : i + 1], 3)
    finally:
        server.terminate()
        server.wait(30)
