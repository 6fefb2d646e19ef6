import dataclasses
import gzip
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle import golden
from oracle.loss_cases import CASES, ON_CLASSES
from tensorflow_similarity.losses import (
    ArcFaceLoss,
    ContrastiveLoss,
    CrossBatchMemory,
    MultiSimilarityLoss,
    NpairsLoss,
    NpairsMultilabelLoss,
    StatisticsLoss,
    SupConLoss,
    TripletLoss,
)
from tensorflow_similarity.losses.phase import phase

slow = pytest.mark.slow
BY_CLASS = list({type(CASES[name].make()): name for name in reversed(ON_CLASSES)}.values())


def step(loss, y_true, y_pred, **kwargs):
    y_pred = tf.convert_to_tensor(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(y_true, y_pred, training=True, **kwargs)
    return value.numpy(), tape.gradient(value, y_pred).numpy()


def without_radial_part(gradient, x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return gradient - np.sum(gradient * unit, axis=1, keepdims=True) * unit


@pytest.mark.further("mem1000/warm2-multisim", "mem24/warm0-triplet")
@pytest.mark.parametrize("case", ["multisim", "triplet"])
@pytest.mark.parametrize("setting", ["mem1000/warm0", "mem24/warm0", "mem1000/warm2"])
def test_steps_of_tensorflow_similarity(case, setting):
    inner = {"multisim": MultiSimilarityLoss, "triplet": TripletLoss}[case]
    inner = inner() if case == "multisim" else inner("euclidean", margin=0.5)
    loss = None
    entries = [e for e in golden.entries(loss="XBM") if f"xbm/{case}/{setting}/" in e["id"]]
    assert [e["params"]["step"] for e in entries] == [0, 1, 2, 3]
    for entry in entries:
        settings = entry["params"]
        loss = loss or CrossBatchMemory(
            inner, settings["memory_size"], settings["warmup_steps"], batch_loss=False
        )
        x, y = (golden.array(entry["inputs"][key]) for key in ("embeddings", "labels"))
        value, gradient = step(loss, y, x)
        np.testing.assert_allclose(value, entry["value"], rtol=1e-5)
        assert int(loss.memory.filled) == entry["memory_rows_after"]
        wanted = golden.array(entry["grad"]["embeddings"]["array"])
        if case == "multisim":  # Its cosine does not normalise.
            gradient, wanted = (without_radial_part(g, x) for g in (gradient, wanted))
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


class ThroughQueriesOnly:
    """As in pytorch-metric-learning, where the batch's own copy in the queue is a constant."""

    def losses(self, comparison):
        keys = comparison.keys
        keys = dataclasses.replace(keys, outputs=tf.stop_gradient(keys.outputs))
        return super().losses(dataclasses.replace(comparison, keys=keys))


class MultiSimilarity(ThroughQueriesOnly, MultiSimilarityLoss):
    pass


class SupCon(ThroughQueriesOnly, SupConLoss):
    pass


class Contrastive(ThroughQueriesOnly, StatisticsLoss):
    """Its contrastive loss, with its mean over the terms above 0."""

    def statistics(self, pairs):
        distances = tf.sqrt(tf.maximum(2 * pairs.distances, 1e-12))  # Of unit vectors.
        pull = tf.where(pairs.positives, distances, 0)
        push = tf.where(pairs.negatives, tf.nn.relu(1 - distances), 0)
        return tuple(
            (tf.reduce_sum(cost, axis=1), tf.reduce_sum(tf.cast(cost > 0, cost.dtype), axis=1))
            for cost in (pull, push)
        )


@pytest.mark.further("CrossBatchMemory(ContrastiveLoss(), D, 40)-inner2")
@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("CrossBatchMemory(SupConLoss(), D, 40)", SupCon()),
        (
            "CrossBatchMemory(MultiSimilarityLoss(), D, 40, miner=MultiSimilarityMiner())",
            MultiSimilarity(alpha=2, beta=50, lmda=0.5, epsilon=0.1),
        ),
        ("CrossBatchMemory(ContrastiveLoss(), D, 40)", Contrastive()),
    ],
)
def test_steps_of_pytorch_metric_learning(name, inner):
    with gzip.open(golden.FOLDER / "pml/manifest.json.gz") as file:
        (case,) = [c for c in json.load(file)["cases"] if c.get("loss") == name]
    loss = CrossBatchMemory(inner, 40, batch_loss=False)
    with np.load(golden.FOLDER / "pml/xbm.npz") as arrays:
        for there in case["steps"]:
            # There the first rows of a batch are the older ones, here the newer ones.
            y, x, wanted = (arrays[there[key]][::-1] for key in ("labels", "embeddings", "grad"))
            value, gradient = step(loss, y, x.astype("float64"))
            # The memory is built by float64, and holds that.
            np.testing.assert_allclose(value, there["value"], rtol=1e-7)
            np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.further(
    "supcon-False",
    "contrastive-False",
    "lifted_struct-False",
    "triplet-False",
    "multi_similarity-False",
)
@pytest.mark.parametrize(
    ("name", "batch_loss"),
    [
        *((name, False) for name in BY_CLASS),
        ("triplet_semi_hard", True),
        *(pytest.param(n, True, marks=slow) for n in BY_CLASS if n != "triplet_semi_hard"),
    ],
)
def test_every_loss_sees_batch_and_memory_and_no_empty_places(name, batch_loss):
    case = CASES[name]
    inner = case.make(reduction=None)
    loss = CrossBatchMemory(inner, memory_size=20, batch_loss=batch_loss)
    old, x = case.batch(6, seed=1), case.batch(7, seed=2)
    labels = np.concatenate([x[0], old[0]])
    keys = tf.constant(np.concatenate([x[1], old[1]]))
    step(loss, *old)
    queries = tf.constant(x[1])
    with tf.GradientTape() as tape:
        tape.watch(queries)
        all_keys = tf.concat([queries, keys[7:]], axis=0)
        expected = inner.query_losses(
            tf.constant(x[0]), queries, tf.constant(labels), all_keys, queries_are_keys=True
        )
        if batch_loss:
            expected = expected + inner(x[0], queries)
    slope = tape.gradient(expected, queries)
    value, gradient = step(loss, x[0], x[1])
    assert not np.allclose(value, inner(*x)), "the memory has no effect"
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-4)
    assert int(loss.memory.filled) == 13


