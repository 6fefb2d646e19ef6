"""An index in Milvus behaves as one in memory, and what Milvus holds survives.

Everything runs on a Milvus of dictionaries, and slowly on Milvus Lite where it is installed.
"""

import subprocess
import sys
import textwrap
import threading
import time
import types

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fake_milvus
from fake_milvus import BusyError, MilvusClient
from tensorflow_similarity.calibration import calibrate
from tensorflow_similarity.index import CollectionNotFoundError, Index, MilvusIndex
from tensorflow_similarity.index._payload import parse_payload
from tensorflow_similarity.index.milvus import (
    about,
    collection,
    connection,
    payloads,
)
from tensorflow_similarity.index.milvus.collection import IndexType
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype("float32")
DISTANCES = ["cosine", "euclidean", "inner_product", "squared_euclidean"]


@pytest.fixture
def fake(monkeypatch):
    """A server that is no more than dictionaries."""
    monkeypatch.setitem(sys.modules, "pymilvus", fake_milvus.module())
    monkeypatch.setattr(MilvusClient, "servers", {})
    monkeypatch.setattr(about, "_SETTLE", 0)
    monkeypatch.setattr(connection, "_sleep", lambda seconds: None)
    return "http://localhost:19530"


@pytest.fixture(params=["fake", pytest.param("lite", marks=pytest.mark.slow)])
def uri(request, tmp_path):
    if request.param == "fake":
        return request.getfixturevalue("fake")
    # Heavy: it brings pyarrow along.
    pytest.importorskip("milvus_lite", reason="the extra [milvus] is not installed")
    return str(tmp_path / "index.db")


def same_records(one, other):
    for name in ("ids", "embeddings", "labels", "has_label"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.data is None) == (other.data is None)
    if one.data is not None:
        assert type(one.data) is type(other.data)
        assert len(one.data) == len(other.data)
        for a, b in zip(one.data, other.data, strict=True):
            np.testing.assert_array_equal(a, b)


def same_neighbors(one, other):
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.has_label, other.has_label)
    np.testing.assert_allclose(one.distances, other.distances, rtol=1e-6)
    assert one.distances.dtype == other.distances.dtype
    for hits, others in zip(one, other, strict=True):
        assert list(map(repr, hits)) == list(map(repr, others))


@pytest.fixture
def pair(uri):
    """Makes the same index in Milvus and in memory."""
    made = []

    def make(distance="cosine", size=6):
        made.append(Index(size, distance, search="milvus", uri=uri))
        return made[-1], Index(size, distance)

    yield make
    for index in made:
        index.close()


