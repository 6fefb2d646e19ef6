"""The same thing has the same name in all plots; names of older releases work."""

import inspect

import keras
import numpy as np
import pytest

from tensorflow_similarity import visualization
from tensorflow_similarity.index import Index
from tensorflow_similarity.visualization import (
    confusion_matrix,
    distance_histogram,
    pair_histogram,
    training_curves,
    viz_embeddings,
    viz_neighbors_grid,
    viz_neighbors_imgs,
    viz_neighbors_text,
    worst_mistakes,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.random((12, 4, 4))
LABELS = np.arange(12) % 3
NAMES = ["cat", "dog", "owl"]
FUNCTIONS = [
    value for name, value in sorted(vars(visualization).items()) if inspect.isfunction(value)
]


@pytest.fixture(scope="module")
def neighbors():
    index = Index(embedding_size=16, distance="cosine")
    index.add(IMAGES.reshape(12, 16), labels=LABELS[::-1], data=IMAGES)
    return index.lookup(IMAGES.reshape(12, 16), k=3)


def words(figure):
    """All that is written on a figure."""
    texts = [text.get_text() for text in figure.texts]
    for axis in figure.axes:
        texts += [axis.get_title(), *(text.get_text() for text in axis.texts)]
        texts += [tick.get_text() for tick in axis.get_xticklabels()]
        if axis.get_legend() is not None:
            texts += [text.get_text() for text in axis.get_legend().get_texts()]
    return texts


def test_one_name_for_one_thing():
    names = {name for function in FUNCTIONS for name in inspect.signature(function).parameters}
    assert {"labels", "class_names"} <= names
    assert not names & {"class_mapping", "example_class", "example_classes", "query_labels"}


OLD = {
    "imgs": lambda n: viz_neighbors_imgs(
        IMAGES[0], example_class=0, neighbors=n[0], class_mapping=NAMES, show=False
    ),
    "grid": lambda n: viz_neighbors_grid(
        IMAGES[:2], n[:2], example_classes=LABELS[:2], class_mapping=NAMES, show=False
    ),
    "mistakes": lambda n: worst_mistakes(
        IMAGES, n, example_classes=LABELS, class_mapping=NAMES, show=False
    )[0],
    "embeddings": lambda n: viz_embeddings(
        IMAGES.reshape(12, 16), LABELS, class_mapping=NAMES, show=False
    ),
    "confusion": lambda n: confusion_matrix(LABELS, LABELS, labels=NAMES, show=False)[0],
}
NEW = {
    "imgs": lambda n: viz_neighbors_imgs(IMAGES[0], 0, n[0], NAMES, show=False),
    "grid": lambda n: viz_neighbors_grid(IMAGES[:2], n[:2], LABELS[:2], NAMES, show=False),
    "mistakes": lambda n: worst_mistakes(IMAGES, n, LABELS, NAMES, show=False)[0],
    "embeddings": lambda n: viz_embeddings(IMAGES.reshape(12, 16), LABELS, NAMES, show=False),
    "confusion": lambda n: confusion_matrix(
        y_true=LABELS, y_pred=LABELS, class_names=NAMES, show=False
    )[0],
}


@pytest.mark.parametrize("name", OLD)
@pytest.mark.slow_cases("mistakes", "grid")
def test_old_names_do_the_same(name, neighbors):
    found = words(NEW[name](neighbors))
    assert words(OLD[name](neighbors)) == found
    assert any("cat" in text for text in found)


def test_an_argument_by_both_names_is_refused():
    with pytest.raises(TypeError, match="`class_mapping` and `class_names`"):
        viz_embeddings(IMAGES.reshape(12, 16), LABELS, class_mapping=NAMES, class_names=NAMES)


def test_names_serve_as_labels(neighbors):
    names = np.array(NAMES)[LABELS]
    ids = words(viz_embeddings(IMAGES.reshape(12, 16), LABELS, NAMES, show=False))
    assert words(viz_embeddings(IMAGES.reshape(12, 16), names, show=False)) == ids
    figure = viz_neighbors_grid(IMAGES[:1], [[]], names[:1], show=False)
    assert figure.axes[0].get_title() == "query\ncat"


def test_a_count_in_its_old_place_is_a_count(neighbors):
    old = worst_mistakes(IMAGES, neighbors, LABELS, 2, show=False)[0]
    new = worst_mistakes(IMAGES, neighbors, LABELS, count=2, show=False)[0]
    assert words(old) == words(new)


def test_classes_in_the_order_of_scikit_learn_are_noticed():
    with pytest.raises(TypeError, match=r"scikit-learn's order.*y_true="):
        confusion_matrix([0, 1, 1], [0, -1, 1], show=False)
    _, by_name = confusion_matrix(y_true=[0, -1, 1], y_pred=[0, 1, 1], show=False)
    assert by_name.shape == (3, 3)


@pytest.mark.parametrize("key", ["path", "file", "image", None])
@pytest.mark.parametrize("how", ["relative", "absolute", "url"])
@pytest.mark.slow_cases("absolute-path")
def test_images_are_loaded_from_the_paths_that_payloads_name(key, how, tmp_path):
    keras.utils.save_img(tmp_path / "0.png", np.full((3, 5, 3), 77), scale=False)
    name = {
        "relative": "0.png",
        "absolute": str(tmp_path / "0.png"),
        "url": (tmp_path / "0.png").as_uri(),
    }[how]
    index = Index(embedding_size=2, distance="cosine")
    index.add(np.eye(2), data=[name if key is None else {key: name, "price": 3}] * 2)
    found = index.lookup(np.eye(2), k=1)
    figure = viz_neighbors_grid([name, IMAGES[0]], found, show=False, folder=tmp_path)
    for axis in figure.axes[:2] + figure.axes[3:]:
        image = axis.images[0].get_array()
        assert image.shape == (3, 5, 3)
        assert (image == 77).all()


def test_a_missing_image_is_said():
    index = Index(embedding_size=2, distance="cosine")
    index.add(np.eye(2), data=[{"path": "nowhere.png"}] * 2)
    with pytest.warns(UserWarning, match=r"no image 'nowhere.png'.*`folder=`"):
        viz_neighbors_grid([IMAGES[0]], index.lookup(np.eye(2)[:1], k=1), show=False)


def test_the_text_of_a_payload_is_written():
    index = Index(embedding_size=2, distance="cosine")
    index.add(np.eye(2), data=[{"text": "where is it", "id": 4}] * 2)
    figure = viz_neighbors_text(["query"], index.lookup(np.eye(2)[:1], k=1), show=False)
    assert "where is it" in [text.get_text() for text in figure.axes[0].texts]


CALIBRATION = {
    "strict": {"name": "strict", "distance": 0.00783},
    "loose": {"name": "loose", "distance": 0.5},
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.25, ["cut point 0.25"]),
        ({"mine": 0.25}, ["mine 0.25"]),
        (CALIBRATION, ["strict 0.00783", "loose 0.5"]),
        (CALIBRATION["strict"], ["strict 0.00783"]),
    ],
)
@pytest.mark.further("given1-expected1")
def test_cut_points_have_their_names(given, expected, neighbors):
    for figure in (
        distance_histogram(neighbors, LABELS, cutpoint=given, show=False),
        pair_histogram(IMAGES.reshape(12, 16), LABELS, cutpoint=given, show=False),
    ):
        marked = [line.get_label() for line in figure.axes[0].lines]
        assert marked == expected
        assert set(expected) <= set(words(figure))


