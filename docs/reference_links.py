"""A hook of mkdocs: names of classes in the text lead to their entries in the reference."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "tensorflow_similarity"
_ENTRY = re.compile(r"^::: tensorflow_similarity\.(\w+)$", re.MULTILINE)
# What has links of its own, or must have none; and a name that may become one.
_PARTS = re.compile(
    r"(?P<kept><(?P<tag>a|pre|h[1-6])\b.*?</(?P=tag)>)"
    r"|<code>(?P<name>[A-Z]\w+)(?P<call>\([^<]*\))?</code>",
    re.DOTALL,
)
_entries: dict[str, str] = {}


def public_names(module: str) -> list[str]:
    """The names in the `__all__` of a part of the package, read without importing it."""
    package = PACKAGE / module / "__init__.py"
    file = package if package.exists() else PACKAGE / f"{module}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def on_files(files: Any, config: Any) -> None:
    """Called by mkdocs: finds the page of each name."""
    _entries.clear()
    for file in files.documentation_pages():
        if file.src_uri.startswith("api/"):
            text = Path(file.abs_src_path).read_text(encoding="utf-8")
            for module in _ENTRY.findall(text):
                for name in public_names(module):
                    target = f"{file.url}#tensorflow_similarity.{module}.{name}"
                    _entries.setdefault(name, target)


def linked(html: str, page_url: str) -> str:
    """The HTML of a page, with links to the reference."""
    up = "../" * page_url.count("/")

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        if match["kept"] or name not in _entries:
            return match[0]
        return f'<a href="{up}{_entries[name]}">{match[0]}</a>'

    return _PARTS.sub(replaced, html)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Called by mkdocs."""
    return linked(html, page.url)
