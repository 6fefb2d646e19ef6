"""Files that TensorFlow Similarity 0.17.1 wrote, with Keras 2, can still be used.

The files in `data/from_0.17` were written by it: a trained model with its index, its weights
in three formats, and in `expected.npz` what it answered.
"""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from tensorflow_similarity.compat.tensorflow_similarity import convert_index, load_weights
from tensorflow_similarity.index import Index
from tensorflow_similarity.layers import MetricEmbedding
from tensorflow_similarity.models import SimilarityModel

FILES = Path(__file__).parent / "data/from_0.17"
EXPECTED = dict(np.load(FILES / "expected.npz"))
X = EXPECTED["x"]


def layers(units=8, normalized=True):
    inputs = keras.Input((4,))
    x = keras.layers.Dense(units, activation="relu")(inputs)
    if normalized:
        x = keras.layers.BatchNormalization()(x)
    return inputs, MetricEmbedding(3)(x)


def assert_answers_as_it_did(model):
    found = model.lookup(X[:4], k=3, verbose=0)
    np.testing.assert_array_equal(found.labels, EXPECTED["labels"])
    np.testing.assert_allclose(found.distances, EXPECTED["distances"], atol=1e-6)


@pytest.mark.parametrize("name", ["weights.h5", "new.weights.h5", "checkpoint", "model"])
@pytest.mark.further("new.weights.h5")
def test_weights_load(name):
    model = SimilarityModel(*layers())
    load_weights(model, FILES / name)
    np.testing.assert_allclose(model.predict(X, verbose=0), EXPECTED["embeddings"], atol=1e-6)


@pytest.mark.parametrize("name", ["weights.h5", "new.weights.h5"])
@pytest.mark.further("weights.h5")
def test_h5_weights_load_with_keras_alone(name):
    model = SimilarityModel(*layers())
    model.load_weights(FILES / name)
    np.testing.assert_allclose(model.predict(X, verbose=0), EXPECTED["embeddings"], atol=1e-6)


def test_a_model_and_its_index_come_over(tmp_path):
    model = SimilarityModel(*layers())
    load_weights(model, FILES / "model")
    model.vector_index = convert_index(FILES / "model")
    assert_answers_as_it_did(model)
    np.testing.assert_array_equal(model.vector_index.get([7]).data[0], X[7])
    model.save(tmp_path / "m.keras")
    assert_answers_as_it_did(keras.saving.load_model(tmp_path / "m.keras"))


def test_a_saved_model_looks_up_without_its_code():
    inputs = keras.Input((4,))
    layer = keras.layers.TFSMLayer(str(FILES / "model"), call_endpoint="serving_default")
    model = SimilarityModel(inputs, layer(inputs)["embedding"])
    model.vector_index = convert_index(FILES / "model")
    assert_answers_as_it_did(model)


@pytest.mark.parametrize("name", ["checkpoint", "model"])
@pytest.mark.parametrize("made", [layers(units=5), layers(normalized=False)])
def test_other_layers_are_refused_and_left_as_they_were(name, made):
    model = SimilarityModel(*made)
    before = model.get_weights()
    with pytest.raises(ValueError, match="saved"):
        load_weights(model, FILES / name)
    for array, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("name", ["absent.h5", "absent", "."])
def test_files_that_are_not_there(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="`path`"):
        load_weights(SimilarityModel(*layers()), tmp_path / name)


def test_nested_models():
    inner = keras.Sequential([keras.Input((8,)), keras.layers.BatchNormalization()])
    inputs = keras.Input((4,))
    x = inner(keras.layers.Dense(8, activation="relu")(inputs))
    model = SimilarityModel(inputs, MetricEmbedding(3)(x))
    load_weights(model, FILES / "checkpoint")
    np.testing.assert_allclose(model.predict(X, verbose=0), EXPECTED["embeddings"], atol=1e-6)


@pytest.mark.parametrize("read", [Index.open, Index.load, SimilarityModel.load])
def test_what_reads_other_files_names_what_reads_these(tmp_path, read):
    folder = shutil.copytree(FILES / "model", tmp_path / "model")
    before = sorted(folder.rglob("*"))
    with pytest.raises((OSError, ValueError), match=r"compat\.tensorflow_similarity"):
        read(folder)
    assert sorted(folder.rglob("*")) == before


def test_a_model_without_an_index_takes_one():
    model = SimilarityModel(*layers())
    index = Index(3)
    index.add(np.eye(3))
    model.vector_index = index
    assert model.vector_index is index
    with pytest.raises(ValueError, match="embedding"):
        model.vector_index = Index(5)
    assert model.vector_index is index
