"""Importing the package is cheap, loads nothing that it does not need, and still registers all."""

import importlib.util
import os
import subprocess
import sys

import keras
import pytest

import public_api
import tensorflow_similarity
from fresh import fresh
from tensorflow_similarity.architectures import ImagePreprocessing
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel


def registered():
    return {
        name
        for name in keras.saving.get_custom_objects()
        if name.startswith("tensorflow_similarity>")
    }


@pytest.mark.further
def test_everything_is_registered_by_the_import_of_the_package(tmp_path):
    public_api.objects()  # which imports all there is
    program = """
import keras, tensorflow_similarity
names = [n for n in keras.saving.get_custom_objects() if n.startswith("tensorflow_similarity>")]
print("\\n".join(names))
"""
    assert set(fresh(program, tmp_path).split("\n")) == registered()


def test_models_load_with_the_import_of_the_package_alone(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(ImagePreprocessing("mobilenet_v2")(inputs))
    plain = keras.Model(inputs, L2Embedding(4)(x))
    plain.save(tmp_path / "plain.keras")
    SimilarityModel(inputs, plain.outputs).save(tmp_path / "similarity.keras")
    program = """
import keras, tensorflow_similarity
for name in ("plain", "similarity"):
    model = keras.saving.load_model(f"{name}.keras")
    print(type(model.layers[1]).__name__, type(model.layers[1]).__module__.split(".")[0])
    print([c.__name__ for c in type(model).__mro__ if "Similarity" in c.__name__][-1:])
"""
    preprocessing = "ImagePreprocessing tensorflow_similarity"
    expected = [preprocessing, "[]", preprocessing, "['SimilarityModel']"]
    assert fresh(program, tmp_path).split("\n") == expected


@pytest.mark.further
def test_a_model_in_a_plain_one_loads_too(tmp_path):
    inputs = keras.Input((4,))
    inner = SimilarityModel(inputs, L2Embedding(2)(inputs), name="inner")
    keras.Sequential([keras.Input((4,)), inner]).save(tmp_path / "nested.keras")
    program = """
import keras, tensorflow_similarity
model = keras.saving.load_model("nested.keras")
print(isinstance(model.get_layer("inner"), tensorflow_similarity.SimilarityModel))
"""
    assert fresh(program, tmp_path) == "True"


def test_the_import_loads_what_it_registers_and_no_more(tmp_path):
    program = """
import sys
new = set(sys.modules) - before
print(sorted({name.split(".")[1] for name in new if name.startswith("tensorflow_similarity.")}))
print(new & {"nmslib", "tqdm", "tensorflow", "matplotlib"})
"""
    parts, others = fresh(program, tmp_path).split("\n")
    loaded = {part for part in eval(parts) if not part.startswith("_")}
    registered = {"distances", "layers", "losses", "mining", "regularizers", "training_metrics"}
    assert loaded == registered | {"compat"}
    assert others == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_does_not_import_tensorflow(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    program = """
import sys
import tensorflow_similarity as tfsim
for name in tfsim.__all__:
    getattr(tfsim, name)
tfsim.Index(2, "cosine")
print("tensorflow" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert result.stdout == "False\n", result.stderr


def test_completion_shows_the_api():
    assert dir(tensorflow_similarity) == sorted(tensorflow_similarity.__all__)
    for package in public_api.packages():
        assert dir(package) == sorted(package.__all__), package.__name__


def test_classes_and_modules_come_from_the_package():
    from tensorflow_similarity import Index, SimilarityModel, losses

    assert Index is tensorflow_similarity.index.Index
    assert SimilarityModel is tensorflow_similarity.models.SimilarityModel
    assert losses is tensorflow_similarity.losses
    with pytest.raises(AttributeError, match="has no attribute 'lossses'"):
        tensorflow_similarity.lossses  # noqa: B018
