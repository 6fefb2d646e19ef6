"""Imports inside the package flow one way, and none of them needs an extra."""

import ast
import sys
from pathlib import Path

import pytest

import house
import tensorflow_similarity
from every import every
from fresh import fresh
from house import CORE, ORDER
from tensorflow_similarity._registration import LATE

PACKAGE = Path(tensorflow_similarity.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imports(path, everywhere):
    """Modules that a file imports when it is loaded, or anywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else at_load(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


def at_load(node):
    """Nodes that run on import: not those in functions, nor those for type checkers only."""
    for child in ast.iter_child_nodes(node):
        for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and not for_types:
            yield child
            yield from at_load(child)


def part(module):
    """The direct child of the package that a module belongs to, or None."""
    names = module.split(".")
    return names[1] if names[0] == "tensorflow_similarity" and len(names) > 1 else None


def test_every_part_has_its_place():
    assert {part(module) for module in MODULES if part(module)} == set(ORDER)


def test_the_map_in_contributing_is_that_of_the_order():
    assert house.shown() == house.drawn(), "run: python tests/house.py"


def test_the_map_fits_its_page():
    assert max(len(line) for line in house.drawn().split("\n")) <= 100


def check_imports_go_up(path):
    here = part(module_name(path))
    if here is None:  # The package itself gathers everything.
        return
    for module in imports(path, everywhere=False):
        there = part(module)
        if there not in (None, here):
            assert ORDER.index(there) < ORDER.index(here), f"{here} imports {module}"


def test_imports_go_up_only():
    assert len(FILES) > 200
    every(check_imports_go_up, FILES)


@pytest.mark.further
def test_no_circle_between_modules():
    graph = {
        module_name(path): {m for m in imports(path, everywhere=False) if m in MODULES}
        for path in FILES
    }
    done, path = set(), []

    def visit(module):
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module not in done:
            path.append(module)
            for other in sorted(graph[module] - {module}):
                visit(other)
            path.pop()
            done.add(module)

    for module in graph:
        visit(module)


def check_only_core_is_loaded(path):
    known = CORE | set(sys.stdlib_module_names) | {"tensorflow_similarity"}
    assert {module.split(".")[0] for module in imports(path, everywhere=False)} <= known


def test_only_core_dependencies_are_loaded():
    every(check_only_core_is_loaded, FILES)


@pytest.mark.further
def test_plain_import_loads_no_extra(tmp_path):
    # TensorFlow and Keras take some of them along by themselves where they are installed.
    program = """
import sys, tensorflow_similarity, tensorflow_similarity.cli
for name in tensorflow_similarity.__all__:
    getattr(tensorflow_similarity, name)
extras = {"matplotlib", "mlxtend", "pandas", "PIL", "scipy", "sklearn", "tensorflow_datasets"}
print(extras & (set(sys.modules) - before))
"""
    assert fresh(program, tmp_path) == "set()"


def registered_names(path):
    """The names under which a file registers classes with Keras."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for call in node.decorator_list:
                if "register_keras_serializable" in ast.dump(call):
                    names = [k.value.value for k in call.keywords if k.arg == "name"]
                    yield names[0] if names else node.name


def test_late_classes_are_known_by_name():
    """A class that `import tensorflow_similarity` does not import must be in `LATE`."""
    early = {"distances", "layers", "losses", "mining", "regularizers", "training_metrics"}
    late = {
        name
        for path in FILES
        if part(module_name(path)) not in early
        and module_name(path) != "tensorflow_similarity.compat.tensorflow_addons"
        for name in registered_names(path)
    }
    assert late == set(LATE)
