"""The three ways to make a model, as with `keras.Model`."""

import json

import keras
import numpy as np
import pytest

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel


@keras.saving.register_keras_serializable(package="tests")
class Net(SimilarityModel):
    """Subclassed, with a call of its own."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(8, activation="tanh")
        self.embedding = L2Embedding(units)

    def call(self, x, training=False):
        return self.embedding(self.dense(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tests")
class Doubled(SimilarityModel):
    """Functional, with a training step of its own."""

    def train_step(self, data):
        return {**super().train_step(data), "twice": keras.ops.convert_to_tensor(2.0)}


class FromUnits(SimilarityModel):
    """Builds a functional model in its constructor, from other arguments."""

    def __init__(self, units, name="from_units"):
        inputs = keras.Input((64,))
        super().__init__(inputs, L2Embedding(units)(inputs), name=name)


def functional(cls=SimilarityModel, **kwargs):
    inputs = keras.Input((64,))
    return cls(inputs, L2Embedding(4)(inputs), **kwargs)


def sequential():
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(8), L2Embedding(4)])


WAYS = {
    "functional": functional,
    "functional by name": lambda: functional(name="mine"),
    "subclassed": Net,
    "functional subclass": lambda: functional(Doubled),
    "functional in the constructor": lambda: FromUnits(4),
    "from a Sequential": lambda: SimilarityModel.from_model(sequential()),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.further("functional", "functional by name")
def test_every_way_indexes_and_looks_up(way, digits):
    x, y = digits[0][:64], digits[1][:64]
    model = WAYS[way]()
    model.compile("adam", TripletLoss(distance="cosine"), jit_compile=False)
    model.index(x, y, verbose=0)
    found = model.lookup(x, k=1, verbose=0)
    np.testing.assert_allclose(found.distances, 0, atol=1e-5)
    assert isinstance(model, SimilarityModel)


@pytest.mark.further("functional")
@pytest.mark.parametrize("way", ["functional", "subclassed"])
def test_training_changes_the_weights(way, digits):
    model = WAYS[way]()
    model.compile("adam", TripletLoss(distance="cosine"), jit_compile=False)
    before = model.embed(digits[0][:5], verbose=0)
    history = model.fit(digits[0][:64], digits[1][:64], verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert (model.embed(digits[0][:5], verbose=0) != before).any()


def test_both_kinds_live_side_by_side():
    # With plain keras.Model subclasses, the first functional use breaks the other.
    before, made, after = Net(), functional(), Net()
    for net in (before, after):
        assert net(np.zeros((1, 64))).shape == (1, 4)
        assert not hasattr(net, "output_names")
    assert len(made.output_names) == 1
    assert keras.Model in SimilarityModel.__bases__


def test_it_is_a_functional_model_to_keras():
    model = functional(name="mine")
    assert type(model).__name__ == "SimilarityModel"
    assert model.name == "mine"
    assert functional().name.startswith("similarity_model")
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "L2Embedding"]
    assert model.input_shape == (None, 64)
    assert model.output_shape == (None, 4)
    lines = []
    model.summary(print_fn=lines.append)
    assert "l2_embedding" in "\n".join(map(str, lines))


def test_it_nests_in_another_model(digits):
    inner = functional()
    outer = keras.Sequential([keras.Input((64,)), inner, keras.layers.Dense(10)])
    x = digits[0][:3]
    np.testing.assert_allclose(outer(x), outer.layers[-1](inner(x)), rtol=1e-5)


def test_config_and_json_make_an_equal_model():
    inputs = keras.Input((64,))
    model = SimilarityModel(inputs, L2Embedding(4, name="l2_embedding")(inputs))
    for clone in (
        type(model).from_config(model.get_config()),
        SimilarityModel.from_config(model.get_config()),
        keras.models.clone_model(model),
        keras.models.model_from_json(json.dumps(json.loads(model.to_json()))),
    ):
        assert isinstance(clone, SimilarityModel)
        assert clone.name == model.name
        assert [layer.name for layer in clone.layers[1:]] == ["l2_embedding"]
        clone.set_weights(model.get_weights())
        x = np.ones((2, 64), "float32")
        np.testing.assert_array_equal(clone(x), model(x))
    assert Net(units=3).get_config()["units"] == 3


@pytest.mark.further
def test_a_training_step_of_ones_own_is_used(digits):
    model = functional(Doubled)
    model.compile("adam", TripletLoss(), jit_compile=False)
    history = model.fit(digits[0][:32], digits[1][:32], verbose=0).history
    assert history["twice"] == [2.0]


def test_from_model_shares_the_layers():
    source = sequential()
    model = SimilarityModel.from_model(source, name="shared")
    assert model.layers[-1] is source.layers[-1]
    assert model.name == "shared"
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b")}
    plain = keras.Model(inputs, keras.layers.Add()([inputs["a"], inputs["b"]]))
    wrapped = SimilarityModel.from_model(plain)
    assert set(wrapped.input) == {"a", "b"}
    ends = SimilarityModel(source.inputs, source.outputs)
    x = keras.ops.ones((1, 64))
    np.testing.assert_array_equal(ends([x]), model(x))


def test_from_model_refuses_what_it_cannot_take():
    with pytest.raises(ValueError, match=r"`model`.*Input"):
        SimilarityModel.from_model(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(TypeError, match=r"`model`.*functional"):
        SimilarityModel.from_model(keras.layers.Dense(3))


def test_no_arguments_say_what_to_do():
    with pytest.raises(TypeError, match="from_model"):
        SimilarityModel()
    with pytest.raises(TypeError, match="from_model"):
        SimilarityModel(sequential())


def test_the_state_of_the_index_is_not_taken_for_layers():
    model = functional()
    model.compile("adam", TripletLoss(), jit_compile=False)
    count = len(model.weights)
    model.embed(np.zeros((2, 64)), verbose=0)
    assert len(model.weights) == count
    assert len(model.layers) == 2


@pytest.mark.further
def test_precision_policies_train_and_index(digits):
    keras.config.set_dtype_policy("mixed_float16")
    x, y = digits[0][:64], digits[1][:64]
    model = functional()
    model.compile("adam", TripletLoss(), jit_compile=False)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    model.index(x, y, verbose=0)
    assert model.lookup(x, k=1, verbose=0).distances.max() < 1e-3


@pytest.mark.further
def test_callbacks_and_export(digits, tmp_path):
    x, y = digits[0][:32], digits[1][:32]
    model = functional()
    model.compile("adam", TripletLoss(), jit_compile=False)
    path = tmp_path / "best.keras"
    model.fit(x, y, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(path)])
    np.testing.assert_array_equal(keras.saving.load_model(path)(x), model(x))
    model.export(tmp_path / "exported", verbose=False)
    import tensorflow as tf

    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(x), model(x), rtol=1e-5, atol=1e-6)
