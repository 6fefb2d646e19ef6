"""Miners against loops over triplets, the draw of negatives, and the errors of their names."""

import functools
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from oracle import miners as oracle
from oracle.distances import matrix
from tensorflow_similarity import mining
from tensorflow_similarity.losses import ContrastiveLoss, MarginLoss
from tensorflow_similarity.mining.miners import content_noise

MINERS = {
    "multi_similarity": (mining.MultiSimilarityMiner(), oracle.multi_similarity),
    "multi_similarity_wide": (
        mining.MultiSimilarityMiner(0.5),
        functools.partial(oracle.multi_similarity, epsilon=0.5),
    ),
    "pair_margin": (
        mining.PairMarginMiner(0.25, 0.5),
        functools.partial(oracle.pair_margin, positive_margin=0.25, negative_margin=0.5),
    ),
    "distance_range": (
        mining.DistanceRangeMiner((0.25, 1.0), (0.5, 1.25)),
        functools.partial(
            oracle.distance_range, positive_range=(0.25, 1.0), negative_range=(0.5, 1.25)
        ),
    ),
    **{
        f"triplet_margin_{kind}": (
            mining.TripletMarginMiner(0.25, kind),
            functools.partial(oracle.triplet_margin, margin=0.25, kind=kind),
        )
        for kind in ("all", "hard", "semi-hard", "easy")
    },
}


def rows_of(distances, labels):
    alike = labels[:, None] == labels[None, :]
    others = ~np.eye(len(labels), dtype=bool)
    tensors = distances.astype("float32"), alike & others, ~alike
    return mining.Rows(*(ops.convert_to_tensor(x) for x in tensors))


@pytest.mark.parametrize("name", MINERS)
@given(
    # Quarters are exact, so that ties are ties.
    distances=arrays(np.int8, (7, 7), elements=st.integers(0, 6)),
    labels=arrays(np.int8, 7, elements=st.integers(0, 2)),
)
@settings(max_examples=15)
@pytest.mark.further("distance_range")
def test_what_is_kept(name, distances, labels):
    miner, expected = MINERS[name]
    distances = distances / 4
    rows = rows_of(distances, labels)
    kept = miner(rows)
    for i, row in enumerate(distances):
        sides = (np.flatnonzero(np.asarray(mask)[i]) for mask in (rows.positives, rows.negatives))
        positives, negatives = expected(row, *(side.tolist() for side in sides))
        np.testing.assert_array_equal(np.flatnonzero(np.asarray(kept.positives)[i]), positives)
        np.testing.assert_array_equal(np.flatnonzero(np.asarray(kept.negatives)[i]), negatives)


def test_a_miner_makes_no_pairs():
    rows = rows_of(np.ones((4, 4)), np.array([0, 0, 1, 1]))
    every = mining.CallableMiner(lambda rows: (rows.distances > 0, rows.distances > 0))
    kept = every(rows)
    np.testing.assert_array_equal(kept.positives, rows.positives)
    np.testing.assert_array_equal(kept.negatives, rows.negatives)


def test_a_function_may_return_rows():
    rows = rows_of(np.arange(16.0).reshape(4, 4), np.array([0, 0, 1, 1]))
    keep = mining.CallableMiner(lambda rows: rows._replace(negatives=rows.distances < 4))
    np.testing.assert_array_equal(keep(rows).negatives, [[0, 0, 1, 1]] + [[0] * 4] * 3)
    np.testing.assert_array_equal(keep(rows).positives, rows.positives)


