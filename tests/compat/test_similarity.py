"""What exists for users of TensorFlow Similarity only, under its names."""

import itertools
import json
import math

import keras
import numpy as np
import pytest

from oracle import golden
from tensorflow_similarity.compat import tensorflow_similarity as old
from tensorflow_similarity.index import Index, Lookup
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import XBM, CrossBatchMemory, MultiSimilarityLoss, TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler


@pytest.mark.parametrize("case", ["multisim", "triplet"])
@pytest.mark.parametrize("setting", ["mem1000/warm0", "mem24/warm0", "mem1000/warm2"])
@pytest.mark.further("mem1000/warm0-multisim")
def test_xbm_gives_the_original_s_values_as_it_was_called(case, setting):
    inner = {
        "multisim": lambda: MultiSimilarityLoss(),
        "triplet": lambda: TripletLoss("euclidean", margin=0.5),
    }[case]()
    entries = [e for e in golden.entries(loss="XBM") if f"xbm/{case}/{setting}/" in e["id"]]
    assert len(entries) == 4
    loss = XBM(inner, entries[0]["params"]["memory_size"], entries[0]["params"]["warmup_steps"])
    for entry in entries:
        x, y = (golden.array(entry["inputs"][key]) for key in ("embeddings", "labels"))
        np.testing.assert_allclose(loss(y, x), entry["value"], rtol=1e-5)


def batches(count=4, size=12, dim=5):
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield rng.normal(size=(size, dim)).astype("float32"), np.arange(size) % 3


@pytest.mark.further
def test_xbm_reduces_as_it_says():
    summed, mean = (XBM(MultiSimilarityLoss(), 30, reduction=r) for r in ("sum", "auto"))
    none = XBM(MultiSimilarityLoss(), 30, reduction=None)
    for x, y in batches():
        each = np.asarray(none(y, x))
        assert each.shape == (12,)
        np.testing.assert_allclose(summed(y, x), each.sum(), rtol=1e-5)
        np.testing.assert_allclose(mean(y, x), each.mean(), rtol=1e-5)


@pytest.mark.further
def test_xbm_in_a_model_remembers_training_alone():
    (x, y), (x_val, y_val) = batches(2, 24)
    loss = XBM(MultiSimilarityLoss(), 48)
    inputs = keras.Input((5,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    model.compile("sgd", loss=loss, jit_compile=False)
    model.fit(x, y, batch_size=12, validation_data=(x_val, y_val), verbose=0)
    assert int(loss.memory.filled) == 24
    before = model.evaluate(x_val, y_val, batch_size=24, verbose=0)
    assert int(loss.memory.filled) == 24
    np.testing.assert_allclose(
        before, MultiSimilarityLoss()(y_val, model.predict(x_val, verbose=0)), rtol=1e-5
    )


def test_xbm_comes_back_from_its_config():
    loss = XBM(TripletLoss("l2"), 30, warmup_steps=3, reduction="sum", name="memory")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, XBM)
    assert isinstance(again, CrossBatchMemory)
    assert again.get_config() == loss.get_config()


def reference_schedule(step, top, total, warmup, alpha):
    step = min(step, total)
    if step < warmup:
        return top * step / warmup
    cosine = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
    return top * ((1 - alpha) * cosine + alpha)


@pytest.mark.parametrize(("warmup", "alpha"), [*itertools.product([0, 1, 20], [0.0, 0.1])])
def test_warmup_cosine_decay(warmup, alpha):
    from tensorflow_similarity.schedules import WarmupCosineDecay

    schedule = WarmupCosineDecay(0.3, 100, warmup, alpha)
    for step in (0, 1, 10, 20, 21, 50, 99, 100, 150):
        wanted = reference_schedule(step, 0.3, 100, warmup, alpha)
        np.testing.assert_allclose(float(schedule(step)), wanted, rtol=1e-5, atol=1e-8)
    assert keras.optimizers.Adam(schedule).get_config()["learning_rate"]


@pytest.mark.parametrize("warmup", [100, 200, -1])
def test_warmup_cosine_decay_refuses(warmup):
    with pytest.raises(ValueError, match="warmup_steps"):
        old.WarmupCosineDecay(0.3, 100, warmup)


def test_batch_class_ratio():
    from tensorflow_similarity.training_metrics import batch_class_ratio

    sampler = MultiShotMemorySampler(
        np.zeros((40, 2)), np.arange(40) % 8, 4, 3, steps_per_epoch=5, seed=0
    )
    assert batch_class_ratio(sampler) == 3
    assert batch_class_ratio(sampler, num_batches=2) == 3
    assert batch_class_ratio([(None, [1, 1, 1, 2]), (None, [[1], [2]])]) == 1.5
    with pytest.raises(ValueError, match="sampler"):
        batch_class_ratio([])


def test_lookups_unpack():
    from tensorflow_similarity.utils import unpack_lookup_distances, unpack_lookup_labels

    rows = [[Lookup(1, 0.126, 4), Lookup(2, 0.5, 5)], [Lookup(1, 0.25, None)]]
    none = 2**31 - 1
    np.testing.assert_array_equal(unpack_lookup_labels(rows, "int32"), [[4, 5], [none, none]])
    np.testing.assert_allclose(
        unpack_lookup_distances(rows, "float32", 2), [[0.13, 0.5], [0.25, np.inf]]
    )
    index = Index(2)
    index.add([[1.0, 0.0], [0.0, 1.0]], labels=[7, 8])
    found = index.lookup([[1.0, 0.1], [0.1, 1.0]], k=2)
    np.testing.assert_array_equal(unpack_lookup_labels(found), found.labels)
    np.testing.assert_array_equal(unpack_lookup_distances(found), found.distances)


def test_small_functions():
    from tensorflow_similarity.utils import is_tensor_or_variable, tf_cap_memory

    assert tf_cap_memory() is None
    assert is_tensor_or_variable(keras.ops.zeros(2))
    assert is_tensor_or_variable(keras.Variable(1.0))
    assert not is_tensor_or_variable(np.zeros(2))
