"""Runs a page's code as if nothing were installed but this package and the extras it names.

    python tests/bare_environment.py PAGE.md

A page names what its code needs by `keras-similarity[EXTRA,…]`, above its first block of
Python. Every other installed library cannot be imported here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def extras_named(text: str) -> set[str]:
    """The extras that a page names above its first block of Python."""
    above = text.split("```python")[0]
    return {
        extra
        for names in re.findall(r"keras-similarity\[([a-z,-]+)\]", above)
        for extra in names.split(",")
    }


def own_requirements(extras: Iterable[str]) -> list[Requirement]:
    """The requirements in pyproject.toml, without and with extras."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    core = re.search(r"^dependencies = (\[.*?^\])", text, re.MULTILINE | re.DOTALL)[1]
    lists = [core]
    section = re.search(r"^\[project.optional-dependencies\]\n(.*?)^\[", text, re.M | re.S)[1]
    for extra in extras:
        lists.append(re.search(rf"^{extra} = (\[.*?\]$)", section, re.M | re.S)[1])
    found, further = [], set()
    for entry in lists:
        for line in re.findall(r'"([^"]+)"', entry):
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) == "keras-similarity":
                further |= requirement.extras
            else:
                found.append(requirement)
    return found + (own_requirements(further) if further else [])


def closure(requirements: list[Requirement]) -> set[str]:
    """The names of all distributions that installing these would install."""
    done: set[tuple[str, str]] = set()
    waiting = [(r, extra) for r in requirements for extra in ("", *r.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in done:
            continue
        done.add((name, extra))
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for line in lines:
            inner = Requirement(line)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                waiting += [(inner, e) for e in ("", *inner.extras)]
    return {name for name, _ in done}


def hide_all_but(allowed: set[str]) -> None:
    """Lets nothing be imported that only other distributions have."""
    hidden = (
        {
            module
            for module, names in metadata.packages_distributions().items()
            if not {canonicalize_name(name) for name in names} & allowed
        }
        - set(sys.stdlib_module_names)
        - {"code_blocks", "tensorflow_similarity"}
    )

    class Without:
        """A finder that does not find the hidden ones."""

        def __init__(self, finder):
            self.finder = finder

        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in hidden:
                return None
            return self.finder.find_spec(name, path, target)

    for name in list(sys.modules):
        if name.split(".")[0] in hidden:
            del sys.modules[name]
    sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]


def enter(extras: Iterable[str]) -> None:
    """Lets nothing be imported but what the package with these extras brings."""
    hide_all_but(closure(own_requirements(extras)))


def main() -> None:
    path = Path(sys.argv[1])
    text = path.read_text(encoding="utf-8")
    enter(extras_named(text))
    from code_blocks import run

    assert run(text, path.name) > 0


if __name__ == "__main__":
    main()
