"""Records with several labels: stored, answered, filtered, saved and evaluated with."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fake_milvus
from tensorflow_similarity.index import Index
from tensorflow_similarity.targets import Targets

SETS = [{3}, {1, 3}, set(), None, {2}, {1, 2, 3}, {7}]
X = np.arange(7.0)[:, None]


def tuples(sets, name=lambda label: label):
    return [None if own is None else tuple(name(each) for each in sorted(own)) for own in sets]


def word(label):
    return ["zero", "one", "two", "three", "four", "five", "six", "seven"][label]


def matrix(sets):
    return np.array([[own is not None and c in own for c in range(8)] for own in sets])


GIVEN = {
    "ids": (lambda sets: Targets.label_sets(sets), lambda label: label),
    "sets": (list, lambda label: label),
    "columns": (lambda sets: Targets.multi_hot(matrix(sets)), lambda label: label),
    "names": (
        lambda sets: Targets.label_sets([own and {word(each) for each in own} for own in sets]),
        word,
    ),
    "columns of names": (
        lambda sets: Targets.multi_hot(matrix(sets), [word(i) for i in range(8)]),
        word,
    ),
}


def made(how="ids", path=None, sets=SETS):
    index = Index(1, "euclidean", path=path)
    index.add(X[: len(sets)], labels=GIVEN[how][0](sets))
    return index


def holds(own, how, wanted):
    """Whether a condition on labels holds of a set, written as plainly as can be."""
    if how == "exists":
        return (own is not None) == wanted
    if own is None:
        return False
    several = wanted if isinstance(wanted, list) else [wanted]
    if how in ("eq", "in"):
        return any(each in own for each in several)
    if how in ("ne", "not_in"):
        return not any(each in own for each in several)
    compare = {"lt": int.__lt__, "le": int.__le__, "gt": int.__gt__, "ge": int.__ge__}[how]
    return any(compare(each, wanted) for each in own)


@pytest.mark.parametrize("how", GIVEN)
def test_they_come_back(how):
    index, name = made(how), GIVEN[how][1]
    sets = [s or set() for s in SETS] if "columns" in how else SETS
    if how == "names":  # The order of the ids of names is that in which they came.
        order = {each: i for i, each in enumerate(index.class_names)}
        expected = [
            None if own is None else tuple(sorted(map(word, own), key=order.get)) for own in SETS
        ]
    else:
        expected = tuples(sets, name)
    assert index.get(range(7)).labels.tolist() == expected
    found = index.lookup([[0.0]], k=9)
    assert found.labels.tolist() == [[*expected, None, None]]
    assert [hit.label for hit in found[0]] == expected
    assert found.has_label.tolist() == [[own is not None for own in expected] + [False] * 2]
    assert index.lookup([[0.0]], max_distance=9).labels.tolist() == expected
    assert index.to_data_frame()["label"].tolist() == expected
    assert found.to_data_frame()["label"].tolist() == expected
    assert index.count({"labels": name(3)}) == 3
    assert index.get(filter={"labels": [name(2), name(7)]}).ids.tolist() == [4, 5, 6]
    assert index.lookup([[0.0]], k=2, filter={"labels": name(1)}).ids.tolist() == [[1, 5]]
    stats = index.stats()
    assert (stats["labelled"], stats["classes"]) == (7 - ("columns" not in how), 4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.sets(st.integers(0, 5), max_size=3)), min_size=1, max_size=7
    ).filter(lambda sets: any(sets)),
    st.one_of(
        st.tuples(st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), st.integers(-1, 6)),
        st.tuples(st.sampled_from(["in", "not_in"]), st.lists(st.integers(0, 6), max_size=3)),
        st.tuples(st.just("exists"), st.booleans()),
    ),
)
@pytest.mark.further
def test_filters(sets, condition):
    index, (how, wanted) = made(sets=sets), condition
    expected = [i for i, own in enumerate(sets) if holds(own, how, wanted)]
    assert index.get(filter={"labels": {how: wanted}}).ids.tolist() == expected
    opposite = index.count({"not": {"labels": {how: wanted}}})
    assert opposite == len(sets) - len(expected)


def live(index):
    """Changes of all kinds, and the sets that are left, by id."""
    index.add(X[:2], labels=[None, 4], ids=[100, 101])  # one label is a set of one
    index.update([0, 2], labels=[{5, 6}, {3}])
    index.update([1], embeddings=[[50.0]])
    index.upsert([4, 102], X[:2], labels=[{1, 9}, set()])
    index.update(filter={"labels": 7}, labels={8, 9})
    index.delete(filter={"labels": 2})
    return {0: (5, 6), 1: (1, 3), 2: (3,), 3: None, 4: (1, 9), 6: (8, 9), 100: None, 101: (4,)} | {
        102: ()
    }


def labels_of(index):
    records = index.get(index.ids)
    return dict(zip(records.ids.tolist(), records.labels.tolist(), strict=True))


def test_a_life(tmp_path):
    index = made(path=tmp_path / "folder")
    expected = live(index)
    assert labels_of(index) == expected
    index.save(tmp_path / "with deleted")
    with Index.open(tmp_path / "folder", read_only=True) as reader:
        assert labels_of(reader) == expected
    index.compact()
    assert labels_of(index) == expected
    index.save(tmp_path / "file")
    index.close()
    for again in (
        Index.open(tmp_path / "folder"),
        Index.load(tmp_path / "file"),
        Index.load(tmp_path / "with deleted", mmap=True),
    ):
        assert labels_of(again) == expected
        assert again.count({"labels": 9}) == 2
        again.add([[0.5]], labels=[{3, 5}], ids=[7])
        assert again.lookup([[0.5]], k=1).labels.tolist() == [[(3, 5)]]
        again.close()
    records = index.get(index.ids)
    copy = Index(1, "euclidean")
    copy.add(records.embeddings, records.labels, ids=records.ids)
    assert labels_of(copy) == expected


def test_what_was_found_stays_as_it_was():
    index = made()
    found = index.lookup([[0.0]], k=7)
    index.clear()
    index.add(X, labels=np.arange(7))
    assert found.labels.tolist() == [tuples(SETS)]
    assert index.lookup([[3.0]], k=1).labels.tolist() == [[3]]


def test_one_and_several():
    index = Index(1, "euclidean")
    index.add(X, labels=np.arange(7) * 100)
    for change in (
        lambda: index.add(X, labels=SETS),
        lambda: index.upsert(range(7), X, labels=SETS),
        lambda: index.update([0], labels=[{3}]),
    ):
        with pytest.raises(TypeError, match="one for each record, as those of the records"):
            change()
    assert index.get(range(7)).labels.tolist() == [i * 100 for i in range(7)]
    index.delete(index.ids)
    index.add(X, labels=SETS, ids=range(7))  # nothing is left that had one
    assert index.get(range(7)).labels.tolist() == tuples(SETS)
    assert index.get(filter={"labels": 3}).ids.tolist() == [0, 1, 5]
    index.delete(index.ids)
    index.add(X[:2], labels=[3, None])
    assert index.get(index.ids).labels.tolist() == [3, -1]
    assert index.count({"labels": 3}) == 1


def test_distinct_sets():
    index = Index(1, "euclidean")
    index.add(X[:5], labels=[{1, 2}, {2, 1}, {1}, None, {1, 2}])
    assert index.lookup([[0.0]], k=3, distinct="label").ids.tolist() == [[0, 2, -1]]


def test_names_and_ids_are_not_mixed():
    index = made("names")
    for change in (
        lambda: index.add(X[:1], labels=[{3}]),
        lambda: index.add(X[:1], labels=[3]),
        lambda: index.count({"labels": 3}),
    ):
        with pytest.raises(TypeError, match="must be class names"):
            change()
    index.add(X[:1], labels=["new"], ids=[9])
    assert index.get([9]).labels.tolist() == [("new",)]
    with pytest.raises(TypeError, match="must be class ids"):
        made().add(X[:1], labels=[{"three"}])


def test_milvus_refuses_them(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pymilvus", fake_milvus.module())
    monkeypatch.setattr(fake_milvus.MilvusClient, "servers", {})
    index = Index(1, "euclidean", search="milvus", uri="http://localhost:19530")
    with pytest.raises(TypeError, match="one for each record in Milvus"):
        index.add(X, labels=SETS)
    assert len(index) == 0


def test_an_engine_finds_them(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    x, sets = rng.normal(size=(2500, 8)), [set(rng.integers(0, 9, 3).tolist()) for _ in range(2500)]
    index = Index(8, "euclidean", search="nmslib")
    index.add(x, labels=sets)
    index.delete(range(0, 2500, 50))  # a few, which stay in the file for the graph
    index.lookup(x[:1])
    index.save(tmp_path / "file")
    again = Index.load(tmp_path / "file")
    assert again.engine == "nmslib"
    found = again.lookup(x[1:40], k=1)
    ids = found.ids[:, 0].tolist()
    assert found.labels[:, 0].tolist() == [tuple(sorted(sets[i])) for i in ids]


def test_a_file_of_format_5():
    """See `format_5.py` beside it."""
    index = Index.load(Path(__file__).parent / "data" / "format_5_sets.tfsim")
    expected = {0: ("red",), 1: ("red", "round"), 2: None, 3: (), 5: ("round",)}
    assert labels_of(index) == expected
    assert index.get(filter={"labels": "round"}).ids.tolist() == [1, 5]
    assert index.class_names == ("blue", "red", "round")


def test_files_without_several_labels_are_read_by_older_versions(tmp_path):
    for sets, version in ((np.arange(7), 3), (SETS, 5)):
        index = Index(1, "euclidean")
        index.add(X, labels=sets)
        index.save(tmp_path / "file")
        assert (tmp_path / "file").read_bytes()[8] == version
    index.clear()
    index.save(tmp_path / "file")
    assert (tmp_path / "file").read_bytes()[8] == 3