class TestAsInMemory:
    @pytest.mark.parametrize("distance", DISTANCES)
    @pytest.mark.further("fake-squared_euclidean")
    def test_lookups(self, pair, distance):
        labels = [None if i % 5 == 0 else i % 7 for i in range(200)]
        queries = np.concatenate([RNG.normal(size=(9, 6)), X[:2]])
        one, other = pair(distance)
        assert type(one) is MilvusIndex
        np.testing.assert_array_equal(one.add(X, labels), other.add(X, labels))
        for k, wanted in (
            (5, None),
            (1, {"labels": 3}),
            (4, {"labels": [1, 2], "ids": range(50)}),
            (3, {"ids": [7]}),
            (3, {"ids": []}),
            (230, None),
        ):
            same_neighbors(
                one.lookup(queries, k=k, filter=wanted), other.lookup(queries, k=k, filter=wanted)
            )
        if distance != "inner_product":
            assert (one.lookup(X[:5], k=1).distances == 0).all()
        assert one.lookup(X[:0], k=3).ids.shape == (0, 3)

    @pytest.mark.parametrize("payload", ["json", "array"])
    def test_life(self, pair, payload):
        one, other = pair("euclidean")
        rng = np.random.default_rng(5)

        def data(n):
            if payload == "array":
                return rng.integers(0, 255, (n, 2, 3)).astype("uint8")
            values = [{"a": [1, None], "ü": "\n"}, [1, 2], "text", None, 2.5, {"$value": 1}, True]
            return [values[i % 7] for i in range(n)]

        def both(method, *arguments):
            results = [getattr(index, method)(*arguments) for index in (one, other)]
            assert [len(one), len(other)] == [len(other)] * 2
            return results

        a, b = both("add", X[:20], rng.integers(0, 3, 20))
        np.testing.assert_array_equal(a, b)
        both("add", X[20:30], None, data(10))
        both("add", X[30:32], [1, None], data(2), [7000, 6000])
        both("upsert", [3, 6000, 9], X[40:43], [5, 6, 7], data(3))
        both("upsert", [4, 100], X[43:45])
        both("update", [5, 6], X[45:47])
        both("update", [7, 8], None, [90, 91])
        both("update", [9, 10], None, None, data(2))
        both("delete", [0, 25, 7000])
        both("delete", 1)
        np.testing.assert_array_equal(one.ids, other.ids)
        same_records(one.get(one.ids), other.get(other.ids))
        same_records(one.get([9, 3, 9]), other.get([9, 3, 9]))
        same_neighbors(*both("lookup", X[:50], 6))
        assert 9 in one
        assert one.has([9, 1, 6000, 7000]).tolist() == [True, False, True, False]
        assert not {1, 7000} & set(one.ids.tolist())
        assert "9" not in one
        assert True not in one
        added, _ = both("add", X[:3])
        assert len(np.unique(np.concatenate([added, [7000, 6000, 100]]))) == 6
        assert one.to_data_frame(5).equals(other.to_data_frame(5))
        both("clear")
        both("add", X[:2], None, ["of another kind", None])
        assert one.get(one.ids).data == ["of another kind", None]

    @pytest.mark.further
    def test_many_batches(self, pair, monkeypatch, capsys):
        monkeypatch.setattr(collection, "_BYTES", 1 << 17)
        monkeypatch.setattr(collection, "_IDS_AT_ONCE", 100)
        one, other = pair()
        x = RNG.normal(size=(1500, 6)).astype("float32")
        for index in (one, other):
            index.add(x, np.arange(1500) % 9)
            index.delete(np.arange(500, 800))
        assert len(one) == 1200
        np.testing.assert_array_equal(one.ids, other.ids)
        same_neighbors(one.lookup(x[:40], k=7), other.lookup(x[:40], k=7))
        same_records(one.get(one.ids), other.get(other.ids))
        assert capsys.readouterr().out == ""

    def test_errors(self, pair):
        one, other = pair()
        for index in (one, other):
            assert index.lookup(X[:1], k=2).ids.tolist() == [[-1, -1]]
            index.add(X[:9], ids=np.arange(9), data=list("abcdefghi"))
        for method, arguments in (
            ("add", (X[:2], None, None, [3, 50])),
            ("add", (X[:2], [1.5, 2.5])),
            ("add", (X[:2, :5],)),
            ("add", (X[:2] * np.nan,)),
            ("add", (X[:2], None, np.ones((2, 2)))),
            ("upsert", ([3, 3], X[:2])),
            ("update", ([3, 77], X[:2])),
            ("delete", ([3, 77],)),
            ("get", ([3, 77],)),
            ("lookup", (X[:2, :3],)),
            ("lookup", (X[:2], 0)),
            ("lookup", (X[:2], 3, {"wrong": 1})),
            ("lookup", (X[:2], 3, "wrong")),
        ):
            messages = []
            for index in (one, other):
                with pytest.raises((ValueError, TypeError, KeyError)) as error:
                    getattr(index, method)(*arguments)
                messages.append((type(error.value), str(error.value)))
            assert messages[0] == messages[1]
        same_records(one.get(one.ids), other.get(other.ids))


FILTERS = [
    {"price": {"lt": 20}},
    {"price": {"ge": 3, "lt": 12}, "shop": {"in": ["b", "c"]}},
    {"shop": "a"},
    {"shop": {"ne": "a"}},
    {"shop": {"not_in": ["a", "b"]}},
    {"shop": {"exists": False}},
    {"shop": {"exists": True}, "labels": {"gt": 2}},
    {"not": {"price": {"lt": 20}}},
    {"not": {"labels": [1, 2]}},
    {"or": [{"labels": 3}, {"and": [{"sold": True}, {"ids": {"lt": 90}}]}]},
    {"not": {"or": [{"labels": {"exists": True}}, {"size.of": {"gt": 1}}]}},
    {"size.of": 3, "data": {"sold": {"eq": False}}},
]


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_filters_are_those_of_memory(uri, filter):
    memory, index = Index(6, "euclidean"), MilvusIndex(6, "euclidean", uri=uri)
    labels = [None if i % 5 == 0 else i % 4 for i in range(200)]
    data = [
        {"price": i % 30, "shop": "abc"[i % 3], "sold": i % 2 == 0, "size": {"of": i % 4}}
        for i in range(200)
    ]
    for i in range(0, 200, 7):
        data[i] = {"other": "free"}
    data[5] = data[9] = None
    for each in (memory, index):
        each.add(X, labels, data)
    same_neighbors(*(each.lookup(X[:5], k=200, filter=filter) for each in (memory, index)))
    assert index.count(filter) == memory.count(filter) > 0
    same_records(index.get(filter=filter), memory.get(filter=filter))
    for each in (memory, index):
        each.update(filter=filter, labels=77)
        assert each.count({"labels": 77}) == int((each.get(each.ids).labels == 77).sum())
        each.delete(filter={"labels": 77})
    np.testing.assert_array_equal(memory.ids, index.ids)
    index.close()


