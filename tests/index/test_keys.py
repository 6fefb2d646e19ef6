"""Records with keys of their users: strings in place of ids, kept wherever records are."""

import copy
import itertools
import pickle
import shutil
import sys

import inside_index
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fake_milvus
from oracle.engines import ENGINES
from tensorflow_similarity.index import (
    CorruptIndexError,
    Index,
    IndexLockedError,
    MilvusIndex,
    _keys,
    _records,
)
from tensorflow_similarity.index._payload import JsonPayload
from tensorflow_similarity.index.milvus import about, backend
from tests.index.test_forged_files import Forged
from tests.index.test_journal import FullDisk

NUMBERS = itertools.count()
KEYS = ["sku-1", "ä", "7", '"quoted"\\', "a b", "\ud800", "x" * 300]


@pytest.fixture(scope="module")
def milvus():
    """A server that is no more than dictionaries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pymilvus", fake_milvus.module())
        patch.setattr(fake_milvus.MilvusClient, "servers", {})
        patch.setattr(about, "_SETTLE", 0)
        yield "http://localhost:19530"


@pytest.fixture(params=["memory", pytest.param("milvus", marks=pytest.mark.slow)])
def where(request, milvus):
    """Options of an index in each place."""
    return {} if request.param == "memory" else new_collection(milvus)


def new_collection(uri):
    return {"search": "milvus", "uri": uri, "collection": f"c{next(NUMBERS)}"}


def filled(path=None, keys=KEYS, **options):
    options |= {} if path is None else {"path": path}
    index = Index(2, "euclidean", **options)
    index.add(np.arange(len(keys))[:, None] + np.zeros(2), ids=keys)
    return index


def positions(index):
    """Key -> first coordinate, by everything that tells of keys."""
    records = index.get(index.ids)
    found = (
        {}
        if records.keys is None
        else dict(zip(records.keys, records.embeddings[:, 0], strict=True))
    )
    keys = [] if index.keys is None else index.keys.tolist()
    assert list(found) == keys
    if keys:
        assert index.ids_of(keys).tolist() == index.ids.tolist()
        near = index.lookup(np.zeros((1, 2)), k=len(keys) + 1)
        at = dict(zip(near.keys[0, :-1], near.ids[0, :-1], strict=True))
        assert at == dict(zip(keys, index.ids.tolist(), strict=True))
        assert near.keys[0, -1] is None
        assert [each.key for each in near[0]] == near.keys[0, :-1].tolist()
    return found


class Life:
    """Operations on an index and on a dictionary."""

    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self.index = Index(2, "euclidean", path=folder, **options)
        self.model, self.next = {}, 0

    def rows(self, keys):
        self.next += len(keys)
        return np.arange(self.next - len(keys), self.next)[:, None] + np.zeros(2)

    def add(self, keys):
        x = self.rows(keys)
        if set(keys) & set(self.model):
            with pytest.raises(ValueError, match="must not be in use"):
                self.index.add(x, ids=keys)
            return
        self.index.add(x, ids=keys)
        self.model |= dict(zip(keys, x[:, 0], strict=True))

    def upsert(self, keys):
        x = self.rows(keys)
        before = {key: self.index.ids_of(key)[0] for key in keys if key in self.model}
        ids = self.index.upsert(keys, x)
        for key, id_ in zip(keys, ids, strict=True):
            assert before.get(key, id_) == id_
        for key in keys:
            self.model[key] = x[keys.index(key), 0]

    def update(self, keys):
        known = [key for key in keys if key in self.model]
        x = self.rows(keys)
        if len(known) < len(keys):
            with pytest.raises(KeyError, match="unknown"):
                self.index.update(keys, x)
        elif keys:
            self.index.update(keys, x)
            self.model |= dict(zip(keys, x[:, 0], strict=True))

    def delete(self, keys):
        for key in keys:
            if key in self.model:
                self.index.delete(key)
                del self.model[key]
            else:
                with pytest.raises(KeyError, match="unknown"):
                    self.index.delete([key])

    def compact(self, keys):
        self.index.compact()

    def clear(self, keys):
        self.index.clear()
        self.model = {}

    def again(self, keys):
        """As after a crash, from a copy of the folder; or as a copy."""
        if self.folder is None:
            self.index = pickle.loads(pickle.dumps(self.index))
            return
        copied = f"{self.folder}-copy"
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(self.folder, copied)
        self.index.close()
        shutil.rmtree(self.folder)
        shutil.move(copied, self.folder)
        self.index = Index.open(self.folder, mmap=len(keys) % 2 == 0)

    def snapshot(self, keys):
        if self.folder is not None:
            self.index.save()

    def integers(self, keys):
        """Records without keys, where nothing is left of those with."""
        if not self.model:
            self.index.add(self.rows(["1", "2"]))
            assert self.index.keys is None
            self.index.delete(self.index.ids)


class MilvusLife(Life):
    def __init__(self, folder, options):
        super().__init__(None, options)
        self.folder = "server"
        self.index = MilvusIndex(2, "euclidean", uri="http://localhost:19530", verbose=0)
        self.index.clear()

    def again(self, keys):
        """As another program."""
        self.index = MilvusIndex.open("http://localhost:19530", verbose=0)


OPERATIONS = [name for name in vars(Life) if not name.startswith("_") and name != "rows"]


@pytest.mark.further
@pytest.mark.parametrize("where", ["memory", "folder", "milvus"])
@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(OPERATIONS),
            st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True),
        ),
        max_size=12,
    ),
    storage=st.sampled_from(["float32", "int8"]),
)
def test_any_life(milvus, tmp_path_factory, where, steps, storage):
    folder = str(tmp_path_factory.mktemp("life") / "index") if where == "folder" else None
    life = (MilvusLife if where == "milvus" else Life)(folder, {"storage": storage})
    life.add(KEYS[:3])
    for name, keys in steps:
        getattr(life, name)(keys)
        found = positions(life.index)
        assert found.keys() == life.model.keys()
        np.testing.assert_allclose(
            [found[key] for key in life.model], list(life.model.values()), rtol=0.02
        )
        for key in KEYS:
            assert (key in life.index) == (key in life.model)
    life.index.close()


@pytest.mark.parametrize(
    "make",
    [list, tuple, np.array, lambda keys: np.array(keys, object), "Series", "Index", "string"],
    ids=["list", "tuple", "str", "object", "Series", "Index", "string"],
)
def test_keys_as_people_have_them(make):
    pd = pytest.importorskip("pandas")
    makers = {"Series": pd.Series, "Index": pd.Index, "string": lambda k: pd.array(k, "string")}
    make = makers.get(make, make)
    index = Index(1, "euclidean")
    keys = ["b", "a", "zoo"]
    index.add([[0.0], [1.0], [2.0]], ids=make(keys))
    assert index.keys.tolist() == keys
    assert index.get(make(["zoo", "b"])).keys.tolist() == ["zoo", "b"]
    assert index.has(make(["a", "q"])).tolist() == [True, False]
    near = index.lookup([[0.0], [2.0]], k=3, exclude=[make(["b", "q"]), make(["a"])])
    assert near.keys.tolist() == [["a", "zoo", None], ["zoo", "b", None]]
    assert index.lookup([[0.0]], k=1, filter={"ids": make(["zoo", "q"])}).keys.item() == "zoo"
    index.delete(make(["a", "b"]))
    assert index.keys.tolist() == ["zoo"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"ids": "b"}, ["b"]),
        ({"id": ["b", "q"]}, ["b"]),
        ({"ids": {"ne": "b"}}, ["a", "c"]),
        ({"ids": {"not_in": ["b", "q"]}}, ["a", "c"]),
        ({"not": {"ids": {"eq": "c"}}}, ["a", "b"]),
        (
            {"or": [{"ids": "a"}, {"and": [{"ids": ["b", "c"]}, {"ids": {"in": ["c"]}}]}]},
            ["a", "c"],
        ),
        ({"ids": "q"}, []),
        ({}, None),  # an order: those after the first
    ],
)
def test_filters(where, wanted, expected):
    index = filled(keys=["a", "b", "c"], **where)
    if expected is None:
        wanted, expected = {"ids": {"gt": int(index.ids[0])}}, index.keys[1:].tolist()
    order = index.keys.tolist().index  # that of their ids
    assert index.get(filter=wanted).keys.tolist() == sorted(expected, key=order)
    assert index.count(wanted) == len(expected)
    near = index.lookup(np.zeros((2, 2)), k=3, filter=[wanted, None])
    assert [key for key in near.keys[0] if key is not None] == sorted(expected)
    assert near.keys[1].tolist() == ["a", "b", "c"]
    assert index.lookup(np.zeros((1, 2)), max_distance=9, filter=wanted).sets("keys") == [
        set(expected)
    ]
    if expected:
        index.update(filter=wanted, labels=7)
        index.delete(filter={"labels": 7})
        assert set(index.keys if index.keys is not None else []) == {"a", "b", "c"} - set(expected)


@pytest.mark.parametrize(
    ("call", "kind", "match"),
    [
        (lambda i: i.add([[0.0, 0.0]]), TypeError, "must be strings, as the records"),
        (lambda i: i.add([[0.0, 0.0]], ids=[9]), TypeError, "must be strings, as the records"),
        (lambda i: i.upsert([0], [[0.0, 0.0]]), TypeError, "must be strings, as the records"),
        (lambda i: i.add([[0.0, 0.0]], ids=["a"]), ValueError, r"must not be in use.*\['a'\]"),
        (lambda i: i.add([[0.0, 0.0]] * 2, ids=["x", "x"]), ValueError, r"distinct.*\['x'\]"),
        (lambda i: i.upsert(["x", "x"], [[0.0, 0.0]] * 2), ValueError, "distinct"),
        (lambda i: i.delete(["a", "a"]), ValueError, "distinct"),
        (lambda i: i.add([[0.0, 0.0]], ids=["x", "y"]), ValueError, "expected 1. Received: 2"),
        (lambda i: i.add([[0.0, 0.0]], ids=[""]), ValueError, "must not be empty"),
        (lambda i: i.add([[0.0, 0.0]], ids=[b"x"]), TypeError, "bytes.*decode"),
        (lambda i: i.add([[0.0, 0.0]], ids=np.array([b"x"])), TypeError, "bytes.*decode"),
        (lambda i: i.add([[0.0, 0.0]] * 2, ids=["x", None]), TypeError, "at 1: None"),
        (lambda i: i.add([[0.0, 0.0]] * 2, ids=[1, "x"]), TypeError, "at 0: 1, and strings"),
        (lambda i: i.add([[0.0, 0.0]], ids=[["x"]]), TypeError, "must be integers"),
        (lambda i: i.add([[0.0, 0.0]], ids=np.array([["x"]])), ValueError, r"the shape \[n\]"),
        (lambda i: i.add([[0.0, 0.0]], ids=[2**70]), ValueError, r"to 2\*\*63 - 1.*as strings"),
        (
            lambda i: i.get([2**63, -1]),
            ValueError,
            r"63 - 1. Received: 9223372036854775808",
        ),
        (lambda i: i.get([-(2**70)]), ValueError, r"from 0 to 2\*\*63 - 1"),
        (lambda i: i.get(["a", "q"]), KeyError, r"unknown: \['q'\]"),
        (lambda i: i.update(["q"], labels=[1]), KeyError, "unknown"),
        (lambda i: i.ids_of([1]), TypeError, "must be strings"),
        (lambda i: i.count({"ids": {"lt": "b"}}), TypeError, "Use 'in' or 'not_in'"),
        (lambda i: i.count({"ids": ["a", 1]}), TypeError, "all strings, or all integers"),
        (lambda i: i.count({"ids": None}), TypeError, "must be integer ids.* or keys"),
        (lambda i: i.count({"ids": [1.0]}), TypeError, "must be integer ids.* or keys"),
        (lambda i: i.count({"ids": 2**70}), TypeError, r"must be integer ids, below 2\*\*63"),
        (lambda i: i.count({"ids": b"a"}), TypeError, "bytes.*decode"),
        (lambda i: i.get([1.0]), TypeError, "must be integers.*astype"),
        (lambda i: i.get([1, None]), TypeError, "must be integers.*object"),
        (lambda i: i.get([1, 2**70]), ValueError, r"to 2\*\*63 - 1"),
        (lambda i: i.get(b"a"), TypeError, "bytes.*decode"),
        (lambda i: i.lookup([[0.0, 0.0]], exclude=[["a", 1]]), TypeError, "all strings"),
    ],
)
def test_what_cannot_be(where, call, kind, match):
    index = filled(keys=["a", "b"], **where)
    with pytest.raises(kind, match=match):
        call(index)
    assert positions(index) == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    "call",
    [
        lambda i: i.add([[0.0, 0.0]], ids=["a"]),
        lambda i: i.upsert(["0"], [[0.0, 0.0]]),
        lambda i: i.get("0"),
        lambda i: i.has(["0"]),
        lambda i: i.delete(["0"]),
        lambda i: i.count({"ids": "0"}),
        lambda i: i.lookup([[0.0, 0.0]], exclude=[["0"]]),
    ],
)
def test_records_without_keys_have_none(where, call):
    index = Index(2, "euclidean", **where)
    index.add([[0.0, 0.0], [1.0, 1.0]])
    with pytest.raises(TypeError, match="must be integers"):
        call(index)
    assert "0" not in index
    assert index.keys is index.lookup([[0.0, 0.0]]).keys is index.get(0).keys is None
    assert index.lookup([[0.0, 0.0]])[0][0].key is None
    with pytest.raises(ValueError, match="have no keys"):
        index.lookup([[0.0, 0.0]], max_distance=1).sets("keys")


def test_pairs_and_groups(where):
    index = filled(keys=["c", "a", "b", "far"], **where)
    index.update("far", [[9.0, 9.0]])
    index.delete("c")
    index.add([[2.0, 2.1]], ids=["d"])
    first, second, _ = index.pairs(max_distance=1.45).columns()
    pairs = zip(index.keys_of(first), index.keys_of(second), strict=True)
    assert {frozenset(pair) for pair in pairs} == {frozenset("ab"), frozenset("bd")}
    groups = index.groups(max_distance=1.45)
    assert set(groups.keys) == {"a", "b", "d"}
    assert index.keys_of(groups[0]).tolist() == groups.keys.tolist()
    index.delete([key for key in groups.keys if key != "a"])
    assert set(index.keys) == {"a", "far"}
    assert index.groups(max_distance=1.45).keys.tolist() == []
    with pytest.raises(KeyError, match="in use"):
        index.keys_of([77])
    plain = Index(1, "euclidean")
    plain.add([[0.0], [0.0]])
    assert plain.groups(1).keys is None
    with pytest.raises(TypeError, match="with keys"):
        plain.keys_of([0])


def test_ids_that_answers_give_are_taken_too(where):
    index = filled(keys=["a", "b", "c"], **where)
    near = index.lookup([[1.0, 1.0]], k=1)
    assert index.get(near.ids[0]).keys.tolist() == ["b"]
    index.delete(near.ids[0])
    assert set(index.keys) == {"a", "c"}


def test_keys_of_one_number(monkeypatch):
    monkeypatch.setattr(_records, "hashes_of", lambda keys: np.zeros(len(keys), np.int64))
    index = filled(keys=["a", "b"])
    index.add([[9.0, 9.0]], ids=["c"])
    assert [key in index for key in ("a", "b", "c", "d")] == [True, True, True, False]
    index.delete("c")
    index.upsert(["b", "d"], [[7.0, 7.0], [8.0, 8.0]])
    assert positions(index) == {"a": 0, "b": 7, "d": 8}


TEXTS = st.text(max_size=20).filter(bool) | st.sampled_from(
    ["x" * n for n in (7, 8, 9, 16, 509, 510, 511, 2000)] + ["y" + "x" * 600, "x" * 600 + "y"]
)


@settings(max_examples=50, deadline=None)
@given(keys=st.lists(TEXTS, min_size=1, max_size=30), data=st.data())
@pytest.mark.further
def test_columns_of_keys_against_strings(keys, data):
    """Packed, read, compared and numbered, in blocks of any size, as the strings themselves."""
    rows = np.array(data.draw(st.lists(st.integers(-1, len(keys) - 1), max_size=20)), np.int64)
    block = data.draw(st.integers(1, 40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_keys, "_ROWS", block)
        column = _keys.packed(keys)
        assert _keys.keys_in(column, np.arange(len(keys))).tolist() == keys
        expected = [None if row < 0 else keys[row] for row in rows]
        assert _keys.keys_in(column, rows).tolist() == expected
        numbers = _keys.hashes_of(column)
        assert (numbers >= 0).all()
        assert len(set(numbers.tolist())) == len(set(keys))
        rows = rows[rows >= 0]
        others = column.take(np.arange(len(keys))[::-1])
        same = _keys.equal(column, rows, others, np.resize(np.arange(len(keys)), len(rows)))
        expected = [keys[row] == keys[-1 - i % len(keys)] for i, row in enumerate(rows)]
        assert same.tolist() == expected
    assert (_keys.hashes_of(column) == numbers).all()
    assert isinstance(column, JsonPayload)


def test_two_surrogates_are_the_character_that_they_stand_for():
    both = ["\ud83d\ude00", "\U0001f600"]
    with pytest.raises(ValueError, match="distinct"):
        Index(1, "euclidean").add([[0.0], [1.0]], ids=both)
    index = filled(keys=["\ud83d", "\ude00", both[0]])
    assert index.keys.tolist() == ["\ud83d", "\ude00", both[1]]
    assert all(key in index for key in both)
    assert index.ids_of([both[0], "\ud83d"]).tolist() == [2, 0]


@pytest.mark.parametrize("mmap", [False, True])
def test_files_with_deleted_rows_that_a_graph_leads_through(tmp_path, mmap, graphs_of_any_size):
    rng = np.random.default_rng(0)
    index = Index(4, "euclidean", "nmslib", search_params=ENGINES["nmslib"])
    keys = [f"key {i}" for i in range(300)]
    index.add(rng.normal(size=(300, 4)), ids=keys)
    index.compact()
    index.delete(keys[5:20])
    index.upsert(["key 30", "new"], rng.normal(size=(2, 4)))
    index.save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index", mmap=mmap)
    assert loaded.keys.tolist() == index.keys.tolist()
    assert loaded.engine == index.engine == "nmslib"
    queries = rng.normal(size=(5, 4))
    one, other = (each.lookup(queries, k=6).keys.tolist() for each in (index, loaded))
    assert one == other
    assert copy.copy(loaded).keys.tolist() == index.keys.tolist()


def test_a_reader_of_the_folder_sees_keys(tmp_path):
    path = tmp_path / "index"
    writer = filled(path, ["a", "b"])
    reader = Index.open(path, read_only=True)
    assert reader.keys.tolist() == ["a", "b"]
    writer.upsert(["b", "c"], [[5.0, 5.0], [6.0, 6.0]])
    writer.delete("a")
    assert reader.refresh()
    assert positions(reader) == positions(writer) == {"b": 5, "c": 6}
    writer.close()


@pytest.mark.parametrize(
    ("text", "ends", "what"),
    [
        ('"a""a"', [3, 6], "there twice"),
        ('"a"7', [3, 4], "no strings"),
        ('"a"""', [3, 5], "no strings"),
        ('"a""\\u0062"', [3, 11], "as no index writes"),
        ('"a" "b"', [4, 7], "as no index writes"),
        ('"a"xx', [3, 5], "JSONDecodeError"),
        ('"a"', [3, 9], "does not fit"),
        ('"a"', [3], "should have"),
    ],
)
def test_forged_keys(tmp_path, text, ends, what):
    path = tmp_path / "index"
    filled(keys=["a", "b"]).save(path)
    forged = Forged(path)
    assert forged.sections["keys.text"] == b'"a""b"'
    forged.put("keys.text", np.frombuffer(text.encode(), np.uint8))
    forged.put("keys.ends", np.array(ends, np.int64))
    forged.write(path)
    with pytest.raises(CorruptIndexError, match=what):
        Index.load(path)
    del forged.sections["keys.ends"], forged.manifest["sections"]["keys.ends"]
    forged.write(path)
    with pytest.raises(CorruptIndexError, match="no keys"):
        Index.load(path)


