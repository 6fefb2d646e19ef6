"""Lists the changes that a program for an older library needs. Programs are never run."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorflow_similarity.compat import arguments, names

__all__ = ["Change", "changes", "notebook_changes"]

_SIMILARITY, _ADDONS = "tensorflow_similarity", "tensorflow_addons"
_ROOTS = (_SIMILARITY, _ADDONS)
_IMPORT_ADDONS = (
    "write `from tensorflow_similarity.compat import tensorflow_addons as tfa`: the losses of 0.23 "
    "with their defaults, also as `tfa.losses`."
)
_OTHER_FIELD = "this package has the losses of Addons alone."
_NEVER = "it is neither here, nor was it in 0.17."
_PREPROCESSING = "in Keras 3 these layers are in `keras.layers`."
_FORMATS = (".keras", ".h5", ".hdf5")
_FILE = {
    "load_model": "Keras 3 reads no SavedModel; of one that was saved by Keras 2, "
    "`compat.tensorflow_similarity.load_weights` reads the weights, and `convert_index` the index.",
    "save": 'Keras 3 writes `.keras` files: `model.save("model.keras")` has the index in it.',
}
_LEGACY = "this package needs Keras 3. Leave it out."
# Methods that work, and find other files than they did.
_METHODS = {
    "load_index": "a folder that 0.17 saved is read by `compat.tensorflow_similarity."
    "convert_index`; a model loaded from a `.keras` file has its index already.",
}
_VALUES: dict[tuple[str, Any], str] = {("search", "linear"): 'the exact search is called "exact".'}


@dataclasses.dataclass(frozen=True)
class Change:
    """A place in a program, and what to change there.

    Attributes:
        line: The line, from 1.
        name: The name, or the argument: `"SimilarityModel.index(build=)"`.
        status: `"gone"`: the line fails as it is. `"changed"`: it works, and differs in what
            `advice` says. `"renamed"`: it works, under a name that is the old one.
        advice: What to write instead, or what differs.
        cell: Of a notebook, the cell, from 1.
    """

    line: int
    name: str
    status: str
    advice: str
    cell: int | None = None


def changes(source: str) -> list[Change]:
    """Lists the changes that a program for an older library needs.

    Names are followed through imports and their aliases. Methods are known by their names, so
    that one of another object may be listed by mistake.

    Args:
        source: The text of the program.

    Returns:
        The places by line.

    Raises:
        ValueError: If it is not Python.

    Example:

    ```python
    from tensorflow_similarity.compat import migration

    found = migration.changes("from tensorflow_similarity.augmenters import SimCLRAugmenter")
    [change.line for change in found]  # [1]
    ```
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(f"Line {error.lineno} is not Python 3: {error.msg}.") from error
    reader = _Reader()
    reader.imports(tree)
    reader.visit(tree)
    return sorted(set(reader.found), key=lambda change: (change.line, change.name))


def notebook_changes(notebook: Mapping[str, Any]) -> list[Change]:
    """Lists the changes that a Jupyter notebook needs.

    Args:
        notebook: What its JSON holds.

    Returns:
        The places by cell and line.

    Raises:
        ValueError: If it is no notebook, or its code is not Python.
    """
    cells = notebook.get("cells") if isinstance(notebook, Mapping) else None
    if not isinstance(cells, Sequence):
        raise ValueError("A notebook must have cells. Received: JSON without them.")
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    for number, cell in enumerate(cells, start=1):
        text = _source(cell, number)
        if cell.get("cell_type") != "code":
            continue
        for line, code in enumerate(_without_magics(text.splitlines()), start=1):
            lines.append(code)
            places.append((number, line))
    try:
        found = changes("\n".join(lines))
    except ValueError as error:
        if not isinstance(error.__cause__, SyntaxError) or not error.__cause__.lineno:
            raise
        cell, line = places[min(error.__cause__.lineno, len(places)) - 1]
        raise ValueError(f"Cell {cell}, line {line}: {error.__cause__.msg}.") from error
    return [
        dataclasses.replace(each, cell=places[each.line - 1][0], line=places[each.line - 1][1])
        for each in found
    ]


