"""The service: it answers as `lookup` does, many at once, and says what is wrong."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from tensorflow_similarity.calibration import calibrate
from tensorflow_similarity.index import Index
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.serving import Limits, make_app

testclient = pytest.importorskip("starlette.testclient", reason="the extra [serve] or httpx")

X = np.random.default_rng(0).normal(size=(60, 4, 2)).astype("float32")


def client_of(served, limits=None):
    return testclient.TestClient(make_app(served, limits), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4, 2))
    model = SimilarityModel(inputs, L2Embedding(3)(keras.layers.Flatten()(inputs)))
    model.create_index(distance="cosine")
    model.index(X[:59], np.arange(59), verbose=0)
    model.vector_index.add(model.embed(X[59:], verbose=0))  # without a label
    return model


@pytest.fixture(scope="module")
def client(model):
    with client_of(model) as client:
        yield client


def check(model, answer, x, k):
    found = model.lookup(x, k=k, verbose=0)
    labels = np.where(found.has_label, found.labels.astype(object), None)
    assert answer["ids"] == found.ids.tolist()
    assert answer["labels"] == labels.tolist()
    np.testing.assert_allclose(answer["distances"], found.distances, atol=1e-6)


def test_lookup(client, model):
    answer = client.post("/lookup", json={"inputs": X[57:].tolist(), "k": 4})
    assert answer.status_code == 200
    check(model, answer.json(), X[57:], 4)
    assert set(answer.json()) == {"ids", "distances", "labels"}
    assert None in np.ravel(answer.json()["labels"])
    five = client.post("/lookup", json={"inputs": X[:2].tolist()}).json()
    assert np.shape(five["ids"]) == (2, 5)


def test_no_more_than_there_are(client):
    answer = client.post("/lookup", json={"inputs": X[:2].tolist(), "k": 99}).json()
    assert np.shape(answer["ids"]) == (2, 60)


def test_health(client):
    assert client.get("/health").json() == {
        "status": "ok",
        "records": 60,
        "input_shape": [4, 2],
        "dtype": "float32",
    }


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"inputs": X[0].tolist()}, "must have shape [4, 2] each. Received: [2]"),
        ({"inputs": [[[1, 2]]]}, "Received: [1, 2]"),
        ({"inputs": [[[1, 2], [3]]]}, "must be numbers"),
        ({"inputs": [[["a", 2]] * 4]}, "Received: no numbers"),
        ({"inputs": [[["1", "2"]] * 4]}, "Received: no numbers"),
        ({"inputs": [[[True, False]] * 4]}, "Received: no numbers"),
        ({"inputs": [[[None, 2]] * 4]}, "no numbers"),
        ({"inputs": [[[1e300, 2]] * 4]}, "must be finite"),
        ({"inputs": [[[10**400, 2]] * 4]}, "too large"),
        ({"inputs": [[[10**30, 2]] * 4]}, "too large"),
        ({"inputs": []}, "a list of 1 to 256 examples"),
        ({"inputs": "text"}, "a list of 1 to 256 examples"),
        ({"inputs": {}}, "a list of 1 to 256 examples"),
        ({"inputs": [1] * 257}, "a list of 1 to 256 examples"),
        ({"inputs": X[:1].tolist(), "k": 0}, "from 1 to 1000"),
        ({"inputs": X[:1].tolist(), "k": 1001}, "from 1 to 1000"),
        ({"inputs": X[:1].tolist(), "k": 1.5}, "from 1 to 1000"),
        ({"inputs": X[:1].tolist(), "k": True}, "from 1 to 1000"),
        ({"inputs": X[:1].tolist(), "data": 1}, "true or false"),
        ({"inputs": X[:1].tolist(), "cutpoint": "sure"}, "must be one of []"),
        ({"inputs": X[:1].tolist(), "n": 3}, "Unknown keys: ['n']"),
        ({}, "must be an object such as"),
        ([], "must be an object such as"),
    ],
)
def test_what_does_not_fit_is_refused(client, query, says):
    answer = client.post("/lookup", json=query)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"NaN",
        b'{"inputs": [[[NaN, 1], [1, 1], [1, 1], [1, 1]]]}',
        b'{"inputs": [[[Infinity, 1], [1, 1], [1, 1], [1, 1]]]}',
        b'{"inputs": [[[1e999, 1], [1, 1], [1, 1], [1, 1]]]}',
        b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"inputs": [' + b"9" * 5000 + b"]}",
    ],
)
def test_bodies_that_are_no_query_are_refused(client, body):
    answer = client.post("/lookup", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.get("/health").status_code == 200


def test_an_empty_index_is_not_ready():
    inputs = keras.Input((4, 2))
    empty = SimilarityModel(inputs, L2Embedding(3)(keras.layers.Flatten()(inputs)))
    empty.create_index(distance="cosine")
    with client_of(empty) as client:
        assert client.get("/health").status_code == 503
        answer = client.post("/lookup", json={"inputs": X[:1].tolist()})
        assert (answer.status_code, answer.json()) == (503, {"error": "The index is empty."})


def test_an_index_alone_is_asked_by_vectors_and_gives_what_is_stored():
    index = Index(embedding_size=2, distance="euclidean")
    data = [{"class": "cat", "price": 3}, {"class": "dog", "price": None}]
    index.add([[0.0, 0.0], [3.0, 4.0]], labels=[7, 8], data=data)
    with client_of(index) as client:
        query = {"inputs": [[3.0, 4.0]], "k": 2}
        answer = client.post("/lookup", json=query).json()
        assert answer == {
            "ids": [[1, 0]],
            "distances": [[0.0, 5.0]],
            "labels": [[8, 7]],
            "classes": [["dog", "cat"]],
            "data": [[{"class": "dog", "price": None}, {"class": "cat", "price": 3}]],
        }
        answer = client.post("/lookup", json={**query, "data": False}).json()
        assert "data" not in answer
        assert answer["classes"] == [["dog", "cat"]]


def test_arrays_that_are_stored_come_when_asked_for():
    index = Index(embedding_size=2, distance="euclidean")
    index.add(np.eye(2), data=np.arange(8).reshape(2, 2, 2))
    with client_of(index) as client:
        query = {"inputs": [[1, 0]], "k": 1}
        assert "data" not in client.post("/lookup", json=query).json()
        answer = client.post("/lookup", json={**query, "data": True}).json()
        assert answer["data"] == [[[[0, 1], [2, 3]]]]


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (np.array(["2024-05-06", "NaT"], "M8[D]"), ["2024-05-06", None]),
        (
            np.array(["2024-05-06T07:08:09.5", "NaT"], "M8[ns]"),
            ["2024-05-06T07:08:09.500000000", None],
        ),
        (np.array([5, 6], "m8[s]"), ["0:00:05", "0:00:06"]),
        (np.array([5, 6], "m8[ns]"), ["5 nanoseconds", "6 nanoseconds"]),
        (np.array([1.5, np.nan], np.longdouble), [1.5, None]),
        (np.array([[np.inf, 0], [1, 2]], np.float16), [[None, 0.0], [1.0, 2.0]]),
    ],
)
def test_stored_times_and_numbers_are_json(stored, sent):
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0]], data=stored)
    with client_of(index) as client:
        answer = client.post("/lookup", json={"inputs": [[0.0]], "k": 2, "data": True})
    assert answer.json()["data"] == [sent]


def test_records_with_keys():
    index = Index(2, "euclidean")
    index.add(np.eye(2), labels=[4, 5], ids=["a", "b"])
    near = index.lookup(np.eye(2) + 0.01, k=1)
    index.calibration = calibrate(near.distances, near.labels, [4, 5])
    with client_of(index) as client:
        query = {"inputs": [[0.0, 1.0]], "k": 2, "cutpoint": "optimal"}
        found = client.post("/lookup", json=query).json()
    assert found["keys"] == [["b", "a"]]
    assert found["ids"] == [[1, 0]]
    assert found["match_keys"] == ["b"]


def test_matches_at_a_cutpoint():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(20, 2)) * 0.1, rng.normal(size=(20, 2)) * 0.1 + 5])
    inputs = keras.Input((2,))
    model = SimilarityModel(inputs, keras.layers.Identity()(inputs))
    model.create_index(distance="euclidean")
    model.index(x[::2], [0] * 10 + [1] * 10, verbose=0)
    model.calibrate(x[1::2], [0] * 10 + [1] * 10, verbose=0)
    queries = [[0.0, 0.0], [5.0, 5.0], [100.0, 100.0]]
    with client_of(model) as client:
        query = {"inputs": queries, "cutpoint": "optimal"}
        found = client.post("/lookup", json=query).json()
        assert found["matches"] == [0, 1, -1]
        matches = model.match(np.array(queries), return_details=True)
        assert found["match_distances"] == pytest.approx(matches.distances.tolist())
        assert found["match_probabilities"] == pytest.approx(matches.probabilities.tolist())
        assert found["match_ids"] == matches.ids.tolist()
        query["cutpoint"] = "sure"
        assert "['optimal']" in client.post("/lookup", json=query).json()["error"]


@pytest.fixture
def of_any_size():
    inputs = keras.Input((None, None, 3))
    model = SimilarityModel(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    model.create_index(distance="euclidean")
    model.index(np.random.default_rng(0).random((30, 5, 5, 3)), np.arange(30), verbose=0)
    return model


def test_requests_of_different_shapes_at_once(of_any_size):
    rng = np.random.default_rng(1)
    images = [rng.random((1, 3 + i % 5, 3 + i % 3, 3)).astype("float32") for i in range(60)]
    with client_of(of_any_size) as client, ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda x: client.post("/lookup", json={"inputs": x.tolist(), "k": 3}), images)
        )
    assert [answer.status_code for answer in answers] == [200] * 60
    for answer, x in zip(answers, images, strict=True):
        check(of_any_size, answer.json(), x, 3)


def test_a_request_that_cannot_be_answered_fails_alone():
    inputs = keras.Input((3,), dtype="int32")
    embedded = keras.layers.Embedding(10, 4)(inputs)
    model = SimilarityModel(inputs, keras.layers.Flatten()(embedded))
    model.create_index(distance="euclidean")
    model.index(np.arange(30).reshape(10, 3) % 10, np.arange(10), verbose=0)
    good, bad = [[1, 2, 3]], [[1, 2, 99]]
    with client_of(model) as client, ThreadPoolExecutor(12) as pool:
        for number in (2**31, 2**40, 2**70, 10**400, 1.5):
            answer = client.post("/lookup", json={"inputs": [[1, 2, number]]})
            assert answer.status_code == 400
        queries = [bad if i % 7 == 0 else good for i in range(70)]
        answers = list(pool.map(lambda x: client.post("/lookup", json={"inputs": x}), queries))
    for query, answer in zip(queries, answers, strict=True):
        assert answer.status_code == (400 if query is bad else 200), answer.text


def test_texts():
    inputs = keras.Input((), dtype="string")
    split = keras.layers.TextVectorization(
        vocabulary=list("abc"), split="character", output_sequence_length=4
    )
    outputs = keras.layers.CategoryEncoding(5, output_mode="count")(split(inputs))
    model = SimilarityModel(inputs, outputs)
    model.create_index(distance="euclidean")
    model.index(np.array(["aa", "bb", "cc"]), [0, 1, 2], verbose=0)
    with client_of(model) as client:
        answer = client.post("/lookup", json={"inputs": ["bab", "c"], "k": 1})
        assert answer.json()["labels"] == [[1], [2]]
        assert client.post("/lookup", json={"inputs": [3]}).status_code == 400


class Slow(Index):
    """An index whose lookups are counted and take a while."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sizes, self.wait = [], threading.Event()

    def lookup(self, queries, *args, **kwargs):
        self.sizes.append(len(queries))
        self.wait.wait(5)
        return super().lookup(queries, *args, **kwargs)


