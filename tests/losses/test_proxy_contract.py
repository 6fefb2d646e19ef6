"""What must hold of every loss on proxies, and its values by its formula."""

import functools
import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle import gradients
from oracle import proxy_losses as oracle
from tensorflow_similarity import losses
from tensorflow_similarity.losses import ProxyLoss

slow = pytest.mark.slow
CLASSES = 5

#: The loss, its formula, and how many centers it takes.
CASES = {
    "arcface": (losses.ArcFaceLoss, oracle.arcface, {}, 1),
    "arcface_wide": (losses.ArcFaceLoss, oracle.arcface, {"margin": 1.2, "scale": 7.0}, 1),
    "arcface_centers": (losses.ArcFaceLoss, oracle.arcface, {}, 3),
    "sub_center_arcface": (losses.SubCenterArcFaceLoss, oracle.arcface, {"margin": 0.3}, 3),
    "cosface": (losses.CosFaceLoss, oracle.cosface, {"margin": 0.2, "scale": 30.0}, 1),
    "sphereface": (losses.SphereFaceLoss, oracle.sphereface, {}, 1),
    "sphereface_odd": (losses.SphereFaceLoss, oracle.sphereface, {"margin": 3, "scale": 5.0}, 1),
    "normalized_softmax": (losses.NormalizedSoftmaxLoss, oracle.normalized_softmax, {}, 1),
    "normalized_softmax_centers": (
        losses.NormalizedSoftmaxLoss, oracle.normalized_softmax, {"temperature": 0.3}, 2,
    ),
    "p2s_grad": (losses.P2SGradLoss, oracle.p2s_grad, {}, 1),
    "proxy_nca": (losses.ProxyNCALoss, oracle.proxy_nca, {}, 1),
    "proxy_anchor": (losses.ProxyAnchorLoss, oracle.proxy_anchor, {}, 1),
    "proxy_anchor_centers": (losses.ProxyAnchorLoss, oracle.proxy_anchor, {"alpha": 9.0}, 2),
    "soft_triple": (losses.SoftTripleLoss, oracle.soft_triple, {}, 4),
}  # fmt: skip
every = pytest.mark.parametrize("name", CASES)
one_each = pytest.mark.parametrize(
    "name", list({cls: name for name, (cls, *_) in reversed(CASES.items())}.values())
)


def make(name, **kwargs):
    cls, _, arguments, _ = CASES[name]
    return cls(**arguments, **kwargs)


def expected(name, labels, table):
    _, formula, arguments, _ = CASES[name]
    return functools.partial(formula, **arguments)(np.asarray(table, np.float64), labels)


def shape_of(name, batch):
    centers = CASES[name][3]
    return (batch, CLASSES) if centers == 1 else (batch, CLASSES, centers)


def batch(name, n=9, seed=0, dtype="float64"):
    rng = np.random.default_rng(seed)
    return rng.integers(0, CLASSES, n), rng.uniform(-0.99, 0.99, shape_of(name, n)).astype(dtype)


def per_example(name, y_true, y_pred):
    return np.asarray(make(name, reduction=None)(y_true, y_pred))


def test_no_loss_is_forgotten():
    exported = {getattr(losses, name) for name in losses.__all__}
    on_proxies = {c for c in exported if inspect.isclass(c) and issubclass(c, ProxyLoss)}
    assert on_proxies - {ProxyLoss} == {cls for cls, *_ in CASES.values()}


@every
@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_the_formula(name, seed):
    labels, table = batch(name, 9, seed)
    value = expected(name, labels, table)
    np.testing.assert_allclose(per_example(name, labels, table), value, rtol=1e-12)
    single = per_example(name, labels, table.astype("float32"))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected(name, labels, table.astype("f4")), 2e-5, 2e-5)
    weights = np.random.default_rng(seed).uniform(size=9)
    weighted = make(name)(labels, table, sample_weight=weights)
    np.testing.assert_allclose(weighted, np.mean(value * weights), rtol=1e-6)
    np.testing.assert_allclose(make(name, reduction="sum")(labels, table), value.sum(), 1e-6)


@every
def test_gradients_are_finite_differences(name):
    labels, table = batch(name, 6, seed=5)
    loss = make(name)
    direction = np.random.default_rng(6).normal(size=table.shape)
    _, gradient = gradients.value_and_gradient(loss, labels, table)

    def ahead(step):
        return float(loss(labels, table + step * direction))

    slope = (ahead(1e-6) - ahead(-1e-6)) / 2e-6
    np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-5, atol=1e-7)


