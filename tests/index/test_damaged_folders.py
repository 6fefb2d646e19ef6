"""What is missing in a folder of acknowledged changes is damage, and never a silent old state."""

import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest

from tensorflow_similarity.index import CorruptIndexError, Index

DIM = 3


def vectors(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def a_copy(folder, closed):
    """A folder with changes after its second snapshot, as its process closed it or died."""
    index = Index(DIM, path=folder / "whole")
    index.add(vectors(5))
    index.save()
    index.add(vectors(3, 1))
    index.add(vectors(2, 2))
    if closed:
        index.close()
    shutil.copytree(folder / "whole", folder / "copy")
    index.close()
    return folder / "copy"


@pytest.mark.parametrize("size", [0, 7, 16])
def test_a_folder_that_was_only_begun(tmp_path, size):
    """The process died before it had written the first snapshot."""
    Index(DIM, path=tmp_path / "other").close()
    begun = (tmp_path / "other" / "journal.1").read_bytes()[:size]
    folder = tmp_path / "begun"
    folder.mkdir()
    (folder / "journal.1").write_bytes(begun)
    with pytest.raises(CorruptIndexError, match="holds no index, or not all of one"):
        Index.open(folder)
    with Index(DIM, path=folder) as index:
        index.add(vectors(1))
    with Index.open(folder) as index:
        assert len(index) == 1


@pytest.mark.further("None-True", "1-False")
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("size", [None, 0, 1, 15])
def test_a_journal_that_is_missing(tmp_path, closed, size):
    """A snapshot is written after its journal has begun: without it, changes are missing."""
    copy = a_copy(tmp_path, closed)
    journal = copy / "journal.2"
    content = journal.read_bytes()
    os.remove(journal)
    if size is not None:
        journal.write_bytes(content[:size])
    with pytest.raises(CorruptIndexError, match=r"journal\.2.*missing.*repair=True"):
        Index.open(copy)
    with pytest.raises(CorruptIndexError, match=r"journal\.2"):
        Index(DIM, path=copy)
    with Index.open(copy, repair=True) as index:
        assert len(index) == 5
        index.add(vectors(1))
    with Index.open(copy) as index:
        assert len(index) == 6


@pytest.mark.further
def test_a_journal_that_was_cut_after_it_was_closed(tmp_path):
    """Wherever the cut is, also between two changes."""
    copy = a_copy(tmp_path, closed=True)
    content = (copy / "journal.2").read_bytes()
    cuts = [16, content.rindex(b"\xf5TFS"), *range(17, len(content), 11)]
    for size in cuts:
        (copy / "journal.2").write_bytes(content[:size])
        with pytest.raises(CorruptIndexError, match=r"journal\.2.*it was cut.*repair=True"):
            Index.open(copy)
    (copy / "journal.2").write_bytes(content)
    with Index.open(copy) as index:
        assert len(index) == 10


@pytest.mark.further
@pytest.mark.parametrize("closed", [True, False])
def test_a_flip_in_the_last_change(tmp_path, closed):
    """A process that dies leaves the beginning of a change, and never a whole one with a flip."""
    copy = a_copy(tmp_path, closed)
    content = (copy / "journal.2").read_bytes()
    for place in range(content.rindex(b"\xf5TFS"), len(content), 5):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        (copy / "journal.2").write_bytes(damaged)
        with pytest.raises(CorruptIndexError, match=r"journal\.2.*damaged.*repair=True"):
            Index.open(copy)
    with pytest.warns(UserWarning, match="are dropped"):
        index = Index.open(copy, repair=True)
    assert len(index) == 8
    index.close()


@pytest.mark.parametrize("closed", [True, False])
def test_the_last_of_several_journals_is_missing(tmp_path, closed):
    """There are several where no snapshot could be written."""
    folder, copy = tmp_path / "folder", tmp_path / "copy"
    index = Index(DIM, path=folder)
    index.add(vectors(5))
    (folder / "snapshot.2").mkdir()  # where no file can be put
    with pytest.raises(OSError, match=r"snapshot\.2"):
        index.save()
    index.add(vectors(3, 1))
    if closed:
        index.close()
    shutil.copytree(folder, copy)
    (copy / "snapshot.2").rmdir()
    index.close()
    os.rename(copy / "journal.2", tmp_path / "journal.2")
    with pytest.raises(CorruptIndexError, match=r"journal\.2.*missing"):
        Index.open(copy)
    os.rename(tmp_path / "journal.2", copy / "journal.2")
    with Index.open(copy) as index:
        assert len(index) == 8


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="asks what a descriptor is")
def test_fsync_forces_the_names_of_new_folders_too(tmp_path, monkeypatch):
    forced, fsync = set(), os.fsync

    def recorded(descriptor):
        forced.add(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    folder = tmp_path / "new" / "newer" / "index"
    with Index(DIM, path=folder, fsync=True) as index:
        index.add(vectors(1))
        wanted = {str(tmp_path / part) for part in ("", "new", "new/newer", "new/newer/index")}
        assert wanted <= forced
    later = tmp_path / "later" / "index"
    Index(DIM, path=later).close()  # begun without
    forced.clear()
    Index.open(later, fsync=True).close()
    assert {str(tmp_path), str(tmp_path / "later"), str(later)} <= forced


# -- Forged changes ------------------------------------------------------------------------------


def entry(change, arrays):
    """An entry of a journal with right checksums, whatever it says."""
    about = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    text = json.dumps({"change": change, "arrays": about}).encode()
    content = text + b"".join(array.tobytes() for array in arrays.values())
    head = struct.pack("<4sQII", b"\xf5TFS", len(content), zlib.crc32(content), len(text))
    return head + struct.pack("<I", zlib.crc32(head)) + content


def columns(**changed):
    made = {
        "ids": np.array([10, 11]),
        "vectors": vectors(2),
        "labels": np.array([1, 2]),
        "has_label": np.array([True, True]),
    }
    made |= changed
    return {name: array for name, array in made.items() if array is not None}


@pytest.mark.further(
    "change0-arrays0", "change4-arrays4", "change9-arrays9", "change17-arrays17", "None-arrays18"
)
@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        ({"name": "add"}, columns(ids=np.array([10, 10]))),
        ({"name": "add"}, columns(ids=np.array([10, -1]))),
        ({"name": "add"}, columns(ids=np.array([10.0, 11.0]))),
        ({"name": "add"}, columns(vectors=np.full((2, DIM), np.nan, np.float32))),
        ({"name": "add"}, columns(vectors=vectors(2)[:, :2].copy())),
        ({"name": "add"}, columns(vectors=vectors(3))),
        ({"name": "upsert"}, columns(labels=np.array([1]))),
        ({"name": "upsert"}, columns(has_label=None)),
        ({"name": "add"}, columns(extra=np.zeros(2))),
        ({"name": "delete"}, {}),
        ({"name": "delete"}, {"ids": np.array([[0]])}),
        ({"name": "update"}, {"ids": np.array([0]), "vectors": np.zeros((1, DIM))}),
        ({"name": "clear"}, {"ids": np.array([0])}),
        ({"name": "rename"}, {"ids": np.array([0])}),
        ({"name": "about", "notes": [1], "calibration": None}, {}),
        ({"name": "about"}, {}),
        ({"name": 3}, {}),
        ([], {}),
        (None, {"ids": np.array([0])}),
    ],
)
def test_a_change_that_no_index_writes(tmp_path, change, arrays):
    copy = a_copy(tmp_path, closed=False)
    with open(copy / "journal.2", "ab") as file:
        file.write(entry(change, arrays))
    for read_only in (True, False):
        with pytest.raises(CorruptIndexError, match="journal"):
            Index.open(copy, read_only=read_only)
