"""The result of a lookup: columns, objects, slices."""

import numpy as np
import pytest

from tensorflow_similarity.index import Index, Lookup, Neighbors


@pytest.fixture
def neighbors():
    index = Index(2, "euclidean")
    index.add([[0, 0], [3, 4]], labels=[7, None], data=["origin", {"far": True}], ids=[10, 20])
    return index.lookup([[0, 0], [3, 4], [0, 1]], k=3)


def test_objects(neighbors):
    first, second = neighbors[0]
    assert (first.rank, first.distance, first.label, first.data, first.id) == (
        1,
        0,
        7,
        "origin",
        10,
    )
    assert (second.rank, second.distance, second.label) == (2, 5, None)
    assert (second.data, second.id) == ({"far": True}, 20)
    np.testing.assert_array_equal(second.embedding, [3, 4])
    assert [[hit.id for hit in hits] for hits in neighbors] == [[10, 20], [20, 10], [10, 20]]
    assert [hit.id for hit in neighbors[-2]] == [20, 10]
    assert type(first.label) is int
    assert type(first.id) is int
    assert type(first.distance) is float


def test_slices_stay_columnar(neighbors):
    part = neighbors[1:]
    assert isinstance(part, Neighbors)
    assert len(part) == 2
    np.testing.assert_array_equal(part.ids, neighbors.ids[1:])
    assert part[0][0].data == {"far": True}
    assert len(neighbors[np.array([0, 2])]) == 2
    with pytest.raises(IndexError):
        neighbors[3]


def test_repr(neighbors):
    assert repr(neighbors).startswith("Neighbors(3 queries, k=3)")
    assert "10 (0), 20 (5)" in repr(neighbors)
    assert repr(neighbors[0][0]) == "Lookup(rank=1, distance=0, label=7, id=10, data='origin')"


def test_of_arrays_alone():
    ids = np.array([[4, -1]])
    neighbors = Neighbors(ids, np.array([[0.5, np.inf]], np.float32), np.array([[2, -1]]))
    assert neighbors[0] == [Lookup(rank=1, distance=0.5, label=2, id=4)]
