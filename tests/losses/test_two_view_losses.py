"""Losses on two views: TensorFlow Similarity's numbers, formulas, corners."""

import gzip
import json

import numpy as np
import pytest
import tensorflow as tf

from oracle import golden
from tensorflow_similarity import losses

CLASSES = {
    "SimCLRLoss": losses.SimCLRLoss,
    "SimSiamLoss": losses.SimSiamLoss,
    "Barlow": losses.Barlow,
    "VicReg": losses.VicReg,
    "MultiNegativesRankLoss": losses.MultiNegativesRankLoss,
}
ORIGINAL = list(CLASSES)
CLASSES |= {
    "DecoupledContrastiveLoss": losses.DecoupledContrastiveLoss,
    "SigmoidContrastiveLoss": losses.SigmoidContrastiveLoss,
}
ENTRIES = [e for name in ORIGINAL for e in golden.entries(loss=name, impl="tfsim-0.17.1")]
NAMES = sorted(CLASSES)


def value_and_gradients(loss, a, b):
    a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        value = loss(a, b)
    return value.numpy(), dict(zip("ab", tape.gradient(value, [a, b]), strict=True))


def two_views(seed=0, batch=6, dim=3, dtype="float64"):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(batch, dim))
    return a.astype(dtype), (a + 0.3 * rng.normal(size=(batch, dim))).astype(dtype)


def as_there(entry):
    """Our loss, and what the original's value was of it."""
    loss = CLASSES[entry["loss"]](**entry["params"], reduction=None)

    def value(a, b):
        losses_ = loss(a, b)
        if entry["loss"] == "VicReg":
            return tf.reduce_sum(losses_)
        if entry["loss"] == "MultiNegativesRankLoss":
            # It added 1 to the sum of the exponentials.
            own = entry["params"]["scale"] * tf.reduce_sum(a * b, axis=1)
            losses_ = tf.math.softplus(losses_ + own) - own
        return tf.reduce_mean(losses_)

    return value


@pytest.mark.parametrize("entry", ENTRIES, ids=[e["id"] for e in ENTRIES])
def test_value_and_gradients_of_tensorflow_similarity(entry):
    a, b = (golden.array(entry["inputs"][name]) for name in "ab")
    value, gradients = value_and_gradients(as_there(entry), a.astype(float), b.astype(float))
    np.testing.assert_allclose(value, entry["value_f64"], rtol=1e-6, atol=1e-9)
    if entry["upstream_nonfinite_bug"] or entry["upstream_inaccurate"]:
        return
    for name, gradient in gradients.items():
        places, values = golden.gradient(entry, name)
        # Theirs is of float32: a softmax near 1 less 1 is off by its rounding, and
        # so is the slope of an angle near 0.
        rounding = 1e-5 if "angular" in entry["id"] else 2e-6
        bound = 1e-4 * np.abs(values).max() + rounding
        np.testing.assert_allclose(np.asarray(gradient).ravel()[places], values, rtol=0, atol=bound)


def test_vicreg_of_pytorch_metric_learning():
    """Theirs is ours but for the variance, which it divides by one less."""
    with gzip.open(golden.FOLDER / "pml" / "manifest.json.gz") as file:
        [entry] = [e for e in json.load(file)["cases"] if e.get("loss") == "VICRegLoss"]
    arrays = np.load(golden.FOLDER / "pml" / "losses.npz", allow_pickle=False)
    a = arrays["in/gauss0/embeddings"].astype(float)
    b = arrays[entry["ref_emb"]].astype(float)

    def variance(z, ddof):
        return np.mean(np.maximum(0, 1 - np.sqrt(np.var(z, axis=0, ddof=ddof) + 1e-4)))

    ours = float(losses.VICRegLoss()(a, b))
    moved = 25 / 2 * sum(variance(z, 1) - variance(z, 0) for z in (a, b))
    np.testing.assert_allclose(ours + moved, entry["value"], rtol=1e-6)


def test_simclr_is_twice_the_self_supervised_loss_of_pytorch_metric_learning():
    name = "SelfSupervisedLoss(NTXentLoss(0.5))"
    with gzip.open(golden.FOLDER / "pml" / "manifest.json.gz") as file:
        [entry] = [e for e in json.load(file)["cases"] if e.get("loss") == name]
    arrays = np.load(golden.FOLDER / "pml" / "losses.npz", allow_pickle=False)
    a = arrays["in/gauss0/embeddings"].astype(float)
    b = arrays[entry["ref_emb"]].astype(float)
    value, gradients = value_and_gradients(losses.SimCLRLoss(temperature=0.5), a, b)
    np.testing.assert_allclose(value, 2 * entry["value"], rtol=1e-6)
    for view, key in (("a", "grad_embeddings"), ("b", "grad_ref")):
        expected = 2 * arrays[entry[key]]
        np.testing.assert_allclose(gradients[view], expected, atol=2e-6 * np.abs(expected).max())


