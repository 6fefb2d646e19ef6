"""Labels that are names: kept with the index, and back in every answer."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.index import Index
from tensorflow_similarity.targets import Targets

NAMES = ["zebra", "ant", None, "café", "ant"]
X = np.eye(5, dtype=np.float32)


def made(**options):
    index = Index(5, distance="euclidean", search="exact", **options)
    index.add(X, labels=NAMES, data=list("abcde"))
    return index


def told(index):
    """All that an index says of its labels."""
    neighbors = index.lookup(X, k=2)
    return (
        index.get(index.ids).labels.tolist(),
        neighbors.labels.tolist(),
        [[found.label for found in row] for row in neighbors],
        neighbors.has_label.tolist(),
        index.lookup(X, k=5, filter={"labels": "ant"}).ids.tolist(),
    )


def test_names_come_back():
    index = made()
    assert index.class_names == ("ant", "café", "zebra")
    neighbors = index.lookup(X, k=1)
    assert neighbors.labels[:, 0].tolist() == NAMES
    assert [row[0].label for row in neighbors] == NAMES
    assert neighbors[1:3].labels[:, 0].tolist() == NAMES[1:3]
    assert neighbors.has_label[:, 0].tolist() == [name is not None for name in NAMES]
    assert "label='café'" in repr(neighbors[3][0]) or "label=café" in repr(neighbors[3][0])
    assert index.get(index.ids[::-1]).labels.tolist() == NAMES[::-1]
    assert index.stats()["classes"] == 3


def test_padding_has_no_name():
    index = Index(5)
    index.add(X[:1], labels=["ant"])
    assert index.lookup(X, k=3).labels.tolist() == [["ant", None, None]] * 5


@pytest.mark.parametrize("kind", [list, tuple, lambda v: np.array(v, object), Targets.classes])
def test_however_they_are_given(kind):
    index = Index(5)
    index.add(X, labels=kind(NAMES))
    assert index.get(index.ids).labels.tolist() == NAMES


def test_text_of_numpy_and_columns():
    index = Index(5)
    index.add(X, labels=np.array(["b", "a", "b", "c", "a"])[:, None])
    assert index.get(index.ids).labels.tolist() == ["b", "a", "b", "c", "a"]


def test_later_names_keep_those_before():
    index = made()
    before = index.lookup(X, k=1)
    new = index.add(X + 10, labels=["aaa", "ant", "zoo", None, "café"])
    assert index.class_names == ("ant", "café", "zebra", "aaa", "zoo")
    assert before.labels[:, 0].tolist() == NAMES
    assert index.get(new).labels.tolist() == ["aaa", "ant", "zoo", None, "café"]
    index.update(new[:1], labels=["new"])
    index.upsert(new[1:2], X[1:2], labels=["newer"])
    assert index.get(new[:2]).labels.tolist() == ["new", "newer"]
    index.delete(new)
    assert index.get(index.ids).labels.tolist() == NAMES


def test_saved_with_the_index(tmp_path):
    index = made()
    index.save(tmp_path / "index")
    expected = told(index)
    for options in ({}, {"mmap": True}):
        loaded = Index.load(tmp_path / "index", **options)
        assert told(loaded) == expected
        loaded.add(X[:1], labels=["zoo"])
        assert loaded.class_names == ("ant", "café", "zebra", "zoo")


def test_kept_in_a_folder_without_save(tmp_path):
    with made(path=tmp_path / "folder") as index:
        index.add(X[:2], labels=["zoo", "ant"])
        expected = told(index)
    with Index.open(tmp_path / "folder") as index:
        assert told(index) == expected
        index.save()
    with Index.open(tmp_path / "folder", mmap=True) as index:
        assert told(index) == expected


def test_unlabelled_records_stay_unlabelled():
    for labels in (NAMES, [3, 1, None, 0, 1], None):
        index = Index(5)
        index.add(X, labels=labels)
        for source in (index.get(index.ids), index.lookup(X, k=1)):
            copy = Index(5)
            copy.add(X, labels=np.asarray(source.labels).reshape(-1))
            records = copy.get(copy.ids)
            assert records.has_label.tolist() == index.get(index.ids).has_label.tolist()
            assert records.labels.tolist() == index.get(index.ids).labels.tolist()


def test_names_and_ids_do_not_mix():
    index = made()
    with pytest.raises(TypeError, match=r"labels.*names.*Received: class ids.*'ant'"):
        index.add(X, labels=[0, 1, 2, 3, 4])
    with pytest.raises(TypeError, match=r"filter.*names"):
        index.lookup(X, filter={"labels": [0]})
    assert len(index) == 5
    with_ids = Index(5)
    with_ids.add(X, labels=[0, 1, 2, 3, 4])
    for change in (with_ids.add, lambda x, labels: with_ids.upsert([7, 8, 9, 10, 11], x, labels)):
        with pytest.raises(TypeError, match=r"labels.*class ids.*Received: class names"):
            change(X, labels=NAMES)
    with pytest.raises(TypeError, match=r"labels"):
        with_ids.update([0], labels=["ant"])
    with pytest.raises(TypeError, match=r"filter.*class ids"):
        with_ids.lookup(X, filter={"labels": ["ant"]})
    with pytest.raises(TypeError, match="not both"):
        index.add(X, labels=["ant", 3, None, "zoo", "ant"])
    assert with_ids.class_names is None
    # Records without labels fit either.
    index.add(X, labels=[None] * 5)
    index.add(X)
    with_ids.add(X, labels=[-1] * 5)
    assert not with_ids.get(with_ids.ids[5:]).has_label.any()


def test_an_emptied_index_takes_either():
    index = made()
    index.clear()
    index.add(X, labels=[4, 3, 2, 1, 0])
    assert index.class_names is None
    assert index.get(index.ids).labels.tolist() == [4, 3, 2, 1, 0]
    index.clear()
    index.add(X, labels=NAMES)
    assert index.get(index.ids).labels.tolist() == NAMES


def test_what_is_refused_adds_no_name():
    index = made()
    for bad in (
        lambda: index.add(X[:, :3], labels=["new"] * 5),
        lambda: index.add(X * np.nan, labels=["new"] * 5),
        lambda: index.add(X, labels=["new"] * 4),
        lambda: index.add(X, labels=["new"] * 5, data=[1]),
        lambda: index.add(X, labels=["new"] * 5, ids=[1, 1, 2, 3, 4]),
    ):
        with pytest.raises((TypeError, ValueError)):
            bad()
    assert index.class_names == ("ant", "café", "zebra")


def test_filters_by_name():
    index = made()
    assert index.lookup(X[:1], k=9, filter={"labels": ["ant", "zebra"]}).ids[0, :3].tolist() == [
        0,
        1,
        4,
    ]
    with pytest.warns(UserWarning, match="'unheard of', a class of no record"):
        assert (index.lookup(X, filter={"labels": "unheard of"}).ids == -1).all()


def test_a_table_of_records():
    pandas = pytest.importorskip("pandas")
    frame = made().to_data_frame()
    assert frame["label"].tolist()[:2] == ["zebra", "ant"]
    assert pandas.isna(frame["label"].iloc[2])


@given(st.lists(st.lists(st.sampled_from(["a", "b", "ccc", "é", None]), min_size=1, max_size=6)))
@settings(max_examples=20)
def test_any_sequence_of_names(batches):
    index, expected = Index(2), []
    for batch in batches:
        index.add(np.ones((len(batch), 2)), labels=batch)
        expected += batch
        assert index.get(index.ids).labels.tolist() == (
            expected if any(expected) else [-1] * len(expected)
        )


def test_threads_that_add_new_names():
    index = Index(1)
    groups = [[f"{thread} {i}" for i in range(20)] for thread in range(4)]

    def add(names):
        for name in names:
            index.add([[1.0]], labels=[name], data=[name])

    threads = [threading.Thread(target=add, args=(names,)) for names in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = index.get(index.ids)
    assert records.labels.tolist() == list(records.data)
    assert len(set(records.data)) == 80
