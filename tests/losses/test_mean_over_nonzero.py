"""`reduction="mean_over_nonzero"`: the mean over the examples whose loss is not 0."""

import json

import keras
import numpy as np
import pytest

from oracle.golden import FOLDER
from oracle.gradients import value_and_gradient
from tensorflow_similarity import losses
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

RNG = np.random.default_rng(3)
Y = np.array([0, 1, 0, 2, 1, 0, 3, 2, 4])
X = np.eye(5)[Y] + 0.9 * RNG.normal(size=(9, 5))
WEIGHTS = RNG.uniform(size=9)
LOSSES = {
    "triplet": lambda **o: losses.TripletLoss(margin=0.1, **o),
    "in blocks": lambda **o: losses.TripletLoss(margin=0.1, block_size=4, **o),
    "unknown": lambda **o: losses.TripletLoss(margin=0.1, ignore_class=1, **o),
    "never 0": lambda **o: losses.MultiSimilarityLoss(epsilon=None, **o),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.further("never 0")
def test_it_is_the_mean_over_those_that_are_not_0(name):
    each = np.asarray(LOSSES[name](reduction=None)(Y, X))
    assert (each == 0).any() == (name != "never 0")
    loss = LOSSES[name](reduction="mean_over_nonzero")
    np.testing.assert_allclose(loss(Y, X), each[each != 0].mean(), rtol=1e-6)
    weighted = loss(Y, X, sample_weight=WEIGHTS)
    np.testing.assert_allclose(weighted, (each * WEIGHTS)[each != 0].mean(), rtol=1e-6)


def test_where_all_are_0_it_is_0():
    loss = losses.TripletLoss(margin=0.1, reduction="mean_over_nonzero")
    value, gradient = value_and_gradient(loss, Y[:4] * 0, X[:4])
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_values_and_gradients_of_pytorch_metric_learning():
    with open(FOLDER / "pml" / "ranges_and_reducers.json", encoding="utf-8") as file:
        golden = json.load(file)
    labels, x = np.array(golden["labels"]), np.array(golden["embeddings"])
    # There, queries without a positive or a negative are in no mean.
    every = np.isin(labels, [c for c in labels if (labels == c).sum() > 1])
    for case in golden["reductions"]:
        of_all = case["reduction"] == "mean"
        scale = len(labels) / every.sum() if of_all else 1.0
        hard = losses.TripletHardLoss(margin=case["margin"], reduction=case["reduction"])

        def loss(y, z, sample_weight=None, hard=hard, scale=scale):
            return scale * hard(y, z / keras.ops.norm(z, axis=1, keepdims=True))

        value, gradient = value_and_gradient(loss, labels, x)
        np.testing.assert_allclose(value, case["value"], rtol=1e-6)
        np.testing.assert_allclose(gradient, case["gradient"], atol=1e-7)


def test_config_and_wrappers():
    loss = LOSSES["triplet"](reduction="mean_over_nonzero")
    again = losses.TripletLoss.from_config(json.loads(json.dumps(loss.get_config())))
    assert again.reduction == "mean_over_nonzero"
    expected = float(loss(Y, X))
    assert float(losses.WeightedSumLoss([loss, again], [1.0, 0.5])(Y, X)) == pytest.approx(
        1.5 * expected
    )


@pytest.mark.further
def test_it_trains_and_saves(tmp_path):
    inputs = keras.Input((5,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    loss = LOSSES["triplet"](reduction="mean_over_nonzero")
    model.compile("adam", losses.CrossBatchMemory(loss, 18), run_eagerly=True)
    model.fit(X, Y, batch_size=9, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.loss.reduction == again.loss.loss.reduction == "mean_over_nonzero"


def test_losses_of_the_whole_batch_refuse_it():
    with pytest.raises(ValueError, match=r"`reduction`.*TripletAllLoss"):
        losses.TripletAllLoss(reduction="mean_over_nonzero")
    with pytest.raises(ValueError, match="reduction"):
        losses.TripletLoss(reduction="mean_over_non_zero")
