"""What an index was asked to be stays so, whatever is compiled after."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.index import Index
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
ASKED = {
    "storage": "int8",
    "target_recall": 0.8,
    "search": "nmslib",
    "search_params": {"M": 5},
}


@pytest.fixture
def model():
    inputs = keras.Input((4,))
    return SimilarityModel(inputs, keras.layers.Dense(3)(inputs))


def asked_of(index):
    return {name: index.get_config()[name] for name in ASKED}


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
def test_compile_keeps_the_settings(model, distance):
    model.create_index("cosine", **ASKED)
    model.compile("sgd", TripletLoss(distance=distance))
    assert model.vector_index.distance.name == distance
    assert asked_of(model.vector_index) == ASKED
    model.compile("sgd", "mse", distance="squared_euclidean")
    assert asked_of(model.vector_index) == ASKED


def test_another_engine_is_another_engine_and_all_else_stays(model):
    model.create_index("cosine", **ASKED)
    model.compile("sgd", TripletLoss("euclidean"), search="faiss")
    assert asked_of(model.vector_index) == {**ASKED, "search": "faiss"}


def test_settings_of_an_index_that_was_put_in_place(model):
    model.vector_index = Index(3, "cosine", **ASKED)
    model.compile("sgd", TripletLoss("euclidean"))
    assert asked_of(model.vector_index) == ASKED


def test_settings_of_an_index_that_was_saved_with_the_model(model, tmp_path):
    model.create_index("cosine", **ASKED)
    model.index(X, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    loaded.reset_index()
    loaded.compile("sgd", TripletLoss("euclidean"))
    assert asked_of(loaded.vector_index) == ASKED


def test_compile_keeps_the_folder(model, tmp_path):
    model.create_index("cosine", path=tmp_path / "index", **ASKED)
    model.index(X, verbose=0)
    model.compile("sgd", TripletLoss("cosine"))
    assert model.index_size() == 20
    path = str(tmp_path / "index")
    assert model.vector_index.path == path
    model.reset_index()
    before = model.vector_index
    with pytest.raises(ValueError, match=r"made with distance=.*path=another"):
        model.compile("sgd", TripletLoss("euclidean"))
    assert model.vector_index is before
    model.index(X, verbose=0)
    assert model.index_size() == 20
    # The same folder again.
    model.create_index("cosine", path=path, **{**ASKED, "target_recall": 0.9})
    assert model.index_size() == 20
    assert model.vector_index.get_config()["target_recall"] == 0.9
    model.vector_index.close()


def test_what_cannot_be_leaves_the_model_as_it_was(model):
    model.create_index("cosine", **ASKED)
    before = model.vector_index
    with pytest.raises(ValueError, match="search_params"):
        model.compile("sgd", TripletLoss("euclidean"), search="exact")
    assert model.vector_index is before
    model.compile("sgd", TripletLoss("euclidean"))
    assert asked_of(model.vector_index) == ASKED


def test_one_example_by_either_name(model):
    model.create_index("cosine")
    model.index(X, verbose=0)
    found = model.lookup_one(X[3], k=2)
    assert found == model.single_lookup(X[3], k=2)
    assert [hit.rank for hit in found] == [1, 2]
    assert found[0].id == 3


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "M.H5"])
def test_h5_would_lose_the_records(model, tmp_path, name):
    model.create_index("cosine")
    model.index(X, verbose=0)
    with pytest.raises(ValueError, match=r"\.keras"):
        model.save(tmp_path / name)
    assert not (tmp_path / name).exists()
