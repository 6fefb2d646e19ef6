"""Every code block of the README and of the pages runs as written."""

from pathlib import Path

import pytest

from code_blocks import blocks, run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def with_code():
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        if any(block.language == "python" for block in blocks(text)):
            # A page says so itself where it trains.
            marks = [pytest.mark.slow] if "<!-- slow -->" in text else []
            yield pytest.param(path, marks=marks, id=str(path.relative_to(ROOT)))


@pytest.mark.parametrize("path", list(with_code()))
def test_code_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(path.read_text(encoding="utf-8"), path.relative_to(ROOT)) > 0