@pytest.fixture
def slow():
    index = Slow(embedding_size=2, distance="euclidean")
    index.add(np.random.default_rng(0).normal(size=(50, 2)), labels=np.arange(50))
    index.wait.set()
    return index


def test_those_who_wait_share_a_batch(slow):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2)).round(3)

    def ask(i):
        query = {"inputs": x[i : i + 1 + i % 3].tolist(), "k": 1 + i % 4}
        return client.post("/lookup", json=query).json()

    with client_of(slow) as client, ThreadPoolExecutor(12) as pool:
        slow.sizes.clear()
        slow.wait.clear()
        asked = [pool.submit(ask, 0)]
        while not slow.sizes:
            time.sleep(0.01)
        asked += [pool.submit(ask, i) for i in range(1, 12)]
        while "tfsim_waiting 11" not in client.get("/metrics").text:
            time.sleep(0.01)
        slow.wait.set()
        answers = [one.result() for one in asked]
    assert slow.sizes == [1, sum(1 + i % 3 for i in range(1, 12))]
    for i, answer in enumerate(answers):
        expected = slow.lookup(x[i : i + 1 + i % 3], k=1 + i % 4)
        assert answer["ids"] == expected.ids.tolist()


def test_too_many_and_too_slow_are_told_to_come_back(slow):
    with client_of(slow, Limits(max_waiting=1, answer_seconds=1)) as client:
        slow.wait.clear()
        with ThreadPoolExecutor(8) as pool:
            query = {"inputs": [[1.0, 2.0]]}
            answers = list(pool.map(lambda _: client.post("/lookup", json=query), range(8)))
        slow.wait.set()
        assert {answer.status_code for answer in answers} == {503}
        assert all(answer.headers["Retry-After"] for answer in answers)
        said = {answer.json()["error"] for answer in answers}
        assert said == {
            "Too many requests wait. Come back later.",
            "The answer took too long. Come back later.",
        }
        assert client.post("/lookup", json=query).status_code == 200


