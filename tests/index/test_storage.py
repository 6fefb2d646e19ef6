"""Embeddings in fewer bytes, and columns that lie in files."""

import os
import subprocess
import sys

import inside_index
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.engines import ENGINES, require
from oracle.search import nearest
from tensorflow_similarity.index import CorruptIndexError, Index, _columns
from tensorflow_similarity.index._columns import (
    Chained,
    Chosen,
    Column,
    lies_in_file,
    taken,
)
from tensorflow_similarity.index._payload import JsonPayload, parse_payload
from tensorflow_similarity.index._vectors import EncodedRows

# How far a stored number may be from what was given, as a share of the largest of its row,
# and of itself.
ERRORS = {"float32": (0, 0), "float16": (2.0**-38, 2.0**-11), "int8": (0.5 / 127, 0)}
DISTANCES = ["cosine", "euclidean", "squared_euclidean", "inner_product", "manhattan"]


def vectors(n, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def assert_stored(stored, x, storage):
    of_largest, of_itself = ERRORS[storage]
    largest = np.abs(x).max(axis=1, keepdims=True).astype(np.float64)
    bound = largest * (of_largest + 1e-6 * (storage == "int8")) + np.abs(x) * of_itself
    assert (np.abs(stored.astype(np.float64) - x) <= bound).all()


@pytest.mark.parametrize("storage", ERRORS)
@settings(max_examples=40, deadline=None)
@given(
    scale=st.sampled_from([1e-30, 1e-6, 1.0, 1e4, 1e16]),
    seed=st.integers(0, 2**32 - 1),
    tail=st.integers(0, 20),
)
@pytest.mark.further("float16")
@pytest.mark.filterwarnings("ignore:.*vanish in float32")
def test_what_is_stored_is_near_what_was_given(storage, scale, seed, tail):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(7, 5)) * 10.0 ** -rng.integers(0, tail + 1, (7, 5)) * scale).astype("f4")
    x[3] = 0
    index = Index(5, storage=storage)
    assert index.storage == storage
    ids = index.add(x)
    stored = index.get(ids).embeddings
    assert stored.dtype == np.float32
    assert_stored(stored, x, storage)
    # What is stored is stored as it is: changes of other columns do not wear it off.
    index.update(ids, labels=np.arange(7))
    index.delete(ids[0])
    index.compact()
    np.testing.assert_array_equal(index.get(ids[1:]).embeddings, stored[1:])


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.parametrize(
    ("engine", "distance"), [*(("exact", each) for each in DISTANCES), ("nmslib", "cosine")]
)
@pytest.mark.usefixtures("graphs_of_any_size")
def test_distances_are_those_to_what_is_stored(engine, storage, distance):
    index = Index(8, distance, engine, search_params=ENGINES[engine], storage=storage)
    ids = index.add(vectors(300))
    index.lookup(vectors(1))
    ids = np.concatenate([ids, index.add(vectors(50, seed=1))])
    index.delete(ids[::7])
    ids = index.ids
    stored, queries = index.get(ids).embeddings, vectors(30, seed=2)
    found = index.lookup(queries, k=9)
    expected, true = nearest(queries, stored, 9, distance, ids)
    np.testing.assert_array_equal(found.ids, expected)
    np.testing.assert_allclose(found.distances, true, rtol=2e-5, atol=2e-6)
    if distance != "inner_product":
        itself = index.lookup(stored[:5], k=1)
        np.testing.assert_array_equal(itself.ids[:, 0], ids[:5])
        np.testing.assert_array_equal(itself.distances[:, 0], 0)


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_the_storage_is_kept(storage, tmp_path):
    index = Index(64, storage=storage)
    index.add(vectors(500, 64), labels=np.arange(500))
    index.delete([3, 4])
    full = Index(64)
    full.add(vectors(500, 64), labels=np.arange(500))
    assert index.stats()["bytes"] < full.stats()["bytes"] * {"float16": 0.6, "int8": 0.36}[storage]
    index.save(tmp_path / "x")
    full.save(tmp_path / "full")
    assert os.path.getsize(tmp_path / "x") < os.path.getsize(tmp_path / "full") * 0.6
    for mmap in (False, True):
        loaded = Index.load(tmp_path / "x", mmap=mmap)
        assert loaded.get_config()["storage"] == storage
        np.testing.assert_array_equal(
            loaded.get(loaded.ids).embeddings, index.get(index.ids).embeddings
        )
        loaded.add(vectors(1, 64))
        assert_stored(loaded.get(500).embeddings, vectors(1, 64), storage)
    assert storage in repr(Index.from_config(index.get_config()).get_config())
    with Index(64, storage=storage, path=tmp_path / "folder") as index:
        index.add(vectors(20, 64))
        before = index.get(index.ids).embeddings
    with Index.open(tmp_path / "folder") as again:
        np.testing.assert_array_equal(again.get(again.ids).embeddings, before)
    with pytest.raises(ValueError, match="`storage` must be that of the index"):
        Index(64, path=tmp_path / "folder")


