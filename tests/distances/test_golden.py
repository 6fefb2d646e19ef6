"""Distances against those that TensorFlow Similarity 0.17.1 printed."""

import numpy as np
import pytest

from oracle import distances as oracle
from oracle import golden
from tensorflow_similarity import distances

ENTRIES = golden.entries(kind="distance")


def test_all_sixty_are_here():
    assert len(ENTRIES) == 60
    assert len({golden.case_of(e) for e in ENTRIES}) == 10
    assert {e["params"]["distance"] for e in ENTRIES} == {
        "cosine", "euclidean", "inner_product", "manhattan", "snr", "squared_euclidean",
    }  # fmt: skip


def unit(rows):
    return np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_cosine_of_rows_that_are_not_unit_vectors_was_one_less_the_inner_product():
    # There rows are not normalised and values are clipped at 0, so on such rows
    # the original's number is not a cosine. It is compared with what it is.
    compared = 0
    for entry in ENTRIES:
        queries, keys = (golden.array(entry["inputs"][side]) for side in ("query", "key"))
        if entry["params"]["distance"] == "cosine" and not unit(queries):
            similarity = -np.asarray(distances.get("inner_product")(queries, keys), np.float64)
            expected = golden.array(entry["output"])
            np.testing.assert_allclose(np.maximum(1 - similarity, 0), expected, 1e-4, 1e-4)
            compared += 1
    assert compared == 3


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["id"])
def test_value(entry):
    name = entry["params"]["distance"]
    queries, keys = (golden.array(entry["inputs"][side]) for side in ("query", "key"))
    expected = golden.array(entry["output"]).astype(np.float64)
    if name == "cosine" and not unit(queries):
        # See above; here the definition takes the original's place.
        expected = oracle.matrix("cosine", queries, keys)
    if name == "inner_product":
        # There it is a similarity.
        expected = -expected
    ours = np.asarray(distances.get(name)(queries, keys))
    squares = np.sum(queries.astype(float) ** 2, axis=1)[:, None] + np.sum(keys**2.0, axis=1)
    # The original does not centre before it expands the square: identical rows
    # come out as far apart as float32 rounds their squares.
    rounding = {
        "euclidean": np.sqrt(4e-7 * squares),
        "squared_euclidean": 4e-7 * squares,
        "snr": 4e-6 * squares / squares.min(),
    }.get(name, 1e-6 * max(1, np.abs(expected).max()))
    # Where the original does not cancel, neither may we use that allowance.
    apart = oracle.matrix("squared_euclidean", queries, keys) > 1e-2 * squares
    if name != "inner_product":
        rounding = np.where(apart, 1e-6, rounding)
    error = np.abs(ours - expected)
    assert np.all(error <= 1e-4 * np.abs(expected) + rounding), error.max()
