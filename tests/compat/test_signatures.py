"""Each argument that a working function of 0.17 had is taken, or an error says what it is now."""

import importlib
import inspect
from pathlib import Path

import pytest

from tensorflow_similarity.compat import arguments, names

# `module name arguments`, as they stand in 0.17.1; those after a star by name only.
LIST = Path(__file__).parent / "data/tensorflow_similarity_0.17_arguments.txt"
# What differs, and where it is said.
DIFFERS = {
    # Of distances: `name` is a class attribute, as a subclass with `call` is told.
    *((name, argument) for name in ("Distance",) for argument in ("name", "aliases")),
    *(
        (f"{name}Distance", argument)
        for name in ("Cosine", "Euclidean", "SquaredEuclidean", "Manhattan", "SNR")
        for argument in ("name", "aliases")
    ),
    ("distance_canonicalizer", "user_distance"),  # It was called by position.
    ("Sampler", "classes_per_batch"),  # The base of samplers: the page of old names says so.
    ("Sampler", "examples_per_class_per_batch"),
    ("Sampler", "num_augmentations_per_example"),
    ("Sampler", "warmup"),
    *(  # Keras 3 has none of these.
        ("ContrastiveModel.predict", argument)
        for argument in ("max_queue_size", "workers", "use_multiprocessing")
    ),
    ("DistanceMetric.update_state", "labels"),  # Keras calls it.
    ("DistanceMetric.update_state", "embeddings"),
    ("DistanceGapMetric.update_state", "labels"),
    ("DistanceGapMetric.update_state", "embeddings"),
}
# Methods that only the library itself called.
INTERNAL = {
    "Barlow.off_diagonal",
    "Barlow.standardize_columns",
    "ClassificationMatch.compile",
    "ClassificationMatch.compute_count",
    "ContrastiveModel.test_step",
    "ContrastiveModel.train_step",
    "SimCLRLoss.contrast",
    "SimCLRLoss.cross_replica_concat",
    "Value.numpy",
    "VicReg.cov_loss_each",
    "VicReg.mean_center_columns",
    "VicReg.off_diagonal",
    "Sampler.generate_batch",
}


def listed():
    """`(what it is here, name, arguments)` of each function and method that works."""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        module, name, *rest = line.split(" ")
        top, _, method = name.partition(".")
        fate = names.fate(f"tensorflow_similarity.{module}", top)
        assert fate is not None, line
        if fate.target is None or name in INTERNAL:
            continue
        where, _, attribute = fate.target.rpartition(".")
        found = getattr(importlib.import_module(f"tensorflow_similarity.{where}"), attribute)
        yield found, method, name, rest[0].split(",") if rest else []


CASES = list(listed())


def test_methods_are_here():
    assert len(CASES) > 100
    assert [name for found, method, name, _ in CASES if method and not hasattr(found, method)] == []


def test_arguments_are_taken_or_explained():
    wrong = []
    for found, method, name, old in CASES:
        function = getattr(found, method) if method else found
        parameters = inspect.signature(function).parameters
        if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            parameters = {**parameters, **dict.fromkeys(passed_on(found, method))}
        # A method of `ContrastiveModel` is that of `SimilarityModel`.
        known = {name, name.replace("ContrastiveModel.", "SimilarityModel.")}
        for argument in old:
            argument = argument.removeprefix("*")
            explained = any(arguments.removed(each, argument) for each in known)
            explained |= argument in arguments.RENAMED.get(function.__name__, {})
            if argument not in parameters and not explained and (name, argument) not in DIFFERS:
                wrong.append(f"{name}({argument}=)")
    assert wrong == []


def passed_on(found, method):
    """The arguments that a base takes, of those that a function takes as `**kwargs`."""
    for base in getattr(found, "__mro__", ()):
        function = base.__dict__.get(method or "__init__")
        if function is not None:
            yield from inspect.signature(function).parameters


@pytest.mark.parametrize("name", sorted(name for name, _ in DIFFERS))
def test_no_exception_is_left_over(name):
    assert name in {each for _, _, each, _ in CASES}
