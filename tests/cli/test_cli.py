import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tensorflow_similarity.cli import main
from tensorflow_similarity.evaluation import evaluate
from tensorflow_similarity.index import Index
from tensorflow_similarity.models import SimilarityModel

# Three classes on a line, far apart, and queries beside them.
CLASSES = np.repeat([3, 5, 9], 4)
X = (CLASSES[:, None] * 10 + np.arange(12)[:, None] / 100).astype("float32") * [1.0, 0.5]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("records.npz", x=X, y=CLASSES)
    np.savez("queries.npz", x=X[1::4] + np.float32(0.001), y=CLASSES[1::4])
    np.save("x.npy", X)
    np.save("y.npy", CLASSES)
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(2, kernel_initializer="identity", name="embedding")(inputs)
    keras.Model(inputs, outputs, name="plain").save("plain.keras")
    model = SimilarityModel(inputs, outputs, name="line")
    model.create_index(distance="euclidean")
    model.save("model.keras")
    return tmp_path


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def run_json(capsys, *arguments):
    return json.loads(run(capsys, *arguments, "--json", "--quiet"))


def test_index_then_lookup_then_evaluate(capsys):
    added = run_json(capsys, "index", "model.keras", "records.npz", "-o", "out.keras")
    assert added == {
        "added": 12,
        "records": 12,
        "first_id": 0,
        "last_id": 11,
        "saved": "out.keras",
    }
    found = run_json(capsys, "lookup", "out.keras", "queries.npz", "-k", 2)
    assert [query["query"] for query in found] == ["0", "1", "2"]
    for number, query in enumerate(found):
        first, second = query["neighbors"]
        assert first["id"] == 1 + 4 * number
        assert first["label"] == [3, 5, 9][number]
        offsets = np.array([0.001, 0.001])
        np.testing.assert_allclose(first["distance"], np.linalg.norm(offsets), rtol=0.01)
        assert second["distance"] > first["distance"]
        assert (first["rank"], second["rank"]) == (0, 1)
    result = run_json(capsys, "evaluate", "out.keras", "queries.npz", "--metrics", "precision@1")
    assert result["metrics"] == {"precision@1": 1.0}
    assert (result["queries"], result["skipped"], result["classes"]) == (3, 0, 3)


def test_tables_are_readable(capsys):
    out = run(capsys, "index", "model.keras", "records.npz")
    assert out == "Added 12 records, ids 0 to 11. The index holds 12. Saved to model.keras.\n"
    lines = run(capsys, "lookup", "model.keras", "queries.npz", "-k", 1).splitlines()
    assert lines[0].split() == ["query", "rank", "distance", "class", "record"]
    assert lines[2].split() == ["0", "1", "0.0014", "3", "1"]
    text = run(capsys, "evaluate", "model.keras", "queries.npz")
    assert "precision@1" in text
    assert "3 queries of 3 classes" in text


def test_more_records_and_a_reset(capsys):
    run(capsys, "index", "model.keras", "x.npy", "--labels", "y.npy")
    assert run_json(capsys, "index", "model.keras", "x.npy")["records"] == 24
    assert run_json(capsys, "info", "model.keras")["index"]["labelled"] == 12
    assert run_json(capsys, "index", "model.keras", "records.npz", "--reset")["records"] == 12


def test_plain_keras_models(capsys):
    run(capsys, "index", "plain.keras", "records.npz", "-o", "out.keras", "--distance", "l2")
    found = run_json(capsys, "info", "out.keras")
    assert found["model"]["class"] == "SimilarityModel"
    assert found["index"]["distance"] == "euclidean"
    expected = evaluate(X, CLASSES, distance="cosine", metrics=["map@r"])
    found = run_json(
        capsys, "evaluate", "plain.keras", "records.npz", "--leave-one-out", "--metrics", "map@r"
    )
    np.testing.assert_allclose(found["metrics"]["map@r"], expected["map@r"], rtol=1e-6)


