"""Checks a release, and writes its notes. Run by .github/workflows/release.yml.

python .github/release.py check v1.2.3   # does the tag fit the version and the changelog?
python .github/release.py notes v1.2.3   # what the changelog says of it
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def version() -> str:
    """The version of the package, without importing it."""
    text = (ROOT / "tensorflow_similarity" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.*)"$', text, re.MULTILINE)
    if match is None:
        sys.exit('tensorflow_similarity/__init__.py has no line __version__ = "...".')
    return match[1]


def notes(wanted: str) -> str:
    """The section of the changelog on a version."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(
        rf"^## \[{re.escape(wanted)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|\Z)",
        text,
        re.MULTILINE | re.DOTALL,
    )
    if found is None:
        sys.exit(f"CHANGELOG.md has no line: ## [{wanted}] - YYYY-MM-DD")
    return found[1].strip()


def main(arguments: list[str]) -> None:
    if len(arguments) != 2 or arguments[0] not in ("check", "notes"):
        sys.exit(__doc__)
    action, tag = arguments
    if not re.fullmatch(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?", tag):
        sys.exit(f"A tag is like v1.2.3 or v1.2.3rc1. Received: {tag}")
    if tag != f"v{version()}":
        sys.exit(f"The tag is {tag}, and __version__ is {version()}.")
    text = notes(version())
    print(text if action == "notes" else f"{tag}: {len(text.splitlines())} lines of changes.")


if __name__ == "__main__":
    main(sys.argv[1:])
