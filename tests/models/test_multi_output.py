"""Models with heads: one output is indexed, the others only train it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel

XENT = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def heads(as_dict):
    inputs = keras.Input((64,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    embedding = L2Embedding(8, name="embedding")(hidden)
    logits = keras.layers.Dense(10, name="logits")(embedding)
    outputs = {"embedding": embedding, "logits": logits} if as_dict else [logits, embedding]
    return SimilarityModel(inputs, outputs)


@pytest.mark.further
@pytest.mark.parametrize("as_dict", [True, False])
def test_the_output_with_the_metric_loss_is_indexed(as_dict, digits, tmp_path):
    x, y = digits[0][:60], digits[1][:60]
    model = heads(as_dict)
    losses = {"embedding": TripletLoss(distance="euclidean"), "logits": XENT}
    targets = {"embedding": y, "logits": y}
    if not as_dict:
        losses, targets = [losses["logits"], losses["embedding"]], [y, y]
    model.compile("adam", losses, jit_compile=False)
    if as_dict:
        history = model.fit(x, targets, verbose=0).history
        assert {"embedding_loss", "logits_loss"} <= set(history)
    assert model.vector_index.embedding_size == 8
    assert model.vector_index.distance.name == "euclidean"
    model.index(x, y, verbose=0)
    outputs = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        model.embed(x, verbose=0),
        outputs["embedding"] if as_dict else outputs[1],
        rtol=1e-4,
        atol=1e-5,
    )
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.lookup(x, verbose=0).ids, model.lookup(x, verbose=0).ids)
    # A data set made for training has a target for each output.
    dataset = tf.data.Dataset.from_tensor_slices((x, targets if as_dict else tuple(targets)))
    loaded.reset_index()
    loaded.index(dataset.batch(32), verbose=0)
    labels = loaded.vector_index.get(loaded.vector_index.ids).labels
    np.testing.assert_array_equal(labels, y)


def test_an_inner_layer_can_be_indexed(digits, tmp_path):
    """As with proxy heads: the model ends in logits, and the embedding is left over."""
    x, y = digits[0][:60], digits[1][:60]
    full = heads(as_dict=True)
    model = SimilarityModel(full.input, full.output["logits"])
    model.compile("adam", XENT, distance="cosine", embedding_output="embedding", jit_compile=False)
    count = len(model.weights)
    model.index(x, y, verbose=0)
    assert len(model.weights) == count
    inner = keras.Model(model.input, model.get_layer("embedding").output)
    np.testing.assert_allclose(model.embed(x, verbose=0), inner(x), rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "m.keras")
    for compiled in (True, False):
        loaded = keras.saving.load_model(tmp_path / "m.keras", compile=compiled)
        np.testing.assert_array_equal(
            loaded.lookup(x, verbose=0).ids, model.lookup(x, verbose=0).ids
        )


def test_what_is_not_said_is_refused(digits):
    model = heads(as_dict=True)
    with pytest.raises(ValueError, match="embedding_output"):
        model.compile("adam", {"embedding": TripletLoss(), "logits": TripletLoss()})
    with pytest.raises(ValueError, match="embedding_output"):
        model.create_index(distance="cosine")
    model.create_index(distance="cosine", embedding_output="embedding")
    assert model.vector_index.embedding_size == 8
    with pytest.raises(ValueError, match=r"embedding_output.*'embedding', 'logits'"):
        model.create_index(distance="cosine", embedding_output="no_such")
    # What failed has changed nothing.
    assert model.embed(digits[0][:3], verbose=0).shape == (3, 8)
    assert model.vector_index.embedding_size == 8
