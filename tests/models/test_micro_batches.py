"""Training in parts (gradient caching): the same step as without, in bounded memory."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle.loss_cases import CASES, ON_CLASSES, few
from tensorflow_similarity import layers, losses
from tensorflow_similarity.models import SimilarityModel

BATCH, DIM = 23, 6


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    return rng.normal(size=(BATCH, DIM)).astype("float32"), np.arange(BATCH) % 5


def network(dropout=0.0, normalised=False, regularised=False, head=None):
    """Inputs and outputs of a small network."""
    keras.utils.set_random_seed(2)
    regularizer = keras.regularizers.L2(0.01) if regularised else None
    inputs = keras.Input((DIM,))
    x = keras.layers.Dense(
        8, activation="tanh", kernel_regularizer=regularizer, activity_regularizer=regularizer
    )(inputs)
    if normalised:
        x = keras.layers.BatchNormalization()(x)
    if dropout:
        x = keras.layers.Dropout(dropout, seed=3)(x)
    x = keras.layers.Dense(4)(x)
    return inputs, x if head is None else head(x)


def trained(data, loss, size, build=None, steps=2, compiled=None, sample_weight=None, **fit):
    """The weights after some steps, and the values of the loss."""
    compiled = {"run_eagerly": True} | (compiled or {})
    model = SimilarityModel(*network(**(build or {})))
    optimizer = compiled.pop("optimizer", None) or keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, loss, micro_batch_size=size, **compiled)
    options = {"batch_size": BATCH, "epochs": steps, "shuffle": False, "verbose": 0} | fit
    history = model.fit(*data, sample_weight=sample_weight, **options).history
    return [np.asarray(w, np.float64) for w in model.get_weights()], history


def check_same(data, make_loss, sizes=(7,), rtol=2e-4, **options):
    eager = {key: value for key, value in options.items() if key != "compiled"}
    weights, history = trained(data, make_loss(), None, **eager)
    for size in sizes:
        in_parts, values = trained(data, make_loss(), size, **options)
        np.testing.assert_allclose(values["loss"], history["loss"], rtol=1e-5, atol=1e-6)
        for a, b in zip(in_parts, weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=2e-5)


@pytest.mark.further
@pytest.mark.filterwarnings("ignore:.*with nothing but its defaults")  # as `compile` says
@pytest.mark.parametrize("name", few(ON_CLASSES))
def test_every_loss_takes_the_same_step(data, name):
    check_same(data, CASES[name].make, steps=1)


@pytest.mark.further
@pytest.mark.parametrize(
    "make_loss",
    [
        lambda: losses.CrossBatchMemory(losses.MultiSimilarityLoss(), 40),
        lambda: losses.MultiSimilarityLoss(block_size=6),
        lambda: losses.SupConLoss(mining="multi_similarity"),
        lambda: losses.TripletLoss(ignore_class=2, distance="euclidean"),
    ],
)
def test_memory_blocks_mining_and_ignored_classes(data, make_loss):
    check_same(data, make_loss, steps=3)


def test_parts_of_any_size(data):
    check_same(data, losses.MultiSimilarityLoss, sizes=(5, 22, 23, 40), steps=1)


@pytest.mark.further
def test_proxies(data):
    head = lambda: {"head": layers.ProxyHead(5)}  # noqa: E731
    weights, _ = trained(data, losses.ArcFaceLoss(), None, build=head())
    in_parts, _ = trained(data, losses.ArcFaceLoss(), 7, build=head())
    for a, b in zip(in_parts, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    "compiled",
    [
        {"run_eagerly": False, "jit_compile": False},
        pytest.param({"run_eagerly": False, "jit_compile": True}, marks=pytest.mark.slow),
        pytest.param(
            {"run_eagerly": False, "jit_compile": False, "steps_per_execution": 2},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["graph", "xla", "several"],
)
@pytest.mark.further
def test_in_graphs_with_a_ragged_last_batch_and_weights(data, compiled):
    weight = np.random.default_rng(3).uniform(0, 2, BATCH).astype("float32")
    check_same(
        data,
        lambda: losses.TripletSemiHardLoss(distance="cosine"),
        compiled=compiled,
        sample_weight=weight,
        batch_size=15,
    )


@pytest.mark.further
@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda: keras.optimizers.Adam(0.01, clipnorm=0.1),
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
        lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    ],
)
def test_optimizers(data, make_optimizer):
    results = [
        trained(data, losses.SupConLoss(), size, steps=2, compiled={"optimizer": make_optimizer()})[
            0
        ]
        for size in (None, 7)
    ]
    for a, b in zip(*results, strict=True):
        # Adam divides by the root of the square: rounding of tiny gradients shows.
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.further
def test_regularisers_count_once(data):
    check_same(data, losses.SupConLoss, build={"regularised": True})


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.further
def test_mixed_precision(data, policy):
    keras.config.set_dtype_policy(policy)
    begin = SimilarityModel(*network()).get_weights()
    weights, _ = trained(data, losses.SupConLoss(), None)
    in_parts, _ = trained(data, losses.SupConLoss(), 7)
    epsilon = {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}[policy]
    for a, b, w in zip(in_parts, weights, begin, strict=True):
        # Each gradient is rounded in each of four parts, and on its way through four layers.
        np.testing.assert_allclose(a, b, atol=16 * epsilon * max(np.abs(b - w).max(), 0.01))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.further
def test_the_masks_of_dropout_and_the_averages_of_normalisation(data, graph):
    # The reference records all parts on one tape, in which each runs once.
    x, y = data
    size, build = 5, {"dropout": 0.4, "normalised": True}
    loss = losses.MultiSimilarityLoss(distance="euclidean")
    reference = SimilarityModel(*network(**build))
    optimizer = keras.optimizers.SGD(0.1)
    for _ in range(2):
        with tf.GradientTape() as tape:
            first = (len(x) - 1) % size + 1
            stops = [0, *range(first, len(x) + 1, size)]
            parts = [reference(x[a:b], training=True) for a, b in itertools.pairwise(stops)]
            value = loss(y, tf.concat(parts, axis=0))
        gradients = tape.gradient(value, [v.value for v in reference.trainable_variables])
        optimizer.apply_gradients(zip(gradients, reference.trainable_variables, strict=True))
    compiled = {"run_eagerly": not graph, "optimizer": keras.optimizers.SGD(0.1)}
    if graph:
        compiled["jit_compile"] = False
    weights, _ = trained(data, loss, size, build=build, compiled=compiled)
    expected = reference.get_weights()
    assert len(weights) == len(expected) == 8
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


class Two(keras.layers.Layer):
    """A layer whose output has no axis for the batch."""

    def call(self, x):
        return keras.ops.sum(x, axis=0)[:2]


def test_what_cannot_be_right_is_refused(data):
    model = SimilarityModel(*network())
    for size, error in ((0, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="micro_batch_size"):
            model.compile("sgd", losses.SupConLoss(), micro_batch_size=size)
    inputs, x = network()
    model = SimilarityModel(inputs, {"e": x, "total": Two()(x)})
    model.compile(
        "sgd",
        {"e": losses.SupConLoss()},
        embedding_output="e",
        micro_batch_size=7,
        run_eagerly=True,
    )
    with pytest.raises(ValueError, match="one row for each example"):
        model.train_on_batch(data[0], {"e": data[1]})


@pytest.mark.further
def test_several_inputs_and_outputs_and_a_subclass(data):
    x, y = data

    @keras.saving.register_keras_serializable(package="tests")
    class Own(SimilarityModel):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(4)

        def call(self, inputs):
            a, b = inputs["a"], inputs["b"]
            return {"e": self.dense(a) + b[:, :4], "p": self.dense(b)[:, :1]}

    weights = []
    for size in (None, 7):
        keras.utils.set_random_seed(4)
        model = Own()
        model.compile(
            keras.optimizers.SGD(0.1),
            {"e": losses.SupConLoss(), "p": "mse"},
            embedding_output="e",
            micro_batch_size=size,
            run_eagerly=True,
        )
        for _ in range(2):
            model.train_on_batch({"a": x, "b": x[:, ::-1]}, {"e": y, "p": x[:, :1]})
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("graph", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.further
def test_steps_that_are_masked_stay_out_of_the_loss_of_an_output(graph):
    # Keras' losses find the mask on the tensor that they get.
    words = np.random.default_rng(5).integers(1, 9, (BATCH, 4))
    words[::2, 2:] = 0
    words[::5, 1:] = 0
    y, results = np.arange(BATCH) % 5, []
    for size in (None, 7):
        keras.utils.set_random_seed(2)
        inputs = keras.Input((4,), dtype="int32")
        x = keras.layers.Embedding(9, 3, mask_zero=True)(inputs)
        pooled = keras.layers.GlobalAveragePooling1D()(x)
        outputs = {"e": keras.layers.Dense(4)(pooled), "next": keras.layers.Dense(9, "softmax")(x)}
        model = SimilarityModel(inputs, outputs)
        model.compile(
            keras.optimizers.SGD(0.1),
            {"e": losses.SupConLoss(), "next": "sparse_categorical_crossentropy"},
            embedding_output="e",
            micro_batch_size=size,
            run_eagerly=not graph,
            jit_compile=False,
        )
        targets = {"e": y, "next": np.roll(words, -1, axis=1)}
        history = model.fit(words, targets, batch_size=BATCH, epochs=2, verbose=0).history
        results.append([*map(np.asarray, history.values()), *model.get_weights()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.further
def test_it_is_saved_with_the_model(data, tmp_path):
    inputs, x = network(normalised=True)
    model = SimilarityModel(inputs, x)
    model.compile("sgd", losses.SupConLoss(), micro_batch_size=4, run_eagerly=True)
    model.fit(*data, batch_size=BATCH, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    # A normalisation normalises each part, so a step shows the size.
    for each in (model, loaded):
        each.run_eagerly = True
        each.train_on_batch(*data)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.further
def test_evaluation_and_prediction_are_not_in_parts(data):
    model = SimilarityModel(*network(dropout=0.5))
    model.compile("sgd", losses.SupConLoss(), micro_batch_size=4, run_eagerly=True)
    expected = float(losses.SupConLoss()(data[1], model.predict(data[0], verbose=0)))
    value = model.evaluate(*data, batch_size=BATCH, verbose=0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
