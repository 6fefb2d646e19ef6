"""Losses that were measured to train badly as they come are named by `compile`."""

import warnings

import keras
import pytest

from tensorflow_similarity import losses
from tensorflow_similarity.models import SimilarityModel


def compiled(loss):
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", loss)
    return model


@pytest.mark.parametrize(
    "loss",
    [
        losses.TripletHardLoss(),
        losses.PNLoss(),
        losses.TripletHardLoss(name="another name"),
        losses.CrossBatchMemory(losses.PNLoss(), memory_size=8),
        [losses.TripletHardLoss()],
        losses.TripletHardLoss,
        [losses.TripletHardLoss],
    ],
    ids=["triplet", "pn", "named", "memory", "list", "class", "list of classes"],
)
@pytest.mark.further("named")
def test_without_arguments_compile_says_what_to_take_and_loading_does_not(loss, tmp_path):
    with pytest.warns(UserWarning, match=r"Take one of these") as said:
        model = compiled(loss)
    assert len(said) == 1
    assert "TripletSemiHardLoss()" in str(said[0].message)
    assert said[0].filename == __file__
    model.save(tmp_path / "model.keras")
    keras.saving.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "loss",
    [losses.TripletHardLoss(margin=0.2), losses.PNLoss(margin=0.3), losses.TripletSemiHardLoss()],
    ids=repr,
)
def test_others_pass_in_silence(loss):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(loss)
