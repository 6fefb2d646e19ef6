"""Plots of labels that are names, and of examples of unknown class."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tensorflow_similarity.index import Index
from tensorflow_similarity.targets import Targets
from tensorflow_similarity.visualization import (
    confusion_matrix,
    distance_histogram,
    pair_histogram,
    projector,
    viz_embeddings,
    worst_mistakes,
)

NAMES = np.array(["ox", "ant", "emu"], object)
Y = np.arange(24) % 3
X = (np.eye(3)[Y] + 0.2 * np.random.default_rng(0).normal(size=(24, 3))).astype(np.float32)
UNKNOWN = [None if i < 3 else name for i, name in enumerate(NAMES[Y])]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for text in figure.findobj(plt.Text)]


def test_confusion_of_names_is_that_of_ids():
    answers = np.where(np.arange(24) % 5 == 0, -1, (Y + (np.arange(24) % 7 == 0)) % 3)
    _, ids = confusion_matrix(answers, Y, show=False)
    order = [1, 2, 0]  # ant, emu, ox
    figure, names = confusion_matrix(
        [None if a == -1 else NAMES[a] for a in answers], NAMES[Y].tolist(), show=False
    )
    np.testing.assert_allclose(names[:, 1:], ids[order][:, 1:][:, order])
    np.testing.assert_allclose(names[:, 0], ids[order][:, 0])
    assert {"no match", "ant", "emu", "ox"} <= set(texts(figure))


def lookup(labels):
    index = Index(3)
    index.add(X[12:], labels=labels, data=np.zeros((12, 4, 4)))
    return index.lookup(X[:12], k=3)


@pytest.mark.further
def test_mistakes_are_the_same():
    wrong_ids = worst_mistakes(np.zeros((12, 4, 4)), lookup(Y[12:]), (Y[:12] + 1) % 3, show=False)
    figure, wrong = worst_mistakes(
        np.zeros((12, 4, 4)), lookup(NAMES[Y[12:]]), NAMES[(Y[:12] + 1) % 3], show=False
    )
    np.testing.assert_array_equal(wrong, wrong_ids[1])
    assert any("emu" in text for text in texts(figure))


@pytest.mark.parametrize(
    "truth", [NAMES[Y[:12]].tolist(), UNKNOWN[:12], Targets.label_sets([{"ox", "ant"}] * 12)]
)
def test_histogram_of_neighbours(truth):
    distance_histogram(lookup(NAMES[Y[12:]].tolist()), truth, show=False)
    with pytest.raises(ValueError, match="labelled"):
        distance_histogram(lookup([None] * 12), truth, show=False)


def test_points_and_pairs_by_name():
    figure = viz_embeddings(X, UNKNOWN, show=False)
    assert {"ant", "emu", "ox", "unknown"} <= set(texts(figure))
    numbered = viz_embeddings(X, Y, ["ox", "ant", "emu"], show=False)
    assert {"ant", "emu", "ox"} <= set(texts(numbered))
    figure = pair_histogram(X, UNKNOWN, show=False)
    known = pair_histogram(X[3:], Y[3:], show=False)
    assert [t for t in texts(figure) if "pairs" in t] == [t for t in texts(known) if "pairs" in t]
    page = projector(X, UNKNOWN)
    assert "unknown" in page.html
