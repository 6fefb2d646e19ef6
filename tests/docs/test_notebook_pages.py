"""Notebooks as pages of the site."""

import base64
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location("notebook_pages", DOCS / "notebook_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(hook, tmp_path):
    def make(*cells):
        path = tmp_path / "story.ipynb"
        path.write_text(json.dumps({"cells": list(cells)}), encoding="utf-8")
        return hook.page(path)

    return make


def markdown(*lines):
    return {"cell_type": "markdown", "source": [f"{line}\n" for line in lines]}


def code(source, *outputs):
    return {"cell_type": "code", "source": [source], "outputs": list(outputs)}


def test_text_code_and_what_it_prints(page):
    printed = {"output_type": "stream", "name": "stdout", "text": ["2\n"]}
    text, files = page(markdown("# Title", "", "Words."), code("print(1 + 1)", printed))
    assert text.startswith("# Title\n\n*From the notebook [story.ipynb](story.ipynb)")
    assert "Words.\n\n```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n" in text
    assert files == {}


def test_pictures_are_files(page):
    image = {"output_type": "display_data", "data": {"image/png": base64.b64encode(b"x").decode()}}
    text, files = page(markdown("# Title"), code("draw()", image))
    assert files == {"story-1-0.png": b"x"}
    assert "](story-1-0.png)" in text


def test_a_projector_is_a_page_in_the_page(page):
    from tensorflow_similarity.visualization import projector

    shown = projector([[1.0, 0.0], [0.0, 1.0]], ["<a>", "b"], plot_size=123)
    output = {"output_type": "execute_result", "data": {"text/html": [shown._repr_html_()]}}
    text, files = page(markdown("# Title"), code("projector(x)", output))
    assert files == {"story-1-0.html": shown.html}
    assert 'src="story-1-0.html"' in text
    assert "height: 123px" in text


def test_links_lead_to_pages(page, hook):
    text, _ = page(markdown("# T", "[a](../docs/losses.md#choosing) [b](other_story.ipynb)"))
    assert "[a](../losses.md#choosing) [b](other_story.md)" in text

    def rewritten(link, source):
        return hook.on_page_markdown(link, SimpleNamespace(file=SimpleNamespace(src_uri=source)))

    assert rewritten("[a](../examples/b.ipynb)", "gallery.md") == "[a](examples/b.md)"
    assert rewritten("[a](../../examples/b.ipynb)", "api/x.md") == "[a](../examples/b.md)"
    # Not a link of the repository: left for the build to complain about.
    assert rewritten("[a](../examples/b.ipynb)", "api/x.md") == "[a](../examples/b.ipynb)"


def test_every_notebook_is_in_the_gallery():
    gallery = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for path in (DOCS.parent / "examples").glob("*.ipynb"):
        assert f"(../examples/{path.name})" in gallery
