import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import tensorflow_similarity
from tensorflow_similarity.calibration import calibrate
from tensorflow_similarity.cli import main
from tensorflow_similarity.evaluation import evaluate
from tensorflow_similarity.index import Index
from tensorflow_similarity.models import SimilarityModel

# Three classes on a line, far apart, and queries beside them.
CLASSES = np.repeat([3, 5, 9], 4)
X = (CLASSES[:, None] * 10 + np.arange(12)[:, None] / 100).astype("float32") * [1.0, 0.5]


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Arrays and models, and what is neither."""
    path = tmp_path_factory.mktemp("files")
    np.savez(path / "records.npz", x=X, y=CLASSES)
    np.savez(path / "queries.npz", x=X[1::4] + np.float32(0.001), y=CLASSES[1::4])
    np.save(path / "x.npy", X)
    np.save(path / "y.npy", CLASSES)
    (path / "program.py").write_text("print(1)")
    (path / "photo.png").write_bytes(PNG)
    (path / "empty").touch()
    (path / "one.txt").write_text("one\n")
    (path / "line.txt").write_text("one\n\ntwo\n")
    (path / "latin.txt").write_bytes("caf\u00e9\n".encode("latin-1"))
    (path / "cells.ipynb").write_text('{"cells": [{"cell_type": "code", "source": 5}]}')
    (path / "list.ipynb").write_text("[1]")
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(2, kernel_initializer="identity", name="embedding")(inputs)
    keras.Model(inputs, outputs, name="plain").save(path / "plain.keras")
    model = SimilarityModel(inputs, outputs, name="line")
    model.create_index(distance="euclidean")
    model.save(path / "model.keras")
    return path


@pytest.fixture(autouse=True)
def folder(files, tmp_path, monkeypatch):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
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
        assert (first["rank"], second["rank"]) == (1, 2)
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


@pytest.mark.further
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


def test_records_with_keys(capsys):
    index = Index(embedding_size=2, distance="euclidean")
    index.add(X, CLASSES, ids=[f"item-{i}" for i in range(len(X))])
    near = index.lookup(X + 0.001, k=1)
    index.calibration = calibrate(near.distances, near.labels, CLASSES)
    index.save("records.index")
    found = run_json(capsys, "lookup", "records.index", "queries.npz", "-k", 1)
    assert [each["neighbors"][0]["key"] for each in found] == ["item-1", "item-5", "item-9"]
    assert "item-5" in run(capsys, "lookup", "records.index", "queries.npz", "-k", 1)
    found = run_json(capsys, "match", "records.index", "queries.npz")
    assert [each["key"] for each in found] == ["item-1", "item-5", "item-9"]


def test_records_get_keys_or_ids_from_a_file(capsys, folder):
    keys = [f"ä-{i}" for i in range(len(X))]
    (folder / "keys.txt").write_text("\n".join(keys) + "\n", encoding="utf-8")
    run(capsys, "index", "model.keras", "x.npy", "--ids", "keys.txt", "-o", "keyed.keras")
    found = run_json(capsys, "lookup", "keyed.keras", "queries.npz", "-k", 1)
    assert [each["neighbors"][0]["key"] for each in found] == ["ä-1", "ä-5", "ä-9"]
    np.save(folder / "ids.npy", 7 * np.arange(len(X)))
    run(capsys, "index", "model.keras", "x.npy", "--ids", "ids.npy")
    found = run_json(capsys, "lookup", "model.keras", "queries.npz", "-k", 1)
    assert [each["neighbors"][0]["id"] for each in found] == [7, 35, 63]


@pytest.mark.further
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


@pytest.mark.further
def test_matches_with_distance_and_probability(capsys):
    run(capsys, "index", "model.keras", "records.npz")
    assert main(["match", "model.keras", "queries.npz"]) == 1
    assert "must be calibrated" in capsys.readouterr().err
    model = keras.saving.load_model("model.keras")
    model.calibrate(X + 0.001, CLASSES, verbose=0)
    model.save("model.keras")
    found = run_json(capsys, "match", "model.keras", "queries.npz")
    assert [each["label"] for each in found] == [3, 5, 9]
    assert [each["id"] for each in found] == [1, 5, 9]
    queries = np.load("queries.npz")["x"]
    matches = model.match(queries, return_details=True)
    np.testing.assert_allclose([each["distance"] for each in found], matches.distances)
    np.testing.assert_allclose([each["probability"] for each in found], matches.probabilities)
    np.savez("far.npz", x=queries + 100)
    (line,) = run(capsys, "match", "model.keras", "far.npz").splitlines()[2:3]
    assert line.split()[:2] == ["0", "none"]
    assert main(["match", "model.keras", "queries.npz", "--cutpoint", "sure"]) == 1
    assert "No `cutpoint` 'sure'" in capsys.readouterr().err


@pytest.mark.further
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


@pytest.mark.further
def test_scale_and_size_of_images(capsys, images):
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inputs)).save("any.keras")
    arguments = ["index", "any.keras", "train", "-o", "out.keras", "--distance", "l2"]
    run(capsys, *arguments, "--size", "6x5", "--scale", "1")
    largest = keras.saving.load_model("out.keras").vector_index
    assert 0.7 < largest.get(largest.ids).embeddings.max() <= 1
    assert main(arguments) == 1
    assert "--size" in capsys.readouterr().err
    for size in ("0x5", "-1x5", "5", "5x5x3"):
        assert main([*arguments, f"--size={size}"]) == 1
        error = capsys.readouterr().err
        assert "--size must be like 224x224" in error
        assert f"Received: {size}." in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "none.keras"], "exists.*none.keras"),
        (["info", "x.npy"], "index"),
        (["lookup", "program.py", "x.npy"], "MODEL must be a .keras file.*program.py"),
        (["lookup", "empty", "x.npy"], "an empty file"),
        (["lookup", "model.keras"], "either DATA, or --text"),
        (["lookup", "model.keras", "x.npy", "--text", "x"], "either DATA, or --text"),
        (["lookup", "model.keras", "x.npy", "--picture", "no/x.png"], "folder of --picture"),
        (["lookup", "model.keras", "file://far/x.npy"], "of this machine"),
        (["lookup", "model.keras", "photo.png"], "take images"),
        (["lookup", "model.keras", "--text", "x"], "takes strings"),
        (["lookup", "model.keras", "queries.npz"], "index with records.*tfsim index"),
        (["lookup", "plain.keras", "queries.npz"], "index with records"),
        (["index", "plain.keras", "records.npz"], "--output"),
        (["index", "model.keras", "program.py"], "folder of images, or end in one of .*npz"),
        (["index", "model.keras", "none.npy"], "none.npy"),
        (["index", "model.keras", "records.npz", "-o", "out.h5"], "end in .keras"),
        (["index", "model.keras", "records.npz", "--distance", "cosine"], "euclidean"),
        (["index", "model.keras", "."], "take images"),
        (["index", "model.keras", "x.npy", "--ids", "one.txt"], "expected 12. Received: 1"),
        (["index", "model.keras", "x.npy", "--ids", "line.txt"], "Received: an empty line"),
        (["index", "model.keras", "x.npy", "--ids", "none.txt"], "none.txt"),
        (["index", "model.keras", "x.npy", "--ids", "program.py"], "program.py"),
        (["index", "model.keras", "x.npy", "--ids", "latin.txt"], "latin.txt.*UTF-8.*0xe9 at 3"),
        (["lookup", "model.keras", "latin.txt"], "latin.txt.*UTF-8.*0xe9 at 3"),
        (["migrate", "cells.ipynb"], "cells.ipynb.*Cell 1.*text"),
        (["migrate", "list.ipynb"], "list.ipynb.*must have cells"),
        (
            ["index", "model.keras", "photo.png", "--labels", "y.npy"],
            "--labels.*Received: an image",
        ),
        (["index", "model.keras", "x.npy", "--labels", "x.npy"], "labels"),
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
    for arguments in (
        [],
        ["train"],
        ["lookup"],
        ["lookup", "model.keras", "x.npy", "-k", "0"],
        ["index", "model.keras", "x.npy", "--batch-size", "0"],
        ["serve", "model.keras", "--port", "70000"],
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


def test_a_traceback_on_request(capsys):
    with pytest.raises(ValueError, match="exists"):
        main(["info", "none.keras", "--traceback"])


def test_more_neighbours_than_there_are_is_all_there_are(capsys):
    run(capsys, "index", "model.keras", "records.npz")
    found = run_json(capsys, "lookup", "model.keras", "queries.npz", "-k", 10**12)
    assert [len(query["neighbors"]) for query in found] == [12, 12, 12]


def standard_input(monkeypatch, content):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_the_standard_input(capsys, monkeypatch):
    run(capsys, "index", "model.keras", "records.npz")
    expected = run_json(capsys, "lookup", "model.keras", "queries.npz")
    standard_input(monkeypatch, Path("queries.npz").read_bytes())
    assert run_json(capsys, "lookup", "model.keras", "-") == expected
    standard_input(monkeypatch, b"\xfe\xfe")
    assert main(["lookup", "model.keras", "-"]) == 1
    assert "2 bytes that are none of these" in capsys.readouterr().err


def test_a_file_url(capsys, folder):
    run(capsys, "index", "model.keras", "records.npz")
    expected = run_json(capsys, "lookup", "model.keras", "queries.npz")
    url = (folder / "queries.npz").as_uri()
    assert run_json(capsys, "lookup", "model.keras", url) == expected


def test_one_image_and_its_picture(capsys, images, monkeypatch):
    pytest.importorskip("matplotlib", reason="the extra [viz] is not installed")
    run(capsys, "index", "images.keras", "train")
    arguments = ["lookup", "images.keras", "loose/dog0.png", "-k", 2]
    (found,) = run_json(capsys, *arguments, "--picture", "found.png")
    assert found["query"] == "loose/dog0.png"
    assert [record["class"] for record in found["neighbors"]] == ["dog", "dog"]
    assert Path("found.png").read_bytes().startswith(b"\x89PNG")
    standard_input(monkeypatch, Path("loose/dog0.png").read_bytes())
    (again,) = run_json(capsys, "lookup", "images.keras", "-", "-k", 2)
    assert again == found | {"query": "-"}


@pytest.fixture
def texts(folder):
    """A model of the lengths of texts, with an index of some."""
    inputs = keras.Input((), dtype="string")
    split = keras.layers.TextVectorization(
        vocabulary=list("abc"), split="character", output_sequence_length=4
    )
    outputs = keras.layers.CategoryEncoding(5, output_mode="count")(split(inputs))
    model = SimilarityModel(inputs, outputs)
    model.create_index(distance="euclidean")
    words = np.array(["aa", "bb", "cc"])
    model.index(words, [0, 1, 2], data=words.tolist(), verbose=0)
    model.save("texts.keras")


@pytest.mark.further
def test_texts(capsys, texts, monkeypatch):
    pytest.importorskip("matplotlib", reason="the extra [viz] is not installed")
    (found,) = run_json(
        capsys, "lookup", "texts.keras", "--text", "bab", "-k", 1, "--picture", "found.png"
    )
    assert found["query"] == "bab"
    assert found["neighbors"][0]["label"] == 1
    assert Path("found.png").read_bytes().startswith(b"\x89PNG")
    Path("queries.txt").write_text("cc\n\nab\n", encoding="utf-8")
    found = run_json(capsys, "lookup", "texts.keras", "queries.txt", "-k", 1)
    assert [query["query"] for query in found] == ["cc", "ab"]
    standard_input(monkeypatch, b"cc\nab")
    assert run_json(capsys, "lookup", "texts.keras", "-", "-k", 1) == found
    np.save("words.npy", np.array(["cc", "ab"]))
    found = run_json(capsys, "lookup", "texts.keras", "words.npy", "-k", 1)
    assert [query["neighbors"][0]["label"] for query in found][:1] == [2]
    assert main(["lookup", "texts.keras", "x.npy"]) == 1
    assert "must have texts" in capsys.readouterr().err


def test_a_text_a_line_whatever_its_characters(capsys, texts):
    lines = ["ab\u2028c", "b\x0cb", "cc\x85"]
    Path("queries.txt").write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
    np.save("classes.npy", [4, 4, 5])
    run(
        capsys,
        *("index", "texts.keras", "queries.txt", "--labels", "classes.npy"),
        *("--ids", "queries.txt", "--reset"),
    )
    index = SimilarityModel.load("texts.keras").vector_index
    assert index.keys.tolist() == lines
    assert index.get(lines).labels.tolist() == [4, 4, 5]
    np.save("classes.npy", [4, 4])
    assert main(["index", "texts.keras", "queries.txt", "--labels", "classes.npy"]) == 1
    assert "expected 3" in capsys.readouterr().err


def odd_arrays():
    """Files that are not what their names say."""

    def saved(save, *values, **named):
        file = io.BytesIO()
        save(file, *values, **named)
        return file.getvalue()

    npy, npz = saved(np.save, X), saved(np.savez, x=X)
    yield "empty.npy", b""
    yield "empty.npz", b""
    yield "text.npy", b"not an array"
    yield "text.npz", b"not an archive"
    yield "archive.npy", npz
    yield "array.npz", npy
    yield "other.npz", saved(np.savez, z=X)
    member = io.BytesIO()
    with zipfile.ZipFile(member, "w") as archive:
        archive.writestr("x.npy", b"not an array")
    yield "member.npz", member.getvalue()
    yield "objects.npy", saved(np.save, np.array([{}, None], object))
    yield "records.npy", saved(np.save, np.zeros(3, [("a", "f4")]))
    yield "scalar.npy", saved(np.save, np.float32(3))
    yield "none.npy", saved(np.save, np.zeros((0, 2)))
    yield "flat.npy", saved(np.save, np.zeros((3, 0)))
    yield "wide.npy", saved(np.save, np.zeros((3, 5)))
    yield "deep.npy", saved(np.save, np.zeros((3, 2, 2)))
    yield "words.npy", saved(np.save, np.array(["a", "b"]))
    yield "huge.npy", npy.replace(b"(12, 2)", b"(9**99,)").replace(b"12, 2", b"12**9")
    for part in (1, 6, 8, 9, 20, 60, 100, len(npy) - 1):
        yield f"cut-{part}.npy", npy[:part]
    for part in (3, 30, 100, len(npz) // 2, len(npz) - 1):
        yield f"cut-{part}.npz", npz[:part]
    rng = np.random.default_rng(0)
    for number, content in enumerate((npy, npz) * 20):
        changed = bytearray(content)
        for place in rng.integers(128, size=4):
            changed[place] = rng.integers(256)
        yield f"changed-{number}.{'npz' if number % 2 else 'npy'}", bytes(changed)


@pytest.mark.further
def test_arrays_that_are_none_get_a_line(capsys, folder):
    run(capsys, "index", "model.keras", "records.npz")
    for name, content in odd_arrays():
        Path(name).write_bytes(content)
        code = main(["lookup", "model.keras", name, "--quiet"])
        captured = capsys.readouterr()
        if not name.startswith("changed"):  # a changed one may be an array still
            assert code == 1, name
        if code == 1:
            assert captured.err.startswith("tfsim: error: "), name
            assert len(captured.err.splitlines()) == 1, captured.err
        for option in ("index", "evaluate"):
            if not name.startswith("changed"):
                assert main([option, "model.keras", name, "--quiet"]) == 1
        assert main(["index", "model.keras", "x.npy", "--labels", name, "--quiet"]) in (0, 1)
        capsys.readouterr()


TFSIM = [sys.executable, "-c", "import sys, _tfsim; sys.exit(_tfsim.main())"]


def in_a_process(*arguments):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run([*TFSIM, *arguments], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["lookup", "--help"], 0),
        (["--version"], 0),
        (["train"], 2),
        (["lookup", "model.keras", "records.npz", "-k", "none"], 2),
        (["lookup", "none.keras", "records.npz"], 1),
        (["lookup", "program.py", "records.npz"], 1),
        (["lookup", "model.keras", "none.npz"], 1),
    ],
)
@pytest.mark.slow_cases("arguments2-0", "arguments1-0")
def test_what_needs_no_model_imports_nothing_heavy(arguments, code):
    program = """
