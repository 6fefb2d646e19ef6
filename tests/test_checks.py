"""Arguments are checked at the boundary, and integers stay the integers they are."""

import ml_dtypes
import numpy as np
import pytest

from tensorflow_similarity import _checks as checks


@pytest.mark.parametrize(
    "dtype",
    ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))],
)
def test_class_ids_of_any_integer_type(dtype):
    ids = checks.class_ids(np.array([0, 1, 1], dtype))
    assert ids.dtype == np.int64
    assert ids.tolist() == [0, 1, 1]


@pytest.mark.parametrize("big", [2**24, 2**53, 2**62])
def test_neighbouring_large_ids_stay_apart(big):
    assert checks.class_ids([big, big + 1]).tolist() == [big, big + 1]


def test_unsigned_ids_beyond_int64_stay_apart():
    ids = checks.class_ids(np.array([2**64 - 1, 2**64 - 2, 2**63, 7], np.uint64))
    assert len(set(ids.tolist())) == 4


def test_a_column_of_ids_is_a_list_of_ids():
    assert checks.class_ids([[3], [4]]).tolist() == [3, 4]


def test_no_ids():
    assert checks.class_ids([]).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (["cat", "dog"], TypeError, "np.unique"),
        ([0.0, 1.0], TypeError, "astype"),
        ([None, 1], TypeError, "np.unique"),
        (np.eye(3, dtype=int), ValueError, "argmax"),
        (np.zeros((2, 2, 2), int), ValueError, "one integer per example"),
        (np.int64(3), ValueError, "one integer per example"),
    ],
)
def test_what_are_no_class_ids(labels, error, message):
    with pytest.raises(error, match="`y` must be integer class ids") as caught:
        checks.class_ids(labels, "y")
    assert message in str(caught.value)
    assert "Received" in str(caught.value)


def test_number_of_ids():
    assert len(checks.class_ids([1, 2], length=2)) == 2
    with pytest.raises(ValueError, match=r"`y` .* expected 3\. Received: 2"):
        checks.class_ids([1, 2], "y", length=3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", ml_dtypes.bfloat16])
def test_embeddings_become_contiguous_float32(dtype):
    given = np.arange(12).reshape(3, 4).astype(dtype)
    checked = checks.embeddings(given[:, ::2])
    assert checked.dtype == np.float32
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, [[0, 2], [4, 6], [8, 10]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_embeddings_must_be_finite_in_float32(bad):
    values = np.zeros((5, 2))
    values[3, 1] = bad
    with pytest.raises(ValueError, match=r"`x` must be finite.*1 of 5 rows, the first at row 3"):
        checks.embeddings(values, "x")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (["a"], TypeError, "real numbers"),
        ([[1j]], TypeError, "real numbers"),
        ([1.0, 2.0], ValueError, r"x\[None, :\]"),
        (np.zeros((1, 2, 3)), ValueError, r"shape \[n, dim\]"),
    ],
)
def test_what_are_no_embeddings(values, error, message):
    with pytest.raises(error, match=message):
        checks.embeddings(values, "x")


def test_embedding_size():
    with pytest.raises(ValueError, match="embedding size 4"):
        checks.embeddings(np.zeros((2, 3)), "x", size=4)


@pytest.mark.parametrize("value", [1, np.int64(1), np.uint8(1)])
def test_counts(value):
    number = checks.count(value, "k")
    assert type(number) is int
    assert number == 1


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_what_are_no_counts(value, error):
    with pytest.raises(error, match="`k` must be"):
        checks.count(value, "k")