def test_answers_are_those_of_memory(uri):
    memory, index = Index(6, "euclidean"), MilvusIndex(6, "euclidean", uri=uri)
    labels = [0 if i % 9 else i % 40 for i in range(200)]
    for each in (memory, index):
        each.add(X, labels, [{"n": i % 12} for i in range(200)])
    gone = [[0, 4], [], [1], [7, 900], [2]]
    for options in (
        {"k": 6, "distinct": "label"},
        {"k": 20, "distinct": "n"},
        {"k": 4, "offset": 3, "exclude": gone},
        {"k": 5, "max_distance": 2.0, "distinct": "label"},
        {"k": 3, "rerank": lambda queries, found: -found.ids, "rerank_top": 30},
    ):
        same_neighbors(*(each.lookup(X[:5], **options) for each in (memory, index)))
    near = [each.lookup(X[:5], max_distance=2.5) for each in (memory, index)]
    for name in ("ids", "offsets", "labels"):
        np.testing.assert_array_equal(*(getattr(each, name) for each in near))
    for one, other in zip(*(each.pairs(1.5).columns() for each in (memory, index)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert len(memory.groups(1.5)) == len(index.groups(1.5)) > 0
    assert len(index.lookup(X[:5], max_distance=1, filter={"n": {"gt": 50}}).ids) == 0
    index.close()


def test_filters_that_find_nothing_say_why(uri):
    index = MilvusIndex(2, "euclidean", uri=uri)
    assert index.count({"price": 3}) == 0  # nothing is known yet
    data = [{"price": 5, "shop": {"city": "B"}}, {"price": 7}, {"rare": "x", "ok": True}, None]
    index.add(np.arange(8.0).reshape(4, 2), data=data)
    for wanted, advice in (
        ({"price": {"lt": "20"}}, "no strings there, but numbers such as .* Write 20"),
        ({"shop.city": True}, "no bools there, but strings such as 'B'"),
        # In a file, True is 1, and found.
        *[({"ok": 1}, "no numbers there, but bools such as True. .* Write True")] * ("//" in uri),
        ({"shop": "B"}, "no strings there, but lists or objects"),
    ):
        with pytest.warns(UserWarning, match=advice):
            assert len(index.get(filter=wanted)) == 0
        index.lookup(np.zeros((1, 2)), filter=wanted)  # once
    assert index.count({"price": {"gt": 100}}) == 0
    for ask in (
        lambda: index.count({"prise": 3}),
        lambda: index.delete(filter={"prise": 3}),
        lambda: index.lookup(np.zeros((1, 2)), filter={"prise": 3}),
        lambda: index.lookup(np.zeros((1, 2)), k=1, distinct="prise"),
    ):
        with pytest.raises(ValueError, match="'prise'"):
            ask()
    # The nearest have no such key.
    assert index.lookup(np.zeros((1, 2)), k=1, distinct="rare").ids.tolist() == [[2]]
    assert len(index) == 4


def test_filters_by_payload_are_evaluated_by_milvus(uri):
    index = MilvusIndex(6, uri=uri)
    index.add(X[:9], data=[{"year": 2000 + i} for i in range(9)])
    found = index.lookup(X[:1], k=9, filter={"data": 'data["year"] > 2005', "ids": range(8)})
    assert sorted(found.ids[0][found.ids[0] >= 0].tolist()) == [6, 7]
    with pytest.raises(TypeError, match="expression of Milvus here"):
        index.lookup(X[:1], filter=lambda data: True)
    with pytest.raises(ValueError, match="`k` must be at most 16,384"):
        index.lookup(X[:1], k=16_385)
    index.close()


def test_what_milvus_holds_survives(uri):
    one = MilvusIndex(6, "euclidean", uri=uri, collection="mine")
    ids = one.add(X[:50], np.arange(50) % 3, data=X[:50])
    one.delete(ids[-1])
    one.notes["who"] = "me"
    one.notes["what"] = {"a": [1, None]}
    del one.notes["who"]
    # Longer than a text of Milvus may be.
    distances = np.sort(RNG.random((5000, 1)), axis=0)
    one.calibration = calibrate(distances, np.ones((5000, 1), int), RNG.integers(0, 3, 5000))
    expected, before = one.lookup(X[:5]), one.get(one.ids)
    one.close()
    two = MilvusIndex.open(uri, "mine")
    assert (two.embedding_size, two.distance.name, dict(two.notes)) == (
        6,
        "euclidean",
        {"what": {"a": [1, None]}},
    )
    assert two.calibration == one.calibration
    same_neighbors(two.lookup(X[:5]), expected)
    same_records(two.get(two.ids), before)
    assert not set(two.add(X[:2]).tolist()) & set(ids.tolist())
    two.close()
    three = Index(6, "l2", search="milvus", uri=uri, collection="mine")
    assert len(three) == 51
    three.calibration = None
    three.close()
    for arguments, message in (
        ({"embedding_size": 5, "distance": "l2"}, "`embedding_size` must be that of the coll"),
        ({"embedding_size": 6, "distance": "cosine"}, "`distance` must be that of the coll"),
    ):
        with pytest.raises(ValueError, match=message):
            MilvusIndex(**arguments, uri=uri, collection="mine")
    assert MilvusIndex.open(uri, "mine").calibration is None


def test_a_copy_in_a_file(uri, tmp_path):
    index = MilvusIndex(6, uri=uri)
    index.add(X[:20], [None, *range(19)], data=X[:20], ids=np.arange(20) * 3)
    index.notes["a"] = 1
    index.save()
    index.save(tmp_path / "copy.tfsim")
    for copied in (Index.load(tmp_path / "copy.tfsim"), MilvusIndex.load(tmp_path / "copy.tfsim")):
        assert type(copied) is Index
        same_records(copied.get(copied.ids), index.get(index.ids))
        assert copied.notes == {"a": 1}
    index.close()


def test_what_it_says_of_itself(uri):
    index = MilvusIndex(6, uri=uri, search_params={"index_type": "HNSW", "M": 8, "ef": 50})
    index.add(X[:9], [None, *range(8)], data=["a"] * 9)
    lines = []
    index.summary(lines.append)
    for words in ("9 records", "8 records", "json", "6 numbers, cosine", "collection records"):
        assert words.split()[0] in lines[0]
    assert index.stats()["labelled"] == 8
    assert repr(index) == (
        "MilvusIndex(9 records, embedding_size=6, distance='cosine', search='milvus')"
    )
    assert (index.engine, index.search, index.recall, index.path) == (
        "milvus",
        "milvus",
        None,
        None,
    )
    assert index.measure_recall() is None
    assert index.get_config()["search_params"]["M"] == 8
    index.compact()
    assert len(index) == 9
    index.close()


class TestOpening:
    def test_what_is_not_there(self, fake, tmp_path):
        with pytest.raises(
            CollectionNotFoundError, match=r"`collection` must be in .*'records'; there are"
        ):
            MilvusIndex.open(fake)
        with pytest.raises(FileNotFoundError, match="must be a file that exists"):
            MilvusIndex.open(str(tmp_path / "no.db"))

    def test_what_others_made_is_left_alone(self, fake):
        MilvusClient(fake).collections["records"] = {}
        with pytest.raises(ValueError, match="one that this package made"):
            MilvusIndex(6, uri=fake)

    def test_a_program_that_died_while_making_it(self, fake):
        MilvusIndex(6, uri=fake)
        MilvusClient(fake).drop_collection("records", timeout=1)
        assert len(MilvusIndex(5, uri=fake)) == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "`uri` must say where Milvus is"),
            ({"uri": "index"}, "whose name ends in '.db'"),
            ({"uri": "ftp://x.db"}, "address of a server"),
            ({"uri": "a.db", "distance": "l1"}, "must be one that Milvus knows"),
            ({"uri": "a.db", "embedding_size": 0}, "`embedding_size` must be at least 1"),
            ({"uri": "a.db", "search_params": {"index_type": "DISKANN"}}, "in a file. Received"),
            ({"uri": "http://x", "search_params": {"index_type": "FAST"}}, "must be one of"),
            ({"uri": "http://x", "search_params": {"efSearch": 1}}, r"Received: \['efSearch'\]"),
            ({"uri": "a.db", "search": "exact"}, "must be 'milvus' in a MilvusIndex"),
        ],
    )
    def test_wrong_arguments(self, fake, arguments, message):
        with pytest.raises(ValueError, match=message):
            MilvusIndex(**{"embedding_size": 6, **arguments})

    def test_other_indexes_take_no_uri(self):
        with pytest.raises(ValueError, match="`uri` and `collection` are for search='milvus'"):
            Index(6, uri="index.db")

    def test_without_the_extra(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "pymilvus", None)
        with pytest.raises(ImportError, match=r'pip install "keras-similarity\[milvus\]"'):
            MilvusIndex(6, uri=str(tmp_path / "a.db"))

    def test_a_client_of_ones_own(self, fake):
        index = MilvusIndex(6, client=MilvusClient("mine"))
        index.add(X[:3])
        assert (len(index), index.uri) == (3, None)

    def test_closing_twice_leaves_the_file_to_others(self, fake, monkeypatch, tmp_path):
        """The server that is run for a file ends with the last of its clients."""
        path, ended = str(tmp_path / "index.db"), []
        server = types.SimpleNamespace(release_server=ended.append)
        manager = types.ModuleType("milvus_lite.server_manager")
        manager.server_manager_instance = server
        sys.modules["pymilvus"].exceptions = types.SimpleNamespace(
            ConnectionConfigException=ConnectionError
        )
        monkeypatch.setitem(sys.modules, "milvus_lite", types.ModuleType("milvus_lite"))
        monkeypatch.setitem(sys.modules, "milvus_lite.server_manager", manager)
        one, two = MilvusIndex(6, uri=path), MilvusIndex(6, uri=path)
        one.close()
        one.close()
        assert ended == []
        two.close()
        two.close()
        assert ended == [path]

    def test_how_to_search_is_up_to_each_program(self, fake):
        built = {"index_type": "HNSW", "M": 8}
        MilvusIndex(6, uri=fake, search_params={**built, "ef": 50})
        for params, ef in ((None, 50), ({"ef": 500}, 500), ({**built, "ef": 90}, 90), (built, 50)):
            client, sent = MilvusClient(fake), []
            index = MilvusIndex(6, client=client, search_params=params)
            assert index.get_config()["search_params"] == {**built, "ef": ef}
            search = client.search
            client.search = lambda search=search, sent=sent, **options: (
                sent.append(options["search_params"]["params"]) or search(**options)
            )
            index.upsert([1], X[:1])
            index.lookup(X[:1], k=1)
            assert sent == [{"ef": ef}]
        assert MilvusIndex.open(fake).get_config()["search_params"]["ef"] == 50

    @pytest.mark.parametrize(
        "params", [{"index_type": "FLAT"}, {"M": 16}, {"index_type": "HNSW", "efConstruction": 9}]
    )
    def test_how_it_was_built_is_not(self, fake, params):
        MilvusIndex(6, uri=fake, search_params={"index_type": "HNSW", "M": 8})
        with pytest.raises(ValueError, match=r"`search_params` must have .* collection 'records'"):
            MilvusIndex(6, uri=fake, search_params=params)

    def test_the_index_type_that_is_the_default(self, fake):
        MilvusIndex(6, uri=fake)
        MilvusIndex(6, uri=fake, search_params={"index_type": "AUTOINDEX"})
        with pytest.raises(ValueError, match="`search_params` must have"):
            MilvusIndex(6, uri=fake, search_params={"index_type": "FLAT"})


