"""What `compile` refuses, and what it says to write instead."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity import SimilarityModel, losses
from tensorflow_similarity.index import Lookup
from tensorflow_similarity.layers import L2Embedding

TWO_VIEWS = [
    losses.MultiNegativesRankLoss,
    losses.SimCLRLoss,
    losses.SimSiamLoss,
    losses.BarlowTwinsLoss,
    losses.VICRegLoss,
]


def model(cls=SimilarityModel):
    inputs = keras.Input((8,))
    return cls(inputs, L2Embedding(8)(inputs))


@pytest.mark.parametrize("loss", TWO_VIEWS)
def test_losses_on_two_views_are_refused(loss):
    with pytest.raises(ValueError, match=r"DualEncoder.*ContrastiveModel"):
        model().compile("adam", loss(), distance="cosine")


class Own(SimilarityModel):
    """A model with a training step of its own, which may embed both views."""

    def train_step(self, data):
        return {}


def test_a_training_step_of_ones_own_may_use_them():
    model(Own).compile("adam", losses.SimCLRLoss(), distance="cosine")


X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = np.arange(16) % 4
WITHOUT_LABELS = {
    "fit": lambda m: m.fit(X, verbose=0),
    "dataset": lambda m: m.fit(tf.data.Dataset.from_tensor_slices(X).batch(8), verbose=0),
    "evaluate": lambda m: m.evaluate(X, verbose=0),
    "train_on_batch": lambda m: m.train_on_batch(X),
    "validation": lambda m: m.fit(X, Y, validation_data=X, verbose=0),
}


@pytest.mark.parametrize("call", WITHOUT_LABELS.values(), ids=WITHOUT_LABELS)
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.slow_cases("validation", "fit")
def test_training_without_labels_says_that_there_are_none(call):
    trained = model()
    trained.compile("adam", losses.MultiSimilarityLoss())
    with pytest.raises(ValueError, match=r"`y_true`.*None.*fit\(x, y\).*ContrastiveModel"):
        call(trained)


LOSSES_ON_LABELS = [
    losses.TripletLoss(),
    losses.TripletLoss(relevance="multi_hot"),
    losses.TripletLoss(relevance="matrix"),
    losses.ContrastiveLoss(distance="cosine"),
    losses.SupConLoss(),
    losses.ArcFaceLoss(),
]


@pytest.mark.parametrize("loss", LOSSES_ON_LABELS, ids=lambda loss: loss.name)
def test_losses_say_that_labels_are_missing(loss):
    with pytest.raises(ValueError, match=r"`y_true`.*None"):
        loss(None, X)


@pytest.mark.parametrize("loss", TWO_VIEWS)
def test_losses_on_two_views_say_that_one_is_missing(loss):
    with pytest.raises(ValueError, match=r"`y_true`.*two views.*None.*ContrastiveModel"):
        loss()(None, X)


def test_a_loss_on_proxies_without_a_head_says_which_layer_to_add():
    with pytest.raises(ValueError, match=r"ProxyHead\(classes\)"):
        model().compile("adam", losses.ArcFaceLoss())


def test_the_repr_of_a_model_tells_of_its_index():
    trained = model()
    assert repr(trained).endswith("index=None>")
    trained.compile("adam", losses.TripletLoss())
    trained.index(X, Y, verbose=0)
    assert repr(trained).startswith("<SimilarityModel name=")
    assert "16 records" in repr(trained)
    assert "'cosine'" in repr(trained)


def test_evaluation_of_cutpoints_prints_a_table():
    trained = model()
    trained.compile("adam", losses.TripletLoss())
    trained.index(X, Y, verbose=0)
    trained.calibrate(X + 0.01, Y, verbose=0)
    found = trained.evaluate_classification(X + 0.02, Y, verbose=0)
    assert found["optimal"]["precision"] == 1  # a dict, as before
    header, _, row = str(found).splitlines()
    assert header.split() == ["cutpoint", "distance", "f1", "precision", "recall"]
    assert row.split()[0] == "optimal"
    assert repr(found) == str(found)
    assert json.loads(json.dumps(found)) == found


def test_long_payloads_are_cut_with_an_ellipsis():
    assert repr(Lookup(1, 0.5, data="short")).endswith("data='short')")
    long = repr(Lookup(1, 0.5, data={"text": "x" * 100}))
    assert long.endswith("x…)")
    assert len(long) < 110
