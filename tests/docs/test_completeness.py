"""What is public is on the pages."""

import inspect
from pathlib import Path

from tensorflow_similarity import distances, layers, losses, samplers

DOCS = Path(__file__).parents[2] / "docs"
# Bases that no user names, and the other names of classes that are there.
UNNAMED = {"Barlow", "MemoryBank", "MinedLoss", "ProxyLoss", "TwoViewLoss", "VicReg"}


def classes(module):
    return [n for n in module.__all__ if inspect.isclass(getattr(module, n)) and n not in UNNAMED]


def test_every_loss_is_on_the_page_of_losses():
    page = (DOCS / "losses.md").read_text(encoding="utf-8")
    assert [name for name in classes(losses) if f"`{name}" not in page] == []


def test_every_distance_is_on_the_page_of_distances():
    page = (DOCS / "distances.md").read_text(encoding="utf-8")
    assert [name for name in distances.names() if f"`{name}`" not in page] == []


def test_layers_and_samplers_are_on_a_page():
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    names = [*classes(layers), *classes(samplers)]
    assert [name for name in names if name not in pages] == []