class TestErrorsThatPass:
    @pytest.fixture
    def client(self, fake):
        return MilvusClient(fake)

    def fails(self, client, *failures):
        client.calls.clear()
        client.failures[:] = failures

    @pytest.mark.parametrize("error", [BusyError(), ConnectionResetError(), TimeoutError()])
    def test_calls_are_made_again(self, client, error):
        index = MilvusIndex(6, client=client)
        index.upsert([1, 2], X[:2])
        self.fails(client, *[error] * 4)
        index.upsert([1, 2], X[2:4])
        assert client.calls == ["upsert"] * 5
        np.testing.assert_array_equal(index.get([1, 2]).embeddings, X[2:4])
        self.fails(client, error)
        assert index.lookup(X[2:3], k=1).ids.tolist() == [[1]]

    def test_they_are_raised_in_the_end(self, client):
        index = MilvusIndex(6, client=client, attempts=3)
        self.fails(client, *[BusyError()] * 9)
        with pytest.raises(BusyError):
            index.lookup(X[:1])
        assert client.calls == ["search"] * 3

    @pytest.mark.parametrize(
        "known",
        [
            *({"code": code} for code in (2, 8, 101, 503)),
            {"retriable": True},
            {"code": 1, "__cause__": BusyError()},
        ],
    )
    def test_what_milvus_says_of_its_errors(self, client, known):
        error = Exception()
        for name, value in known.items():
            setattr(error, name, value)
        index = MilvusIndex(6, client=client)
        self.fails(client, error)
        assert len(index) == 0

    @pytest.mark.parametrize("code", [1, 100])
    def test_others_are_raised_at_once(self, client, code):
        error = RuntimeError("no such thing")
        error.code = code
        index = MilvusIndex(6, client=client)
        self.fails(client, error)
        with pytest.raises(RuntimeError, match="no such thing"):
            index.lookup(X[:1])
        assert client.calls == ["search"]

    def test_waits_grow(self, client, monkeypatch):
        waits = []
        monkeypatch.setattr(connection, "_sleep", waits.append)
        monkeypatch.setattr(connection.random, "random", lambda: 0.0)
        index = MilvusIndex(6, client=client)
        self.fails(client, *[BusyError()] * 4)
        len(index)
        assert waits == [0.2, 0.4, 0.8, 1.6]


