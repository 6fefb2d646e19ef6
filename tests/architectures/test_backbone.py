"""Nothing is downloaded: backbones have random weights, and are small where they can be."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.architectures import (
    EfficientNetSim,
    ImagePreprocessing,
    ResNet50Sim,
    with_backbone,
)
from tensorflow_similarity.architectures.freezing import set_trainable
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler

IMAGES = np.random.default_rng(0).integers(0, 256, size=(8, 16, 16, 3)).astype("uint8")
LABELS = np.repeat([0, 1], 4)


def small(shape=(16, 16, 3)):
    """A functional model of three convolutions with batch normalisation."""
    inputs = keras.Input(shape)
    x = inputs
    for i in range(3):
        x = keras.layers.Conv2D(4, 3, padding="same", name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization(name=f"norm{i}")(x)
        x = keras.layers.ReLU(name=f"relu{i}")(x)
    return keras.Model(inputs, x, name="small")


def names(variables):
    return sorted({variable.path.rsplit("/", 2)[-2] for variable in variables})


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("frozen", ["embedding"]),
        ("partial", ["conv2", "embedding"]),
        (0, ["embedding"]),
        (2, ["conv1", "conv2", "embedding"]),
        ("norm0", ["conv1", "conv2", "embedding"]),
        ("full", ["conv0", "conv1", "conv2", "embedding", "norm0", "norm1", "norm2"]),
    ],
)
def test_what_is_trained(trainable, expected):
    assert names(with_backbone(small(), 8, trainable=trainable).trainable_variables) == expected


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("partial", ["conv2", "embedding"]),
        pytest.param(
            "full",
            ["conv0", "conv1", "conv2", "embedding", "norm0", "norm1", "norm2"],
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.further
def test_what_is_trained_changes_and_nothing_else(trainable, expected, tmp_path):
    model = with_backbone(small(), 8, trainable=trainable)
    before = {v.path: np.array(v) for v in model.variables}
    model.compile(keras.optimizers.SGD(0.5), loss=TripletLoss(distance="cosine"), run_eagerly=True)
    model.fit(IMAGES, LABELS, epochs=1, verbose=0)
    changed = [v for v in model.variables if not np.array_equal(before[v.path], v)]
    # Statistics of frozen normalisation are among what must not change.
    assert names(changed) == expected
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert isinstance(loaded, SimilarityModel)
    assert names(loaded.trainable_variables) == expected
    np.testing.assert_array_equal(
        loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0)
    )


def test_frozen_normalisation_is_in_inference_mode():
    model = with_backbone(small(), 8, trainable=3)
    one, two = (np.asarray(model(IMAGES, training=training)) for training in (True, False))
    np.testing.assert_array_equal(one, two)
    full = with_backbone(small(), 8, trainable="full")
    assert (np.asarray(full(IMAGES, training=True)) != np.asarray(full(IMAGES))).any()


def test_augmentation_is_for_training_only(tmp_path):
    @keras.saving.register_keras_serializable(package="tests")
    class Invert(keras.layers.Layer):
        def call(self, x, training=False):
            return 255 - x if training else x

    model = with_backbone(small(), 8, augmentation=[Invert(), keras.layers.RandomBrightness(0.0)])
    plain = np.asarray(model(IMAGES.astype("float32")))
    inverted = np.asarray(model(255 - IMAGES.astype("float32")))
    trained = np.asarray(model(IMAGES.astype("float32"), training=True))
    np.testing.assert_allclose(trained, inverted, rtol=1e-4, atol=1e-5)
    assert np.abs(plain - trained).max() > 1e-3
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded(IMAGES, training=True), trained, rtol=1e-4, atol=1e-5)


def test_preprocessing_is_within_and_given_layers_are_used():
    base = small()
    scaled = with_backbone(base, None, pooling="avg", preprocessing=keras.layers.Rescaling(1 / 255))
    plain = with_backbone(base, None, pooling="avg")
    np.testing.assert_allclose(
        scaled(IMAGES), plain(IMAGES.astype("float32") / 255), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "family", ["resnet", "mobilenet_v2", "densenet", "efficientnet", "vgg16", "nasnet"]
)
def test_preprocessing_is_that_of_keras(family, tmp_path):
    layer = ImagePreprocessing(family)
    expected = getattr(keras.applications, family).preprocess_input(IMAGES.astype("float32"))
    np.testing.assert_allclose(layer(IMAGES), expected, rtol=1e-5, atol=1e-5)
    again = ImagePreprocessing.from_config(layer.get_config())
    np.testing.assert_array_equal(again(IMAGES), layer(IMAGES))
    keras.config.set_dtype_policy("mixed_float16")
    assert ImagePreprocessing(family)(IMAGES).dtype == "float32"


@pytest.mark.parametrize(("pooling", "op"), [("avg", "mean"), ("max", "max"), ("gem", None)])
def test_pooling(pooling, op):
    base = small()
    pooled = np.asarray(with_backbone(base, None, pooling=pooling, gem_p=1.0)(IMAGES))
    maps = np.asarray(base(IMAGES.astype("float32")))
    np.testing.assert_allclose(pooled, getattr(maps, op or "mean")((1, 2)), rtol=1e-4, atol=1e-4)


def test_sequences_and_vectors():
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    steps = keras.layers.Embedding(50, 6)(tokens)
    model = with_backbone(keras.Model(tokens, steps), 5, trainable="full")
    assert model(np.array([[1, 2, 3]])).shape == (1, 5)
    assert keras.backend.standardize_dtype(model.inputs[0].dtype) == "int32"
    hub = keras.Model(
        {"token_ids": tokens}, {"sequence_output": steps, "pooled_output": steps[:, 0]}
    )
    model = with_backbone(hub, 5)
    assert model({"token_ids": np.array([[1, 2, 3]])}).shape == (1, 5)
    model.create_index(distance="cosine")
    model.index({"token_ids": np.arange(12).reshape(4, 3)}, [0, 1, 2, 3], verbose=0)
    found = model.lookup({"token_ids": np.array([[3, 4, 5]])}, k=1, verbose=0)
    assert found.labels.tolist() == [[1]]


@pytest.mark.parametrize("l2_norm", [True, False])
def test_length_of_embeddings(l2_norm):
    embeddings = np.asarray(with_backbone(small(), 8, l2_norm=l2_norm)(IMAGES))
    unit = np.allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert unit == l2_norm


@pytest.mark.parametrize("half", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_mixed_precision_computes_in_half_and_embeds_in_float32(half):
    keras.config.set_dtype_policy(f"mixed_{half}")
    model = with_backbone(small(), 8, trainable="full")
    assert model.get_layer("small").output.dtype == half
    assert model.output.dtype == "float32"
    assert np.isfinite(model(IMAGES)).all()
    if half == "bfloat16":
        model.compile("adam", loss=TripletLoss(distance="cosine"), run_eagerly=True)
        assert np.isfinite(model.fit(IMAGES, LABELS, verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, "`backbone`.*MobileNetV2.*'NoNet'", {"backbone": "NoNet"}),
        (TypeError, "functional", {"backbone": keras.Sequential()}),
        (ValueError, "`pooling`.*'mean'", {"pooling": "mean"}),
        (ValueError, r"`pooling`.*16, 16, 4", {"pooling": None}),
        (ValueError, "`trainable`.*'top'.*relu2", {"trainable": "top"}),
        (ValueError, "`trainable`.*from 0 to 3", {"trainable": 4}),
        (TypeError, "`trainable`.*True", {"trainable": True}),
        (ValueError, "`embedding_size`", {"embedding_size": 0}),
        (TypeError, "`augmentation`.*flip", {"augmentation": "flip"}),
        (TypeError, "`preprocessing`.*caffe", {"preprocessing": "caffe"}),
    ],
)
def test_bad_arguments_are_named(error, match, arguments):
    with pytest.raises(error, match=match):
        with_backbone(**({"backbone": small()} | arguments))


def test_bad_families_are_named():
    with pytest.raises(ValueError, match=r"resnet.*'net'"):
        ImagePreprocessing("net")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "first", "last"),
    [
        (EfficientNetSim, "block5a_expand_conv", "top_conv"),
        (ResNet50Sim, "conv5_block1_0_conv", "conv5_block3_3_conv"),
    ],
)
def test_backbones_of_tensorflow_similarity(make, first, last, tmp_path):
    model = make((32, 32, 3), embedding_size=8, weights=None, trainable="partial")
    trained = names(model.trainable_variables)
    assert {first, last, "embedding"} <= set(trained)
    assert not [n for n in trained if n.startswith(("block4", "conv4", "stem", "conv1_conv"))]
    assert not [n for n in trained if n.endswith(("bn", "normalization"))]
    images = np.random.default_rng(0).integers(0, 256, size=(2, 32, 32, 3)).astype("uint8")
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        loaded.embed(images, verbose=0), model.embed(images, verbose=0), rtol=1e-5
    )
    features = make((32, 32, 3), include_top=False, weights=None, pooling="avg")
    assert features.output_shape[1] in (1280, 2048)
    assert features.trainable_variables == []


@pytest.mark.slow
def test_backbones_by_name():
    model = with_backbone("MobileNetV3Small", 8, weights=None, trainable="full")
    images = np.zeros((1, 32, 48, 3), "uint8")  # no input shape: any size will do
    assert model(images).shape == (1, 8)
    assert isinstance(model.get_layer("preprocessing"), ImagePreprocessing)


def test_variants_are_checked():
    with pytest.raises(ValueError, match=r"B0 to B7.*'C1'"):
        EfficientNetSim((32, 32, 3), variant="C1")


def test_kerashub_backbones():
    keras_hub = pytest.importorskip("keras_hub", reason="not in [test]: heavy")
    base = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 8],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )
    model = with_backbone(base, 8, trainable="partial")
    assert model(IMAGES).shape == (8, 8)
    set_trainable(base, "frozen")
    assert names(model.trainable_variables) == ["embedding"]


RAW = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
PREPROCESSED = {
    "caffe": lambda x: keras.applications.resnet50.preprocess_input(x.copy()),
    "tf": lambda x: keras.applications.mobilenet_v2.preprocess_input(x.copy()),
    "torch": lambda x: keras.applications.densenet.preprocess_input(x.copy()),
    "scaled": lambda x: x / 255,
}
USES = {
    "index": lambda model, x: model.index(x, np.arange(4), verbose=0),
    "fit": lambda model, x: model.fit(x, np.arange(4) % 2, verbose=0),
    "sampler": lambda model, x: model.fit(
        MultiShotMemorySampler(
            x, np.arange(4) % 2, classes_per_batch=2, steps_per_epoch=1, total_examples_per_class=2
        ),
        verbose=0,
    ),
    "dataset": lambda model, x: model.embed(
        tf.data.Dataset.from_tensor_slices(x).batch(2), verbose=0
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    def backbone(include_top, weights, input_shape):
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.Conv2D(2, 8, strides=8)(inputs))

    backbone.__module__ = "keras.applications.resnet50"
    path = tmp_path_factory.mktemp("small") / "small.keras"
    model = with_backbone(backbone, 4, (32, 32, 3))
    model.compile("sgd", loss=TripletLoss(margin=3.0), run_eagerly=True)
    model.save(path)
    return path


@pytest.mark.further("caffe-fit", "tf-index", "torch-sampler", "scaled-fit")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("how", PREPROCESSED)
def test_inputs_that_are_preprocessed_already_warn_once(saved, how, use):
    model = SimilarityModel.load(saved)
    with pytest.warns(UserWarning, match="preprocessed already.*0 to 255") as caught:
        USES[use](model, PREPROCESSED[how](RAW))
    assert caught[0].filename == __file__
    USES[use](model, PREPROCESSED[how](RAW))  # warnings are errors here


@pytest.mark.parametrize(
    "images",
    [
        RAW,
        RAW.astype("uint8"),
        (RAW - 20) * 1.1,  # an interpolation overshoots
        np.zeros_like(RAW),
        np.zeros_like(RAW, "uint8") + 1,
    ],
)
def test_images_as_they_are_loaded_do_not_warn(saved, images):
    SimilarityModel.load(saved).index(images, np.arange(4), verbose=0)


@pytest.mark.further
def test_without_preprocessing_inside_nothing_warns():
    from tensorflow_similarity.compat.tensorflow_similarity import ResNet50Sim

    model = ResNet50Sim((32, 32, 3), 4, weights=None)
    model.create_index("cosine")
    model.index(PREPROCESSED["caffe"](RAW), np.arange(4), verbose=0)
