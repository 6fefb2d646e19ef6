"""The wheel builds, holds the package, and works where no extra is installed."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(*command, cwd):
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", out, cwd=ROOT)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    package = {n for n in names if n.startswith(("tensorflow_similarity/", "_tfsim/"))}
    sources = {
        str(path.relative_to(ROOT))
        for folder in ("tensorflow_similarity", "_tfsim")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".html", ".py", ".typed")
    }
    assert package == sources
    assert all(".dist-info/" in name for name in set(names) - package)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installs_bare_and_imports(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-qq", str(wheel), cwd=tmp_path)
    program = """
import importlib.util
import keras, numpy as np
import tensorflow_similarity
from tensorflow_similarity.index import Index
assert importlib.util.find_spec("matplotlib") is None
index = Index(embedding_size=2, distance="euclidean")
index.add(np.eye(2, dtype="float32"), labels=[4, 5])
print(tensorflow_similarity.__file__, index.lookup([[0.0, 0.9]], k=1).labels.tolist())
"""
    out = run(python, "-I", "-c", program, cwd=tmp_path)
    assert str(tmp_path) in out
    assert out.endswith("[[5]]\n")

    # The command is there, and images are read without an imaging library.
    program = """
import pathlib
import keras, numpy as np, tensorflow as tf
from tensorflow_similarity.models import SimilarityModel
for name in ("cat", "dog"):
    pathlib.Path("pets", name).mkdir(parents=True)
    image = np.full((4, 4, 3), 100 if name == "cat" else 200, "uint8")
    tf.io.write_file(f"pets/{name}/1.png", tf.io.encode_png(image))
inputs = keras.Input((4, 4, 3))
model = SimilarityModel(inputs, keras.layers.Flatten()(inputs))
model.create_index(distance="euclidean")
model.save("model.keras")
"""
    run(python, "-I", "-c", program, cwd=tmp_path)
    tfsim = tmp_path / "venv" / "bin" / "tfsim"
    out = run(tfsim, "index", "model.keras", "pets", cwd=tmp_path)
    assert out.startswith("Added 2 records")
    found = json.loads(
        run(tfsim, "lookup", "model.keras", "pets", "-k", "1", "--json", cwd=tmp_path)
    )
    assert [query["neighbors"][0]["class"] for query in found] == ["cat", "dog"]
