"""What is public is on the pages."""

import inspect
from pathlib import Path

import pytest

from tensorflow_similarity import distances, layers, losses, samplers

DOCS = Path(__file__).parents[2] / "docs"
# Bases that no user names, and the other names of classes that are there.
UNNAMED = {"Barlow", "MemoryBank", "MinedLoss", "ProxyLoss", "TwoViewLoss", "VicReg"}


def classes(module):
    return [n for n in module.__all__ if inspect.isclass(getattr(module, n)) and n not in UNNAMED]


@pytest.mark.parametrize("name", classes(losses))
def test_every_loss_is_on_the_page_of_losses(name):
    assert f"`{name}" in (DOCS / "losses.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", distances.names())
def test_every_distance_is_on_the_page_of_distances(name):
    assert f"`{name}`" in (DOCS / "distances.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*classes(layers), *classes(samplers)])
def test_layers_and_samplers_are_on_a_page(name):
    assert any(name in page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
