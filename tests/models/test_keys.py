"""Keys of records through a model: index, resume, look up, match, evaluate."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.models import SimilarityModel

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
KEYS = [f"item-{i}" for i in range(12)]
LABELS = np.arange(12) % 3


@pytest.fixture
def model():
    inputs = keras.Input((3,))
    model = SimilarityModel(inputs, keras.layers.Identity()(inputs))
    model.create_index(distance="euclidean")
    return model


def test_from_index_to_match(model, tmp_path):
    ids = model.index(X[:8], LABELS[:8], ids=KEYS[:8], verbose=0)
    assert ids.tolist() == list(range(8))
    assert model.index_single(X[8], int(LABELS[8]), id=KEYS[8]) == 8
    again = model.index_embeddings(X[7:9], LABELS[7:9], ids=KEYS[7:9], replace=True)
    assert again.tolist() == [7, 8]
    assert model.lookup(X[:2], k=1, verbose=0).keys.tolist() == [[KEYS[0]], [KEYS[1]]]
    assert model.lookup_one(X[0], k=1, exclude=[KEYS[0]])[0].key != KEYS[0]
    model.calibrate(X[:9] + 0.01, LABELS[:9], verbose=0)
    matches = model.match(X[:9], return_details=True)
    assert matches.keys.tolist() == KEYS[:9]
    assert matches[2:4].to_data_frame()["key"].tolist() == KEYS[2:4]
    assert "item-3" in repr(matches)
    alone = model.evaluate_retrieval(X[:9], LABELS[:9], "precision@1", ids=KEYS[:9], verbose=0)
    expected = model.evaluate_retrieval(X[:9], LABELS[:9], "precision@1", ids=range(9), verbose=0)
    assert alone["precision@1"] == expected["precision@1"]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.vector_index.keys.tolist() == KEYS[:9]


def test_resuming(model):
    model.index(X[:5], LABELS[:5], ids=KEYS[:5], verbose=0)
    order = [11, 3, 8, 0, 1]
    ids = model.index(X[order], LABELS[order], ids=[KEYS[i] for i in order], resume=True, verbose=0)
    assert ids.tolist() == model.vector_index.ids_of([KEYS[i] for i in order]).tolist()
    assert model.vector_index.keys.tolist() == [*KEYS[:5], KEYS[11], KEYS[8]]
    found = model.vector_index.get(KEYS[8])
    np.testing.assert_array_equal(found.embeddings, X[8:9])
    with pytest.raises(ValueError, match="must be distinct"):
        model.index(X[:2], ids=["a", "a"], resume=True, verbose=0)