def sphere(n, dim, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")


def sampled(miner, x, labels):
    rows = rows_of(matrix("euclidean", x, x), labels)
    return miner(rows._replace(queries=ops.convert_to_tensor(x), keys=ops.convert_to_tensor(x)))


def test_distance_weighted_draws_as_many_negatives_as_positives():
    x, labels = sphere(40, 3), np.arange(40) % 10
    x[:5] = x[5:10]  # Nearer than the cutoff, and twins.
    miner = mining.DistanceWeightedMiner(nonzero_loss_cutoff=1.2)
    kept = sampled(miner, x, labels)
    distances = matrix("euclidean", x, x)
    near = (distances < 1.2) & (labels[:, None] != labels[None, :])
    drawn = np.asarray(kept.negatives)
    assert not (drawn & ~near).any()
    # A tie at the end, of twins, is drawn as a whole.
    wanted = np.minimum(3, near.sum(axis=1))
    assert (drawn.sum(axis=1) >= wanted).all()
    assert (drawn.sum(axis=1)[10:] <= wanted[10:] + 1).all()
    np.testing.assert_array_equal(kept.positives, rows_of(distances, labels).positives)


@pytest.mark.further
def test_distance_weighted_draws_by_the_inverse_density():
    # One positive for each query, so one negative: the first of a draw without
    # replacement is drawn by the weights themselves.
    dim, n = 5, 400
    x, labels = sphere(n, dim, seed=3), np.arange(n) % (n // 2)
    distances = matrix("euclidean", x, x)
    eligible = (labels[:, None] != labels[None, :]) & (distances < 1.4)
    d = np.maximum(distances, 0.5)
    with np.errstate(invalid="ignore"):
        weights = np.where(eligible, d ** (2.0 - dim) * (1 - d**2 / 4) ** ((3.0 - dim) / 2), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    drawn = np.asarray(sampled(mining.DistanceWeightedMiner(), x, labels).negatives)
    assert (drawn.sum(axis=1) == 1).all()
    edges = np.array([0, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4])
    for low, high in itertools.pairwise(edges):
        inside = (distances >= low) & (distances < high)
        expected, seen = weights[inside].sum(), drawn[inside].sum()
        # A sum of independent draws: five standard deviations.
        spread = np.sqrt((weights * inside).sum(axis=1) @ (1 - (weights * inside).sum(axis=1)))
        assert abs(seen - expected) < 5 * spread + 1e-6, (low, high, seen, expected)


def test_a_draw_is_that_of_the_embeddings_and_the_seed():
    x, labels = sphere(30, 4), np.arange(30) % 6
    first = np.asarray(sampled(mining.DistanceWeightedMiner(), x, labels).negatives)
    order = np.random.default_rng(1).permutation(30)
    permuted = np.asarray(
        sampled(mining.DistanceWeightedMiner(), x[order], labels[order]).negatives
    )
    np.testing.assert_array_equal(permuted, first[order][:, order])
    other = sampled(mining.DistanceWeightedMiner(seed=1), x, labels).negatives
    assert (np.asarray(other) != first).any()
    moved = sampled(mining.DistanceWeightedMiner(), sphere(30, 4, seed=9), labels).negatives
    assert (np.asarray(moved) != first).any()


def test_noise_of_pairs_is_uniform_and_independent():
    noise = np.asarray(content_noise(sphere(300, 8, 1), sphere(400, 8, 2)), np.float64)
    assert 0 < noise.min() < noise.max() < 1
    counts, _ = np.histogram(noise, bins=20, range=(0, 1))
    assert np.abs(counts - 6000).max() < 5 * np.sqrt(6000)
    centred = noise - noise.mean()
    for other in (np.roll(centred, 1, axis=0), np.roll(centred, 1, axis=1)):
        assert abs(np.mean(centred * other)) < 5 / 12 / np.sqrt(noise.size)
    assert np.abs(centred.mean(axis=0)).max() < 5 / np.sqrt(12 * 300)
    assert np.abs(centred.mean(axis=1)).max() < 5 / np.sqrt(12 * 400)


def test_noise_of_any_scale_and_of_zeros():
    x = sphere(10, 4)
    for scale in (1e-30, 1e30):
        np.testing.assert_allclose(content_noise(x * scale, x * scale).shape, (10, 10))
        assert len(np.unique(content_noise(x * scale, x * scale))) > 90
    assert np.isfinite(content_noise(0 * x, x)).all()


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.further("True")
def test_noise_in_graphs_is_the_same(jit_compile):
    x = sphere(20, 4)
    compiled = tf.function(content_noise, jit_compile=jit_compile)
    np.testing.assert_array_equal(compiled(tf.constant(x), tf.constant(x)), content_noise(x, x))


def test_names_configs_and_printing():
    for name in ("multi_similarity", "pair_margin", "triplet-margin", "distance_weighted"):
        miner = mining.get_miner(name)
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(miner)))
        assert mining.get_miner(config) == miner
        assert mining.get_miner(type(miner)) == miner
        assert hash(mining.get_miner(miner)) == hash(miner)
        assert repr(miner).startswith(f"{type(miner).__name__}(")
    assert mining.get_miner(None) is None
    assert mining.MultiSimilarityMiner(0.2) != mining.MultiSimilarityMiner(0.3)
    assert repr(mining.get_miner(rows_of)) == "CallableMiner(rows_of)"
    assert mining.get_miner(rows_of) == mining.get_miner(rows_of)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mining.get_miner("hardest"), "`mining` must be one of.*'hardest'"),
        (lambda: mining.get_miner(3), "`mining`.*Received: 3"),
        (lambda: mining.CallableMiner(3), "`function`.*Received: 3"),
        (lambda: mining.TripletMarginMiner(0.1, "soft"), "`type_of_triplets`.*'soft'"),
        (lambda: mining.DistanceRangeMiner((0.8, 0.1)), r"`positive_range`.*\(0.8, 0.1\)"),
        (lambda: mining.DistanceRangeMiner(None, 0.8), "`negative_range`.*0.8"),
        (lambda: mining.DistanceWeightedMiner(cutoff=0), "`cutoff`.*Received: 0"),
        (
            lambda: MarginLoss(distance="cosine", mining="distance_weighted"),
            r"`distance` must be one of \['euclidean'\].*Cosine",
        ),
        (lambda: ContrastiveLoss(mining="pair_margin"), "`distance` must be given.*mining="),
        (lambda: mining.get_relevance("shared"), "`relevance` must be one of.*'shared'"),
        (lambda: mining.get_relevance(3), "`relevance`.*Received: 3"),
    ],
)
def test_wrong_arguments_are_refused(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()