@pytest.mark.further
def test_writers_are_given_different_ids(fake, monkeypatch):
    monkeypatch.setattr(about, "_SETTLE", 0.02)
    MilvusIndex(6, uri=fake)
    given_ids, threads = [], []

    def write():
        index = MilvusIndex.open(fake)
        for _ in range(3):
            given_ids.append(index.add(X[:5]))

    for _ in range(4):
        threads.append(threading.Thread(target=write))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(np.unique(np.concatenate(given_ids))) == 4 * 3 * 5
    assert len(MilvusIndex.open(fake)) == 60


def test_a_stale_program_does_not_count_back(fake):
    stale, other = MilvusIndex(6, uri=fake), MilvusIndex.open(fake)
    given_ids = other.add(X[:3])
    other.delete(given_ids[1:])
    stale.upsert(given_ids[:1], X[:1])  # beyond what it knew to be counted
    assert not set(stale.add(X[:2]).tolist()) & set(given_ids.tolist())


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8", "<i2"])
def test_arrays_are_stored_in_the_dtype_of_the_first(fake, dtype):
    index = MilvusIndex(6, uri=fake)
    first, rows = RNG.normal(size=(2, 3)), np.array([[1, -2, 3], [4, 5, -6]], dtype)
    index.add(X[:2], data=first)
    index.add(X[2:4], data=rows)
    index.update([0], data=rows[:1])
    expected = np.concatenate([rows[:1], first[1:], rows])
    for one in (index, MilvusIndex.open(fake)):
        data = one.get(range(4)).data
        assert data.dtype == np.float64
        np.testing.assert_array_equal(data, expected)
    with pytest.raises(ValueError, match="`data` must match what the index holds"):
        index.add(X[:1], data=np.ones((1, 3), complex))


