"""What `Index.lookup` can do, a model can do with examples."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    made = SimilarityModel(inputs, L2Embedding(4)(inputs))
    made.create_index(distance="cosine")
    x = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
    made.index(x, np.arange(60) % 4, data=[{"n": i % 7} for i in range(60)], verbose=0)
    return made


X = np.random.default_rng(1).normal(size=(5, 6)).astype("float32")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 4, "distinct": "label"},
        {"k": 5, "distinct": "n", "filter": {"n": {"lt": 6}}},
        {"k": 3, "offset": 2, "exclude": [[1, 2], [], [3], [4], [5]]},
        {"k": 3, "rerank": lambda queries, found: found.ids, "rerank_top": 20},
        {"max_distance": 0.2},
        {"k": 3, "max_distance": 0.2},
    ],
)
def test_a_model_answers_as_its_index(model, options):
    embeddings = model.embed(X, verbose=0)
    found = model.lookup(X, verbose=0, **options)
    expected = model.vector_index.lookup(embeddings, **options)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)
    if "rerank" not in options:
        own = {name: value for name, value in options.items() if name != "exclude"}
        if "exclude" in options:
            own["exclude"] = options["exclude"][0]
        one = model.lookup_one(X[0], **own)
        assert [each.id for each in one] == [each.id for each in expected[0]]


def test_a_model_without_records_answers_as_its_index():
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    x = np.eye(4, dtype="float32")
    for answer in (model.lookup, model.lookup_one):
        with pytest.raises(ValueError, match=r"add records first, with model\.index"):
            answer(x, verbose=0) if answer == model.lookup else answer(x[0])
    model.create_index(distance="cosine")
    for _ in range(2):
        found = model.lookup(x, k=2, verbose=0)
        assert found == model.vector_index.lookup(np.eye(4, 3), k=2)
        assert found.ids.tolist() == [[-1, -1]] * 4
        assert model.lookup_one(x[0]) == []
        assert len(model.lookup(x, max_distance=1.0, verbose=0).ids) == 0
        model.index(x, verbose=0)
        model.reset_index()
    with pytest.raises(ValueError, match="index is empty"):
        model.calibrate(x, [0, 1, 2, 3], verbose=0)