import sys, _tfsim
try:
    code = _tfsim.main(sys.argv[1:])
except SystemExit as error:
    code = error.code
print(sorted({"keras", "tensorflow", "numpy", "tensorflow_similarity"} & set(sys.modules)), code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == f"[] {code}"


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"tfsim {tensorflow_similarity.__version__}\n"


@pytest.mark.slow
def test_in_a_process_of_its_own(folder):
    done = in_a_process("info", "model.keras", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["model"]["name"] == "line"
    assert done.stderr == ""  # without TensorFlow's log
    assert in_a_process("--help").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 1, 2, 3])
def test_an_interrupt_while_it_starts_shows_no_traceback(folder, seconds):
    process = subprocess.Popen(
        [*TFSIM, "info", "model.keras"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    assert process.returncode == 130 or "line" in out


def test_names_that_python_gave_are_those_of_the_command_line(capsys):
    names = np.array(["cat", "dog", "owl"])[np.unique(CLASSES, return_inverse=True)[1]]
    index = Index(embedding_size=2, distance="euclidean")
    index.add(X, labels=names)
    index.save("named.tfsim")
    np.save("queries.npy", X[1::4])
    found = run_json(capsys, "lookup", "named.tfsim", "queries.npy", "-k", 1)
    assert [query["neighbors"][0]["class"] for query in found] == ["cat", "dog", "owl"]
    table = run(capsys, "lookup", "named.tfsim", "queries.npy", "-k", 1)
    assert [line.split()[3] for line in table.splitlines()[2:]] == ["cat", "dog", "owl"]