def test_who_has_given_up_keeps_nobody_out(slow):
    with client_of(slow, Limits(max_waiting=1, answer_seconds=0.5)) as client:
        query = {"inputs": [[1.0, 2.0]]}
        slow.sizes.clear()
        slow.wait.clear()
        for _ in range(3):  # the first is looked up, the next wait, one after the other
            answer = client.post("/lookup", json=query)
            assert "took too long" in answer.json()["error"]
        assert "tfsim_waiting 0" in client.get("/metrics").text
        slow.wait.set()
        assert client.post("/lookup", json=query).status_code == 200
    assert slow.sizes == [1, 1]


def test_an_app_starts_again_after_it_stopped(slow):
    app = make_app(slow)
    for _ in range(2):
        with testclient.TestClient(app) as client:
            assert client.post("/lookup", json={"inputs": [[1.0, 2.0]]}).status_code == 200


def test_large_bodies_are_refused(slow):
    with client_of(slow, Limits(max_body=1000)) as client:
        query = {"inputs": [[0.25, 0.5]] * 100}
        assert client.post("/lookup", json=query).status_code == 413
        # Without a length in the head, too.
        parts = (part for part in [json.dumps(query).encode()] * 3)
        assert client.post("/lookup", content=parts).status_code == 413
        assert client.post("/lookup", json={"inputs": [[0.25, 0.5]]}).status_code == 200


def test_metrics(slow):
    with client_of(slow) as client:
        for inputs in ([[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], "none"):
            client.post("/lookup", json={"inputs": inputs})
        lines = client.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values['tfsim_requests_total{status="200"}'] == "2"
    assert values['tfsim_requests_total{status="400"}'] == "1"
    assert values["tfsim_request_seconds_count"] == "3"
    assert values['tfsim_request_seconds_bucket{le="+Inf"}'] == "3"
    assert values["tfsim_records"] == "50"
    assert values["tfsim_waiting"] == "0"


def test_what_cannot_be_served_is_refused():
    with pytest.raises(TypeError, match=r"SimilarityModel or an Index\. Received: dict"):
        make_app({})
    a, b = keras.Input((2,)), keras.Input((3,))
    two = SimilarityModel([a, b], keras.layers.Concatenate()([a, b]))
    with pytest.raises(ValueError, match="2 inputs"):
        make_app(two)
    with pytest.raises(ValueError, match="max_body"):
        Limits(max_body=0)
    with pytest.raises(ValueError, match="answer_seconds"):
        Limits(answer_seconds=0)