@every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.further("float32-p2s_grad", "float64-p2s_grad")
def test_finite_at_the_ends_of_the_cosine(name, dtype):
    shape = shape_of(name, 1)[1:]
    eps = np.finfo(dtype).eps
    ends = [1, -1, 0, 1 + eps, -1 - eps, 1 - eps, -1 + eps]
    for end in ends:
        table = np.zeros((3, *shape), dtype)
        table[0], table[1, 0], table[2, 1:] = end, end, end
        value, gradient = gradients.value_and_gradient(make(name), [0, 0, 0], table)
        assert np.isfinite(value), end
        assert np.isfinite(gradient).all(), end
        clipped = np.clip(table.astype("float64"), -1, 1)
        np.testing.assert_allclose(value, expected(name, [0, 0, 0], clipped).mean(), 2e-3)


@one_each
@pytest.mark.parametrize("labels", [[3], [2, 2, 2], [0, 1, 2, 3, 4]])
def test_any_composition_of_a_batch_will_do(name, labels):
    table = batch(name, len(labels), 3)[1]
    value, gradient = gradients.value_and_gradient(make(name), labels, table)
    np.testing.assert_allclose(value, expected(name, labels, table).mean(), rtol=1e-10)
    assert np.isfinite(gradient).all()


@one_each
@pytest.mark.further("proxy_nca", "p2s_grad", "normalized_softmax", "cosface")
def test_labels_of_any_integer_type_and_a_column(name):
    labels, table = batch(name)
    value = per_example(name, labels, table)
    for dtype in ("int8", "uint8", "int32", "uint64"):
        y = labels.astype(dtype)
        np.testing.assert_array_equal(per_example(name, y, table), value)
        np.testing.assert_array_equal(per_example(name, tf.constant(y)[:, None], table), value)
    np.testing.assert_array_equal(per_example(name, labels.tolist(), table.tolist()).shape, (9,))


@one_each
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(name, dtype):
    labels, table = batch(name)
    half = tf.cast(table, dtype)
    value = per_example(name, labels, half)
    assert value.dtype == np.float32
    np.testing.assert_array_equal(value, per_example(name, labels, tf.cast(half, "float32")))


@one_each
def test_a_class_id_that_the_head_has_not_is_refused(name):
    _, table = batch(name, 3)
    for wrong in (CLASSES, -1, 2**40, 2**32):
        with pytest.raises(ValueError, match=f"`y_true`.*0 to {CLASSES - 1}.*Received: {wrong}"):
            make(name)([0, wrong, 1], table)
        with pytest.raises(ValueError, match="`y_true`"):
            make(name)(tf.constant([0, wrong, 1], "int64"), table)


def stepped(name, labels, table, jit):
    loss = make(name, reduction=None)

    @tf.function(jit_compile=jit, autograph=False)
    def step(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    return step(tf.constant(labels), tf.constant(table))


@pytest.mark.parametrize(
    "name", [n if n == "arcface" else pytest.param(n, marks=slow) for n in CASES]
)
def test_in_a_graph_a_foreign_class_id_raises(name):
    labels, table = batch(name, 3, dtype="float32")
    labels[1] = CLASSES
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`y_true`(.|\n)*Received:(.|\n)*5"):
        stepped(name, labels, table, jit=False)


@pytest.mark.parametrize(
    "name", [n if n == "proxy_anchor" else pytest.param(n, marks=slow) for n in CASES]
)
@pytest.mark.further
def test_under_xla_a_foreign_class_id_is_nan_without_a_gradient(name):
    labels, table = batch(name, 3, dtype="float32")
    labels[1] = CLASSES
    value, gradient = stepped(name, labels, table, jit=True)
    np.testing.assert_array_equal(np.isnan(value), [False, True, False])
    assert np.isfinite(gradient).all()
    if not name.startswith("proxy_anchor"):  # There it is an example of another class.
        assert not np.any(gradient[1])


@one_each
@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.eye(CLASSES, dtype=int)[:3], "`y_true`.*np.argmax"),
        ([0.0, 1.5, 2.0], "`y_true`.*1.5"),
        (["a", "b", "c"], "`y_true`.*np.unique"),
        ([0, 1], "`y_true`"),
        (np.eye(3), "`y_true`"),
    ],
)
def test_wrong_labels_are_refused(name, labels, match):
    with pytest.raises((TypeError, ValueError), match=match):
        make(name)(labels, batch(name, 3)[1])


