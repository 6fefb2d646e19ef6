"""The id map against a dictionary."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorflow_similarity.index import _records
from tensorflow_similarity.index._records import IdMap


def replayed(batches, column=()):
    """Inserts batches one after the other; checks against a dict after each."""
    column = list(column)
    expected = {id_: place for place, id_ in enumerate(column)}
    map_ = IdMap.of_column(np.array(column, np.int64))
    for batch in batches:
        start = len(column)
        column += batch
        earlier, answers = map_, map_.find(np.arange(-5, 120))
        map_ = map_.insert(np.array(column, np.int64), start)
        expected |= {id_: start + place for place, id_ in enumerate(batch)}
        wanted = np.arange(-5, 120)
        np.testing.assert_array_equal(map_.find(wanted), [expected.get(i, -1) for i in wanted])
        np.testing.assert_array_equal(earlier.find(wanted), answers)  # maps do not change
    return map_


@given(
    st.lists(st.lists(st.integers(0, 100), unique=True, max_size=12), max_size=12),
    st.lists(st.integers(0, 100), max_size=20),
    st.integers(1, 10),
)
@pytest.mark.further
def test_against_a_dictionary(batches, column, smallest):
    old = _records._SMALLEST_MERGE
    _records._SMALLEST_MERGE = smallest  # merge often
    try:
        replayed(batches, column)
    finally:
        _records._SMALLEST_MERGE = old


def test_increasing_ids_need_no_memory():
    map_ = replayed([[0, 1, 2], [5], [9, 50]])
    assert map_.in_order
    assert map_.rows is None
    assert not replayed([[0, 1, 2], [1]]).in_order
    assert not replayed([[3, 1, 2]]).in_order
    assert not replayed([[5], [4]]).in_order


def test_huge_ids():
    ids = np.array([2**63 - 1, 0, 2**53, 2**53 + 1])
    map_ = IdMap().insert(ids, 0)
    np.testing.assert_array_equal(map_.find(ids), [0, 1, 2, 3])
    np.testing.assert_array_equal(map_.find(ids[1:] - 1), [-1, -1, 2])


@pytest.mark.further
def test_many_single_insertions_are_merged():
    ids = np.random.default_rng(0).permutation(12_000)
    map_ = IdMap()
    for end in range(1, len(ids) + 1):
        map_ = map_.insert(ids[:end], end - 1)
    assert len(map_.ids) > 4096
    np.testing.assert_array_equal(map_.find(ids), np.arange(len(ids)))