def _source(cell: Any, number: int) -> str:
    """The text of a cell of a notebook, which is a string or a list of them."""
    source = cell.get("source", "") if isinstance(cell, Mapping) else None
    lines = [source] if isinstance(source, str) else source
    if not isinstance(lines, Sequence) or not all(isinstance(line, str) for line in lines):
        raise ValueError(f"Cell {number} of a notebook must have a text as its source.")
    return "".join(lines)


def _without_magics(lines: list[str]) -> Iterator[str]:
    """Replaces IPython commands by lines that do nothing."""
    if lines and lines[0].startswith("%%"):
        # Of a cell in another language nothing is read.
        rest = lines[1:] if lines[0][2:].split()[0] in ("time", "timeit", "capture") else []
        yield "pass"
        yield from _without_magics(rest)
        return
    for line in lines:
        begin = line.lstrip()
        is_magic = begin.startswith(("%", "!", "?")) or begin.rstrip().endswith("?")
        yield line[: len(line) - len(begin)] + "pass" if is_magic else line


class _Reader(ast.NodeVisitor):
    """Collects the changes that a program needs."""

    def __init__(self) -> None:
        self.found: list[Change] = []
        self._known: dict[str, str] = {}  # local name -> what it is of the older libraries
        self._others: set[str] = set()  # local names that are imported from elsewhere

    def imports(self, tree: ast.AST) -> None:
        """Records the names that imports bind, anywhere in the program."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    root = each.name.partition(".")[0]
                    bound = each.asname or root
                    if root in _ROOTS:
                        self._known[bound] = each.name if each.asname else root
                    else:
                        self._others.add(bound)
            elif isinstance(node, ast.ImportFrom):
                for each in node.names:
                    bound = each.asname or each.name
                    if (node.module or "").partition(".")[0] in _ROOTS and not node.level:
                        self._known[bound] = f"{node.module}.{each.name}"
                    else:
                        self._others.add(bound)

    def visit_Import(self, node: ast.Import) -> None:
        for each in node.names:
            root = each.name.partition(".")[0]
            if root == _ADDONS:
                self._add(node, _ADDONS, "gone", _IMPORT_ADDONS)
            elif root == "tf_keras":
                self._add(node, root, "gone", _LEGACY)
            elif root == _SIMILARITY and "." in each.name:
                self._module(node, each.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        root = module.partition(".")[0]
        if node.level or root not in _ROOTS:
            if root == "tf_keras":
                self._add(node, root, "gone", _LEGACY)
            return
        if root == _ADDONS:
            self._add(node, _ADDONS, "gone", _IMPORT_ADDONS)
        for each in node.names:
            if each.name != "*":
                self._name(node, f"{module}.{each.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = self._dotted(node)
        if dotted is not None:
            # What an import names was listed there.
            if self._fate(dotted)[0] not in self._known.values():
                self._name(node, dotted)
        else:
            self.generic_visit(node)

        if node.attr == "preprocessing" and getattr(node.value, "attr", "") == "experimental":
            self._add(node, "experimental.preprocessing", "gone", _PREPROCESSING)

    def visit_Constant(self, node: ast.Constant) -> None:
        if node.value == "TF_USE_LEGACY_KERAS":
            self._add(node, "TF_USE_LEGACY_KERAS", "gone", _LEGACY)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        self._file(node)
        function = self._called(node.func)
        if function is None:
            return
        method = function.rpartition(".")[2]
        if function.startswith("SimilarityModel.") and method in _METHODS:
            self._add(node, f"{function}()", "changed", _METHODS[method])
        for keyword in node.keywords:
            note = arguments.removed(function, keyword.arg or "")
            if note is None and isinstance(keyword.value, ast.Constant):
                note = _VALUES.get((keyword.arg or "", keyword.value.value))
            name = arguments.RENAMED.get(function, {}).get(keyword.arg or "")
            if name is not None:
                advice = f"the argument is called `{name}`."
                self._add(keyword.value, f"{function}({keyword.arg}=)", "renamed", advice)
            if note is not None:
                self._add(keyword.value, f"{function}({keyword.arg}=)", "gone", note)
        given: dict[int, Any] = {}
        for place, argument in enumerate(node.args, start=1):
            if isinstance(argument, ast.Starred):
                break
            try:
                given[place] = ast.literal_eval(argument)
            except (ValueError, TypeError):
                continue
        for note in arguments.moved(function, given):
            self._add(node, f"{function}()", "gone", note)

    def _file(self, node: ast.Call) -> None:
        """Reports a model that is saved or loaded under a name that Keras 3 does not support."""
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        path = next((each.value for each in node.args[:1] if isinstance(each, ast.Constant)), None)
        if called not in _FILE or not isinstance(path, str) or path.endswith(_FORMATS):
            return
        is_method = self._called(node.func) == "SimilarityModel.save"
        if called == "load_model" or is_method:
            self._add(node, f"{called}({path!r})", "gone", _FILE[called])

    def _called(self, function: ast.expr) -> str | None:
        """The name of a called function or method in `compat.arguments`."""
        dotted = self._dotted(function)
        if dotted is not None:
            fate = self._fate(dotted)[1]
            return None if fate is None or fate.target is None else fate.target.rpartition(".")[2]
        if not isinstance(function, ast.Attribute) or not self._known:
            return None
        receiver = function.value
        while isinstance(receiver, (ast.Attribute, ast.Call, ast.Subscript)):
            receiver = receiver.func if isinstance(receiver, ast.Call) else receiver.value
        if isinstance(receiver, ast.Name) and receiver.id in self._others:
            return None
        return f"SimilarityModel.{function.attr}"

    def _dotted(self, node: ast.expr) -> str | None:
        """The full imported name of a name or attribute chain of an older library."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._known:
            return None
        return ".".join([self._known[node.id], *reversed(parts)])

    def _fate(self, dotted: str) -> tuple[str, names.Fate | None]:
        """The longest prefix that was a name of an older library, and its fate."""
        parts = dotted.split(".")
        for end in range(len(parts), 1, -1):
            fate = names.fate(".".join(parts[: end - 1]), parts[end - 1])
            if fate is not None:
                return ".".join(parts[:end]), fate
        return dotted, None

    def _name(self, node: ast.AST, dotted: str) -> None:
        name, fate = self._fate(dotted)
        if fate is None:
            parts = dotted.split(".")
            if parts[0] == _ADDONS and len(parts) > 1 and parts[1] != "losses":
                self._add(node, ".".join(parts[:3]), "gone", _OTHER_FIELD)
            elif parts[0] == _SIMILARITY:
                self._module(node, dotted)
        elif fate.status != "same":
            target = "" if fate.target is None else f"it is `{fate.target}`. "
            advice = (fate.note if fate.status != "renamed" else f"{target}{fate.note}").strip()
            self._add(node, name, fate.status, advice)

    def _module(self, node: ast.AST, dotted: str) -> None:
        """Reports a module, or a name in one, that is unknown."""
        if names.is_old_module(dotted) or _exists(dotted):
            return
        self._add(node, dotted, "gone", _NEVER)

    def _add(self, node: ast.AST, name: str, status: str, advice: str) -> None:
        self.found.append(Change(int(getattr(node, "lineno", 0)), name, status, advice))


def _exists(dotted: str) -> bool:
    """Whether this package has a module or a name; attributes of classes are not checked."""
    found: Any = importlib.import_module(_SIMILARITY)
    path = _SIMILARITY
    for part in dotted.split(".")[1:]:
        path = f"{path}.{part}"
        try:
            found = getattr(found, part)
        except (AttributeError, ImportError):
            try:
                found = importlib.import_module(path)
            except ImportError:
                return False
        if isinstance(found, type):
            return True
    return True


def __dir__() -> list[str]:
    return sorted(__all__)
