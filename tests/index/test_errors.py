"""Bad input: an error that names the argument, and an index that has not changed."""

import numpy as np
import pytest

from tensorflow_similarity.index import Index

NAN = float("nan")
ONE = [[1.0, 2.0]]


@pytest.fixture
def index(make):
    index = make(2, "euclidean")
    index.add([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], labels=[1, 2, 3], data=["a", "b", "c"])
    index.lookup(ONE)
    return index


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"embedding_size": 0}, ValueError, "`embedding_size` must be at least 1"),
        ({"embedding_size": 2.5}, TypeError, "`embedding_size` must be an integer"),
        ({"distance": "cosin"}, ValueError, "Unknown `distance`.*'cosine'"),
        ({"distance": 3}, TypeError, "`distance` must be"),
        (
            {"search": "hnsw"},
            ValueError,
            r"Unknown `search`.*\['auto', 'exact', .*'nmslib'.*\].*'hnsw'",
        ),
        ({"search": None}, TypeError, "`search` must be one of"),
        ({"target_recall": 1.5}, ValueError, "`target_recall` must be in"),
        ({"target_recall": "high"}, TypeError, "`target_recall` must be a number"),
        ({"search": "nmslib", "search_params": {"m": 3}}, ValueError, "search_params.*'M'.*'m'"),
        ({"search": "nmslib", "search_params": {"M": 1}}, ValueError, r"search_params\['M'\]"),
        ({"search": "nmslib", "search_params": {"ef": 0}}, ValueError, r"search_params\['ef'\]"),
        ({"search": "exact", "search_params": {"ef": 9}}, ValueError, "`search_params`.*no engine"),
        ({"search_params": [1]}, TypeError, "`search_params` must be a dict"),
    ],
)
def test_of_the_constructor(arguments, error, message):
    with pytest.raises(error, match=message):
        Index(**{"embedding_size": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"embeddings": [1.0, 2.0]}, ValueError, r"`embeddings` must have shape.*x\[None, :\]"),
        ({"embeddings": [[1.0]]}, ValueError, "`embeddings` must have embedding size 2"),
        ({"embeddings": [[1.0, NAN]]}, ValueError, "`embeddings` must be finite.*row 0"),
        ({"embeddings": [[1.0, np.inf]]}, ValueError, "`embeddings` must be finite"),
        ({"embeddings": [[1.0, 1e39]]}, ValueError, "`embeddings` must be finite"),
        ({"embeddings": [[1.0, -1e30]]}, ValueError, "`embeddings` must be at most.*1e.30"),
        ({"embeddings": [["a", "b"]]}, TypeError, "`embeddings` must be real numbers"),
        ({"labels": [1, 2]}, ValueError, "`labels` must hold one class id per example: expected 1"),
        ({"labels": ["cat"]}, TypeError, "`labels` must be class ids.*Received: class names"),
        ({"labels": [0.5]}, TypeError, "`labels` must be integer"),
        ({"labels": [[0, 1]]}, ValueError, "`labels` must be.*Targets.one_hot"),
        ({"data": ["a", "b"]}, ValueError, "`data` must hold one value per record: expected 1"),
        ({"data": np.zeros((2, 3))}, ValueError, "`data` must hold one value.*Received: 2"),
        ({"data": np.float32(3)}, ValueError, "`data` must hold one value"),
        ({"data": "a"}, TypeError, "`data` must be an array.*str"),
        ({"data": {"a": 1}}, TypeError, "`data` must be an array.*dict"),
        ({"data": [object()]}, TypeError, "`data` must hold JSON values.*at 0: object"),
        ({"data": [{"a": {1, 2}}]}, TypeError, "`data` must hold JSON values.*set"),
        ({"data": [NAN]}, TypeError, "`data` must hold JSON values"),
        ({"data": np.zeros((1, 3))}, TypeError, "`data` must be of one kind.*JSON.*array rows"),
        ({"data": np.array([b"x"])}, TypeError, "`data` must be an array of numbers"),
        ({"ids": [1]}, ValueError, r"`ids` must not be in use; `upsert`.*\[1\]"),
        ({"ids": [-1]}, ValueError, "`ids` must not be negative"),
        ({"ids": [7, 8]}, ValueError, "`ids` must hold one id per record"),
        ({"ids": ["a"]}, TypeError, "`ids` must be integer"),
        ({"ids": [2**63]}, ValueError, r"`ids` must be below 2\*\*63"),
        ({"embeddings": ONE * 2, "ids": [7, 7]}, ValueError, r"`ids` must be distinct.*\[7\]"),
    ],
)
def test_of_add(index, arguments, error, message):
    with pytest.raises(error, match=message):
        index.add(**{"embeddings": ONE, **arguments})
    assert len(index) == 3
    np.testing.assert_array_equal(index.add(ONE), [3])


def test_of_array_payloads():
    index = Index(2)
    index.add(ONE, data=np.zeros((1, 4), np.uint8))
    with pytest.raises(
        ValueError, match=r"`data` must match.*shape \(4,\) and dtype uint8.*\(5,\)"
    ):
        index.add(ONE, data=np.zeros((1, 5), np.uint8))
    with pytest.raises(ValueError, match=r"`data` must match.*dtype float32"):
        index.add(ONE, data=np.zeros((1, 4), np.float32))
    with pytest.raises(TypeError, match=r"`data` must be of one kind.*JSON values"):
        index.add(ONE, data=["a"])
    with pytest.raises(ValueError, match="`data` must hold arrays of one shape"):
        Index(2).add(ONE * 2, data=[np.zeros(3), np.zeros(4)])


