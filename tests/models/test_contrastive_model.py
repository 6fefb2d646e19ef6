"""Learning from two views: SimCLR, SimSiam, BYOL, MoCo, DINO and the like in one model."""

import keras
import numpy as np
import pytest

from tensorflow_similarity import losses
from tensorflow_similarity.evaluation import evaluate
from tensorflow_similarity.models import ContrastiveModel, SimilarityModel


@keras.saving.register_keras_serializable(package="test_contrastive_model")
class Noise(keras.layers.Layer):
    """An augmentation of vectors: each view loses other numbers."""

    def __init__(self, rate=0.3, seed=5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        return keras.random.dropout(x, self.rate, seed=self.generator) if training else x

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


def backbone(normalised=False):
    keras.utils.set_random_seed(1)
    layers = [keras.Input((64,)), keras.layers.Dense(32, activation="relu")]
    if normalised:
        layers.append(keras.layers.BatchNormalization())
    return keras.Sequential([*layers, keras.layers.Dense(16)])


def projector(size=16):
    return keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(size)])


METHODS = {
    "SimCLR": (lambda: losses.SimCLRLoss(temperature=0.2), {}),
    "Barlow Twins": (losses.BarlowTwinsLoss, {}),
    "VICReg": (losses.VICRegLoss, {}),
    "SimSiam": (losses.SimSiamLoss, {"predictor": True}),
    "BYOL": (losses.SimSiamLoss, {"predictor": True, "momentum": 0.9}),
    "MoCo": (losses.InfoNCELoss, {"predictor": True, "momentum": 0.9}),
    "DINO": (losses.DINOLoss, {"momentum": 0.9}),
}


def make(method="SimCLR", augmenter=True, normalised=False, **compiled):
    keras.utils.set_random_seed(7)
    make_loss, arguments = METHODS[method]
    arguments = dict(arguments)
    if arguments.pop("predictor", False):
        arguments["predictor"] = projector()
    model = ContrastiveModel(
        backbone(normalised),
        projector=projector(),
        augmenter=Noise() if augmenter else None,
        **arguments,
    )
    model.compile(keras.optimizers.Adam(3e-3), make_loss(), **{"jit_compile": False} | compiled)
    return model


@pytest.mark.further("SimCLR-True", "BYOL-True")
@pytest.mark.parametrize(
    ("method", "eagerly"),
    [
        *((method, True) for method in METHODS),
        ("BYOL", False),
        *(
            pytest.param(method, False, marks=pytest.mark.slow)
            for method in METHODS
            if method != "BYOL"
        ),
    ],
)
def test_every_method_trains_the_backbone(digits, method, eagerly):
    x = digits[0][:128]
    model = make(method, run_eagerly=eagerly)
    before = model.backbone.get_weights()
    history = model.fit(x, batch_size=64, verbose=0, validation_data=(x[:64],)).history
    assert np.isfinite(history["loss"]).all()
    assert np.isfinite(history["val_loss"]).all()
    after = model.backbone.get_weights()
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(before, after, strict=True))
    # What is indexed is the backbone's output, whose rows have not become one.
    embeddings = model.embed(x, verbose=0)
    np.testing.assert_allclose(embeddings, model.backbone.predict(x, verbose=0), atol=1e-5)
    np.testing.assert_allclose(embeddings, model.predict(x, verbose=0), atol=1e-5)
    assert embeddings.std(axis=0).max() > 1e-3


@pytest.mark.slow
def test_it_learns_what_the_views_share(digits):
    x, y = digits
    model = make("SimCLR")
    before = evaluate(model.embed(x[800:], verbose=0), y[800:], metrics=["map@r"])["map@r"]
    model.fit(x[:800], batch_size=200, epochs=60, verbose=0)
    after = evaluate(model.embed(x[800:], verbose=0), y[800:], metrics=["map@r"])["map@r"]
    assert after > before + 0.05


def test_two_views_from_outside_are_the_plain_loss(digits):
    first, second = digits[0][:40], digits[0][40:80]
    model = make("SimCLR", augmenter=False, run_eagerly=True)
    project = lambda x: model.projector(model.backbone(x))  # noqa: E731
    expected = float(losses.SimCLRLoss(temperature=0.2)(project(first), project(second)))
    value = model.test_on_batch(first, second)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    weight = np.linspace(0, 1, 40).astype("float32")
    expected = float(losses.SimCLRLoss(temperature=0.2)(project(first), project(second), weight))
    np.testing.assert_allclose(model.test_on_batch(first, second, weight), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make_loss", "required"),
    [
        (losses.SimSiamLoss, "predictor"),
        (losses.DINOLoss, "momentum"),
        (lambda: losses.MatryoshkaLoss(losses.SimSiamLoss(), [4, 16]), "predictor"),
    ],
)
def test_a_model_that_lacks_what_keeps_embeddings_apart_warns(make_loss, required):
    model = ContrastiveModel(backbone(), projector=projector())
    with pytest.warns(UserWarning, match=rf"ContrastiveModel\({required}=\.\.\.\)") as warned:
        model.compile("sgd", make_loss())
    assert [each.filename for each in warned] == [__file__]


