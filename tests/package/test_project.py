"""What a project that others join must have, and that its parts agree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = ROOT / ".github" / "release.py"


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_there_are_workflows():
    assert [path.stem for path in WORKFLOWS] == ["docs", "release", "tests"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_targets_that_there_are(path):
    targets = set(re.findall(r"^([a-z-]+):.*##", text("Makefile"), re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z-]+)", path.read_text(encoding="utf-8")))
    assert used
    assert used <= targets


def test_every_python_that_is_promised_is_tested():
    promised = re.findall(r"Programming Language :: Python :: (3\.\d+)", text("pyproject.toml"))
    for name in ("tests", "release"):
        workflow = text(f".github/workflows/{name}.yml")
        tested = re.findall(r'"(3\.\d+)"', re.search(r"python: \[(.*)\]", workflow)[0])
        assert tested == promised


def test_actions_may_do_no_more_than_they_must():
    for path in WORKFLOWS:
        assert re.search(r"^permissions:\n  contents: read$", path.read_text(), re.MULTILINE)


def test_the_citation_has_the_version():
    version = re.search(r'^__version__ = "(.*)"$', text("tensorflow_similarity/__init__.py"), re.M)
    assert f"\nversion: {version[1]}\n" in text("CITATION.cff")


@pytest.fixture
def release(tmp_path):
    """Runs the script on a project with a version and a changelog."""
    (tmp_path / ".github").mkdir()
    (tmp_path / "tensorflow_similarity").mkdir()
    (tmp_path / ".github" / "release.py").write_text(RELEASE.read_text(encoding="utf-8"))
    (tmp_path / "tensorflow_similarity" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [Unreleased]\n\n- later\n\n"
        "## [1.2.3] - 2026-01-02\n\n### Added\n\n- this\n\n## [1.2.2] - 2026-01-01\n\n- that\n"
    )

    def run(*arguments):
        command = [sys.executable, tmp_path / ".github" / "release.py", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_release_has_its_part_of_the_changelog(release):
    assert release("notes", "v1.2.3") == (0, "### Added\n\n- this\n")
    assert release("check", "v1.2.3")[0] == 0


@pytest.mark.parametrize("tag", ["v1.2.2", "1.2.3", "v1.2", "latest"])
def test_a_tag_that_does_not_fit_is_refused(tag, release):
    code, said = release("check", tag)
    assert code == 1
    assert tag in said


def test_a_version_without_a_date_in_the_changelog_is_refused(tmp_path, release):
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n")
    code, said = release("check", "v1.2.3")
    assert code == 1
    assert "## [1.2.3] - YYYY-MM-DD" in said
