"""Files that cannot be loaded are named, with what is wrong with them."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

X = np.eye(4, dtype="float32")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    model.create_index("cosine")
    model.index(X, [0, 1, 2, 3], verbose=0)
    path = tmp_path_factory.mktemp("m") / "m.keras"
    model.save(path)
    return path.read_bytes()


def test_a_whole_file(content, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(content)
    for name in (path, str(path)):
        loaded = SimilarityModel.load(name)
        assert loaded.lookup(X, k=1, verbose=0).labels.ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[: len(content) // 2], "which is truncated: it has"),
        (lambda content: content[:-1], "which is truncated|which is damaged"),
        (lambda content: b"", "which is empty"),
        (lambda content: b"\x89HDF\r\n" + content[6:90], "which is no zip file"),
        (lambda content: content[:200] + bytes([content[200] ^ 255]) + content[201:], "is damaged"),
    ],
    ids=["half", "one byte less", "empty", "of another kind", "flipped"],
)
def test_damage(content, change, message, tmp_path):
    path = tmp_path / "broken.keras"
    path.write_bytes(change(content))
    with pytest.raises(ValueError, match=message) as error:
        SimilarityModel.load(path)
    assert str(path) in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be a file that exists"):
        SimilarityModel.load(tmp_path / "none.keras")


def test_other_models(tmp_path):
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "m.keras")
    with pytest.raises(TypeError, match=r"must hold a SimilarityModel.*a Functional"):
        SimilarityModel.load(tmp_path / "m.keras")


def test_what_keras_is_asked(content, tmp_path):
    (tmp_path / "m.keras").write_bytes(content)
    assert not SimilarityModel.load(tmp_path / "m.keras", compile=False).compiled