def test_a_storage_that_there_is_not():
    with pytest.raises(ValueError, match=r"`storage` must be one of .*'int8'.* Received: 'int4'"):
        Index(3, storage="int4")


# -- Mapped files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "kind", "storage"),
    [
        ("exact", "json", "float32"),
        ("exact", "array", "float16"),
        ("nmslib", "array", "int8"),
        ("nmslib", "json", "float32"),
        ("faiss", "json", "float32"),
        ("faiss", "array", "float16"),
        ("usearch", "json", "float32"),
    ],
)
@pytest.mark.usefixtures("graphs_of_any_size")
@pytest.mark.further("exact-json-float32", "exact-array-float16")
def test_a_mapped_index_lives_on(tmp_path, engine, kind, storage):
    index = Index(8, "euclidean", engine, search_params=ENGINES[engine], storage=storage)
    data = [{"i": i, "text": "x" * (i % 7)} for i in range(300)]
    if kind == "array":
        data = np.arange(600, dtype=np.int16).reshape(300, 2)
    index.add(vectors(300), labels=np.arange(300), data=data)
    index.lookup(vectors(1))
    index.delete(np.arange(0, 300, 9))
    index.save(tmp_path / "x")
    mapped = Index.load(tmp_path / "x", mmap=True)
    assert lies_in_file(
        getattr(
            inside_index.state(mapped).rows.vectors,
            "codes",
            inside_index.state(mapped).rows.vectors,
        )
    )
    os.remove(tmp_path / "x")  # what is mapped stays
    for each in (index, mapped):
        each.add(vectors(40, seed=1), data=data[:40])
        each.upsert([5, 7], vectors(2, seed=2))
        each.delete(np.arange(1, 300, 9))
        each.update([11], labels=[999])
    queries = vectors(50, seed=3)
    for both in range(3):
        a, b = index.lookup(queries, k=20), mapped.lookup(queries, k=20)
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.distances, b.distances)
        np.testing.assert_array_equal(a.labels, b.labels)
        x, y = index.get(index.ids), mapped.get(mapped.ids)
        np.testing.assert_array_equal(x.embeddings, y.embeddings)
        np.testing.assert_equal(list(x.data), list(y.data))
        if both == 0:
            mapped.save(tmp_path / "again")
            mapped = Index.load(tmp_path / "again", mmap=True)
        else:
            index.compact()
            mapped.compact()


def test_a_mapped_index_is_verified_on_request(tmp_path):
    index = Index(8)
    index.add(vectors(100), data=["text"] * 100)
    index.save(tmp_path / "x")
    content = bytearray((tmp_path / "x").read_bytes())
    for what in (index.get(50).embeddings.tobytes(), b'"text""text"'):
        damaged = bytearray(content)
        damaged[content.index(what) + 3] ^= 1
        (tmp_path / "x").write_bytes(damaged)
        assert len(Index.load(tmp_path / "x", mmap=True)) == 100
        for mmap in (False, True):
            with pytest.raises(CorruptIndexError, match=r"checksum of '(vectors|data\.text)'"):
                Index.load(tmp_path / "x", mmap=mmap, verify=True)
    # Ids, labels and the rest are always verified.
    damaged = bytearray(content)
    damaged[content.index(np.arange(100).tobytes()) + 80] ^= 1
    (tmp_path / "x").write_bytes(damaged)
    with pytest.raises(CorruptIndexError, match="checksum of 'ids'"):
        Index.load(tmp_path / "x", mmap=True)


def test_an_empty_index_is_mapped(tmp_path):
    index = Index(3)
    index.save(tmp_path / "x")
    mapped = Index.load(tmp_path / "x", mmap=True)
    mapped.add(np.eye(3))
    assert mapped.lookup(np.eye(3), k=1).ids[:, 0].tolist() == [0, 1, 2]


def written_earlier(name):
    """The path of a file in `data`, all embeddings that were added first, and the rows left."""
    angle = np.arange(40)[:, None] * np.array([0.1, 0.37, 1.3])
    path = os.path.join(os.path.dirname(__file__), "data", f"{name}.tfsim")
    return path, np.sin(angle).astype(np.float32), [i for i in range(40) if i not in (5, 7)]