def test_indexes_are_searched_by_embeddings(capsys):
    index = Index(embedding_size=2, distance="euclidean")
    index.add(X, CLASSES)
    index.save("records.index")
    found = run_json(capsys, "lookup", "records.index", "queries.npz", "-k", 1)
    assert [query["neighbors"][0]["label"] for query in found] == [3, 5, 9]
    assert "12" in run(capsys, "info", "records.index")
    assert "model" not in run_json(capsys, "info", "records.index")
    result = run_json(capsys, "evaluate", "records.index", "queries.npz")
    assert result["metrics"]["precision@1"] == 1


def test_info_tells_of_model_index_and_calibration(capsys):
    text = run(capsys, "info", "plain.keras")
    assert "plain (Functional)" in text
    assert "[any, 2]" in text
    assert "6, of which 6 trainable" in text
    assert text.rstrip().endswith("none")
    model = keras.saving.load_model("model.keras")
    model.index(X, CLASSES, verbose=0)
    model.calibrate(
        X + 0.001, CLASSES, thresholds_targets={"strict": {"precision": 0.9}}, verbose=0
    )
    model.save("model.keras")
    found = run_json(capsys, "info", "model.keras")
    assert set(found["calibration"]) == {"optimal", "strict"}
    assert found["index"]["records"] == 12
    result = run_json(capsys, "evaluate", "model.keras", "queries.npz")
    assert result["cutpoints"]["strict"]["precision"] == 1
    assert "strict" in run(capsys, "evaluate", "model.keras", "queries.npz")


