"""Makes every test run the same way: on the CPU, from fixed seeds, quietly."""

from __future__ import annotations

import functools
import gc
import os
import sys
from unittest import mock

# Read by TensorFlow and OpenMP when they are first imported, hence before anything else here.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")
# The threads of search engines do not spin while they wait: the workers of pytest share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What XLA compiles runs for milliseconds here: it need not be compiled for speed.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import pytest
from hypothesis import HealthCheck, settings

# A first example may trace or compile a graph, which no deadline survives.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tests")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Spares the garbage collector what the imports make: millions of objects, all of them kept."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


#: How many cases of a test `make test` has, at most.
FAST_CASES = 3


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is slow
def pytest_collection_modifyitems(config, items):
    """Marks cases as slow by `further` and `slow_cases`, and refuses names that no case has.

    Of a test with many cases a run of all tests has some, evenly spread, and the slow tests the
    others; a run of files or of names that are given has them all.
    """
    unknown, cases = {}, {}
    for item in items:
        case = item.callspec.id if hasattr(item, "callspec") else None
        test = item.nodeid.split("[")[0]
        for name, those_named_are_slow in (("further", False), ("slow_cases", True)):
            mark = item.get_closest_marker(name)
            if mark is None:
                continue
            if (case in mark.args) == those_named_are_slow:
                item.add_marker(pytest.mark.slow)
            unknown.setdefault((name, test), set(mark.args)).discard(case)
        if item.get_closest_marker("slow") is None:
            cases.setdefault(test, []).append(item)
    unknown = {test: names for test, names in unknown.items() if names}
    if unknown and not any("::" in str(argument) for argument in config.args):
        raise pytest.UsageError(f"Marks of tests name cases that do not exist: {unknown}")
    given = {config.rootpath / argument for argument in config.args}
    if given == {config.rootpath / path for path in config.getini("testpaths")}:
        for fast in cases.values() if not config.option.keyword else ():
            kept = {place * len(fast) // FAST_CASES for place in range(FAST_CASES)}
            for place in set(range(len(fast))) - kept:
                fast[place].add_marker(pytest.mark.further)
                fast[place].add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def _tensorflow_is_seeded() -> None:
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _seeded(_tensorflow_is_seeded) -> None:
    """Seeds Python, NumPy and Keras before each test.

    TensorFlow is seeded once: its graphs begin anew from the seed, each of them, and it forgets the
    kernels of all operations when it is seeded, which costs small tests half their time.
    """
    # Imported here, for the process that only hands out tests to others needs no TensorFlow.
    import keras

    with mock.patch("tensorflow.random.set_seed"):
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _xla_where_it_is_asked_for():
    """Models are compiled by XLA only with `jit_compile=True`.

    It is Keras' default, and takes longer to compile than small models to train. Each loss is
    trained with it in one test; the pages, notebooks and examples run as their users run them.
    """
    import keras

    owner = next(cls for cls in keras.Model.__mro__ if "compile" in vars(cls))
    compile_ = owner.compile

    @functools.wraps(compile_)
    def without(self, *args, **kwargs):
        return compile_(self, *args, **{"jit_compile": False} | kwargs)

    if keras.backend.backend() != "tensorflow":
        yield
    else:
        with mock.patch.object(owner, "compile", without):
            yield


@pytest.fixture(autouse=True)
def _keras_state():
    """Leaves no dtype policy or float type behind for the next test."""
    import keras

    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx)


@pytest.fixture(autouse=True)
def _engines():
    """Leaves no search engine behind that a test registered: `search="auto"` would try it."""
    module = sys.modules.get("tensorflow_similarity.index.engines")
    before = None if module is None else dict(module._ENGINES)
    yield
    if module is not None:
        module._ENGINES.clear()
        module._ENGINES.update(before)
