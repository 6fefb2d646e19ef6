"""One file: whole or refused, and the index in it answers as before."""

import os
import random
import signal
import struct
import time
import zlib

import numpy as np
import pytest

from tensorflow_similarity.calibration import Calibration
from tensorflow_similarity.index import CorruptIndexError, Index, NewerIndexError, _archive


def vectors(n, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def assert_same_answers(a, b, queries, k=7):
    found, again = a.lookup(queries, k=k), b.lookup(queries, k=k)
    np.testing.assert_array_equal(found.ids, again.ids)
    np.testing.assert_array_equal(found.distances, again.distances)
    np.testing.assert_array_equal(found.labels, again.labels)


@pytest.fixture
def lived(make):
    """An index with all there is: a graph, a tail, deleted records, labels, payload."""
    index = make(8, "euclidean", search_params={})
    index.add(vectors(500), labels=[None, *range(1, 500)], data=[{"i": i} for i in range(500)])
    index.lookup(vectors(3), k=3)
    index.delete([0, 17, 499])
    index.upsert([5, 900], vectors(2, seed=3), labels=[2**60, 1])
    return index


def test_a_loaded_index_is_the_one_that_was_saved(lived, engine, tmp_path):
    lived.save(tmp_path / "index.tfsim")
    loaded = Index.load(tmp_path / "index.tfsim")
    assert_same_answers(lived, loaded, vectors(200, seed=5))
    assert loaded.engine == lived.engine == engine
    assert loaded.recall == lived.recall
    assert loaded.get_config() == lived.get_config()
    np.testing.assert_array_equal(loaded.ids, lived.ids)
    a, b = lived.get(lived.ids), loaded.get(lived.ids)
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.has_label, b.has_label)
    np.testing.assert_array_equal(a.embeddings, b.embeddings)
    assert a.data == b.data
    np.testing.assert_array_equal(loaded.add(vectors(1)), [901])
    np.testing.assert_array_equal(lived.add(vectors(1)), [901])
    for index in (lived, loaded):
        index.delete([901, 3])
    assert_same_answers(lived, loaded, vectors(200, seed=5))


def test_saved_twice_from_what_was_loaded(lived, tmp_path):
    """nmslib writes an empty graph when what it read is written again."""
    lived.save(tmp_path / "a")
    Index.load(tmp_path / "a").save(tmp_path / "b")
    os.remove(tmp_path / "a")
    again = Index.load(tmp_path / "b")
    assert_same_answers(lived, again, vectors(200, seed=5))
    again.save(tmp_path / "b")  # in place of the file it came from
    assert_same_answers(lived, Index.load(tmp_path / "b"), vectors(200, seed=5))


def test_array_payload_and_empty_index(make, tmp_path):
    index = make(2)
    index.save(tmp_path / "x")
    assert len(Index.load(tmp_path / "x")) == 0
    index.add([[1.0, 0.0]])
    index.add(np.eye(2), data=np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    index.save(tmp_path / "x")
    loaded = Index.load(tmp_path / "x")
    data = loaded.get([0, 1, 2]).data
    assert data[0] is None
    assert data[1].dtype == np.uint8
    np.testing.assert_array_equal(data[2], [[6, 7, 8], [9, 10, 11]])


def test_deleted_records_are_not_in_the_file(make, tmp_path):
    index = make(2)
    index.add(np.eye(2), data=["kept", "a secret"])
    index.delete(1)
    index.save(tmp_path / "x")
    content = (tmp_path / "x").read_bytes()
    assert b"kept" in content
    assert b"secret" not in content


def test_the_calibration_is_saved(tmp_path):
    index = Index(2)
    index.add(np.eye(2))
    index.calibration = Calibration(
        cutpoints={"optimal": {"distance": 0.25}}, thresholds={"distance": np.array([0.25])}
    )
    index.save(tmp_path / "x")
    loaded = Index.load(tmp_path / "x").calibration
    assert loaded.get_config() == index.calibration.get_config()


@pytest.mark.further("faiss_ivf")
def test_every_flipped_byte_is_noticed(lived, tmp_path):
    path = tmp_path / "x"
    lived.save(path)
    content = path.read_bytes()
    draw = random.Random(0)
    places = [*range(70), *range(len(content) - 70, len(content))]
    places += draw.sample(range(len(content)), 150)
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CorruptIndexError, match="cannot be loaded"):
            Index.load(path)


