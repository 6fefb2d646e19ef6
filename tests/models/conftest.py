"""Small data and models that the tests of models share."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel


@pytest.fixture(scope="session")
def digits():
    """Real images of digits, `[n, 64]` in [0, 1], and their classes."""
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


@pytest.fixture(scope="session")
def make_model():
    """Makes a compiled functional model from vectors of 64 to embeddings of 8."""

    def make(loss=None, **kwargs):
        inputs = keras.Input((64,))
        x = keras.layers.Dense(16, activation="relu")(inputs)
        model = SimilarityModel(inputs, L2Embedding(8)(x))
        # XLA takes longer to compile than these models to train.
        kwargs = {"jit_compile": False} | kwargs
        model.compile("adam", loss or TripletLoss(distance="cosine"), **kwargs)
        return model

    return make


@pytest.fixture
def indexed(make_model, digits):
    """Such a model with the first 200 digits in its index."""
    x, y = digits
    model = make_model()
    model.index(x[:200], y[:200], data=np.arange(200), verbose=0)
    return model