@pytest.mark.parametrize(
    ("queries", "arguments", "error", "message"),
    [
        ([1.0, 2.0], {}, ValueError, r"`queries` must have shape.*x\[None, :\]"),
        ([[1.0]], {}, ValueError, "`queries` must have embedding size 2"),
        ([[1.0, 2.0, 3.0]], {}, ValueError, "`queries` must have embedding size 2"),
        ([[1.0, NAN]], {}, ValueError, "`queries` must be finite"),
        ([["a", "b"]], {}, TypeError, "`queries` must be real numbers"),
        (ONE, {"k": 0}, ValueError, "`k` must be at least 1. Received: 0"),
        (ONE, {"k": -1}, ValueError, "`k` must be at least 1"),
        (ONE, {"k": 2.0}, TypeError, "`k` must be an integer"),
        (ONE, {"k": True}, TypeError, "`k` must be an integer"),
        (ONE, {"filter": {"lable": 1}}, ValueError, "names the key 'lable', which no record has"),
        (ONE, {"filter": {}}, ValueError, "`filter` must have at least one"),
        (ONE, {"filter": [1]}, TypeError, "`filter` must be a mapping"),
        (ONE, {"filter": {"labels": "cat"}}, TypeError, r"`filter\['labels'\]` must be integer"),
        (ONE, {"filter": {"ids": [0.5]}}, TypeError, r"`filter\['ids'\]` must be integer"),
        (ONE, {"filter": {"data": 3}}, TypeError, r"`filter\['data'\]` must be a function"),
    ],
)
def test_of_lookup(index, queries, arguments, error, message):
    with pytest.raises(error, match=message):
        index.lookup(queries, **arguments)


def test_of_an_empty_index(make):
    """It behaves as a filter that lets nothing through."""
    index = make(2)
    for records in (0, 1):
        index.add(np.ones((records, 2)))
        index.delete(index.ids)
        found = index.lookup(ONE * 2, k=3)
        assert found.ids.tolist() == found.labels.tolist() == [[-1] * 3] * 2
        assert np.isposinf(found.distances).all()
        assert found[0] == []
        assert not found.has_label.any()
        for wanted in ({"labels": [7]}, {"labels": "a"}, {"x": 3}, [{"ids": 0}, None]):
            assert index.lookup(ONE * 2, k=3, filter=wanted) == found
            assert index.lookup(ONE * 2, k=3, filter=wanted, rerank=lambda q, n: n.ids) == found
        with pytest.raises(TypeError, match="list of at least one"):
            index.lookup(ONE, filter={"or": []})
        with pytest.raises(TypeError, match="`exclude` must be a list"):
            index.lookup(ONE, exclude=3)
        assert len(index.lookup(ONE, max_distance=1.0).ids) == 0
    index.add(ONE)
    assert index.lookup(ONE * 2, k=3, filter={"labels": [7]}) == found


def test_a_predicate_without_payload(make):
    index = make(2)
    index.add(ONE)
    with pytest.raises(ValueError, match=r"`filter\['data'\]` needs records with `data`"):
        index.lookup(ONE, filter=lambda data: True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda i: i.delete([0, 9]), KeyError, r"`ids` must be in use.*\[9\]"),
        (lambda i: i.delete([0, 0]), ValueError, "`ids` must be distinct"),
        (lambda i: i.delete(["0"]), TypeError, "`ids` must be integer"),
        (lambda i: i.delete([True]), TypeError, "`ids` must be integers"),
        (lambda i: i.delete([[0, 1]]), ValueError, r"`ids` must have the shape \[n\].*\(1, 2\)"),
        (lambda i: i.get([9]), KeyError, r"`ids` must be in use.*\[9\]"),
        (lambda i: i.get(list(range(5, 20))), KeyError, "and more"),
        (lambda i: i.update([9], labels=[1]), KeyError, "`ids` must be in use"),
        (lambda i: i.update([0], ONE * 2), ValueError, "`embeddings` must hold one row per id"),
        (lambda i: i.update([0], labels=[1, 2]), ValueError, "`labels` must hold one"),
        (lambda i: i.update([0], data=[1, 2]), ValueError, "`data` must hold one"),
        (lambda i: i.update([0], data=np.ones((1, 2))), TypeError, "`data` must be of one kind"),
        (lambda i: i.upsert([5, 5], ONE * 2), ValueError, "`ids` must be distinct"),
        (lambda i: i.upsert([5], ONE * 2), ValueError, "`ids` must hold one.*expected 2"),
        (lambda i: i.upsert([0], [[NAN, 1.0]]), ValueError, "`embeddings` must be finite"),
        (lambda i: i.measure_recall([[1.0]]), ValueError, "`queries` must have embedding size"),
    ],
)
def test_of_changes(index, call, error, message):
    before = index.get([0, 1, 2])
    with pytest.raises(error, match=message):
        call(index)
    after = index.get(index.ids)
    np.testing.assert_array_equal(after.embeddings, before.embeddings)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.data == before.data


def test_the_largest_id_leaves_none_to_assign(make):
    index = make(2)
    index.add(ONE, ids=[2**63 - 1])
    with pytest.raises(ValueError, match="No id is left"):
        index.add(ONE)
    assert index.lookup(ONE, k=1).ids.item() == 2**63 - 1


def test_without_pandas(index, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "keras-similarity\[pandas\]"'):
        index.to_data_frame()