@one_each
def test_wrong_shapes_are_refused(name):
    with pytest.raises(ValueError, match=r"`y_pred`.*ProxyHead.*Received: shape \(3,\)"):
        make(name)([0, 1, 2], [0.1, 0.2, 0.3])
    if CASES[name][3] > 1 and CASES[name][0] is not losses.ArcFaceLoss:
        with pytest.raises(ValueError, match=r"`y_pred`.*centers=3.*Received: shape \(2, 5\)"):
            make(name)([0, 1], np.zeros((2, 5)))
    with pytest.raises(ValueError, match="`sample_weight`"):
        make(name)([0, 1, 2], batch(name, 3)[1], sample_weight=[1.0, 2.0])


def test_a_formula_of_ones_own_counts_in_a_subclass_of_any_loss():
    class AndOne(losses.ArcFaceLoss):
        def class_losses(self, cosines, targets):
            assert tuple(targets.shape) == (9, CLASSES)
            return super().class_losses(cosines, targets) + 1

    class AndTwo(AndOne):
        def own_class(self, cosines):
            return cosines - 0.25

    labels, table = batch("arcface")
    value = AndOne(reduction=None)(labels, table)
    np.testing.assert_allclose(value, oracle.arcface(table, labels) + 1, rtol=1e-12)
    value = AndTwo(reduction=None)(labels, table)
    np.testing.assert_allclose(value, oracle.cosface(table, labels, margin=0.25) + 1, rtol=1e-12)


@pytest.mark.parametrize("name", ["arcface_centers", "soft_triple"])
def test_centers_that_are_equally_near_share_the_gradient(name):
    labels, table = batch(name)
    table[:] = table[..., :1]
    _, gradient = gradients.value_and_gradient(make(name), labels, table)
    np.testing.assert_allclose(gradient, np.broadcast_to(gradient[..., :1], table.shape), 1e-12)
    assert np.abs(gradient).max() > 0


@every
def test_serialisation(name):
    loss = make(name, reduction="sum")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    labels, table = batch(name)
    assert float(again(labels, table)) == float(loss(labels, table))
    assert repr(loss).startswith(type(loss).__name__ + "(")
    assert all(f"{key}={value!r}" in repr(loss) for key, value in CASES[name][2].items())


@pytest.mark.parametrize(
    "name", ["arcface", *(pytest.param(n, marks=slow) for n in CASES if n != "arcface")]
)
@pytest.mark.further
def test_xla_and_unknown_batch_sizes(name):
    loss = make(name)
    labels, table = batch(name, 7, dtype="float32")
    value, gradient = gradients.value_and_gradient(loss, labels, table)

    def step(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            total = loss(y_true, y_pred)
        return total, tape.gradient(total, y_pred)

    shape = (None, *table.shape[1:])
    dynamic = tf.function(step, autograph=False).get_concrete_function(
        tf.TensorSpec((None,), tf.int64), tf.TensorSpec(shape, tf.float32)
    )
    for compiled in (tf.function(step, jit_compile=True, autograph=False), dynamic):
        there, slope = compiled(tf.constant(labels), tf.constant(table))
        np.testing.assert_allclose(there, value, rtol=1e-5)
        np.testing.assert_allclose(slope, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("cls", "arguments", "match"),
    [
        (losses.ArcFaceLoss, {"margin": 28.6}, "`margin`.*radians.*28.6.*math.radians"),
        (losses.ArcFaceLoss, {"margin": -0.1}, "`margin`"),
        (losses.ArcFaceLoss, {"scale": 0}, "`scale`"),
        (losses.CosFaceLoss, {"scale": -1.0}, "`scale`"),
        (losses.CosFaceLoss, {"margin": float("nan")}, "`margin`"),
        (losses.SphereFaceLoss, {"margin": 1.5}, "`margin`.*integer"),
        (losses.SphereFaceLoss, {"margin": 0}, "`margin`"),
        (losses.NormalizedSoftmaxLoss, {"temperature": 0.0}, "`temperature`"),
        (losses.ProxyNCALoss, {"softmax_scale": "8"}, "`softmax_scale`"),
        (losses.ProxyAnchorLoss, {"alpha": 0.0}, "`alpha`"),
        (losses.SoftTripleLoss, {"gamma": 0.0}, "`gamma`"),
    ],
)
def test_wrong_arguments_are_refused(cls, arguments, match):
    with pytest.raises((TypeError, ValueError), match=match):
        cls(**arguments)
