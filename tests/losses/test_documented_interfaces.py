"""Signatures, defaults, names and errors that the documentation of the originals promises.

That is of TensorFlow Addons r0.6 and r0.7 (later spellings too) and TensorFlow
Similarity, in the terms of Keras 3.
"""

import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity import losses as module
from tensorflow_similarity.losses import (
    ContrastiveLoss,
    LiftedStructLoss,
    MetricLoss,
    NpairsLoss,
    NpairsMultilabelLoss,
    TripletHardLoss,
    TripletLoss,
    TripletSemiHardLoss,
)

# Arguments in order, with their defaults.
SIGNATURES = {
    LiftedStructLoss: {
        "margin": 1.0,
        "distance": "euclidean",
        "positive_mining_strategy": "all",
        "name": "lifted_struct_loss",
    },
    TripletSemiHardLoss: {
        "margin": 1.0,
        "distance": "squared_euclidean",
        "name": "triplet_semihard_loss",
    },
    TripletHardLoss: {
        "margin": 1.0,
        "soft": False,
        "distance": "euclidean",
        "name": "triplet_hard_loss",
    },
    ContrastiveLoss: {
        "margin": 1.0,
        "distance": None,
        "positive_mining_strategy": "all",
        "negative_mining_strategy": "all",
        "name": "contrastive_loss",
    },
    NpairsLoss: {"distance": None, "name": "npairs_loss"},
    NpairsMultilabelLoss: {"distance": None, "name": "npairs_multilabel_loss"},
    TripletLoss: {
        "distance": "cosine",
        "positive_mining_strategy": "hard",
        "negative_mining_strategy": "semi-hard",
        "soft_margin": False,
        "margin": 1.0,
        "name": "triplet_loss",
    },
}
LOSSES = list(SIGNATURES)


def batch_for(loss):
    """Labels and predictions as the documents say, of six examples."""
    rng = np.random.default_rng(60)
    x = rng.normal(size=(6, 3)).astype("float32")
    y = np.array([0, 0, 1, 1, 2, 0])
    if isinstance(loss, ContrastiveLoss):
        return np.array([1, 0, 1, 0, 0, 1]), np.linalg.norm(x - x[::-1] * 0.5, axis=1)
    if isinstance(loss, NpairsMultilabelLoss):
        return np.eye(3, dtype=int)[y], x @ x.T
    if isinstance(loss, NpairsLoss):
        return y, x @ x.T
    return y, x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("make", LOSSES)
def test_arguments_come_in_this_order_with_these_defaults(make):
    parameters = inspect.signature(make).parameters
    first = dict(list(parameters.items())[: len(SIGNATURES[make])])
    assert {name: p.default for name, p in first.items()} == SIGNATURES[make]
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in first.values())


@pytest.mark.parametrize("make", LOSSES)
def test_names(make):
    assert make().name == SIGNATURES[make]["name"]
    assert make(name="mine").name == "mine"
    # `name=None` was a default in Addons.
    assert make(name=None).name == SIGNATURES[make]["name"]
    assert issubclass(make, MetricLoss)
    assert issubclass(make, keras.losses.Loss)
    assert make.__name__ in module.__all__


@pytest.mark.parametrize("make", LOSSES)
def test_arguments_by_position(make):
    # Addons had `LiftedStructLoss(margin, name)`; with a margin alone all agree.
    if "margin" in SIGNATURES[make] and make is not TripletLoss:
        assert make(0.5).margin == 0.5


@pytest.mark.parametrize("make", LOSSES)
@pytest.mark.further("ContrastiveLoss", "NpairsLoss", "NpairsMultilabelLoss")
def test_reduction_is_that_of_keras(make):
    assert make().reduction == "sum_over_batch_size"
    loss = make(reduction="none")
    y_true, y_pred = batch_for(loss)
    assert loss(y_true, y_pred).shape == (6,)
    for reduction in ("sum", "sum_over_batch_size", None):
        assert make(reduction=reduction)(y_true, y_pred).shape == ((6,) if not reduction else ())


