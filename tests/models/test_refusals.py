"""What `compile` refuses, and what it says to write instead."""

import keras
import pytest

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


def test_a_loss_on_proxies_without_a_head_says_which_layer_to_add():
    with pytest.raises(ValueError, match=r"ProxyHead\(classes\)"):
        model().compile("adam", losses.ArcFaceLoss())


def test_long_payloads_are_cut_with_an_ellipsis():
    assert repr(Lookup(1, 0.5, data="short")).endswith("data='short')")
    long = repr(Lookup(1, 0.5, data={"text": "x" * 100}))
    assert long.endswith("x…)")
    assert len(long) < 110