def test_both_directions_against_the_momentum_encoder(digits):
    first, second = digits[0][:40], digits[0][40:80]
    model = make("BYOL", augmenter=False, run_eagerly=True)
    target = lambda x: model.projector(model.backbone(x))  # noqa: E731
    online = lambda x: model.predictor(target(x))  # noqa: E731
    loss = losses.SimSiamLoss()
    # The average begins as a copy of what it averages.
    expected = float(loss(target(second), online(first)) + loss(target(first), online(second))) / 2
    np.testing.assert_allclose(model.test_on_batch(first, second), expected, rtol=1e-5)


@pytest.mark.further
def test_the_momentum_encoder_is_the_average_of_the_steps(digits):
    first, second = digits[0][:40], digits[0][40:80]
    model = make("MoCo", augmenter=False, run_eagerly=True)
    expected = [w.copy() for w in (*model.backbone.get_weights(), *model.projector.get_weights())]
    for _ in range(3):
        now = [*model.backbone.get_weights(), *model.projector.get_weights()]
        expected = [0.9 * e + 0.1 * w for e, w in zip(expected, now, strict=True)]
        model.train_on_batch(first, second)
    trained = {id(v) for v in model.trainable_variables}
    kept = [np.asarray(w) for w in model.weights if id(w) not in trained]
    for value in expected:
        same = [np.abs(w - value).max() for w in kept if w.shape == value.shape]
        assert min(same) < 1e-6


@pytest.mark.further
@pytest.mark.parametrize("method", ["SimCLR", "BYOL"])
def test_it_is_saved_whole(digits, tmp_path, method):
    x, y = digits[0][:128], digits[1][:128]
    model = make(method, normalised=True, run_eagerly=True)
    model.fit(x, batch_size=64, epochs=1, verbose=0)
    model.index(x, y, data=np.arange(128), verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert isinstance(loaded, ContrastiveModel)
    np.testing.assert_array_equal(
        loaded.lookup(x[:9], k=4, verbose=0).ids, model.lookup(x[:9], k=4, verbose=0).ids
    )
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # It goes on: loss, optimizer and averages are there.
    loaded.run_eagerly = True
    assert np.isfinite(loaded.fit(x, batch_size=64, verbose=0).history["loss"]).all()


@pytest.mark.further
def test_in_parts(digits):
    first, second = digits[0][:40], digits[0][40:80]
    weights = []
    for size in (None, 16):
        model = make("BYOL", augmenter=False, run_eagerly=True, micro_batch_size=size)
        for _ in range(2):
            model.train_on_batch(first, second)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.further
def test_what_cannot_be_right_is_refused(digits):
    x = digits[0][:32]
    with pytest.raises(TypeError, match=r"two views.*SimilarityModel"):
        make().compile("adam", losses.TripletLoss())
    with pytest.raises(TypeError, match=r"`loss`"):
        make().compile("adam")
    with pytest.raises(ValueError, match=r"fit\(first, second\)"):
        make(augmenter=False).fit(x, verbose=0)
    with pytest.raises(ValueError, match=r"fit\(x\)"):
        make().fit(x, digits[1][:32], verbose=0)
    with pytest.raises(TypeError, match="`backbone`"):
        ContrastiveModel(None)
    with pytest.raises(ValueError, match="`backbone`"):
        ContrastiveModel(keras.Sequential([keras.layers.Dense(4)]))
    with pytest.raises(TypeError, match="`projector`"):
        ContrastiveModel(backbone(), projector=8)
    for momentum in (1.0, -0.1):
        with pytest.raises(ValueError, match="`momentum`"):
            ContrastiveModel(backbone(), momentum=momentum)
    for momentum in ("0.9", True, [0.9]):
        with pytest.raises(TypeError, match="`momentum` must be a number"):
            ContrastiveModel(backbone(), momentum=momentum)


def test_it_is_a_similarity_model(digits):
    x, y = digits[0][:60], digits[1][:60]
    model = make()
    assert isinstance(model, SimilarityModel)
    model.index(x, y, verbose=0)
    model.calibrate(x, y, verbose=0)
    assert model.match(x[:3], verbose=0).shape == (3,)


def softmax(x):
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)


def test_formula_of_info_nce():
    rng = np.random.default_rng(0)
    keys, queries = rng.normal(size=(2, 7, 3))
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    expected = -np.log(np.diag(softmax(unit(queries) @ unit(keys).T / 0.3)))
    value = losses.InfoNCELoss(temperature=0.3, reduction=None)(keys, queries)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_formula_of_dino():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 9, 4))
    targets = np.exp(teacher / 0.5)
    for _ in range(3):
        targets /= targets.sum(axis=0, keepdims=True)
        targets /= targets.sum(axis=1, keepdims=True)
    expected = -(targets * np.log(softmax(student / 0.7))).sum(axis=1)
    loss = losses.DINOLoss(student_temperature=0.7, teacher_temperature=0.5, reduction=None)
    np.testing.assert_allclose(loss(teacher, student), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", [losses.InfoNCELoss(), losses.DINOLoss()])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e4])
def test_gradients_are_finite(loss, scale):
    import tensorflow as tf

    a, b = (tf.constant(scale * v) for v in np.random.default_rng(0).normal(size=(2, 5, 3)))
    with tf.GradientTape() as tape:
        tape.watch(b)
        value = loss(a, b)
    assert np.isfinite(value)
    assert np.isfinite(tape.gradient(value, b)).all()
