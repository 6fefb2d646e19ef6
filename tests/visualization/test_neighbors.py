import sys
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
from matplotlib import colors

from tensorflow_similarity import visualization
from tensorflow_similarity.visualization import viz_neighbors_grid, viz_neighbors_imgs
from tensorflow_similarity.visualization.figures import NEUTRAL, OTHER, SAME


def lookup(label, data, distance=0.25, rank=0):
    return SimpleNamespace(rank=rank, label=label, distance=distance, data=data)


def image(value=0.5, shape=(4, 4)):
    return np.full(shape, value)


def drawn(figure):
    """The axes that show something, row by row."""
    return [axis for axis in figure.axes if axis.axison]


def frame(axis):
    return colors.to_hex(axis.spines["left"].get_edgecolor(), keep_alpha=False).lower()


def test_frames_and_titles_tell_class_and_distance():
    row = [lookup(7, image(), 0.125), lookup(3, image(), 0.5), lookup(None, image(), 0.75)]
    figure = viz_neighbors_imgs(image(), 7, row, class_mapping={7: "seven"}, show=False)
    query, same, other, unknown = drawn(figure)
    assert query.get_title() == "query\nseven"
    assert same.get_title() == "seven\n0.125"
    assert other.get_title() == "3\n0.5"
    assert unknown.get_title() == "no label\n0.75"
    assert [frame(a) for a in (same, other, unknown)] == [
        color.lower() for color in (SAME, OTHER, NEUTRAL)
    ]


def test_without_the_querys_class_no_neighbour_is_judged():
    figure = viz_neighbors_imgs(image(), None, [lookup(1, image())], show=False)
    query, neighbor = drawn(figure)
    assert query.get_title() == "query"
    assert frame(neighbor) == NEUTRAL


def test_the_pictures_are_the_data():
    data = np.arange(16.0).reshape(4, 4, 1)
    figure = viz_neighbors_imgs(data[..., 0] + 1, 0, [lookup(0, data)], show=False)
    query, neighbor = drawn(figure)
    np.testing.assert_array_equal(query.images[0].get_array(), data[..., 0] + 1)
    np.testing.assert_array_equal(neighbor.images[0].get_array(), data[..., 0])


@pytest.mark.parametrize(
    ("colors_in", "colors_out"),
    [
        (np.full((2, 2, 3), 0.5), 0.5),
        (np.full((2, 2, 3), 255.0), 1.0),
        (np.full((2, 2, 3), 255, np.uint8), 255),
        (np.full((2, 2, 4), -0.5), 0.0),
    ],
)
def test_colour_images_of_either_range(colors_in, colors_out):
    figure = viz_neighbors_imgs(colors_in, 0, [], show=False)
    np.testing.assert_array_equal(drawn(figure)[0].images[0].get_array(), colors_out)


def test_text_and_vectors_are_drawn_too():
    figure = viz_neighbors_imgs("where is my parcel", 1, [lookup(1, [1.0, 3.0, 2.0])], show=False)
    query, neighbor = drawn(figure)
    assert query.texts[0].get_text() == "where is my\nparcel"
    np.testing.assert_array_equal(neighbor.lines[0].get_ydata(), [1, 3, 2])


def test_grid_has_a_row_per_query_and_leaves_padding_blank():
    rows = [[lookup(0, image()), lookup(1, image())], [lookup(1, image())]]
    figure = viz_neighbors_grid([image(), image()], rows, np.array([0, 1]), ["a", "b"], show=False)
    assert [axis.get_title() for axis in drawn(figure)] == [
        "query\na",
        "a\n0.25",
        "b\n0.25",
        "query\nb",
        "b\n0.25",
    ]


def test_figure_is_saved_at_the_size_asked(tmp_path):
    figure = viz_neighbors_imgs(image(), 0, [lookup(0, image())], fig_size=(3, 2), show=False)
    figure.savefig(tmp_path / "row.png", dpi=50)
    assert matplotlib.image.imread(tmp_path / "row.png").shape[:2] == (100, 150)


def test_hidden_figures_are_not_kept_by_pyplot():
    from matplotlib import pyplot as plt

    plt.close("all")
    viz_neighbors_imgs(image(), 0, [], show=False)
    assert plt.get_fignums() == []
    viz_neighbors_imgs(image(), 0, [])  # The backend draws to files: nothing to show.
    assert len(plt.get_fignums()) == 1
    plt.close("all")


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"no data to draw.*data=x"):
        viz_neighbors_imgs(image(), 0, [lookup(0, None)], show=False)
    with pytest.raises(ValueError, match="2 examples and 1 rows"):
        viz_neighbors_grid([image(), image()], [[]], show=False)
    with pytest.raises(ValueError, match="Received: 3 for 1 examples"):
        viz_neighbors_grid([image()], [[]], [1, 2, 3], show=False)


def test_original_spelling_resolves():
    assert visualization.viz_neigbors_imgs is viz_neighbors_imgs


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "keras-similarity\[viz\]"'):
        viz_neighbors_imgs(image(), 0, [])
