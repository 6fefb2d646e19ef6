"""CompatibleLoss: queries against the batch, and against an older model's keys."""

import json

import keras
import numpy as np
import pytest

from oracle.gradients import finite_differences, value_and_gradient
from oracle.loss_cases import CASES, ON_CLASSES
from tensorflow_similarity import losses
from tensorflow_similarity.layers import CompatibleHead, L2Embedding
from tensorflow_similarity.losses import CompatibleLoss
from tensorflow_similarity.models import SimilarityModel

RNG = np.random.default_rng(0)
Y = np.array([0, 1, 0, 2, 1, 0, 3, 2])
NEW, OLD = RNG.normal(size=(2, 8, 4))
BOTH = np.stack([NEW, OLD], axis=1)

WITH_KEYS = [name for name in ON_CLASSES if CASES[name].any_keys]


@pytest.mark.further(
    "triplet_hard",
    "lifted_struct",
    "contrastive",
    "npairs",
    "multi_similarity",
    "circle",
    "supcon",
    "margin",
    "fastap",
    "histogram",
)
@pytest.mark.parametrize("name", WITH_KEYS)
def test_it_is_the_loss_here_and_against_the_older_keys(name):
    loss = CASES[name].make()
    here = loss.query_losses(Y, NEW, Y, NEW, queries_are_keys=True)
    there = loss.query_losses(Y, NEW, Y, OLD)  # `test_formulas.py` has their formulas.
    ours = CompatibleLoss(CASES[name].make(reduction=None), weight=0.3)(Y, BOTH)
    np.testing.assert_allclose(ours, here + 0.3 * there, rtol=1e-9)


@pytest.mark.further
def test_the_gradient_is_that_of_the_new_embeddings_alone():
    y, new, old = Y[:5], NEW[:5, :2], OLD[:5, :2]
    loss = CompatibleLoss(losses.SupConLoss(), weight=2.0)
    weights = RNG.uniform(size=5)

    def stacked(new):
        return np.stack([new, old], axis=1)

    _, gradient = value_and_gradient(loss, y, stacked(new), sample_weight=weights)
    wanted = finite_differences(lambda x: float(loss(y, stacked(x), sample_weight=weights)), new)
    np.testing.assert_allclose(gradient[:, 0], wanted, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(gradient[:, 1], 0)


@pytest.mark.further("contrastive")
@pytest.mark.parametrize("name", ["contrastive", "lifted_struct"])
def test_blocks_change_nothing(name):
    whole, parts = (CompatibleLoss(CASES[name].make(block_size=size)) for size in (None, 3))
    value, gradient = value_and_gradient(parts, Y, BOTH)
    expected, wanted = value_and_gradient(whole, Y, BOTH)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(gradient, wanted, atol=1e-9)


def test_the_example_of_the_docstring_by_hand():
    # Against the older keys: |0 - 0| is no farther than |0 - 3|, the positive is the own one or
    # the other of its class, whichever is farther.
    new, old = np.array([0.0, 1.0, 3.0]), np.array([0.0, 3.0, 3.0])
    y = [0, 1, 0]
    gaps = []
    for i in range(3):
        far = np.abs(new[i] - old)
        positives = [far[j] for j in range(3) if y[j] == y[i]]
        negatives = [far[j] for j in range(3) if y[j] != y[i]]
        beyond = [d for d in negatives if d > max(positives)]
        gaps.append(max(0, max(positives) - (min(beyond) if beyond else max(negatives)) + 1))
    both = np.stack([new, old], axis=1)[:, :, None]
    loss = CompatibleLoss(losses.TripletLoss("euclidean", margin=1.0))
    np.testing.assert_allclose(loss(y, both), (3 + 0 + 2) / 3 + np.mean(gaps), rtol=1e-6)


def test_unknown_classes_are_left_out():
    loss = CompatibleLoss(losses.SupConLoss(ignore_class=2))
    known = Y != 2
    np.testing.assert_allclose(
        loss(Y, BOTH), CompatibleLoss(losses.SupConLoss())(Y[known], BOTH[known]), rtol=1e-6
    )
    value, gradient = value_and_gradient(loss, np.full(8, 2), BOTH)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.further
def test_prefixes_of_it_and_config():
    whole = losses.MatryoshkaLoss(CompatibleLoss(losses.TripletLoss(), 0.5), [2, 4])
    expected = sum(
        CompatibleLoss(losses.TripletLoss(), 0.5)(Y, BOTH[..., :size]) for size in (2, 4)
    )
    np.testing.assert_allclose(whole(Y, BOTH), expected, rtol=1e-6)
    again = losses.MatryoshkaLoss.from_config(json.loads(json.dumps(whole.get_config())))
    np.testing.assert_array_equal(again(Y, BOTH), whole(Y, BOTH))
    assert repr(again) == repr(whole)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: CompatibleLoss("triplet"), TypeError, "`loss`"),
        (lambda: CompatibleLoss(losses.ArcFaceLoss()), TypeError, "`loss`"),
        (lambda: CompatibleLoss(losses.ContrastiveLoss()), ValueError, "`loss`"),
        (lambda: CompatibleLoss(losses.MarginLoss(beta=None)), ValueError, "`loss`"),
        (lambda: CompatibleLoss(losses.TripletLoss(), weight=0), ValueError, "`weight`"),
        (lambda: CompatibleLoss(losses.TripletLoss())(Y, NEW), ValueError, "CompatibleHead"),
        (lambda: CompatibleLoss(losses.TripletLoss())(Y[:5], BOTH), ValueError, "`y_true`"),
        (lambda: CompatibleHead()(NEW), ValueError, "two embeddings"),
        (lambda: CompatibleHead()([NEW, OLD[:, :3]]), ValueError, "Received: 4 and 3"),
    ],
)
def test_refusals(make, error, match):
    with pytest.raises(error, match=match):
        make()