def test_tables():
    pytest.importorskip("pandas")
    index = filled(keys=["a", "b"])
    assert index.to_data_frame()["key"].tolist() == ["a", "b"]
    assert index.lookup(np.zeros((1, 2)), k=2).to_data_frame()["key"].tolist() == ["a", "b"]
    assert "key='a'" in repr(index.lookup(np.zeros((1, 2)), k=1)[0])
    near = index.lookup(np.zeros((5, 2)), k=3)
    assert "key (distance):\n  'a' (0), 'b' (1.414)\n" in repr(near)
    told = []
    index.summary(told.append)
    assert "keys:" in told[0]
    stats = index.stats()
    assert stats["keys"] is True
    assert Index(2).stats()["keys"] is False


def test_collections_of_earlier_versions_take_none(milvus):
    server = fake_milvus.MilvusClient(milvus)
    index = MilvusIndex(2, "euclidean", uri=milvus, collection="old")
    del server.collections["old"]["schema"]["key"]  # as it was made before there were keys
    index = MilvusIndex.open(milvus, "old")
    index.add([[0.0, 0.0], [1.0, 1.0]], data=[{"key": "b"}, None])
    for call in (
        lambda: index.add([[0.0, 0.0]], ids=["a"]),
        lambda: index.upsert(["a"], [[0.0, 0.0]]),
        lambda: index.get("a"),
        lambda: index.count({"ids": "a"}),
    ):
        with pytest.raises(TypeError, match=r"must be integers in the collection 'old'.*new one"):
            call()
    assert index.keys is None
    assert "a" not in index
    assert index.ids.tolist() == [0, 1]
    assert index.get(filter={"key": "b"}).ids.tolist() == [0]
    assert index.stats()["keys"] is False