def test_payloads_that_are_too_large(fake):
    index = MilvusIndex(6, uri=fake)
    with pytest.raises(ValueError, match=r"at most 65,536 bytes a record.*Received at 1"):
        index.add(X[:2], data=["short", "x" * 65_536])
    assert len(index) == 0
    index.add(X[:2], data=X[:2])  # what was refused does not decide on the kind
    np.testing.assert_array_equal(index.get(index.ids).data, X[:2])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "$value", "$array"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(max_examples=40)
@given(st.lists(JSON, max_size=5))
@pytest.mark.further
def test_json_comes_back(values):
    data = parse_payload(values, len(values))
    objects = payloads.encoded(data, len(values))
    assert all(item is None or isinstance(item, dict) for item in objects)
    back = payloads.decoded(objects, payloads.kind_of(data))
    assert back.get(np.arange(len(values))) == values


def test_only_what_makes_one_is_of_its_own():
    own = {name for name, value in vars(MilvusIndex).items() if callable(value) or name[0] != "_"}
    assert own == {"__init__", "open", "load", "uri", "collection"}


def test_filters_are_sent_as_expressions(fake):
    client, sent = MilvusClient(fake), []
    search = client.search
    client.search = lambda **options: sent.append(options["filter"]) or search(**options)
    index = MilvusIndex(6, client=client)
    for wanted in (
        None,
        {"labels": np.int32(3)},
        {"data": 'data["n"] > 1', "ids": [2**60]},
    ):
        index.lookup(X[:1], filter=wanted)
    assert sent == ["", "label in [3]", f'id in [{2**60}] and (data["n"] > 1)']


