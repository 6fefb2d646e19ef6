"""Whatever tells how to install something installs this project, and nothing of that name."""

import ast
import re
from pathlib import Path

import pytest

import tensorflow_similarity
from tensorflow_similarity._extras import DISTRIBUTION, missing, upgrade

ROOT = Path(__file__).parents[2]
PACKAGE = Path(tensorflow_similarity.__file__).parent
TEXTS = [
    path
    for folder in ("tensorflow_similarity", "docs", "examples", "benchmarks", ".github")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".md", ".ipynb", ".yml", ".toml"}
] + [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml", ROOT / "Makefile"]
# Other spellings of the name under which PyPI has Google's TensorFlow Similarity.
OTHER = re.compile(r"tensorflow[-_.]similarity(\[|@|==|>|$|[\"'`\s])", re.IGNORECASE)


def extras():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = re.search(r"\[project.optional-dependencies\]\n(.*?)\n\[", text, re.DOTALL)[1]
    return set(re.findall(r"^([a-z-]+) = \[", section, re.MULTILINE))


def commands(text):
    """What follows `pip install` on a line, or where a shell would end the command."""
    return re.findall(r"pip install([^`\n;&)]*)", text)


def test_the_distribution_is_named_once():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^name = "(.*)"$', text, re.MULTILINE)[1] == DISTRIBUTION


def test_pip_installs_this_project():
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        for command in commands(text):
            assert not OTHER.search(command + "\n"), f"{path}: pip install{command}"
        for names in re.findall(rf"{DISTRIBUTION}\[([a-z,-]+)\]", text):
            assert set(names.split(",")) <= extras(), f"{path}: {names}"


@pytest.mark.further
def test_errors_name_extras_that_there_are():
    named = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "missing":
                extra = node.args[2]
                named |= {extra.value} if isinstance(extra, ast.Constant) else set()
    assert named
    assert named <= extras()


def test_messages():
    error = missing("`draw`", "matplotlib", "viz")
    assert isinstance(error, ImportError)
    assert '`pip install "keras-similarity[viz]"`' in str(error)
    assert upgrade() == "pip install --upgrade keras-similarity"
