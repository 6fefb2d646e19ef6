"""Splits by class, and examples on both sides."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorflow_similarity.evaluation import splits

LABELS = st.lists(st.integers(-5, 5), min_size=2, max_size=60).filter(lambda y: len(set(y)) > 1)


@given(labels=LABELS, test_size=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_no_class_is_on_both_sides(labels, test_size, seed):
    train, test = splits.class_disjoint(labels, test_size, seed)
    y = np.array(labels)
    assert sorted([*train, *test]) == list(range(len(y)))
    assert not set(y[train]) & set(y[test])
    classes = len(set(labels))
    wanted = min(max(round(test_size * classes), 1), classes - 1)
    assert len(set(y[test])) == wanted


@given(labels=LABELS, seed=st.integers(0, 99), data=st.data())
def test_folds_test_every_class_once(labels, seed, data):
    y = np.array(labels)
    folds = data.draw(st.integers(2, len(set(labels))))
    tested, sizes = [], []
    for train, test in splits.class_disjoint_folds(labels, folds, seed):
        assert sorted([*train, *test]) == list(range(len(y)))
        assert not set(y[train]) & set(y[test])
        tested += test.tolist()
        sizes.append(len(set(y[test])))
    assert sorted(tested) == list(range(len(y)))
    assert len(sizes) == folds
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_decides():
    labels = np.arange(100) // 2
    first, again, other = (splits.class_disjoint(labels, seed=s)[1] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_bad_splits():
    with pytest.raises(ValueError, match="test_size"):
        splits.class_disjoint([0, 1], test_size=1)
    with pytest.raises(ValueError, match=r"at least 2 classes.*Received: 1"):
        splits.class_disjoint([0, 0])
    with pytest.raises(ValueError, match="at least 3 classes"):
        splits.class_disjoint_folds([0, 1], folds=3)
    with pytest.raises(ValueError, match="folds"):
        splits.class_disjoint_folds([0, 1], folds=1)
    with pytest.raises(TypeError, match="labels"):
        splits.class_disjoint([0.5, 1])


def test_splits_by_name_leave_out_what_is_unknown():
    names = ["a", "b", None, "a", "c", "b", None]
    train, test = splits.class_disjoint(names)
    assert sorted([*train, *test]) == [0, 1, 3, 4, 5]
    assert not {names[i] for i in train} & {names[i] for i in test}
    ids = [0, 1, None, 0, 2, 1, None]
    for of_names, of_ids in zip(
        splits.class_disjoint_folds(names, 3), splits.class_disjoint_folds(ids, 3), strict=True
    ):
        np.testing.assert_array_equal(of_names[0], of_ids[0])
        np.testing.assert_array_equal(of_names[1], of_ids[1])


def test_shared_examples_are_pointed_out():
    rng = np.random.default_rng(0)
    train = rng.integers(256, size=(50, 4, 4), dtype=np.uint8)
    test = rng.integers(256, size=(20, 4, 4), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(splits.shared_examples(train, test)) == 0
    test[[3, 17]] = train[[40, 2]]
    with pytest.warns(UserWarning, match=r"2 of 20 test examples.*position 3"):
        np.testing.assert_array_equal(splits.shared_examples(train, test), [3, 17])
    with pytest.raises(ValueError, match="uint8"):
        splits.shared_examples(train, test.astype(float))
    with pytest.raises(ValueError, match="object"):
        splits.shared_examples(np.array([{}]), np.array([{}]))
