"""Every code block of the README and of the pages runs as written, with what its page names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bare_environment import extras_named
from code_blocks import blocks, run
from fresh import fresh

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
CODE = {
    name: text
    for name, text in TEXTS.items()
    if any(block.language == "python" for block in blocks(text))
}
# Data that come with a package of the system.
NEEDS = re.compile(r"^<!-- needs: (.*) -->$", re.MULTILINE)


# All pages run below, each in a process of its own.
@pytest.mark.parametrize("name", ["docs/distances.md", "docs/index.md"])
def test_code_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(CODE[name], name) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE)
def test_code_runs_with_no_more_than_the_page_says_to_install(name, tmp_path):
    for needed in NEEDS.findall(CODE[name]):
        if not Path(needed).exists():
            pytest.skip(f"{needed} is not there")
    extras = sorted(extras_named(CODE[name]))
    environment = f"""
import sys
sys.path[:0] = {[str(ROOT), str(ROOT / "tests")]}
import bare_environment
bare_environment.enter({extras})
"""
    program = f"""
from pathlib import Path
from code_blocks import run
assert run(Path({str(ROOT / name)!r}).read_text(encoding="utf-8"), {name!r}) > 0
"""
    fresh(program, tmp_path, environment)


@pytest.mark.parametrize("extra", ["", "evaluation"])
@pytest.mark.further("")
def test_what_a_page_does_not_name_cannot_be_imported(extra, tmp_path):
    """The runner itself: a page that imports a library which it does not name fails."""
    page = tmp_path / "page.md"
    install = f'`pip install "keras-similarity[{extra}]"`' if extra else ""
    page.write_text(f"{install}\n\n```python\nimport sklearn.datasets\n```\n", encoding="utf-8")
    program = Path(__file__).parents[1] / "bare_environment.py"
    result = subprocess.run([sys.executable, program, page], capture_output=True, text=True)
    if extra:
        assert result.returncode == 0, result.stderr
    else:
        assert "No module named 'sklearn'" in result.stderr


GUIDE = [name for name in TEXTS if name.startswith("docs/") and name.count("/") == 1]
# What is no page of the guide: a start, a list, or the text of another file.
OTHERS = {"changelog", "contributing", "faq", "formulas", "gallery", "index"}
JOBS = [name for name in TEXTS if name.startswith("docs/jobs/") and not name.endswith("index.md")]


@pytest.mark.parametrize("name", [*(n for n in GUIDE if Path(n).stem not in OTHERS), *JOBS])
def test_a_page_says_for_whom_it_is_and_what_they_will_have(name):
    text = re.sub(r"<!--.*?-->", "", TEXTS[name]).split("\n", 1)[1].strip()
    first = text.split("\n\n")[0]
    assert first.startswith("For ")
    assert "You will" in first