def test_simclr_is_twice_ntxent_of_both_views():
    a, b = two_views()
    labels = np.tile(np.arange(len(a)), 2)
    both = losses.NTXentLoss(temperature=0.3)(labels, np.concatenate([a, b]))
    np.testing.assert_allclose(losses.SimCLRLoss(temperature=0.3)(a, b), 2 * both, rtol=1e-9)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_decoupled_contrastive_is_its_formula(sigma):
    views, temperature = two_views(), 0.3
    n = len(views[0])
    expected = np.zeros(n)
    for a, b in (views, views[::-1]):
        weights = np.ones(n)
        if sigma is not None:
            near = np.exp([cosine(a[i], b[i]) / sigma for i in range(n)])
            weights = 2 - n * near / near.sum()
        for i in range(n):
            others = [j for j in range(n) if j != i]
            total = sum(
                np.exp(cosine(a[i], view[j]) / temperature) for view in (a, b) for j in others
            )
            expected[i] += np.log(total) - weights[i] * cosine(a[i], b[i]) / temperature
    loss = losses.DecoupledContrastiveLoss(temperature, sigma, reduction=None)
    np.testing.assert_allclose(loss(*views), expected, rtol=1e-9)


def test_decoupled_contrastive_of_one_example_is_0():
    view = np.ones((1, 3), np.float32)
    assert float(losses.DecoupledContrastiveLoss()(view, -view)) == 0


def test_sigmoid_contrastive_is_its_formula():
    a, b = two_views()
    expected = [
        sum(
            np.log1p(np.exp((-1 if i == j else 1) * (4 * cosine(a[i], b[j]) - 2)))
            for j in range(len(b))
        )
        for i in range(len(a))
    ]
    loss = losses.SigmoidContrastiveLoss(scale=4, bias=-2, reduction=None)
    np.testing.assert_allclose(loss(a, b), expected, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.further("SimSiamLoss")
def test_finite_in_the_corners(name):
    corners = [
        np.zeros((4, 3)),
        np.ones((4, 3)),
        np.ones((1, 3)),
        1e4 * np.eye(4),
        1e-6 * np.eye(4),
    ]
    for corner in corners:
        view = corner.astype(np.float32)
        value, gradients = value_and_gradients(CLASSES[name](), view, view)
        assert np.isfinite(value), corner
        assert all(np.all(np.isfinite(g)) for g in gradients.values()), corner


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow_cases("DecoupledContrastiveLoss", "SimCLRLoss")
def test_gradient_is_that_of_the_value(name):
    a, b = two_views()
    direction = np.random.default_rng(1).normal(size=(2, *a.shape))
    loss = CLASSES[name]()

    def value(step):
        return float(loss(a + step * direction[0], b + step * direction[1]))

    _, gradients = value_and_gradients(loss, a, b)
    along = sum(np.sum(np.asarray(gradients[v]) * d) for v, d in zip("ab", direction, strict=True))
    np.testing.assert_allclose(along, (value(1e-6) - value(-1e-6)) / 2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_one_loss_for_each_example_and_its_config(name):
    a, b = two_views(dtype="float32")
    loss = CLASSES[name](reduction=None)
    assert loss(a, b).shape == (6,)
    again = type(loss).from_config(json.loads(json.dumps(loss.get_config())))
    np.testing.assert_array_equal(again(a, b), loss(a, b))


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_refused(name):
    with pytest.raises(ValueError, match="two views"):
        CLASSES[name]()(np.arange(4), np.ones((4, 3), np.float32))
    with pytest.raises(ValueError, match="one shape"):
        CLASSES[name]()(np.ones((4, 2), np.float32), np.ones((4, 3), np.float32))


def test_half_precision_is_computed_in_float32():
    a, b = two_views(dtype="float16")
    value = losses.SimCLRLoss()(a, b)
    assert value.dtype == tf.float32
    expected = losses.SimCLRLoss()(a.astype("float32"), b.astype("float32"))
    np.testing.assert_array_equal(value, expected)


def test_unknown_projection_type():
    with pytest.raises(ValueError, match="projection_type"):
        losses.SimSiamLoss(projection_type="cosine")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_xla(name):
    a, b = (tf.constant(view) for view in two_views())
    loss = CLASSES[name]()

    @tf.function(jit_compile=True, autograph=False)
    def compiled(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            value = loss(a, b)
        return value, tape.gradient(value, [a, b])

    value, gradients = value_and_gradients(loss, a, b)
    compiled_value, compiled_gradients = compiled(a, b)
    np.testing.assert_allclose(compiled_value, value, rtol=1e-9)
    for one, other in zip(compiled_gradients, gradients.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-10)