def test_two_programs_write_the_same_keys_in_milvus(milvus, tmp_path):
    where = new_collection(milvus)
    one = filled(keys=["a", "b"], **where)
    other = MilvusIndex.open(milvus, where["collection"])
    other.upsert(["b", "c"], [[5.0, 5.0], [6.0, 6.0]])
    one.upsert(["c"], [[7.0, 7.0]])
    assert positions(one) == positions(other) == {"a": 0, "b": 5, "c": 7}
    with pytest.raises(ValueError, match=r"must not be in use.*\['c'\]"):
        other.add([[0.0, 0.0]], ids=["c"])
    with pytest.raises(TypeError, match="must be strings, as the records"):
        MilvusIndex.open(milvus, where["collection"]).add([[0.0, 0.0]])
    one.save(tmp_path / "copy")
    copied = Index.load(tmp_path / "copy")
    copied.add([[8.0, 8.0]], ids=["d"])
    assert positions(copied) == {"a": 0, "b": 5, "c": 7, "d": 8}
    one.delete(["a", "b", "c"])
    assert one.keys is None
    other.add([[0.0, 0.0]])  # nothing is left of those with keys
    assert other.ids.tolist() == [0]
    with pytest.raises(TypeError, match="must be integers, or left out"):
        one.add([[0.0, 0.0]], ids=["a"])