@pytest.mark.further
def test_the_first_step_is_the_loss_itself_and_evaluation_always_is():
    case = CASES["triplet"]
    inner = TripletLoss()
    loss = CrossBatchMemory(inner, 30)
    for seed in range(3):
        y, x = case.batch(8, seed)
        before = None if seed == 0 else loss.memory.embeddings.numpy()
        np.testing.assert_allclose(loss(y, x, training=False), inner(y, x), rtol=1e-6)
        if seed:
            np.testing.assert_array_equal(loss.memory.embeddings, before)
        assert int(loss.memory.filled) == 8 * seed
        value, _ = step(loss, y, x)
        assert (value == pytest.approx(float(inner(y, x)), rel=1e-6)) == (seed == 0)


@pytest.mark.further
def test_a_batch_larger_than_the_memory_is_the_loss_itself():
    y, x = CASES["triplet"].batch(9)
    loss = CrossBatchMemory(TripletLoss(), 4)
    for _ in range(2):
        np.testing.assert_allclose(step(loss, y, x)[0], TripletLoss()(y, x), rtol=1e-6)
    assert int(loss.memory.filled) == 4


@pytest.mark.further
@pytest.mark.parametrize("dtype", ["int64", "uint64", "int8"])
def test_any_integer_is_a_class_id(dtype):
    ends = np.iinfo(dtype)
    names = np.array([ends.min, ends.max, ends.max - 1], dtype)
    y, x = np.array([0, 1, 2, 0, 1, 2]), CASES["contrastive"].predictions_of(6)
    plain, renamed = (CrossBatchMemory(ContrastiveLoss(distance="cosine"), 16) for _ in range(2))
    for shift in range(3):
        value, _ = step(plain, (y + shift) % 3, x + shift)
        again, _ = step(renamed, names[(y + shift) % 3], x + shift)
        np.testing.assert_allclose(again, value, rtol=1e-6)