def test_index_types():
    assert IndexType.of({}, True).name == "FLAT"
    made = IndexType.of({"index_type": "HNSW", "M": 8, "ef": 64}, False)
    assert (made.name, made.build, made.search) == ("HNSW", {"M": 8}, {"ef": 64})


@pytest.mark.parametrize("options", [{}, {"distinct": "label"}, {"rerank": lambda q, n: n.ids}])
def test_a_filter_for_each_query(pair, options):
    data = [{"n": i % 9} for i in range(200)]
    filters = [{"labels": 3}, None, {"n": {"gt": 5}}, {"labels": [3]}, {"n": 99}, {"ids": []}]
    exclude = [[3, 10], [], [7], [17], [], []]
    one, other = pair("euclidean")
    for index in (one, other):
        index.add(X, labels=np.arange(200) % 7, data=data)
    found = [
        index.lookup(X[:6], k=4, filter=filters, exclude=exclude, **options)
        for index in (one, other)
    ]
    same_neighbors(*found)
    assert (found[0].ids[:4] >= 0).any(axis=1).all()
    assert (found[0].ids[4:] == -1).all()
    for index in (one, other):
        with pytest.raises(ValueError, match=r"one for each: expected 6\. Received: 5"):
            index.lookup(X[:6], filter=filters[:5])
        with pytest.raises(TypeError, match="one for all queries where `k` is not given"):
            index.lookup(X[:6], max_distance=1.0, filter=filters)


class TestModels:
    def make(self):
        inputs = keras.Input((6,))
        return SimilarityModel(inputs, L2Embedding(4)(inputs))

    @pytest.mark.further
    def test_a_model_and_what_it_left_in_milvus(self, uri, tmp_path):
        keras.utils.set_random_seed(0)
        model = self.make()
        model.create_index(distance="cosine", search="milvus", uri=uri, collection="model")
        model.index(X, np.arange(200) % 4, data=X, verbose=0)
        model.calibrate(X + 0.1, np.arange(200) % 4, verbose=0)
        expected, matches = model.lookup(X[:9], verbose=0), model.match(X[:9] + 0.1)
        model.save(tmp_path / "m.keras")
        model.vector_index.close()

        loaded = keras.saving.load_model(tmp_path / "m.keras")
        with pytest.raises(
            ValueError, match=r"records of the model are in Milvus, when it was sav"
        ):
            loaded.lookup(X[:9], verbose=0)
        loaded.load_index(uri=uri, collection="model")
        same_neighbors(loaded.lookup(X[:9], verbose=0), expected)
        np.testing.assert_array_equal(loaded.match(X[:9] + 0.1), matches)
        loaded.vector_index.close()

        other = self.make()
        with pytest.raises(ValueError, match="embedded with the weights of this model"):
            other.load_index(uri=uri, collection="model")
        other.create_index(distance="euclidean")
        with pytest.raises(ValueError, match="must have the distance of the model"):
            other.load_index(uri=uri, collection="model")
        assert other.vector_index.search == "auto"
        wider = SimilarityModel(other.input, keras.layers.Dense(5)(other.input))
        with pytest.raises(ValueError, match=r"weights of this model|embeddings of the size"):
            wider.load_index(uri=uri, collection="model")

    def test_compiled_models(self, fake, tmp_path):
        model = self.make()
        model.compile("adam", "mse", distance="cosine", search="milvus")
        with pytest.raises(ValueError, match=r"begin an index there with model\.create_index"):
            model.index(X, verbose=0)
        model.create_index("cosine", search="milvus", uri=fake)
        model.index(X, verbose=0)
        model.compile("sgd", "mse", distance="cosine", search="milvus")
        assert model.index_size() == 200
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        loaded.load_index(uri=fake)
        assert loaded.index_size() == 200
        model.reset_index()
        assert model.index_size() == 0

    def test_embeddings_made_elsewhere(self, fake):
        model = self.make()
        model.create_index("cosine", search="milvus", uri=fake)
        embeddings = model.embed(X[:9], verbose=0)
        ids = np.arange(9) + 50
        for _ in range(2):
            again = model.index_embeddings(embeddings, ids % 3, ids=ids, replace=True)
            np.testing.assert_array_equal(again, ids)
        assert model.index_size() == 9
        assert self.make().embed(X[:1], verbose=0).shape == (1, 4)
        with pytest.raises(ValueError, match="embedded with the weights of this model"):
            self.make().load_index(uri=fake)
        with pytest.raises(ValueError, match="`ids` must be given"):
            model.index_embeddings(embeddings, replace=True)
        with pytest.raises(ValueError, match="must have embedding size 4"):
            model.index_embeddings(X[:2])

    def test_wrong_arguments(self):
        model = self.make()
        for arguments in ({"search": "milvus"}, {"search": "exact", "uri": "a.db"}):
            with pytest.raises(ValueError, match="`uri` must be given for search='milvus'"):
                model.create_index("cosine", **arguments)
        for arguments in ({}, {"filepath": "a", "uri": "a.db"}):
            with pytest.raises(ValueError, match="Either `filepath` or `uri`"):
                model.load_index(**arguments)


