"""The engines of docs/engines.md, and engines that packages bring along."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

from code_blocks import blocks
from fresh import fresh
from oracle.search import nearest
from tensorflow_similarity.index import Engine, Index, register

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
CODE = [b.code for b in blocks(PAGE.read_text(encoding="utf-8")) if b.language == "python"]


def check(index, folder):
    """Answers with true distances at the recall that was asked for, saved and loaded too."""
    x = np.random.default_rng(1).normal(size=(6000, 8)).astype(np.float32)
    index.add(x)
    queries = x[:200] + np.float32(0.05)
    found = index.lookup(queries, k=5)
    ids, true = nearest(queries, x, 5, index.distance.name)
    assert index.engine == index.search
    hits = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found.ids, ids, strict=True)])
    assert hits > 0.85
    same = found.ids == ids
    np.testing.assert_allclose(found.distances[same], true[same], rtol=1e-4, atol=1e-5)
    index.delete(np.unique(found.ids[:, 0]))
    assert not np.isin(found.ids[:, 0], index.lookup(queries, k=5).ids).any()
    index.save(folder / "saved")
    again = Index.load(folder / "saved")
    assert again.engine == index.engine
    np.testing.assert_array_equal(again.lookup(queries, k=5).ids, index.lookup(queries, k=5).ids)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
@pytest.mark.further
def test_the_engine_in_numpy(distance, tmp_path):
    exec(compile(CODE[0], str(PAGE), "exec"), {})
    check(Index(8, distance, search="numpy_lists", target_recall=0.9), tmp_path)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product", "squared_euclidean"])
def test_the_engine_of_a_library(distance, tmp_path):
    if importlib.util.find_spec("hnswlib") is None:
        pytest.skip("hnswlib is not installed")
    exec(compile(CODE[1], str(PAGE), "exec"), {})
    check(Index(8, distance, search="hnswlib"), tmp_path)


class Nothing(Engine):
    """An engine whose methods are not reached."""

    distances = frozenset(["cosine"])
    build = search = content = load = None


def test_a_library_that_is_not_there():
    @register
    class Missing(Nothing):
        name = "missing_library"
        library = "a_library_that_is_not_there"

    with pytest.raises(ImportError, match=r"missing_library.*a_library_that_is_not_there"):
        Index(8, "cosine", search="missing_library")


def test_a_library_made_by_swig_where_warnings_are_errors(tmp_path, monkeypatch):
    """Such a warning, as an error, is a segmentation fault of faiss before 1.14."""
    code = "import warnings\nwarnings.warn({!r}, DeprecationWarning)\n"
    said = {
        "made_by_swig": "builtin type SwigPyPacked has no __module__ attribute",
        "made_by_hand": "made_by_hand is old",
    }
    for library, message in said.items():
        (tmp_path / f"{library}.py").write_text(code.format(message))
    monkeypatch.syspath_prepend(tmp_path)

    for library in said:
        register(type(library, (Nothing,), {"name": library, "library": library}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Index(8, "cosine", search="made_by_swig").search == "made_by_swig"
        with pytest.raises(DeprecationWarning, match="made_by_hand is old"):
            Index(8, "cosine", search="made_by_hand")


@pytest.mark.further
def test_a_class_that_is_defined_again_replaces_itself():
    for _ in range(2):  # as a cell of a notebook that is run twice
        exec(compile(CODE[0], str(PAGE), "exec"), {"__name__": "a_notebook"})
    with pytest.raises(ValueError, match=r"`engine.name`.*'numpy_lists'"):
        exec(compile(CODE[0].replace("ListsEngine", "Other"), str(PAGE), "exec"), {})


@pytest.mark.further
def test_an_entry_point_is_found(tmp_path):
    """In a process of its own, where nobody imports the package."""
    code = CODE[0].replace("numpy_lists", "from_a_package").partition("\nx = ")[0]
    (tmp_path / "my_package.py").write_text(code, encoding="utf-8")
    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[tensorflow_similarity.engines]\n"
        "from_a_package = my_package:ListsEngine\n"
        "broken = not_a_module:Engine\n"
    )
    program = (
        "import warnings; warnings.simplefilter('error', ImportWarning); import sys; "
        f"sys.path.insert(0, {str(tmp_path)!r}); "
        "from tensorflow_similarity.index import Index; "
        "print(Index(8, 'euclidean', search='from_a_package').search)"
    )
    written = fresh(program, tmp_path)
    assert written.endswith("from_a_package")
    assert "'broken'" in written
    assert "not_a_module" in written
