"""Strategies, selection and the errors of their names."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from oracle import losses as oracle
from tensorflow_similarity import mining
from tensorflow_similarity.losses import ContrastiveLoss, LiftedStructLoss, TripletLoss
from tensorflow_similarity.mining import All, Farthest, MiningStrategy, Nearest, SemiHard
from tensorflow_similarity.mining.strategies import at, farthest, nearest, nearest_beyond


def drawn(rows=6, keys=9, seed=0, candidates=0.5):
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, keys)) < candidates
    mask[:, 0] |= ~mask.any(axis=1)
    return rng.normal(size=(rows, keys)).astype("float32"), mask


# 64 and its multiples take another way through the rows.
@pytest.mark.parametrize("keys", [1, 2, 9, 63, 64, 65, 128, 192, 256])
@pytest.mark.parametrize("seed", range(3))
def test_selection(keys, seed):
    distances, candidates = drawn(7, keys, seed)
    thresholds = np.random.default_rng(seed).normal(size=7).astype("float32")
    places = [nearest(distances, candidates), farthest(distances, candidates)]
    beyond = nearest_beyond(distances, candidates, thresholds[:, None])
    for i, row in enumerate(distances):
        options = np.flatnonzero(candidates[i]).tolist()
        assert places[0][i] == oracle.nearest(row, options)
        assert places[1][i] == oracle.farthest(row, options)
        assert beyond[i, 0] == oracle.semi_hard(row, options, thresholds[i])


@pytest.mark.parametrize("number", [None, 3])
def test_selection_beyond_several_thresholds(number):
    distances, candidates = drawn(5, 64, seed=4)
    thresholds = np.random.default_rng(5).normal(size=(5, 4)).astype("float32")
    places = np.asarray(nearest_beyond(distances, candidates, thresholds, number))
    for i, row in enumerate(distances):
        options = np.flatnonzero(candidates[i]).tolist()
        for m in range(4 if number is None else number):
            assert places[i, m] == oracle.semi_hard(row, options, thresholds[i, m])


@given(
    row=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=9, max_size=9),
    mask=st.lists(st.booleans(), min_size=9, max_size=9),
    threshold=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]),
)
@settings(max_examples=30)
@pytest.mark.further
def test_at_ties_one_of_the_best_is_selected(row, mask, threshold):
    distances, candidates = np.array([row], "float32"), np.array([mask])
    options = np.flatnonzero(mask).tolist()
    for place, chosen in (
        (nearest(distances, candidates)[0], oracle.nearest),
        (farthest(distances, candidates)[0], oracle.farthest),
        (
            nearest_beyond(distances, candidates, np.array([[threshold]], "float32"))[0, 0],
            lambda row, options: oracle.semi_hard(row, options, threshold),
        ),
    ):
        assert 0 <= int(place) < 9
        if options:
            assert mask[int(place)]
            assert row[int(place)] == row[chosen(row, options)]


def test_at_takes_one_of_each_row():
    np.testing.assert_array_equal(at(np.arange(6).reshape(2, 3), np.array([2, 0])), [2, 3])


def test_the_strictly_farther_negative_is_strictly_farther():
    distances = np.array([[1.0, 1.0, 2.0, 3.0]], "float32")
    everything = np.ones((1, 4), bool)
    for threshold, place in ((0.5, 0), (1.0, 2), (2.0, 3), (3.0, 3), (9.0, 3)):
        picked = SemiHard().pick(distances, everything, np.array([threshold], "float32"))
        assert distances[0, int(picked[0])] == distances[0, place]


@pytest.mark.parametrize("strategy", [Nearest(), Farthest(), SemiHard()])
def test_what_picks_one_keeps_that_one(strategy):
    distances, candidates = drawn()
    candidates[2] = False
    thresholds = np.zeros(6, "float32")
    kept = np.asarray(strategy.keep(distances, candidates, thresholds))
    picked = np.asarray(strategy.pick(distances, candidates, thresholds))
    assert not kept[2].any()
    for i in (0, 1, 3, 4, 5):
        assert np.flatnonzero(kept[i]).tolist() == [picked[i]]


def test_all_keeps_all_and_picks_none():
    distances, candidates = drawn()
    np.testing.assert_array_equal(All().keep(distances, candidates, None), candidates)
    with pytest.raises(NotImplementedError, match="All does not pick a single key"):
        All().pick(distances, candidates, None)


def test_names():
    assert [type(mining.get_positive(n)) for n in ("easy", "hard", "all")] == [
        Nearest,
        Farthest,
        All,
    ]
    assert [type(mining.get_negative(n)) for n in ("easy", "hard", "semi-hard", "all")] == [
        Farthest,
        Nearest,
        SemiHard,
        All,
    ]
    for spelling in ("semi_hard", "semihard", "Semi-Hard"):
        assert mining.get_negative(spelling) == SemiHard()


@pytest.mark.parametrize("get", [mining.get_positive, mining.get_negative])
def test_bad_strategies(get):
    with pytest.raises(ValueError, match=r"must be one of .*'easy', 'hard'.*Received: 'nearest'"):
        get("nearest")
    for bad in (None, 1, Nearest):
        with pytest.raises(TypeError, match=r"must be one of .* or a MiningStrategy object"):
            get(bad)


def test_equality_and_repr():
    assert SemiHard() == SemiHard()
    assert Nearest() != Farthest()
    assert len({Nearest(), Nearest(), All()}) == 2
    assert repr(SemiHard()) == "SemiHard()"


@keras.saving.register_keras_serializable(package="test_strategies")
class Within(MiningStrategy):
    """The nearest candidate farther than a radius; in `keep`, all such."""

    def __init__(self, radius=1.0):
        self.radius = radius

    def pick(self, distances, candidates, thresholds):
        far = ops.logical_and(candidates, distances > self.radius)
        return ops.argmin(ops.where(far, distances, 1e9), axis=1)

    def keep(self, distances, candidates, thresholds):
        return ops.logical_and(candidates, distances > self.radius)

    def get_config(self):
        return {"radius": self.radius}


@pytest.mark.parametrize("make", [TripletLoss, ContrastiveLoss])
@pytest.mark.further("ContrastiveLoss")
def test_a_strategy_of_ones_own_in_a_loss(make):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(12, 3)), np.arange(12) % 3
    strategy = Within(0.7)
    loss = make(distance="euclidean", negative_mining_strategy=strategy, margin=3.0)
    picture = oracle.Picture("euclidean", labels, x)
    # The same loss, of which the negatives that are too near were taken away.
    picture.negatives = [
        [n for n in negatives if row[n] > 0.7]
        for row, negatives in zip(picture.distances, picture.negatives, strict=True)
    ]
    expected = (
        oracle.triplet(picture, negative="hard", margin=3.0)
        if make is TripletLoss
        else oracle.contrastive(picture, margin=3.0)
    )
    np.testing.assert_allclose(loss(labels, x), expected.mean(), rtol=1e-9)
    compiled = tf.function(loss, autograph=False)
    np.testing.assert_allclose(compiled(labels, x), expected.mean(), rtol=1e-9)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.negative_mining_strategy == strategy
    np.testing.assert_array_equal(again(labels, x), loss(labels, x))


def test_a_strategy_that_cannot_pick_says_so_in_a_triplet_loss():
    class KeepsOnly(MiningStrategy):
        def keep(self, distances, candidates, thresholds):
            return candidates

    loss = TripletLoss(negative_mining_strategy=KeepsOnly())
    with pytest.raises(NotImplementedError, match="KeepsOnly does not pick"):
        loss([0, 0, 1], np.eye(3))
    LiftedStructLoss(positive_mining_strategy=KeepsOnly())([0, 0, 1], np.eye(3))
