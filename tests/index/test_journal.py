"""An index in a folder: what was acknowledged is there, however the process ended."""

import copy
import errno
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import inside_index
import numpy as np
import pytest

from tensorflow_similarity.index import (
    CorruptIndexError,
    Index,
    IndexLockedError,
    NewerIndexError,
    _folder,
    _folder_lock,
    _journal,
)

DIM = 3


def vectors(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def contents(index):
    """All that an index holds: id -> (embedding, label, data)."""
    records = index.get(index.ids)
    data = [None] * len(records) if records.data is None else records.data
    return {
        int(id_): (x.tolist(), int(label) if there else None, _plain(value))
        for id_, x, label, there, value in zip(
            records.ids,
            records.embeddings,
            records.labels,
            records.has_label,
            data,
            strict=True,
        )
    }


def _plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


def as_after_a_crash(folder, to):
    """What a process leaves that dies now: all that it wrote, and nothing closed."""
    shutil.copytree(folder, to)
    return Index.open(to)


def last_journal(folder):
    names = [name for name in os.listdir(folder) if name.startswith("journal.")]
    return folder / max(names, key=lambda name: int(name.split(".")[1]))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "index"


@pytest.mark.parametrize("kind", ["json", "array", None])
@pytest.mark.further("None")
def test_every_change_is_there_without_a_save(folder, tmp_path, kind):
    def data(n, seed):
        values = np.random.default_rng(seed).integers(0, 99, (n, 2)).astype(np.uint16)
        return {"json": values.tolist(), "array": values, None: None}[kind]

    index = Index(DIM, "euclidean", path=folder)
    assert index.path == str(folder)
    steps = [
        lambda: index.add(vectors(5), labels=[1, None, 3, 4, 2**60], data=data(5, 0)),
        lambda: index.add(vectors(2, 1), ids=[70, 60]),
        lambda: index.delete([1, 70]),
        lambda: index.upsert([2, 100], vectors(2, 2), labels=[8, 9], data=data(2, 1)),
        lambda: index.update([3], labels=[5]),
        lambda: index.update([0, 60], embeddings=vectors(2, 3), data=data(2, 2)),
        lambda: index.add(np.empty((0, DIM))),
        index.clear,
        lambda: index.add(vectors(4, 4), data=data(4, 5)),
    ]
    for number, step in enumerate(steps):
        step()
        with as_after_a_crash(folder, tmp_path / str(number)) as again:
            assert contents(again) == contents(index)
            assert again.distance == index.distance
            # Ids that were assigned once are not assigned again.
            np.testing.assert_array_equal(
                again.add(vectors(1)),
                [[5], [71], [71], [101], [101], [101], [101], [101], [105]][number],
            )


def test_close_and_open(folder):
    with Index(DIM, "euclidean", path=folder) as index:
        index.add(vectors(3), labels=[1, 2, 3])
    before = contents(index)  # reading goes on
    with pytest.raises(ValueError, match="is closed"):
        index.add(vectors(1))
    with pytest.raises(ValueError, match="is closed"):
        index.delete(0)
    assert contents(index) == before
    index.close()
    with Index.open(folder) as again:
        assert contents(again) == before
        again.delete(1)
    with Index(DIM, "euclidean", path=folder) as again:
        assert list(contents(again)) == [0, 2]


def test_one_index_at_a_time(folder):
    index = Index(DIM, path=folder)
    with pytest.raises(IndexLockedError, match="is open in this process"):
        Index.open(folder)
    index.add(vectors(1))
    index.close()
    Index.open(folder).close()


def test_an_index_that_is_let_go_lets_go_of_its_folder(folder):
    index = Index(DIM, path=folder)
    index.add(vectors(2))
    del index
    with Index.open(folder) as index:
        assert len(index) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_one_process_at_a_time(folder):
    Index(DIM, path=folder).close()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            index = Index.open(folder)
            index.add(vectors(1))
            os.write(write, b"open")
            time.sleep(60)
        finally:
            os._exit(1)
    os.read(read, 4)
    with pytest.raises(IndexLockedError, match=f"open in process {child}. One index at a time"):
        Index.open(folder)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    os.close(write)
    with Index.open(folder) as index:
        assert len(index) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_copy_of_the_process_does_not_write(folder):
    index = Index(DIM, path=folder)
    child = os.fork()
    if not child:
        try:
            index.add(vectors(1))
        except ValueError as error:
            os._exit(17 if "another process" in str(error) else 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
    index.add(vectors(1))
    index.close()
    assert len(Index.open(folder)) == 1


def in_a_copy(run):
    """What a copy of this process tells: the name of an error and its message, or what it gave."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            told = str(run())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(write, told.encode())
        os._exit(0)
    os.close(write)
    with open(read) as file:
        told = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.further
def test_a_copy_of_the_process_does_not_take_the_journal_away(folder, tmp_path, graphs_of_any_size):
    index = Index(DIM, "euclidean", search="nmslib", path=folder)
    index.add(vectors(200))
    before = sorted(os.listdir(folder))

    def look_up():
        index.lookup(vectors(1))
        return index.engine

    def close():
        index.close()
        index.close()

    refused = "ValueError: The index was opened by another process"
    assert in_a_copy(look_up) == "nmslib"
    for run in (index.save, index.compact, lambda: index.notes.update(a=1)):
        assert in_a_copy(run).startswith(refused)
    assert in_a_copy(close) == "None"
    assert sorted(os.listdir(folder)) == before
    with pytest.raises(IndexLockedError):
        Index.open(folder)
    index.add(vectors(5, 1))
    with as_after_a_crash(folder, tmp_path / "copy") as again:
        assert contents(again) == contents(index)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_copy_that_lives_on_does_not_keep_the_folder(folder):
    index = Index(DIM, path=folder)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(write)
            os.read(read, 1)  # until the other end is closed
        finally:
            os._exit(0)
    try:
        index.close()
        Index.open(folder).close()
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_copy_that_outlives_the_process_does_not_keep_the_folder(folder):
    Index(DIM, path=folder).close()
    ready, tell = os.pipe()
    wait, end = os.pipe()
    process = os.fork()
    if not process:
        try:
            index = Index.open(folder)
            if os.fork():
                index.add(vectors(1))
                os.write(tell, b"1")
                time.sleep(60)
            else:  # the copy
                os.close(end)
                os.write(tell, b"1")
                os.read(wait, 1)  # until the other end is closed
        finally:
            os._exit(1)
    try:
        told = os.read(ready, 1) + os.read(ready, 1)
        assert told == b"11"
        with pytest.raises(IndexLockedError):
            Index.open(folder)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        with Index.open(folder) as again:
            assert len(again) == 1
    finally:
        for each in (end, wait, ready, tell):
            os.close(each)


def test_a_file_system_without_locks_is_told_from_a_lock(folder, monkeypatch):
    def fails_with(number):
        def lock(_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(_folder_lock, "_lock", lock)

    fails_with(errno.ENOLCK)
    with pytest.raises(OSError, match="file system gives no locks") as caught:
        Index(DIM, path=folder)
    assert not isinstance(caught.value, IndexLockedError)
    assert caught.value.errno == caught.value.__cause__.errno == errno.ENOLCK
    for number in (errno.EAGAIN, errno.EACCES):
        fails_with(number)
        with pytest.raises(IndexLockedError, match="One index at a time"):
            Index(DIM, path=folder)


def test_settings_that_do_not_fit(folder):
    Index(DIM, "euclidean", path=folder).close()
    with pytest.raises(ValueError, match=r"`embedding_size` must be .* 3\. Received: 4"):
        Index(4, "euclidean", path=folder)
    with pytest.raises(ValueError, match=r"`distance` must be .*Euclidean.*Received: .*Cosine"):
        Index(DIM, "cosine", path=folder)
    with Index(DIM, "euclidean", path=folder, search="exact") as index:
        assert index.search == "exact"
        assert "path" not in index.get_config()


def test_what_is_no_folder_of_an_index(tmp_path):
    with pytest.raises(FileNotFoundError, match="no index at"):
        Index.open(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=r"Index\.load"):
        Index(DIM, path=tmp_path / "file")
    (tmp_path / "other").mkdir()
    with pytest.raises(CorruptIndexError, match="holds no index"):
        Index.open(tmp_path / "other")
    with pytest.raises(IsADirectoryError, match=r"opened with `Index\.open`"):
        Index.load(tmp_path / "other")
    with pytest.raises(ValueError, match="`path` must be given"):
        Index(DIM).save()


def test_saving_folds_the_journal(folder, tmp_path):
    index = Index(DIM, path=folder)
    index.add(vectors(50), data=["secret"] * 50)
    index.delete(np.arange(1, 50))
    size = last_journal(folder).stat().st_size
    index.save()
    assert last_journal(folder).stat().st_size < size
    assert sorted(os.listdir(folder)) == ["journal.2", "lock", "snapshot.2"]
    index.delete(0)
    index.compact()  # nothing of what was deleted is left on the disk
    assert sorted(os.listdir(folder)) == ["journal.3", "lock", "snapshot.3"]
    for name in os.listdir(folder):
        assert b"secret" not in (folder / name).read_bytes()
    index.add(vectors(2))
    with as_after_a_crash(folder, tmp_path / "copy") as again:
        assert contents(again) == contents(index)
    index.save(tmp_path / "one.tfsim")
    assert contents(Index.load(tmp_path / "one.tfsim")) == contents(index)


@pytest.mark.parametrize("background", [False, True])
def test_a_long_journal_is_folded(folder, tmp_path, monkeypatch, background):
    monkeypatch.setattr(_folder, "_SMALLEST_JOURNAL", 2000)
    index = Index(DIM, path=folder, background=background)
    for seed in range(40):
        index.add(vectors(20, seed), labels=[seed] * 20)
    deadline = time.monotonic() + 300
    while not (folder / "snapshot.3").exists() and background and time.monotonic() < deadline:
        index.add(vectors(1))
        time.sleep(0.02)
    index.close()  # waits for a snapshot that is being written
    names = sorted(os.listdir(folder))
    assert len(names) == 3
    assert int(names[2].split(".")[1]) >= 3
    shutil.copytree(folder, tmp_path / "copy")
    assert contents(Index.open(tmp_path / "copy")) == contents(index)


def test_a_graph_that_was_built_is_kept(folder, tmp_path, graphs_of_any_size):
    index = Index(DIM, "euclidean", search="nmslib", path=folder)
    index.add(vectors(200))
    index.lookup(vectors(1))
    assert index.engine == "nmslib"
    index.add(vectors(5, 1))
    index.delete([3, 201])
    with as_after_a_crash(folder, tmp_path / "copy") as again:
        assert again.engine == "nmslib"
        assert again.stats()["scanned"] == index.stats()["scanned"] == 4
        queries = vectors(50, 2)
        np.testing.assert_array_equal(again.lookup(queries).ids, index.lookup(queries).ids)
    with Index(DIM, "euclidean", search="exact", path=tmp_path / "copy") as again:
        assert again.engine == "exact"


def test_another_target_is_reached_with_the_graph_that_is_there(folder, graphs_of_any_size):
    with Index(DIM, "euclidean", search="nmslib", target_recall=0.5, path=folder) as index:
        index.add(vectors(3000))
        index.lookup(vectors(1))
        assert index.engine == "nmslib"
    with Index(DIM, "euclidean", search="nmslib", target_recall=0.99, path=folder) as index:
        assert index.engine == "nmslib"
        assert index.recall.recall >= 0.99


def test_notes_and_calibration_are_kept(folder, tmp_path):
    index = Index(DIM, path=folder)
    index.notes["made by"] = {"whom": [1, "me"]}
    index.add(vectors(2))
    index.calibration = a_calibration()
    index.delete(0)
    with as_after_a_crash(folder, tmp_path / "copy") as again:
        assert again.notes == index.notes
        assert again.calibration.get_config() == index.calibration.get_config()
    index.notes["later"] = 1
    index.close()
    with Index.open(folder) as again:
        assert again.notes == index.notes


def a_calibration():
    from tensorflow_similarity.calibration import Calibration

    return Calibration(
        cutpoints={"optimal": {"distance": 0.25}}, thresholds={"distance": np.array([0.25])}
    )


def test_notes_are_there_as_soon_as_they_are_set(folder, tmp_path):
    index, notes = Index(DIM, path=folder), {}
    for number, step in enumerate(
        [
            lambda notes: notes.update(a=1, b=[2]),
            lambda notes: notes.__setitem__("c", {"d": None}),
            lambda notes: notes.__delitem__("a"),
            lambda notes: notes.setdefault("e", 3),
            lambda notes: notes.setdefault("e", 4),
            lambda notes: notes.pop("b"),
            lambda notes: notes.pop("none", 5),
            lambda notes: notes.popitem(),
            lambda notes: notes.__ior__({"f": 6}),
            lambda notes: notes.clear(),
            lambda notes: notes.__setitem__("f", 7),
        ]
    ):
        step(notes)
        step(index.notes)
        with as_after_a_crash(folder, tmp_path / str(number)) as again:
            assert again.notes == index.notes == notes
    with pytest.raises(KeyError, match="none"):
        index.notes.pop("none")
    with pytest.raises(KeyError, match="none"):
        del index.notes["none"]
    assert json.loads(json.dumps(index.notes)) == copy.deepcopy(index.notes) == notes
    del index
    with Index.open(folder) as again:
        assert again.notes == notes


def test_a_calibration_is_there_as_soon_as_it_is_set(folder, tmp_path):
    index = Index(DIM, path=folder)
    index.calibration = a_calibration()
    with as_after_a_crash(folder, tmp_path / "one") as again:
        assert again.calibration.get_config() == a_calibration().get_config()
    index.calibration = None
    with as_after_a_crash(folder, tmp_path / "two") as again:
        assert again.calibration is None


def test_notes_set_between_two_snapshots(folder, tmp_path):
    index = Index(DIM, path=folder)
    for value in (1, 2, 1):
        index.notes["a"] = value
        index.save()
    index.notes["a"] = 2
    index.notes["a"] = 1
    with as_after_a_crash(folder, tmp_path / "copy") as again:
        assert again.notes == {"a": 1}


@pytest.mark.parametrize("value", [np.float32(1), {1, 2}, {"a": [object()]}, {(1, 2): 3}])
def test_a_note_that_is_not_json_is_refused(folder, value):
    index = Index(DIM, path=folder)
    index.notes["old"] = 1
    with pytest.raises(TypeError, match="The note 'new' must be JSON"):
        index.notes["new"] = value
    with pytest.raises(TypeError, match="The note 'new' must be JSON"):
        index.notes.update(other=2, new=value)
    with pytest.raises(TypeError, match=r"name of a note must be a string\. Received: 1"):
        index.notes[1] = 1
    itself = []
    itself.append(itself)
    with pytest.raises(ValueError, match="The note 'new' must be JSON"):
        index.notes["new"] = itself
    # Keys of both kinds could not be sorted, where notes are compared.
    index.notes["keys"] = {"a": 1, 1: 2}
    index.add(vectors(1))
    index.close()
    with Index.open(folder) as again:
        assert again.notes == {"old": 1, "keys": {"a": 1, "1": 2}}


def test_notes_of_an_index_that_is_closed_or_let_go(folder):
    index = Index(DIM, path=folder)
    index.close()
    with pytest.raises(ValueError, match="is closed"):
        index.notes["a"] = 1
    with pytest.raises(ValueError, match="is closed"):
        index.calibration = a_calibration()
    assert (dict(index.notes), index.calibration) == ({}, None)
    with pytest.raises(ValueError, match="was let go"):
        Index.open(folder).notes["a"] = 1


def test_closing_lets_go_of_the_folder_whatever_fails(folder):
    index = Index(DIM, path=folder)
    index.notes["a"] = []
    index.notes["a"].append(object())  # behind its back
    with pytest.raises(TypeError, match="not JSON"):
        index.close()
    with Index.open(folder) as again:
        assert again.notes == {"a": []}


def test_a_note_that_cannot_be_written_is_not_set(folder):
    index = Index(DIM, path=folder)
    index.notes["a"] = 1
    own = inside_index.journal(index)
    whole, own._file = own._file, FullDisk(own._file, 10)
    with pytest.raises(OSError, match="No space left"):
        index.notes["a"] = 2
    own._file = whole
    assert index.notes == {"a": 1}
    index.close()
    with Index.open(folder) as again:
        assert again.notes == {"a": 1}


def test_a_model_that_is_reset_is_so_on_the_disk(folder, tmp_path):
    import keras

    from tensorflow_similarity.models import SimilarityModel

    inputs = keras.Input((DIM,))
    model = SimilarityModel(inputs, keras.layers.Identity()(inputs))
    model.create_index(distance="euclidean", path=folder)
    model.index(vectors(3), verbose=0)
    model.vector_index.calibration = a_calibration()
    with as_after_a_crash(folder, tmp_path / "one") as again:
        assert "made_with_weights" in again.notes
        assert again.calibration is not None
    model.reset_index()
    with as_after_a_crash(folder, tmp_path / "two") as again:
        assert (len(again), dict(again.notes), again.calibration) == (0, {}, None)


# -- Damage -------------------------------------------------------------------------------------


@pytest.mark.further
def test_a_torn_end_is_dropped(folder, tmp_path):
    index = Index(DIM, path=folder)
    index.add(vectors(2), data=["a", "b"])
    whole = last_journal(folder).stat().st_size
    before = contents(index)
    index.add(vectors(2, 1), data=["c", "d"])
    content = last_journal(folder).read_bytes()
    died = tmp_path / "died"
    shutil.copytree(folder, died)
    index.close()
    for size in [whole + 1, whole + 19, whole + 20, *range(whole + 21, len(content), 37)]:
        copy = tmp_path / str(size)
        shutil.copytree(died, copy)
        last_journal(copy).write_bytes(content[:size])
        with pytest.warns(UserWarning, match=f"last {size - whole} bytes of the journal"):
            again = Index.open(copy)
        assert contents(again) == before
        np.testing.assert_array_equal(again.add(vectors(1)), [2])
        after = contents(again)
        again.close()
        with Index.open(copy) as again:  # and it goes on from there
            assert contents(again) == after


def test_a_journal_that_was_only_begun(folder, tmp_path):
    """The process died while it began the journal after the one that is in use."""
    index = Index(DIM, path=folder)
    index.add(vectors(1))
    for number, size in enumerate((0, 7, 15, 16)):
        died = tmp_path / str(size)
        shutil.copytree(folder, died)
        (died / "journal.2").write_bytes((folder / "journal.1").read_bytes()[:size])
        with Index.open(died) as again:
            assert len(again) == 1
            again.add(vectors(1, number))
        with Index.open(died) as again:
            assert len(again) == 2


@pytest.mark.further
def test_a_flipped_byte_before_whole_changes_is_noticed(folder, tmp_path):
    index = Index(DIM, path=folder)
    index.add(vectors(2), data=["a", "b"])
    first = last_journal(folder).stat().st_size
    index.add(vectors(2, 1))
    second = last_journal(folder).stat().st_size
    index.add(vectors(1, 2))
    index.close()
    content = last_journal(folder).read_bytes()
    draw, kept = random.Random(0), index.get([0, 1])
    for place in [*range(16), *range(first, first + 24), *draw.sample(range(first, second), 40)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        last_journal(folder).write_bytes(damaged)
        with pytest.raises((CorruptIndexError, NewerIndexError), match="journal"):
            Index.open(folder)
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        with pytest.warns(UserWarning, match="are dropped"):
            some = Index.open(copy, repair=True)
        if place < 16:  # the header
            assert len(some) == 0
        else:
            assert some.get([0, 1]).data == kept.data
            assert len(some) == 2
        some.add(vectors(1))
        some.close()
        with Index.open(copy) as again:
            assert len(again) == len(some)
        shutil.rmtree(copy)


def test_magic_numbers_in_embeddings_are_no_entries(folder, tmp_path, monkeypatch):
    """Bytes that look like the beginning of an entry do not make a torn end into damage."""
    monkeypatch.setattr(_journal, "_CHUNK", 64)  # found across the pieces that are read, too
    index = Index(DIM, path=folder)
    (word,) = struct.unpack("<f", b"\xf5TFS")
    index.add(np.full((99, DIM), word))
    died = tmp_path / "died"
    shutil.copytree(folder, died)
    index.close()
    with open(last_journal(died), "rb+") as file:
        file.truncate(last_journal(died).stat().st_size - 1)
    with pytest.warns(UserWarning, match="dropped"):
        index = Index.open(died)
    assert len(index) == 0


def test_a_newer_journal_is_refused(folder):
    Index(DIM, path=folder).close()
    head = b"TFSIMJNL" + struct.pack("<I", 99)
    last_journal(folder).write_bytes(head + struct.pack("<I", zlib.crc32(head)))
    with pytest.raises(NewerIndexError, match=r"format 99.*--upgrade"):
        Index.open(folder)


def test_a_journal_that_does_not_fit(folder):
    with Index(DIM, path=folder) as index:
        index.add(vectors(2))
        index.delete(1)
    content = last_journal(folder).read_bytes()
    second = content.index(b"\xf5TFS", content.index(b"\xf5TFS") + 4)
    last_journal(folder).write_bytes(content[:16] + content[second:])
    with pytest.raises(CorruptIndexError, match="does not fit what came before"):
        Index.open(folder)


# -- What fails ---------------------------------------------------------------------------------


class FullDisk:
    """A file that takes so many bytes more, and then only a part of what is written."""

    def __init__(self, file, room):
        self._file, self._room = file, room

    def write(self, data):
        if self._room <= 0:
            raise OSError(28, "No space left on device")
        data = memoryview(data)[: self._room]
        self._room -= len(data)
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 1, 30, 150])
def test_a_full_disk_refuses_the_change_and_no_other(folder, room, tmp_path):
    index = Index(DIM, path=folder)
    index.add(vectors(3))
    before, own = contents(index), inside_index.journal(index)
    whole, own._file = own._file, FullDisk(own._file, room)
    for change in (
        lambda: index.add(vectors(50)),
        lambda: index.update([0, 1, 2], embeddings=vectors(3, 1), data=["some text"] * 3),
    ):
        own._file._room = room
        with pytest.raises(OSError, match="No space left"):
            change()
        assert contents(index) == before
    own._file = whole
    with as_after_a_crash(folder, tmp_path / "copy") as again:
        assert contents(again) == before
    index.add(vectors(1))
    after = contents(index)
    index.close()
    with Index.open(folder) as again:
        assert contents(again) == after


def test_a_change_that_fails_is_not_in_the_journal(folder, monkeypatch):
    from tensorflow_similarity.index import _records

    index = Index(DIM, path=folder)
    index.add(vectors(2))
    with monkeypatch.context() as patch:
        patch.setattr(_records.Store, "_snapshot", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.add(vectors(2))
        with pytest.raises(ZeroDivisionError):
            index.delete(0)
    with pytest.raises(KeyError):
        index.delete(77)
    with pytest.raises(ValueError, match="in use"):
        index.add(vectors(1), ids=[1])
    before = contents(index)
    assert sorted(before) == [0, 1]
    index.close()
    with Index.open(folder) as again:
        assert contents(again) == before


def test_a_snapshot_that_fails_costs_nothing(folder, tmp_path, monkeypatch):
    from tensorflow_similarity.index import _archive

    monkeypatch.setattr(_folder, "_SMALLEST_JOURNAL", 1000)
    index = Index(DIM, path=folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_archive, "replacing", full)
        with pytest.warns(UserWarning, match="No snapshot of the index could be written"):
            index.add(vectors(100))
        index.add(vectors(1))  # is not told again at once
        with pytest.raises(OSError, match="No space left"):
            index.save()
        index.add(vectors(1))
        with as_after_a_crash(folder, tmp_path / "copy") as again:
            assert contents(again) == contents(index)
            assert len(again) == 102
    index.save()
    index.delete(0)
    with as_after_a_crash(folder, tmp_path / "copy2") as again:
        assert contents(again) == contents(index)
    assert len(os.listdir(folder)) == 3


# -- Killed -------------------------------------------------------------------------------------


def change(index, number):
    """The change of that number, whatever has happened since the ones before."""
    rng = np.random.default_rng(number)
    kind = number % 7
    if kind in (0, 1, 2):
        n = int(rng.integers(1, 40))
        index.add(rng.normal(size=(n, DIM)), rng.integers(0, 9, n), [[number, i] for i in range(n)])
    elif kind == 3:
        some = rng.choice(index.ids, 3, replace=False)
        index.upsert(some, rng.normal(size=(3, DIM)), data=[number] * 3)
    elif kind == 4:
        some = rng.choice(index.ids, 2, replace=False)
        index.update(some, labels=rng.integers(0, 9, 2))
    elif kind == 5:
        index.delete(rng.choice(index.ids, len(index.ids) // 3, replace=False))
    else:
        index.upsert([10**9], np.ones((1, DIM)), data=[{"last": number}])


def _live(folder, first, acknowledge):
    with Index.open(folder) as index:
        os.write(acknowledge, b"%d\n" % -1)
        for number in range(first, first + 100_000):
            change(index, number)
            os.write(acknowledge, b"%d\n" % number)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*no whole change")
def test_killed_while_living(folder, monkeypatch):
    """Whenever a process dies, all that it acknowledged is there, and nothing half done."""
    monkeypatch.setattr(_folder, "_SMALLEST_JOURNAL", 3000)  # snapshots are written meanwhile
    Index(DIM, "euclidean", path=folder).close()
    model = Index(DIM, "euclidean")  # makes the same changes, in memory
    draw, done, half_written, unanswered = random.Random(0), 0, 0, 0
    for life in range(600):
        if life >= 60 and half_written:  # On a busy machine, few die while they write a file.
            break
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            try:
                _live(folder, done, write)
            finally:
                os._exit(1)
        os.close(write)
        with open(read) as acknowledged:
            assert acknowledged.readline() == "-1\n"
            begin = time.monotonic()
            first = acknowledged.readline()  # however slow this machine is
            time.sleep(draw.uniform(0, 6) * (time.monotonic() - begin))
            os.kill(child, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            numbers = [int(first), *map(int, acknowledged)]
        for number in numbers:
            assert number == done
            change(model, number)
            done += 1
        half_written += any(name.endswith(".tmp") for name in os.listdir(folder))
        with Index.open(folder) as index:
            found = contents(index)
            if found != contents(model):
                # The change after the last acknowledged one was made, and its answer was not.
                change(model, done)
                done += 1
                unanswered += 1
            assert found == contents(model)
    assert done > 60
    assert half_written > 0
    assert unanswered < 60


@pytest.mark.slow
def test_a_limit_on_the_size_of_files(tmp_path):
    """What a full disk does, done by the system."""
    program = """
import json, resource, signal, sys
import numpy as np
from tensorflow_similarity.index import Index
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
index = Index(64, path=sys.argv[1])
index.add(np.ones((600, 64)))
index.save(sys.argv[2])
index.save()
resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))
refused = []
for _ in range(8):
    try:
        index.add(np.ones((100, 64)))
    except OSError as error:
        refused.append(error.errno)
for path in (sys.argv[2], None):
    try:
        index.save(path)
    except OSError as error:
        refused.append(error.errno)
print(json.dumps([len(index), refused]))
"""
    folder, file = tmp_path / "index", tmp_path / "file"
    result = subprocess.run(
        [sys.executable, "-c", program, folder, file], capture_output=True, text=True, check=True
    )
    length, refused = json.loads(result.stdout)
    assert length == 1000
    assert refused == [errno.EFBIG] * (4 + 2)
    with Index.open(folder) as index:
        assert len(index) == 1000
    assert len(Index.load(file)) == 600
