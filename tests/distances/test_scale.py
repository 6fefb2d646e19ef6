"""Numbers so large or small that distances leave float32 are refused, or warned of."""

import numpy as np
import pytest

from tensorflow_similarity.evaluation import evaluate, few_shot, verify
from tensorflow_similarity.index import Index, exact_search, expand_queries

ROWS = np.random.default_rng(0).normal(size=(40, 5))
LABELS = np.arange(40) % 4
CALLS = {
    "evaluate": lambda x, distance: evaluate(x, LABELS, distance=distance)["map@r"],
    "verify": lambda x, distance: verify(x, LABELS, distance=distance).roc_auc,
    "few_shot": lambda x, distance: (
        few_shot(x, LABELS, ways=3, shots=2, queries=2, episodes=5, distance=distance).accuracy
    ),
    "exact_search": lambda x, distance: exact_search(x[:3], x, 4, distance)[0].ravel().tolist(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "inner_product", "snr"])
def test_squares_that_overflow_are_refused(call, distance):
    with pytest.raises(ValueError, match=r"must be so small.*up to 2.*e\+30.*Scale them down"):
        call(ROWS * 1e30, distance)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_squares_that_vanish_are_warned_of(call):
    for distance, scale in (("euclidean", 1e-25), ("inner_product", 1e-25), ("cosine", 1e-30)):
        with pytest.warns(UserWarning, match=r"vanish in float32.*Scale them up"):
            call(ROWS * scale, distance)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("distance", "scales"),
    [
        ("cosine", [1e30, 1e19, 1e-17, 1e-25]),
        ("manhattan", [1e30, 1e19, 1e-17, 1e-30]),
        ("euclidean", [1e17, 1e-13]),
        ("inner_product", [1e17, 1e-17]),
    ],
)
def test_what_is_in_range_is_as_at_scale_one(call, distance, scales):
    expected = call(ROWS, distance)
    for scale in scales:
        assert call(ROWS * scale, distance) == pytest.approx(expected, rel=1e-5)


def test_exact_search_bears_what_its_own_sums_bear():
    expected = exact_search(ROWS, ROWS, 4, "euclidean")[0].tolist()
    assert exact_search(ROWS * 1e-17, ROWS * 1e-17, 4, "euclidean")[0].tolist() == expected
    with pytest.warns(UserWarning, match=r"vanish in float32"):
        exact_search(ROWS * 1e-19, ROWS * 1e-19, 4, "euclidean")


def test_zeros_are_no_small_numbers():
    assert exact_search(np.zeros((1, 2)), np.zeros((3, 2)), 2, "euclidean")[0].tolist() == [[0, 1]]


SMALL = ROWS * 1e-25
INTO_AN_INDEX = {
    "add": lambda index: index.add(SMALL),
    "upsert": lambda index: index.upsert([1, 50], SMALL[:2]),
    "update": lambda index: index.update([1, 2], embeddings=SMALL[:2]),
    "lookup": lambda index: index.lookup(SMALL[:2]),
    "within": lambda index: index.lookup(SMALL[:2], max_distance=1.0),
    "measure_recall": lambda index: index.measure_recall(SMALL[:2]),
    "expand_queries": lambda index: expand_queries(index, SMALL[:2]),
}


@pytest.mark.parametrize("call", INTO_AN_INDEX.values(), ids=INTO_AN_INDEX)
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "inner_product"])
def test_an_index_warns_of_squares_that_vanish(call, distance):
    index = Index(5, distance)
    index.add(ROWS)
    with pytest.warns(UserWarning, match=r"vanish in float32.*Scale them up") as warned:
        call(index)
    assert all(warning.filename == __file__ for warning in warned)


@pytest.mark.parametrize(("distance", "scale"), [("cosine", 1e-25), ("euclidean", 1e-16)])
def test_an_index_of_small_numbers_answers_as_at_scale_one(distance, scale):
    index, small = Index(5, distance), Index(5, distance)
    index.add(ROWS), small.add(ROWS * scale)
    assert small.lookup(ROWS * scale).ids.tolist() == index.lookup(ROWS).ids.tolist()