@pytest.fixture
def images(folder):
    rng = np.random.default_rng(0)
    for value, name in [(40, "cat"), (120, "dog"), (200, "emu")]:
        for split, number in [("train", 3), ("test", 2), ("loose", 1)]:
            where = folder / split if split == "loose" else folder / split / name
            where.mkdir(parents=True, exist_ok=True)
            for i in range(number):
                image = np.clip(value + rng.normal(size=(5, 7, 3)), 0, 255)
                keras.utils.save_img(where / f"{name}{i}.png", image, scale=False)
    inputs = keras.Input((4, 4, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(inputs)
    model = SimilarityModel(inputs, outputs)
    model.create_index(distance="euclidean")
    model.save("images.keras")
    return folder


def test_folders_of_images(capsys, images):
    run(capsys, "index", "images.keras", "train")
    found = run_json(capsys, "lookup", "images.keras", "loose", "-k", 3, "--batch-size", 2)
    assert [os.path.basename(query["query"]) for query in found] == [
        "cat0.png",
        "dog0.png",
        "emu0.png",
    ]
    # A hidden folder is no class.
    os.makedirs("loose/.ipynb_checkpoints")
    assert len(run_json(capsys, "lookup", "images.keras", "loose", "-k", 1)) == 3
    for query, name in zip(found, ["cat", "dog", "emu"], strict=True):
        assert [record["class"] for record in query["neighbors"]] == [name] * 3
        assert os.path.dirname(query["neighbors"][0]["path"]) == f"train/{name}"
        assert query["neighbors"][0]["distance"] < 3
    # Only some of the classes: their ids are those of the index, by name.
    os.rename("test/cat", "elsewhere")
    result = run_json(capsys, "evaluate", "images.keras", "test")
    assert result["metrics"]["precision@1"] == 1
    assert result["classes"] == 2
    table = run(capsys, "lookup", "images.keras", "loose", "-k", 1)
    assert table.splitlines()[2].split()[3] == "cat"


def labels_by_folder(model):
    kept = keras.saving.load_model(model).vector_index
    kept = kept.get(kept.ids)
    found = zip(kept.data, kept.labels.tolist(), strict=True)
    return {os.path.basename(os.path.dirname(row["path"])): n for row, n in found if "path" in row}


def labelled(labels, data=None):
    """Gives the index of images.keras some records of its own."""
    model = keras.saving.load_model("images.keras")
    x = np.zeros((len(labels), 4, 4, 3), "float32")
    model.index(x, labels, data=data, verbose=0)
    model.save("images.keras")


def test_new_names_do_not_take_ids_of_the_index(capsys, images):
    # Data of one's own may have a "class" that is no name.
    labelled([0, 1, 5], [{"class": ["a"]}, {"class": 3}, {"note": "x"}])
    run(capsys, "index", "images.keras", "train")
    assert labels_by_folder("images.keras") == {"cat": 6, "dog": 7, "emu": 8}


def test_numbers_are_ids_unless_these_have_another_name(capsys, images):
    labelled([3, 0], [{}, {"class": "ant"}])
    for old, new in [("cat", "0"), ("dog", "4")]:
        os.rename(f"train/{old}", f"train/{new}")
    run(capsys, "index", "images.keras", "train")
    assert labels_by_folder("images.keras") == {"0": 5, "4": 4, "emu": 6}
    # And the names stay with their ids.
    run(capsys, "index", "images.keras", "train")
    assert labels_by_folder("images.keras") == {"0": 5, "4": 4, "emu": 6}


def test_names_say_nothing_to_an_index_without_names(capsys, images):
    labelled([0, 1, 2])
    assert main(["evaluate", "images.keras", "test", "--quiet"]) == 1
    assert "no names of classes. Received: cat, dog, emu" in capsys.readouterr().err
    for number, name in enumerate(["cat", "dog", "emu"]):
        os.rename(f"test/{name}", f"test/{number}")
    assert run_json(capsys, "evaluate", "images.keras", "test")["queries"] == 6


def test_scale_and_size_of_images(capsys, images):
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inputs)).save("any.keras")
    arguments = ["index", "any.keras", "train", "-o", "out.keras", "--distance", "l2"]
    run(capsys, *arguments, "--size", "6x5", "--scale", "1")
    largest = keras.saving.load_model("out.keras").vector_index
    assert 0.7 < largest.get(largest.ids).embeddings.max() <= 1
    assert main(arguments) == 1
    assert "--size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "none.keras"], "exists.*none.keras"),
        (["info", "x.npy"], "index"),
        (["lookup", "model.keras", "queries.npz"], "index with records.*tfsim index"),
        (["lookup", "plain.keras", "queries.npz"], "index with records"),
        (["index", "plain.keras", "records.npz"], "--output"),
        (["index", "model.keras", "records.txt"], "npy, .npz or a folder"),
        (["index", "model.keras", "none.npy"], "none.npy"),
        (["index", "model.keras", "records.npz", "-o", "out.h5"], "end in .keras"),
        (["index", "model.keras", "records.npz", "--distance", "cosine"], "euclidean"),
        (["index", "model.keras", "."], "take images"),
        (["index", "model.keras", "x.npy", "--labels", "x.npy"], "labels"),
        (["index", "model.keras", "x.npy", "--batch-size", "0"], "--batch-size"),
        (["evaluate", "model.keras", "x.npy"], "class ids"),
        (["evaluate", "model.keras", "records.npz", "--leave-one-out", "--metrics", "x"], "'x'"),
    ],
)
def test_mistakes_get_a_line_and_no_traceback(capsys, arguments, message):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("tfsim: error: ")
    assert re.search(message, line)


def test_a_failed_index_leaves_the_model_as_it_was(capsys):
    before = Path("model.keras").read_bytes()
    np.save("bad.npy", np.full((3, 2), np.nan))
    assert main(["index", "model.keras", "bad.npy", "--quiet"]) == 1
    assert "finite" in capsys.readouterr().err
    assert Path("model.keras").read_bytes() == before


def test_usage_errors_exit_with_2(capsys):
    for arguments in ([], ["train"], ["lookup", "model.keras"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


def test_a_traceback_on_request(capsys):
    with pytest.raises(ValueError, match="exists"):
        main(["info", "none.keras", "--traceback"])


@pytest.mark.slow
def test_in_a_process_of_its_own(folder):
    program = "import sys; from tensorflow_similarity.cli import main; sys.exit(main())"
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", program, "info", "model.keras", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0
    assert json.loads(done.stdout)["model"]["name"] == "line"
