"""Records that are chosen by what is known of them, without ids and without a vector."""

import numpy as np
import pytest

from tensorflow_similarity.index import Index


@pytest.fixture(params=["memory", "folder"])
def index(request, tmp_path):
    path = tmp_path / "index" if request.param == "folder" else None
    made = Index(2, "euclidean", path=path)
    data = [{"price": i, "shop": "ab"[i % 2]} for i in range(20)]
    made.add(np.arange(40).reshape(20, 2), np.arange(20) % 4, data, ids=np.arange(20)[::-1] * 5)
    yield made
    made.close()


def test_get_and_count(index):
    records = index.get(filter={"labels": 3, "price": {"lt": 12}})
    assert records.ids.tolist() == [40, 60, 80]
    assert [each["price"] for each in records.data] == [11, 7, 3]
    assert index.count({"shop": "a"}) == 10
    assert index.count() == len(index) == 20
    assert index.count({"price": {"gt": 99}}) == 0
    assert len(index.get(filter={"price": {"gt": 99}})) == 0
    assert index.count(lambda data: data["price"] == 3) == 1


def test_delete(index):
    index.delete(filter={"or": [{"price": {"ge": 4}}, {"labels": 0}]})
    assert [each["price"] for each in index.get(index.ids).data] == [3, 2, 1]
    index.delete(filter={"price": 77})
    assert len(index) == 3
    index.delete(filter={"shop": {"exists": True}})
    assert len(index) == index.count() == index.count({"price": 1}) == 0


def test_update(index):
    index.update(filter={"price": {"lt": 3}}, labels=9)
    assert index.count({"labels": 9}) == 3
    index.update(filter={"labels": 9}, data={"price": 0})
    assert index.get(filter={"labels": 9}).data == [{"price": 0}] * 3
    index.update(filter={"labels": 9}, labels=[1, 2, 3], embeddings=np.ones((3, 2)))
    assert index.get(filter={"price": 0}).labels.tolist() == [1, 2, 3]
    index.update(filter={"price": 77}, labels=9)
    with pytest.raises(ValueError, match=r"expected 3\. Received"):
        index.update(filter={"price": 0}, labels=[1, 2])
    assert index.get(filter={"price": 0}).labels.tolist() == [1, 2, 3]


def test_what_was_selected_is_in_the_journal(tmp_path):
    with Index(1, path=tmp_path / "x") as index:
        index.add(np.ones((6, 1)), data=[{"n": i} for i in range(6)])
        index.delete(filter={"n": {"lt": 2}})
        index.update(filter={"n": 5}, labels=8)
    with Index.open(tmp_path / "x") as index:
        assert index.ids.tolist() == [2, 3, 4, 5]
        assert index.get(filter={"labels": 8}).ids.tolist() == [5]


@pytest.mark.parametrize("method", ["get", "delete", "update"])
def test_either_ids_or_a_filter(index, method):
    for arguments, received in (({}, "neither"), ({"ids": [0], "filter": {"ids": 0}}, "both")):
        with pytest.raises(TypeError, match=f"Either `ids` or `filter` .* Received: {received}"):
            getattr(index, method)(**arguments)
    assert len(index) == 20
