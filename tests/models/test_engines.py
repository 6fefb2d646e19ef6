"""Engines of a model's index, and their parameters."""

import keras
import numpy as np
import pytest

from oracle.engines import ENGINES, require
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel


def small_model():
    inputs = keras.Input((4,))
    return SimilarityModel(inputs, keras.layers.Dense(3)(inputs))


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
def test_compile_takes_every_engine(engine):
    if engine != "auto":
        require(engine)
    model = small_model()
    model.compile("sgd", TripletLoss(), search=engine)
    x = np.eye(4, dtype=np.float32)
    model.index(x, [0, 1, 2, 3])
    assert model.vector_index.search == engine
    assert model.lookup(x, k=1).labels.ravel().tolist() == [0, 1, 2, 3]


def test_parameters_are_passed_on(tmp_path):
    model = small_model()
    model.create_index("cosine", "nmslib", target_recall=0.8, search_params={"M": 7})
    config = model.vector_index.get_config()
    assert (config["target_recall"], config["search_params"]) == (0.8, {"M": 7})
    model.compile("sgd", TripletLoss(distance="cosine"), search="nmslib")  # keeps it
    assert model.vector_index.get_config() == config
    with pytest.raises(ValueError, match="Unknown parameter of the engine"):
        model.create_index("cosine", "nmslib", search_params={"m": 7})
    with pytest.raises(ValueError, match="`search_params` may hold"):
        model.create_index(
            "cosine", "milvus", uri=str(tmp_path / "x.db"), search_params={"links": 7}
        )
