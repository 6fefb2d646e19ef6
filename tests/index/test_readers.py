"""Any number may read the folder of an index while one writes; and copies of an index."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from tensorflow_similarity.index import CorruptIndexError, Index
from tests.index.conftest import require
from tests.index.test_journal import contents

DIM = 3


def vectors(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "index"


def test_readers_beside_a_writer(folder):
    with Index(DIM, "euclidean", path=folder) as writer:
        writer.add(vectors(5), labels=[1, 2, None, 4, 5], data=list("abcde"))
        before = sorted(os.listdir(folder))
        one, two = (Index.open(folder, read_only=True) for _ in range(2))
        assert contents(one) == contents(two) == contents(writer)
        assert one.path == str(folder)
        writer.delete(2)
        writer.notes["by"] = "me"
        assert len(one) == 5  # until it looks again
        assert one.refresh()
        assert not one.refresh()
        assert contents(one) == contents(writer)
        assert one.notes == {"by": "me"}
        writer.save()  # another snapshot; what two has read is gone
        writer.update([0], labels=[9])
        for reader in (one, two):
            assert reader.refresh()
            assert contents(reader) == contents(writer)
        assert len(before) == len(os.listdir(folder))
    assert not one.refresh()
    with Index.open(folder) as writer:  # which no reader keeps from it
        writer.clear()
        assert one.refresh()
        assert len(one) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda i: i.add(vectors(1)),
        lambda i: i.upsert([0], vectors(1)),
        lambda i: i.update([0], labels=[3]),
        lambda i: i.delete(0),
        lambda i: i.clear(),
        lambda i: i.compact(),
        lambda i: i.save(),
        lambda i: i.notes.update(a=1),
        lambda i: setattr(i, "calibration", None) or i.notes.pop("kept"),
    ],
)
def test_a_reader_changes_nothing(folder, change):
    with Index(DIM, path=folder) as writer:
        writer.add(vectors(3))
        writer.notes["kept"] = 1
        files = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
        reader = Index.open(folder, read_only=True)
        before = contents(reader)
        with pytest.raises(ValueError, match="read_only=True, and cannot be changed"):
            change(reader)
        assert contents(reader) == before
        assert reader.notes == {"kept": 1}
        reader.close()
        assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == files


def test_what_only_writers_may_ask_for(folder):
    Index(DIM, path=folder).close()
    for arguments in ({"repair": True}, {"fsync": True}):
        with pytest.raises(ValueError, match="for those who write"):
            Index.open(folder, read_only=True, **arguments)
    assert not Index(DIM).refresh()


def test_damage_is_told_to_readers_too(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        Index.open(folder, read_only=True)
    index = Index(DIM, path=folder)
    index.add(vectors(3))
    index.close()
    shutil.copytree(folder, tmp_path / "copy")
    content = bytearray((tmp_path / "copy" / "journal.1").read_bytes())
    content[-1] ^= 1
    (tmp_path / "copy" / "journal.1").write_bytes(content)
    with pytest.raises(CorruptIndexError, match=r"journal\.1"):
        Index.open(tmp_path / "copy", read_only=True)


_WRITER = """
import sys
import numpy as np
from tensorflow_similarity.index import Index
index = Index(3, "euclidean", path=sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    # Three records of one number, together or not at all.
    index.upsert([0, 1, 2], np.full((3, 3), number), labels=[number] * 3, data=[number] * 3)
    number += 1
    if number % 40 == 0:
        index.save()
"""


@pytest.mark.slow
def test_every_state_that_a_reader_sees_is_one_that_was(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        reader, seen = None, []
        until = time.monotonic() + 15
        while time.monotonic() < until:
            if reader is None or len(seen) % 20 == 0:
                reader = Index.open(folder, read_only=True)
            else:
                reader.refresh()
            records = reader.get(reader.ids)
            assert len(records) in (0, 3)
            if len(records):
                assert len(set(records.labels.tolist())) == 1
                assert records.data == records.labels.tolist()
                assert (records.embeddings == records.labels[0]).all()
                seen.append(int(records.labels[0]))
        assert seen == sorted(seen)
        assert len(set(seen)) > 20
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# -- Copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda i: pickle.loads(pickle.dumps(i))]
)
@pytest.mark.parametrize("search", ["exact", "nmslib", "faiss"])
@pytest.mark.parametrize("path", [None, "folder"])
def test_a_copy_is_an_index_of_its_own(tmp_path, copied, search, path, graphs_of_any_size):
    require(search)
    path = path and tmp_path / path
    with Index(DIM, "euclidean", search=search, storage="float16", path=path) as index:
        index.add(vectors(50), labels=[None, *range(49)], data=[{"i": i} for i in range(50)])
        index.lookup(vectors(1))
        index.delete([3])
        index.notes["by"] = ["me"]
        other = copied(index)
        assert type(other) is Index
        assert contents(other) == contents(index)
        assert other.get_config() == index.get_config()
        assert other.notes == index.notes
        assert other.engine == index.engine
        assert other.path is None
        np.testing.assert_array_equal(
            other.lookup(vectors(9, 1)).ids, index.lookup(vectors(9, 1)).ids
        )
        other.notes["by"] = "you"
        other.clear()
        assert len(index) == 49
        assert index.notes == {"by": ["me"]}
        assert other.add(vectors(1)) == index.add(vectors(1))
