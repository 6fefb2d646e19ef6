"""Public things are documented, the documentation fits the signature, and its examples run."""

import dataclasses
import inspect
import re

import pytest

import public_api
from code_blocks import blocks, run
from every import every

OBJECTS = public_api.objects()


def documented():
    """Public objects with their public methods, by name."""
    for name, value in OBJECTS.items():
        yield name, value
        if inspect.isclass(value):
            for method_name, method in public_api.methods(value).items():
                yield f"{name}.{method_name}", method


DOCUMENTED = dict(documented())
WITH_EXAMPLE = {
    name: value
    for name, value in DOCUMENTED.items()
    if any(block.language == "python" for block in blocks(inspect.getdoc(value) or ""))
}
# What an example needs beside the package, where that is too heavy for every run of the tests.
HEAVY = {
    "tensorflow_similarity.index.MilvusIndex": "milvus_lite",
    "tensorflow_similarity.samplers.HuggingFaceSampler": "datasets",
}
SECTION = re.compile(r"^Args:\n(?P<body>(?:(?:[ \t]+.*)?\n)*)", re.MULTILINE)


def arguments_documented(doc):
    """Names in the Args section of a docstring, or None where there is no such section."""
    match = SECTION.search(doc + "\n")
    if match is None:
        return None
    body = inspect.cleandoc("\n" + match["body"])
    names = re.findall(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*):", body, re.MULTILINE)
    return {name.strip("* ") for group in names for name in group.split(",")}


def test_everything_public_has_a_docstring():
    assert len(DOCUMENTED) > 1000
    assert [name for name, value in DOCUMENTED.items() if not inspect.getdoc(value)] == []


def check_arguments(name):
    value = DOCUMENTED[name]
    if isinstance(value, property):
        return
    names = arguments_documented(inspect.getdoc(value) or "")
    if names is None:
        return
    parameters = inspect.signature(value).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = {p.name for p in parameters if p.name != "self" and p.kind not in variadic}
    accepted = required | {p.name for p in parameters if p.kind in variadic}
    assert required <= names, f"not documented: {sorted(required - names)}"
    if not any(p.kind in variadic for p in parameters):
        assert names <= accepted, f"documented, but no argument: {sorted(names - accepted)}"


def test_arguments_documented_are_those_of_the_signature():
    with_arguments = [
        name
        for name, value in DOCUMENTED.items()
        if arguments_documented(inspect.getdoc(value) or "")
    ]
    assert len(with_arguments) > 200
    every(check_arguments, DOCUMENTED)


@pytest.mark.further
@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_example_runs(name, tmp_path, monkeypatch):
    if name in HEAVY:
        pytest.importorskip(HEAVY[name], reason="an extra that is not installed")
    monkeypatch.chdir(tmp_path)
    assert run(inspect.getdoc(WITH_EXAMPLE[name]), name) > 0


# Bases, and what the examples of that which takes or returns it show.
WITHOUT_EXAMPLE = {
    "All",
    "CallableDistance",
    "Farthest",
    "MetricEmbedding",
    "MinedLoss",
    "MiningStrategy",
    "Nearest",
    "Neighbors",
    "NeighborsWithin",
    "Ranking",
    "Pairs",
    "Rows",
    "SemiHard",
    "TFDatasetMultiShotMemorySampler",  # it would download something
}


def needs_example(cls):
    return not (
        issubclass(cls, Exception)
        or dataclasses.is_dataclass(cls)
        or cls.__name__ in WITHOUT_EXAMPLE
    )


def test_classes_have_an_example():
    classes = [n for n, v in OBJECTS.items() if inspect.isclass(v) and needs_example(v)]
    shown = {*WITH_EXAMPLE, *(name.rpartition(".")[0] for name in WITH_EXAMPLE)}
    assert len(classes) > 100
    assert [name for name in classes if name not in shown] == []