@pytest.mark.parametrize("engine", ["exact", "nmslib"])
def test_files_of_format_1(engine):
    """Written by 0.20.0; see `format_1.py` beside them."""
    path, x, expected = written_earlier(f"format_1_{engine}")
    for mmap in (False, True):
        index = Index.load(path, mmap=mmap)
        assert index.ids.tolist() == [*expected, 90, 100]
        assert index.engine == engine
        assert index.notes == {"by": "0.20.0"}
        assert index.get_config()["storage"] == "float32"
        records = index.get([*expected, 100, 90])
        np.testing.assert_allclose(records.embeddings[:38], x[expected], rtol=1e-6)
        np.testing.assert_allclose(records.embeddings[38:], x[:2] + 10, rtol=1e-6)
        assert records.has_label.tolist() == [False, *[True] * 37, False, False]
        np.testing.assert_array_equal(records.labels[1:38], expected[1:])
        data = [{"i": i} if engine == "nmslib" else [2 * i, 2 * i + 1] for i in expected]
        assert [np.asarray(d).tolist() for d in records.data[:38]] == data
        assert list(records.data[38:]) == [None, None]
        found = index.lookup(x[expected], k=1)
        assert found.ids[:, 0].tolist() == expected
        assert index.add(x[:1]) == 101


def test_a_file_of_format_2():
    """Written before graphs were saved without their rows; see `format_2.py` beside it."""
    require("faiss")
    path, x, expected = written_earlier("format_2_faiss")
    with open(path, "rb") as file:
        assert file.read(12)[8:] == b"\2\0\0\0"
    for mmap in (False, True):
        index = Index.load(path, mmap=mmap)
        assert index.ids.tolist() == [*expected, 90, 100]
        assert index.engine == "faiss"
        assert index.storage == "float16"
        records = index.get(expected)
        np.testing.assert_allclose(records.embeddings, x[expected], atol=1e-3)
        assert records.data == [{"i": i} for i in expected]
        assert index.lookup(x[expected], k=1).ids[:, 0].tolist() == expected
        assert index.add(x[:1]) == 101


# -- Columns ------------------------------------------------------------------------------------


@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.lists(st.integers(-18, 17), max_size=12),
    st.integers(0, 18),
    st.integers(0, 18),
)
def test_chained_arrays_read_as_one(first, second, rows, start, stop):
    whole = np.arange(2 * (first + second), dtype=np.int16).reshape(-1, 2)
    both = Chained(whole[:first], whole[first:])
    assert both.shape == whole.shape
    assert both.nbytes == whole.nbytes
    np.testing.assert_array_equal(both[start:stop], whole[start:stop])
    rows = np.array([row for row in rows if -len(whole) <= row < len(whole)], int)
    for index in (rows, rows.reshape(1, -1, 1)):
        np.testing.assert_array_equal(both[index], whole[index])
        np.testing.assert_array_equal(both.take(index, axis=0), whole.take(index, axis=0))


@given(st.lists(st.booleans(), max_size=12), st.data())
def test_chosen_rows_read_as_an_array(kept, data):
    source = np.arange(1, 2 * len(kept) + 1).reshape(-1, 2)
    before = source.copy()
    rows = np.flatnonzero(kept)
    there = data.draw(st.none() | st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    there = None if there is None else np.array(there, bool)
    expected = source[rows]
    if there is not None:
        expected[~there] = 0
    chosen = Chosen(source, rows, there)
    assert len(chosen) == len(rows)
    assert chosen.nbytes == expected.nbytes
    bound = st.integers(0, len(rows))
    key = slice(data.draw(bound), data.draw(bound), data.draw(st.sampled_from([1, 2, -1])))
    np.testing.assert_array_equal(chosen[key], expected[key])
    if len(rows):
        some = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)), int)
        np.testing.assert_array_equal(chosen[some], expected[some])
        np.testing.assert_array_equal(chosen.take(some), expected.take(some, axis=0))
    np.testing.assert_array_equal(source, before)


@pytest.fixture
def small_memory(monkeypatch):
    """Columns that may lie in a file do so from 1,000 bytes on."""
    monkeypatch.setattr(_columns, "LARGEST_IN_MEMORY", 1000)


@pytest.mark.usefixtures("small_memory")
def test_a_column_that_moves_to_a_file():
    column, expected = Column(np.empty((0, 3), np.int32), roomy=True), np.empty((0, 3), np.int32)
    views = []
    for n in (5, 40, 1, 300, 2000):
        rows = np.random.default_rng(n).integers(0, 99, (n, 3), np.int32)
        column.append(rows)
        expected = np.concatenate([expected, rows])
        views.append((column.view(), len(expected)))
    assert lies_in_file(column.view())
    assert not lies_in_file(views[0][0])
    for view, length in views:
        np.testing.assert_array_equal(view, expected[:length])
    column.truncate(1000)
    column.append(expected[:7])
    np.testing.assert_array_equal(column.view(), np.concatenate([expected[:1000], expected[:7]]))


