"""Payloads come back as they were given."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorflow_similarity.index import CorruptIndexError, Index, _payload
from tensorflow_similarity.index._payload import JsonPayload, Payload, parse_payload

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.lists(JSON, max_size=6), max_size=5), st.integers(0, 3))
@pytest.mark.further
def test_json_values(batches, absent):
    payload, expected = Payload(), []
    payload.append(0, None, absent)
    expected += [None] * absent
    for values in batches:
        batch = parse_payload(values, len(values))
        payload.check(batch)
        payload.append(len(expected), batch, len(values))
        expected += values
    if not batches:
        return
    rows = np.random.default_rng(0).permutation(len(expected))
    view = payload.view()
    assert view.get(rows) == [expected[row] for row in rows]
    assert view.take(rows).get(np.arange(len(rows))) == [expected[row] for row in rows]
    assert list(view.each(rows)) == [expected[row] for row in rows]


def of_texts(texts):
    whole = "".join(texts).encode()
    return JsonPayload(np.frombuffer(whole, np.uint8), np.cumsum([len(t.encode()) for t in texts]))


def test_many_are_read_together_as_one_by_one(monkeypatch):
    """Numbers do not run into one another, and texts of other writers are JSON too."""
    values = [7, 12, -1.5, True, None, "a", [1], {"b": {"c": 2}}, 10**30] * 100
    texts = [(" " * (i % 3)) + json.dumps(value, indent=i % 2) for i, value in enumerate(values)]
    monkeypatch.setattr(_payload, "_TEXT_BYTES", 100)
    for rows in (np.arange(900), np.arange(900)[::-1], np.arange(0, 900, 40)):
        assert of_texts(texts).get(rows) == [values[row] for row in rows]
    texts[500] = '"é"'
    assert of_texts(texts).get(np.arange(499, 502)) == [values[499], "é", values[501]]


@pytest.mark.parametrize(
    "texts",
    [["[1", "2]", "3,4"], ["1", "2,3", "4"], ["1", "", "2"], ["1", "2 3", "4"], ["1", "2]", "[3"]],
)
def test_damaged_ones_are_refused_also_among_many(texts):
    with pytest.raises(CorruptIndexError, match="no JSON"):
        of_texts(texts).get(np.arange(3))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(24, dtype=np.uint8).reshape(4, 3, 2),
        np.arange(4) / 3,
        np.array([True, False, True, True]),
        np.arange(4).astype("datetime64[s]"),
        np.arange(4) + 1j,
    ],
)
def test_array_rows(values):
    index = Index(2)
    index.add(np.ones((2, 2)))
    index.add(np.ones((4, 2)), data=values)
    index.add(np.ones((1, 2)))
    index.add(np.ones((2, 2)), data=list(values[:2]))
    data = index.get(np.arange(9)).data
    assert data[0] is data[1] is data[6] is None
    for stored, given_ in zip([*data[2:6], *data[7:]], [*values, *values[:2]], strict=True):
        np.testing.assert_array_equal(stored, given_)
        assert stored.dtype == values.dtype
    whole = index.get([2, 3]).data
    assert isinstance(whole, np.ndarray)
    np.testing.assert_array_equal(whole, values[:2])


def test_text_in_arrays_is_json():
    index = Index(1)
    index.add(np.ones((2, 1)), data=np.array(["a", "longer"]))
    index.add(np.ones((2, 1)), data=np.array([{"a": [1]}, None], dtype=object))
    assert index.get([0, 1, 2, 3]).data == ["a", "longer", {"a": [1]}, None]


def test_numpy_scalars_and_lists_in_json():
    index = Index(1)
    index.add(np.ones((3, 1)), data=[{"n": np.int64(3), "f": np.float32(0.5)}, (1, 2), [[1], [2]]])
    assert index.get([0, 1, 2]).data == [{"n": 3, "f": 0.5}, [1, 2], [[1], [2]]]


def test_narrower_numbers_are_taken():
    index = Index(1)
    index.add(np.ones((1, 1)), data=np.array([[1.5]]))
    index.add(np.ones((1, 1)), data=np.array([[2]], np.int16))
    np.testing.assert_array_equal(index.get([0, 1]).data, [[1.5], [2]])


def test_tensors():
    import tensorflow as tf

    index = Index(2)
    index.add(tf.eye(2), labels=tf.constant([3, 4]), data=tf.ones((2, 2, 2)))
    assert index.get([0, 1]).data.shape == (2, 2, 2)
    np.testing.assert_array_equal(index.lookup(tf.eye(2), k=1).labels[:, 0], [3, 4])


def test_after_an_append_that_failed(monkeypatch):
    """What a failed append left behind is written over."""
    from tensorflow_similarity.index import _records

    index = Index(1)
    index.add([[1.0]], data=["first"])
    with monkeypatch.context() as patch:
        patch.setattr(_records.Store, "_snapshot", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.add([[2.0], [2.0]], data=["lost", "lost"])
    assert len(index) == 1
    index.add([[3.0]], data=["second"])
    np.testing.assert_array_equal(index.get([0, 1]).embeddings, [[1], [3]])
    assert index.get([0, 1]).data == ["first", "second"]
