import keras
import numpy as np
import pytest

from tensorflow_similarity.models import fingerprint
from tensorflow_similarity.models.fingerprint import WeightsFingerprint


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


def train(model):
    model.train_on_batch(np.ones((4, 3), "float32"), np.zeros((4, 2), "float32"))


def test_it_follows_the_weights(model):
    print_ = WeightsFingerprint(model)
    first = print_.digest()
    assert len(first) == 32
    assert print_.digest() == first
    train(model)
    assert print_.digest() != first


def test_equal_weights_have_equal_digests(model):
    other = keras.models.clone_model(model)
    assert WeightsFingerprint(other).digest() != WeightsFingerprint(model).digest()
    other.set_weights(model.get_weights())
    assert WeightsFingerprint(other).digest() == WeightsFingerprint(model).digest()


def test_touch_makes_it_look_again(model):
    print_ = WeightsFingerprint(model)
    first = print_.digest()
    model.set_weights([2 * w for w in model.get_weights()])
    assert print_.digest() == first  # not seen by itself
    print_.touch()
    assert print_.digest() != first


def test_a_new_optimizer_changes_nothing(model):
    print_ = WeightsFingerprint(model)
    first = print_.digest()
    model.compile("adam", "mse")
    assert print_.digest() == first


def test_weights_are_read_only_when_they_may_have_changed(model, monkeypatch):
    calls = []
    digest = fingerprint._digest
    monkeypatch.setattr(fingerprint, "_digest", lambda w: calls.append(1) or digest(w))
    print_ = WeightsFingerprint(model)
    for _ in range(5):
        print_.digest()
    assert len(calls) == 1
    train(model)
    print_.digest()
    assert len(calls) == 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_all_dtypes_and_models_without_optimizer_or_weights(dtype):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)])
    assert len(WeightsFingerprint(model).digest()) == 32
    assert WeightsFingerprint(keras.Sequential([keras.Input((3,))])).digest()
