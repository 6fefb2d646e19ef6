"""Every public name of the older libraries works, or says what to write instead."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import tensorflow_similarity
from tensorflow_similarity.compat import names

DATA = Path(__file__).parent / "data"
# Lists of names, as they stand in the packages of these versions.
SIMILARITY = ("tensorflow_similarity_0.17", "tensorflow_similarity_0.18.dev")
ADDONS = "tensorflow_addons_0.23"


def listed(name):
    """`(module, name)` of a list, with None where a line names a module."""
    for line in (DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        module, _, attribute = line.partition(" ")
        yield f"tensorflow_similarity.{module}", attribute or None


@pytest.mark.parametrize("version", SIMILARITY)
def test_every_module_imports(version):
    for module, _ in listed(version):
        importlib.import_module(module)


@pytest.mark.parametrize("version", SIMILARITY)
def test_every_name_works_or_names_its_replacement(version):
    wrong = []
    for module, name in listed(version):
        if name is None or module.endswith(".api"):  # which repeats the package
            continue
        fate = names.fate(module, name)
        if fate is None:
            wrong.append(f"{module}.{name}: not in the table")
            continue
        program = f"from {module} import {name} as found"
        space = {}
        try:
            exec(program, space)
        except ImportError as error:
            if fate.target is not None or fate.note not in str(error) or name not in str(error):
                wrong.append(f"{module}.{name}: {error}")
            continue
        where, _, attribute = (fate.target or "").rpartition(".")
        if fate.target is None:
            wrong.append(f"{module}.{name}: works, and the table says that it is gone")
        elif space["found"] is not getattr(
            importlib.import_module(f"tensorflow_similarity.{where}"), attribute
        ):
            wrong.append(f"{module}.{name}: is not {fate.target}")
    assert wrong == []


def test_the_modules_of_api_are_those_of_the_package():
    for _, name in listed(SIMILARITY[0]):
        if _ == "tensorflow_similarity.api" and name:
            importlib.import_module(f"tensorflow_similarity.api.{name}")


def test_every_loss_of_addons_works_or_names_its_replacement():
    losses = importlib.import_module("tensorflow_similarity.losses")
    addons = importlib.import_module("tensorflow_similarity.compat.tensorflow_addons")
    for _, name in listed(ADDONS):
        fate = names.fate("tensorflow_addons.losses", name)
        if fate.target is None:
            assert fate.note
            assert not hasattr(addons, name)
        else:
            assert callable(getattr(losses, name))
            assert callable(getattr(addons, name))


def test_no_name_is_in_the_table_but_in_no_list():
    known = {pair for version in SIMILARITY for pair in listed(version)}
    known |= {("tensorflow_addons.losses", name) for _, name in listed(ADDONS)}
    # `Tensor` is TensorFlow's, and imported from `types` all the same.
    known |= {("tensorflow_similarity.types", "Tensor")}
    # `TFDataSampler` was in a submodule, and is in `samplers` here.
    assert {pair for pair in names.fates() if pair not in known} == set()


def test_a_gone_name_says_what_to_write():
    for (module, name), fate in names.fates().items():
        if fate.status == "gone":
            assert fate.target is None, (module, name)
            assert fate.note.strip(), (module, name)
            # What it names of this package exists.
            for path in re.findall(r"`((?:losses|layers|index|callbacks)\.\w+)`", fate.note):
                where, _, attribute = path.partition(".")
                found = importlib.import_module(f"tensorflow_similarity.{where}")
                assert hasattr(found, attribute), (module, name, path)
        else:
            assert fate.target is not None, (module, name)
        assert fate.status != "changed" or fate.note, (module, name)


def test_unknown_names_stay_unknown():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tensorflow_similarity.never_there")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tensorflow_similarity.search.never_there")
    with pytest.raises(AttributeError, match="never_there"):
        _ = tensorflow_similarity.never_there
    for module in ("losses", "types", "architectures", "samplers"):
        found = importlib.import_module(f"tensorflow_similarity.{module}")
        assert not hasattr(found, "never_there")
        with pytest.raises(ImportError):
            exec(f"from tensorflow_similarity.{module} import never_there")


def test_old_modules_list_what_works():
    types = importlib.import_module("tensorflow_similarity.types")
    assert {"FloatTensor", "Lookup"} <= set(dir(types))
    assert all(hasattr(types, name) for name in dir(types))
    assert "SimCLRAugmenter" not in dir(tensorflow_similarity.augmenters)
    assert "augmenters" not in dir(tensorflow_similarity)


def test_annotations_with_the_old_types():
    from tensorflow_similarity.types import FloatTensor, IntTensor, Lookup

    def function(x: FloatTensor, y: "IntTensor | None" = None) -> "list[Lookup]":
        return [x, y]

    assert list(inspect.signature(function).parameters) == ["x", "y"]
    assert function(1) == [1, None]