@pytest.mark.slow
def test_what_a_killed_process_wrote_is_there(tmp_path):
    pytest.importorskip("milvus_lite", reason="the extra [milvus] is not installed")
    script = """
        import os, numpy as np
        from tensorflow_similarity.index import Index
        index = Index(4, "euclidean", search="milvus", uri="index.db")
        index.add(np.eye(4), labels=[1, 2, 3, 4])
        index.delete(2)
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(command, cwd=tmp_path, timeout=300).returncode == -9
    uri = str(tmp_path / "index.db")
    index = MilvusIndex.open(uri)
    # A second index in the same process shares the file; another process must wait.
    MilvusIndex(4, uri=uri, collection="other").close()
    script = f"""
        import pytest
        from tensorflow_similarity.index import IndexLockedError, MilvusIndex
        with pytest.raises(IndexLockedError, match="open in another process"):
            MilvusIndex.open({uri!r})
        open("ready", "w").close()
        input()
        with MilvusIndex.open({uri!r}) as index:
            assert len(index) == 3
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    other = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE)
    while not (tmp_path / "ready").exists():
        assert other.poll() is None
        time.sleep(0.1)
    assert index.ids.tolist() == [0, 1, 3]
    assert index.lookup(np.eye(4)[:1], k=1).labels.tolist() == [[1]]
    index.close()
    other.communicate(b"\n", timeout=300)
    assert other.returncode == 0


def test_class_names_are_in_milvus(uri, tmp_path):
    names = ["owl", "emu", None, "auk"]
    index = Index(6, search="milvus", uri=uri)
    ids = index.add(X[:4], labels=names)
    assert index.class_names == ("auk", "emu", "owl")
    assert index.get(ids).labels.tolist() == names
    assert index.lookup(X[:4], k=1).labels[:, 0].tolist() == names
    assert index.lookup(X[:4], k=4, filter={"labels": "emu"}).ids[:, 0].tolist() == [ids[1]] * 4
    with pytest.raises(TypeError, match="names"):
        index.add(X[4:5], labels=[3])
    index.save(tmp_path / "copy")
    assert Index.load(tmp_path / "copy").get(ids).labels.tolist() == names
    index.close()
    assert MilvusIndex.open(uri).get(ids).labels.tolist() == names


def test_class_names_that_another_program_added(fake):
    one = Index(6, search="milvus", uri=fake)
    one.add(X[:2], labels=["owl", "emu"])
    other = MilvusIndex.open(fake)
    new = other.add(X[2:3], labels=["auk"])
    assert one.lookup(X[2:3], k=1).labels.tolist() == [["auk"]]
    more = one.add(X[3:4], labels=["kea"])
    assert other.get([*new, *more]).labels.tolist() == ["auk", "kea"]