def test_keys_that_milvus_cannot_hold(milvus, monkeypatch):
    index = filled(keys=["a"], **new_collection(milvus))
    with pytest.raises(ValueError, match=r"at most 65,535 bytes.*at 1: 70,002"):
        index.add(np.zeros((2, 2)), ids=["b", "x" * 70_000])
    monkeypatch.setattr(backend, "_numbers", lambda texts: np.full(len(texts), 7))
    index = filled(keys=["a"], **new_collection(milvus))
    assert index.has(["a", "b"]).tolist() == [True, False]
    for ids in (["b"], ["b", "c"]):
        with pytest.raises(ValueError, match="have the same: 'b' and 'a'"):
            index.upsert(ids, np.zeros((len(ids), 2)))
    with pytest.raises(KeyError, match="unknown"):
        index.delete("b")
    assert index.keys.tolist() == ["a"]


@pytest.mark.parametrize("room", [0, 1, 40, 150])
def test_a_full_disk_refuses_keys_and_loses_none(tmp_path, room):
    path = tmp_path / "index"
    index = filled(path, ["a", "b", "c"])
    before, own = positions(index), inside_index.journal(index)
    whole, own._file = own._file, FullDisk(own._file, room)
    for change in (
        lambda: index.add(np.ones((50, 2)), ids=[f"new {i}" for i in range(50)]),
        lambda: index.upsert([f"b{i or ''}" for i in range(50)], np.ones((50, 2))),
        lambda: index.update(["a", "b", "c"], np.ones((3, 2)), data=["some text" * 20] * 3),
    ):
        own._file._room = room
        with pytest.raises(OSError, match="No space left"):
            change()
        assert positions(index) == before
        assert not index.has(["new 1", "b1"]).any()
    with pytest.raises(IndexLockedError):
        Index.open(path)  # a second writer
    own._file = whole
    shutil.copytree(path, tmp_path / "copy")
    with Index.open(tmp_path / "copy") as again:
        assert positions(again) == before
    index.add([[9.0, 9.0]], ids=["new 1"])
    index.close()
    with Index.open(path) as again:
        assert positions(again) == before | {"new 1": 9}