@pytest.mark.further(
    "LiftedStructLoss", "ContrastiveLoss", "NpairsLoss", "NpairsMultilabelLoss", "TripletHardLoss"
)
@pytest.mark.parametrize("make", LOSSES)
def test_call_with_sample_weight(make):
    loss, rows = make(), make(reduction=None)
    y_true, y_pred = batch_for(loss)
    each = np.asarray(rows(y_true, y_pred))
    assert each.any()
    np.testing.assert_allclose(loss(y_true, y_pred), each.mean(), rtol=1e-6)
    np.testing.assert_allclose(
        loss(y_true, y_pred, sample_weight=2.5), 2.5 * each.mean(), rtol=1e-6
    )
    weights = np.array([0.0, 1, 2, 3, 0.5, 1])
    np.testing.assert_allclose(
        loss(y_true, y_pred, sample_weight=weights), (each * weights).mean(), rtol=1e-6
    )
    np.testing.assert_allclose(rows(y_true, y_pred, weights), each * weights, rtol=1e-6)
    with pytest.raises(ValueError, match="`sample_weight`"):
        loss(y_true, y_pred, sample_weight=np.ones(5))
    with pytest.raises(ValueError, match="`sample_weight`"):
        loss(y_true, y_pred, sample_weight=np.ones((6, 3)))


@pytest.mark.parametrize("make", LOSSES)
@pytest.mark.slow_cases("TripletLoss", "TripletSemiHardLoss", "TripletHardLoss")
def test_get_config_and_from_config(make):
    loss = make(**({"margin": 0.5} if "margin" in SIGNATURES[make] else {}))
    config = loss.get_config()
    json.dumps(config)
    again = make.from_config(config)
    assert isinstance(again, make)
    assert again.get_config() == config
    assert {"name", "reduction", "distance"} <= config.keys()
    y_true, y_pred = batch_for(loss)
    np.testing.assert_array_equal(again(y_true, y_pred), loss(y_true, y_pred))


def test_lifted_struct_loss_of_addons():
    # __init__(margin=1.0, name=None): any negative nearer than a positive costs.
    assert LiftedStructLoss(margin=1.0, name=None)([0, 0, 1], np.eye(3)) > 0


def test_contrastive_loss_of_addons():
    # y_pred = tf.linalg.norm(a - b, axis=1), binary integer labels.
    a = tf.constant([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    b = tf.constant([[3.0, 4.0], [1.0, 1.5], [2.0, 0.25]])
    y_pred = tf.linalg.norm(a - b, axis=1)
    loss = ContrastiveLoss(margin=1.0, reduction="sum_over_batch_size", name="contrasitve_loss")
    np.testing.assert_allclose(loss([1, 0, 0], y_pred), (25 + 0.5**2 + 0.75**2) / 3, rtol=1e-6)


def test_npairs_loss_of_addons():
    # y_pred = tf.matmul(a, b, transpose_b=True), a and b of the same labels.
    a, b = np.eye(2, dtype="float32"), 2 * np.eye(2, dtype="float32")
    y_pred = tf.matmul(a, b, transpose_a=False, transpose_b=True)
    np.testing.assert_allclose(NpairsLoss()([3, 5], y_pred), np.log1p(np.exp(-2)), rtol=1e-6)


def test_triplet_loss_of_tensorflow_similarity():
    # Raises: invalid strategies, and a margin that is not used.
    for side in ("positive", "negative"):
        with pytest.raises(ValueError, match=f"Invalid {side} mining strategy"):
            TripletLoss(**{f"{side}_mining_strategy": "wrong"})
    with pytest.raises(ValueError, match="`margin` is not used when `soft_margin=True`"):
        TripletLoss(soft_margin=True, margin=0.3)
    for positive in ("easy", "hard"):
        for negative in ("easy", "hard", "semi-hard"):
            TripletLoss(positive_mining_strategy=positive, negative_mining_strategy=negative)
    assert TripletLoss(margin=None).soft_margin
    config = TripletLoss(soft_margin=True).get_config()
    assert TripletLoss.from_config(config).soft_margin


@pytest.mark.parametrize("make", [TripletSemiHardLoss, LiftedStructLoss, TripletHardLoss])
@pytest.mark.further("TripletHardLoss")
def test_addons_unpacked_numpy_and_tensors_alike(make):
    y_true, y_pred = batch_for(make())
    expected = make()(y_true, y_pred)
    for labels in (y_true.tolist(), tf.constant(y_true, tf.int32), y_true[:, None]):
        np.testing.assert_allclose(make()(labels, y_pred), expected, rtol=1e-6)