@pytest.mark.further
def test_an_example_seen_again_is_not_its_own_positive():
    y = np.array([0, 0, 1, 1])
    ids = np.array([10, 11, 12, 13])
    x = CASES["triplet"].predictions_of(4)
    moved = (x + 0.1).astype("float32")
    inner = ContrastiveLoss(distance="euclidean", margin=2.0)
    knows, does_not = (
        CrossBatchMemory(inner, 20, example_ids=True),
        CrossBatchMemory(inner, 20),
    )
    step(knows, np.stack([y, ids], axis=1), x)
    step(does_not, y, x)
    known, _ = step(knows, np.stack([y, ids], axis=1), moved)
    unknown, _ = step(does_not, y, moved)
    np.testing.assert_allclose(known, inner(y, moved), rtol=1e-5)
    assert abs(unknown - float(inner(y, moved))) > 1e-3
    # Others of the same class stay.
    other, _ = step(knows, np.stack([y, ids + 100], axis=1), moved)
    assert abs(other - float(inner(y, moved))) > 1e-3


@pytest.mark.further
@pytest.mark.parametrize("jit", [True, pytest.param(False, marks=slow)])
def test_compiled_steps_are_traced_once_for_a_batch_size(jit):
    inner = MultiSimilarityLoss()
    eager, loss = CrossBatchMemory(inner, 20), CrossBatchMemory(inner, 20)
    loss.memory.build((None, 4))
    traces = []

    @tf.function(jit_compile=jit, autograph=False)
    def compiled(y, x):
        traces.append(x.shape)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(y, x, training=True)
        return value, tape.gradient(value, x)

    for seed in range(4):
        y, x = CASES["triplet"].batch(6, seed)
        value, gradient = compiled(tf.constant(y), tf.constant(x))
        wanted, slope = step(eager, y, x)
        np.testing.assert_allclose(value, wanted, rtol=1e-5)
        np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)
    assert len(traces) == 1
    np.testing.assert_array_equal(loss.memory.labels, eager.memory.labels)


@pytest.mark.further
def test_sample_weight_reduction_and_config():
    loss = CrossBatchMemory(TripletLoss("l2", reduction="sum"), 30, 7, True, name="xbm")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == loss.get_config()
    assert repr(again) == repr(loss)
    assert again.reduction == "sum"
    assert again.distance == TripletLoss("l2").distance
    y, x = CASES["triplet"].batch(6)
    weights = np.arange(6.0)
    per_query = TripletLoss("l2", reduction=None)(y, x)
    value = CrossBatchMemory(TripletLoss("l2", reduction="sum"), 9)(
        y, x, sample_weight=weights, training=True
    )
    np.testing.assert_allclose(value, np.sum(per_query * weights), rtol=1e-6)


@pytest.mark.further
def test_one_memory_serves_one_output():
    y, x = CASES["triplet"].batch(6)
    loss = CrossBatchMemory(TripletLoss(), 9)
    with phase(training=True):
        loss(y, x)
        with pytest.raises(ValueError, match="another CrossBatchMemory for each output"):
            loss(y, x)
    with phase(training=False):
        loss(y, x)
    assert int(loss.memory.filled) == 6


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: CrossBatchMemory("triplet", 9), "`loss`.*Received: 'triplet'"),
        (lambda: CrossBatchMemory(ArcFaceLoss(), 9), "`loss`.*MetricLoss"),
        (lambda: CrossBatchMemory(NpairsLoss(), 9), "`loss`.*distance=None"),
        (lambda: CrossBatchMemory(TripletLoss(), 0), "`memory_size`"),
        (lambda: CrossBatchMemory(TripletLoss(), 9, -1), "`warmup_steps`"),
        (lambda: CrossBatchMemory(TripletLoss(), 9)([0], [[1.0]]), "`training`.*SimilarityModel"),
        (
            lambda: CrossBatchMemory(NpairsMultilabelLoss("cosine"), 9)(
                np.eye(3, dtype=int)[:2], np.ones((2, 2)), training=True
            ),
            "`loss` must take class ids",
        ),
        (
            lambda: CrossBatchMemory(TripletLoss(), 9)(np.eye(2), np.ones((2, 2)), training=True),
            "`y_true`.*class ids",
        ),
        (
            lambda: CrossBatchMemory(TripletLoss(), 9, example_ids=True)(
                [0, 1], np.ones((2, 2)), training=True
            ),
            r"`y_true`.*\[batch, 2\].*Received: shape \(2,\)",
        ),
    ],
)
def test_wrong_input_is_refused(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()
