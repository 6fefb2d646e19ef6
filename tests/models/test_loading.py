"""Files that cannot be loaded are named, with what is wrong with them."""

import contextlib
import io
import json

import keras
import numpy as np
import pytest

from tensorflow_similarity.cli import main
from tensorflow_similarity.index import _graphs, _search
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


@pytest.mark.parametrize(
    ("trust", "engine"), [(None, "nmslib"), (True, "nmslib"), (False, "exact")]
)
@pytest.mark.further("None-nmslib")
def test_graphs_are_read_as_far_as_they_are_trusted(tmp_path, monkeypatch, trust, engine):
    monkeypatch.setattr(_search, "FEW_ROWS", 0)
    monkeypatch.setattr(_graphs, "FEW_ROWS", 0)
    inputs = keras.Input((3,))
    model = SimilarityModel(inputs, keras.layers.Identity()(inputs))
    model.create_index(distance="euclidean", search="nmslib", search_params={"M": 4})
    model.index(np.eye(3).repeat(9, axis=0), verbose=0)
    model.vector_index.compact()
    assert model.vector_index.engine == "nmslib"
    model.save(tmp_path / "model.keras")
    model.save_index(tmp_path / "index")
    loaded = SimilarityModel.load(tmp_path / "model.keras", trust_graph=trust)
    assert loaded.vector_index.engine == engine
    loaded.load_index(tmp_path / "index", trust_graph=trust)
    assert loaded.vector_index.engine == engine
    assert keras.saving.load_model(tmp_path / "model.keras").vector_index.engine == "nmslib"
    option = {None: [], True: ["--trust-graph", "yes"], False: ["--trust-graph", "no"]}[trust]
    for name in ("model.keras", "index"):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["info", str(tmp_path / name), "--json", *option]) == 0
        assert json.loads(out.getvalue())["index"]["engine"] == engine