@pytest.mark.usefixtures("small_memory")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_copy_of_the_process_appends_elsewhere():
    """The file is mapped into both, and has room behind the rows."""
    column = Column(np.empty((0, 3), np.int32), roomy=True)
    column.append(np.zeros((400, 3), np.int32))
    room = len(column._buffer) - 400
    assert lies_in_file(column.view())
    assert room > 20
    child = os.fork()
    if not child:
        try:
            column.append(np.full((room, 3), 7, np.int32))
            if (column.view()[400:] == 7).all() and not column.view()[:400].any():
                os._exit(0)
        finally:
            os._exit(1)
    column.append(np.full((room // 2, 3), 5, np.int32))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(column.view()[400:], np.full((room // 2, 3), 5))
    np.testing.assert_array_equal(column._buffer[400 + room // 2 :], 0)


@pytest.mark.usefixtures("small_memory")
def test_rows_taken_to_a_file():
    source = np.arange(6000).reshape(-1, 3)
    rows = np.random.default_rng(0).permutation(len(source))[:1500]
    result = taken(source, rows)
    assert lies_in_file(result)
    np.testing.assert_array_equal(result, source[rows])
    assert not lies_in_file(taken(source, rows[:3]))


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("kind", ["json", "array"])
def test_large_payloads_lie_in_files(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("tensorflow_similarity.index._payload._TEXT_BYTES", 50)
    monkeypatch.setattr("tensorflow_similarity.index._snapshot.LARGEST_IN_MEMORY", 1000)
    data = [["é" * (i % 9), i] for i in range(400)]
    if kind == "array":
        data = np.random.default_rng(0).normal(size=(400, 4))

    def in_file(index):
        payload = inside_index.state(index).rows.data
        values = payload.text if isinstance(payload, JsonPayload) else payload.values
        return lies_in_file(values[:1])

    def check(index, ids):
        np.testing.assert_equal(list(index.get(ids).data), [data[i] for i in ids])

    with Index(2, path=tmp_path / "folder") as index:
        for start in range(0, 400, 50):
            index.add(np.ones((50, 2)), data=data[start : start + 50])
        assert in_file(index)
        index.delete(np.arange(0, 400, 3))
        left = index.ids
        check(index, left)
        index.compact()
        assert in_file(index)
        check(index, left[::-1])
        index.save(tmp_path / "x")
    for again in (Index.load(tmp_path / "x"), Index.open(tmp_path / "folder")):
        assert in_file(again)
        check(again, left)
        again.add(np.ones((1, 2)), data=data[:1])
        check(again, [*left[:5], 1])
        np.testing.assert_equal(again.get(400).data[0], data[0])
        again.close()


@given(st.lists(st.text(max_size=9), min_size=1, max_size=30), st.data())
def test_json_rows_are_taken_whole(values, draw):
    payload = parse_payload(values, len(values))
    rows = np.array(draw.draw(st.lists(st.integers(0, len(values) - 1), max_size=40)), int)
    assert payload.take(rows).get(np.arange(len(rows))) == [values[row] for row in rows]


def test_encoded_rows_of_one_number_and_of_none():
    for storage in ("float16", "int8"):
        rows = EncodedRows.of(np.array([[3.0]], np.float32), storage)
        np.testing.assert_allclose(rows[:], [[3.0]], rtol=1e-6)
        assert EncodedRows.of(np.empty((0, 3), np.float32), storage)[:].shape == (0, 3)


def test_every_half_is_read_as_itself():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)][:, None]
    read = EncodedRows(halves, np.ones(len(halves), np.float32))
    np.testing.assert_array_equal(read[:].view(np.uint32), halves.astype("f4").view(np.uint32))
    np.testing.assert_array_equal(read[5:9], halves[5:9])
    np.testing.assert_array_equal(read.take([[7, 3]]), halves[[[7, 3]]])


@pytest.mark.slow
def test_a_full_disk_for_payloads(tmp_path):
    """No room for temporary files is an error, and the index goes on without the records."""
    program = """
import resource, signal, sys
import numpy as np
from tensorflow_similarity.index import Index, _columns
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_columns.LARGEST_IN_MEMORY = 10_000
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
index = Index(2)
index.add(np.ones((10, 2)), data=np.ones((10, 100)))
try:
    index.add(np.ones((100, 2)), data=np.ones((100, 100)))
except OSError:
    print(len(index), len(index.add(np.ones((3, 2)))), index.get(10).data[0])
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "10 3 None\n"