def test_every_truncation_is_noticed(lived, tmp_path):
    path = tmp_path / "x"
    lived.save(path)
    content = path.read_bytes()
    for size in [0, 1, 8, 63, 64, 65, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(CorruptIndexError, match="cannot be loaded"):
            Index.load(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(CorruptIndexError, match="1 bytes were appended"):
        Index.load(path)


def test_a_newer_format_is_refused_with_advice(lived, tmp_path):
    path = tmp_path / "x"
    lived.save(path)
    content = bytearray(path.read_bytes())
    content[8:12] = struct.pack("<I", 99)
    content[60:64] = struct.pack("<I", zlib.crc32(content[:60]))
    path.write_bytes(content)
    with pytest.raises(NewerIndexError, match=r"format 99.*--upgrade"):
        Index.load(path)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(CorruptIndexError, match="not an index"):
        Index.load(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        Index.load(tmp_path / "missing")


def test_a_path_that_cannot_be_written(lived, tmp_path):
    with pytest.raises(IsADirectoryError, match=r"index\.tfsim"):
        lived.save(tmp_path)
    with pytest.raises(FileNotFoundError):
        lived.save(tmp_path / "nowhere" / "x")


def test_a_failed_save_leaves_the_old_file(lived, tmp_path, monkeypatch):
    path = tmp_path / "x"
    lived.save(path)
    before = path.read_bytes()
    lived.add(vectors(5))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_archive.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        lived.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk(lived, tmp_path, monkeypatch):
    path = tmp_path / "x"
    lived.save(path)
    before = path.read_bytes()
    real = open

    def on_a_full_disk(name, mode="r", *args, **kwargs):
        return real("/dev/full" if "x" in mode else name, mode.replace("x", "w"), *args, **kwargs)

    monkeypatch.setattr(_archive, "open", on_a_full_disk, raising=False)
    with pytest.raises(OSError, match="No space left"):
        lived.save(path)
    assert path.read_bytes() == before


def test_leftovers_of_a_killed_save_are_removed(lived, tmp_path):
    old, new = tmp_path / ".x.0123.tmp", tmp_path / ".x.4567.tmp"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    lived.save(tmp_path / "x")
    assert sorted(os.listdir(tmp_path)) == [".x.4567.tmp", "x"]


def test_permissions_and_links_are_kept(lived, tmp_path):
    path, link = tmp_path / "x", tmp_path / "link"
    lived.save(path)
    os.chmod(path, 0o640)
    os.symlink(path, link)
    lived.save(link)
    assert os.path.islink(link)
    assert os.stat(path).st_mode & 0o777 == 0o640


def test_nothing_is_unpickled(lived, tmp_path, monkeypatch):
    import pickle

    def refuse(*_, **__):
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, refuse)
    lived.save(tmp_path / "x")
    assert len(Index.load(tmp_path / "x")) == len(lived)


def _save_for_ever(indexes, path, told):
    while True:
        for index in indexes:
            index.save(path)
            os.write(told, b".")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.further
def test_killed_while_saving(tmp_path):
    """Whenever a process dies, the file holds one of the two indexes, whole."""
    draw, path, seen = random.Random(0), tmp_path / "x", set()
    indexes = []
    for n in (2000, 3000):
        indexes.append(Index(64, search="exact"))
        indexes[-1].add(np.full((n, 64), n), labels=np.full(n, n), data=[str(n)] * n)
    indexes[0].save(path)
    interrupted = 0
    for _ in range(30):
        reader, writer = os.pipe()
        begin = time.monotonic()
        child = os.fork()
        if not child:
            try:
                _save_for_ever(indexes, path, writer)
            finally:
                os._exit(1)
        os.close(writer)
        assert os.read(reader, 1) == b"."  # one save is done, however slow this machine is
        os.close(reader)
        time.sleep(draw.uniform(0, 2) * (time.monotonic() - begin))  # somewhere in the next two
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        loaded = Index.load(path)
        n = len(loaded)
        records = loaded.get(loaded.ids)
        assert n in (2000, 3000)
        assert (records.embeddings == n).all()
        assert (records.labels == n).all()
        assert set(records.data) == {str(n)}
        seen.add(n)
        interrupted = len(os.listdir(tmp_path)) - 1
    assert seen == {2000, 3000}
    assert interrupted > 5  # most died with a half-written file beside the whole one


def test_notes_are_kept(tmp_path):
    index = Index(2)
    index.notes["by"] = {"whom": ["me", 1]}
    index.save(tmp_path / "x")
    assert Index.load(tmp_path / "x").notes == {"by": {"whom": ["me", 1]}}
