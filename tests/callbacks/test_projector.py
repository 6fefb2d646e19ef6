"""Files of the embedding projector, read back as TensorBoard reads them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.callbacks import EmbeddingProjector, write_projector
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel


def read(folder):
    """Name -> (embeddings, rows of text, images), by TensorBoard's own format."""
    pytest.importorskip("tensorboard", reason="its own parser reads the config")
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    found = {}
    for entry in config.embeddings:
        shape = tuple(entry.tensor_shape)
        values = np.fromfile(folder / entry.tensor_path, "<f4").reshape(shape)
        rows = images = None
        if entry.metadata_path:
            text = (folder / entry.metadata_path).read_text(encoding="utf-8")
            rows = [line.split("\t") for line in text.splitlines()]
        if entry.sprite.image_path:
            sheet = tf.io.decode_png((folder / entry.sprite.image_path).read_bytes()).numpy()
            height, width = entry.sprite.single_image_dim
            across = sheet.shape[1] // width
            images = [
                sheet[height * (i // across) :, width * (i % across) :][:height, :width]
                for i in range(shape[0])
            ]
        found[entry.tensor_name] = values, rows, images
    return found


def test_everything_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3)).astype("float32")
    images = rng.integers(256, size=(7, 4, 6, 3), dtype=np.uint8)
    words = ["a", "b\tc", "", "d\ne", "ü", "f", "g"]
    write_projector(tmp_path / "new", x, np.arange(7), {"word": words}, images)
    values, rows, found = read(tmp_path / "new")["embedding"]
    np.testing.assert_array_equal(values, x)
    assert rows[0] == ["label", "word"]
    assert rows[1:3] == [["0", "a"], ["1", "b c"]]
    assert [row[0] for row in rows[1:]] == list("0123456")
    assert rows[4] == ["3", "d e"]
    for image, sprite in zip(images, found, strict=True):
        np.testing.assert_array_equal(sprite[1:5], image)
        assert (sprite[[0, 5]] == 255).all()


def test_one_column_has_no_header_and_gray_floats_are_scaled(tmp_path):
    images = np.array([[[0.0, 0.5], [1.0, 0.25]]] * 2)
    write_projector(tmp_path, [[1.0], [2.0]], [3, 5], images=images)
    _, rows, found = read(tmp_path)["embedding"]
    assert rows == [["3"], ["5"]]
    expected = [[[0] * 3, [128] * 3], [[255] * 3, [64] * 3]]
    np.testing.assert_array_equal(found[1], expected)


def test_several_names_and_again(tmp_path):
    for name, value in [("a", 1.0), ("b", 2.0), ("a-1", 4.0), ("a", 3.0)]:
        write_projector(tmp_path, [[value]], name=name)
    found = read(tmp_path)
    assert {name: values.item() for name, (values, _, _) in found.items()} == {
        "a": 3.0, "b": 2.0, "a-1": 4.0,
    }  # fmt: skip


@pytest.mark.further
def test_callback(tmp_path):
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", TripletLoss(), run_eagerly=True)
    x, y = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 3
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(5)
    latest = EmbeddingProjector(tmp_path, data, images=np.zeros((12, 3, 3)))
    each = EmbeddingProjector(tmp_path, x, y, freq=2, keep_all=True, name="step")
    model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[latest, each])
    found = read(tmp_path)
    assert set(found) == {"embedding", "step-2", "step-4", "step-6"}
    np.testing.assert_allclose(found["embedding"][0], model.embed(x, verbose=0), rtol=1e-6)
    np.testing.assert_allclose(found["step-6"][0], found["embedding"][0], rtol=1e-6)
    assert found["embedding"][1] == [[str(label)] for label in y]


def test_errors(tmp_path):
    x = np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"`metadata\['a'\]` must hold one value per embedding"):
        write_projector(tmp_path, x, metadata={"a": [1]})
    with pytest.raises(ValueError, match="`images` must have shape"):
        write_projector(tmp_path, x, images=np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match="`images` must fit a square of 8192 pixels"):
        write_projector(tmp_path, x, images=np.zeros((4, 4097, 1), np.uint8))
    with pytest.raises(ValueError, match="`name` must consist of letters"):
        write_projector(tmp_path, x, name="../x")
    with pytest.raises(ValueError, match="`x` must be something that can be iterated again"):
        EmbeddingProjector(tmp_path, iter([x]))
    assert not any(tmp_path.iterdir())