def models(freeze=True):
    inputs = keras.Input((4,))
    old = keras.Sequential([keras.Input((4,)), L2Embedding(3, name="older")])
    old.trainable = not freeze
    new = L2Embedding(3, name="newer")(inputs)
    return old, inputs, new, [new, old(inputs, training=False)]


@pytest.mark.further
def test_trains_the_new_one_indexes_it_and_saves(tmp_path):
    old, inputs, new, both = models()
    model = SimilarityModel(inputs, CompatibleHead()(both))
    optimizer = keras.optimizers.Adam(0.1)
    model.compile(optimizer, CompatibleLoss(losses.TripletLoss()), run_eagerly=True)
    before, started = old.get_weights(), model.embed(NEW, verbose=0)
    history = model.fit(NEW, Y, epochs=8, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for weight, was in zip(old.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)
    model.index(NEW, Y, verbose=0)
    alone = SimilarityModel(inputs, new)
    found = alone.predict(NEW, verbose=0)
    np.testing.assert_array_equal(model.embed(NEW, verbose=0), found)
    assert not np.allclose(found, started)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.embed(NEW, verbose=0), found)
    assert repr(again.loss) == repr(model.loss)


def test_head_and_loss_belong_together_and_the_old_model_is_frozen():
    _, inputs, new, both = models(freeze=False)
    with pytest.raises(ValueError, match=r"frozen.*older"):
        SimilarityModel(inputs, CompatibleHead()(both)).compile(
            "adam", CompatibleLoss(losses.TripletLoss())
        )
    _, inputs, new, both = models()
    with pytest.raises(ValueError, match="belong together"):
        SimilarityModel(inputs, new).compile("adam", CompatibleLoss(losses.TripletLoss()))
    with pytest.raises(ValueError, match="belong together"):
        SimilarityModel(inputs, CompatibleHead()(both)).compile("adam", losses.TripletLoss())


def test_half_precision_is_not_what_the_loss_sees():
    new, old = (x.astype("float16") for x in (NEW, OLD))
    found = CompatibleHead(dtype="mixed_float16")([new, old])
    assert keras.backend.standardize_dtype(found.dtype) == "float32"


@pytest.mark.further
def test_gradient_of_lifted_structures_where_both_models_mirror_each_other():
    """There `log(exp(a) + exp(b))` has equal terms, whose gradient is half of each."""
    import tensorflow as tf

    labels = np.array([0, 0, 3, 1, 0, 1, 1, 2])
    x = np.random.default_rng(3).normal(size=(8, 4))
    old = x[:, ::-1].copy()
    loss = losses.CompatibleLoss(losses.LiftedStructLoss())

    def value(new):
        return float(loss(labels, np.stack([new, old], axis=1)))

    new = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(new)
        result = loss(labels, tf.stack([new, old], axis=1))
    numeric = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        numeric[place] = (value(x + step) - value(x - step)) / 2e-6
    np.testing.assert_allclose(tape.gradient(result, new), numeric, atol=1e-6)