def test_rare_neighbours_are_seen():
    class Found:
        distances = np.r_[np.full(4903, 0.1), np.full(97, 0.3)][None]
        labels = np.r_[np.zeros(4903, int), np.ones(97, int)][None]

    figure = distance_histogram(Found, [0], show=False)
    assert figure.axes[0].get_yscale() == "log"
    linear = distance_histogram(Found, [0], show=False, scale="linear")
    assert linear.axes[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match="`scale` must be"):
        distance_histogram(Found, [0], show=False, scale="cubic")


TITLE = "Answers at the cut point “safe”, of a model that has a very long name indeed"


@pytest.mark.parametrize("draw", ["confusion", "histogram", "pairs", "curves"])
@pytest.mark.further("curves")
def test_nothing_is_clipped_or_covered(draw, neighbors):
    options = {"title": TITLE, "show": False}
    x = IMAGES.reshape(12, 16)
    figure = {
        "confusion": lambda: confusion_matrix(y_true=LABELS, y_pred=LABELS, **options)[0],
        "histogram": lambda: distance_histogram(neighbors, LABELS, cutpoint=CALIBRATION, **options),
        "pairs": lambda: pair_histogram(x, LABELS, cutpoint=CALIBRATION, **options),
        "curves": lambda: training_curves({"loss": [0.5, 0.4]}, **options),
    }[draw]()
    figure.draw_without_rendering()
    whole = figure.bbox
    drawn = [text.get_window_extent() for text in figure.texts]
    drawn += [figure._suptitle.get_window_extent()]
    legends = [axis.get_legend() for axis in figure.axes if axis.get_legend() is not None]
    drawn += [legend.get_window_extent() for legend in legends]
    for box in drawn:
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
    for axis in figure.axes:
        box = axis.get_window_extent()
        assert not any(one.y0 < box.y1 - 1 and box.y0 + 1 < one.y1 for one in drawn)


@pytest.mark.parametrize("values", [[0.98, 0.981, 0.9795], [5.0, 5.01], [0.5]])
def test_curves_do_not_magnify_noise(values):
    low, high = training_curves({"map": values}, show=False).axes[0].get_ylim()
    assert high - low >= 0.2 * max(values)
    assert low < min(values)
    assert max(values) < high
