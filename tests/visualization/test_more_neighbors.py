import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from tensorflow_similarity.index import Index
from tensorflow_similarity.visualization import (
    viz_neighbors_grid,
    viz_neighbors_signals,
    viz_neighbors_text,
    worst_mistakes,
)
from tensorflow_similarity.visualization.figures import NEUTRAL, OTHER, SAME


def lookup(label, data, distance=0.25):
    return SimpleNamespace(label=label, distance=distance, data=data)


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def colors_of_bars(figure):
    return [line.get_color() for line in figure.axes[0].lines]


class TestText:
    def test_query_distance_class_and_text_are_written(self):
        rows = [[lookup(1, "late parcel", 0.125), lookup(2, "close it", 0.5), lookup(None, "?")]]
        figure = viz_neighbors_text(["where is it"], rows, [1], {1: "post"}, show=False)
        assert texts_of(figure) == [
            *["where is it [post]", "0.125", "post", "late parcel"],
            *["0.5", "2", "close it", "0.25", "", "?"],
        ]
        assert colors_of_bars(figure) == [SAME, OTHER, NEUTRAL]

    def test_long_texts_are_wrapped_within_the_figure(self):
        long = "word " * 100 + "W" * 300
        figure = viz_neighbors_text([long], [[lookup(0, long)]], max_characters=500, show=False)
        figure.canvas.draw()
        for text in figure.axes[0].texts:
            box = text.get_window_extent()
            assert box.x1 <= figure.bbox.x1
            assert box.y0 >= figure.bbox.y0
            assert box.y1 <= figure.bbox.y1

    def test_dollars_are_no_formulas(self):
        figure = viz_neighbors_text(["$5 or $6"], [[lookup(0, "a $ \\bad $")]], show=False)
        figure.canvas.draw()
        assert "$5 or $6" in texts_of(figure)

    def test_no_room_for_texts(self):
        with pytest.raises(ValueError, match="`width` must leave room"):
            viz_neighbors_text(["a"], [[lookup(0, "b")]], width=2, show=False)


class TestSignals:
    def test_neighbour_is_drawn_over_the_query_on_one_scale(self):
        query, near = np.zeros(5), np.arange(5.0)
        figure = viz_neighbors_signals([query], [[lookup(3, near)]], [3], show=False)
        alone, compared = figure.axes
        np.testing.assert_array_equal(alone.lines[0].get_ydata(), query)
        behind, front = compared.lines
        np.testing.assert_array_equal(behind.get_ydata(), query)
        np.testing.assert_array_equal(front.get_ydata(), near)
        assert (behind.get_color(), front.get_color()) == (NEUTRAL, SAME)
        assert alone.get_ylim() == compared.get_ylim()
        assert alone.get_ylim()[0] < 0
        assert alone.get_ylim()[1] > 4

    def test_channels_are_lines(self):
        figure = viz_neighbors_signals(np.zeros((1, 5, 3)), [[]], show=False)
        assert len(figure.axes[0].lines) == 3

    def test_flat_signals_have_a_scale(self):
        figure = viz_neighbors_signals(np.ones((1, 5)), [[lookup(0, np.ones(5))]], show=False)
        assert figure.axes[0].get_ylim() == (0, 2)

    def test_bad_input_is_named(self):
        with pytest.raises(ValueError, match=r"numbers `\[time\]`.*viz_neighbors_text"):
            viz_neighbors_signals(["text"], [[]], show=False)
        with pytest.raises(ValueError, match="no data to draw"):
            viz_neighbors_signals(np.ones((1, 5)), [[lookup(0, None)]], show=False)


class TestWorstMistakes:
    def index(self, data):
        index = Index(embedding_size=1, distance="euclidean")
        index.add([[0.0], [1.0], [5.0]], labels=[0, 1, 1], data=data)
        return index

    def test_the_nearest_wrong_neighbour_comes_first(self):
        queries = np.array([[0.4], [0.1], [5.0], [1.25], [4.0]])
        truth = np.array([1, 1, 1, 0, 1])  # 0, 1 and 3 are wrong, by 0.4, 0.1 and 0.25.
        images = np.arange(5)[:, None, None] * np.ones((5, 2, 2))
        neighbors = self.index(np.zeros((3, 2, 2))).lookup(queries, k=2)
        figure, wrong = worst_mistakes(images, neighbors, truth, count=2, show=False)
        assert wrong.tolist() == [1, 3, 0]
        drawn = [axis.images[0].get_array()[0, 0] for axis in figure.axes[::3]]
        assert drawn == [1, 3]

    def test_texts_and_signals(self):
        queries = np.array([[0.1]])
        neighbors = self.index(["a", "b", "c"]).lookup(queries, k=1)
        figure, _ = worst_mistakes(["query"], neighbors, [1], show=False)
        assert texts_of(figure) == ["query [1]", "0.1", "0", "a"]
        neighbors = self.index(np.zeros((3, 4))).lookup(queries, k=1)
        figure, _ = worst_mistakes(np.ones((1, 4)), neighbors, [1], show=False)
        assert len(figure.axes[1].lines) == 2

    def test_no_mistakes_and_no_labels(self):
        neighbors = self.index(["a", "b", "c"]).lookup([[0.1]], k=1)
        figure, wrong = worst_mistakes(["query"], neighbors, [0], show=False)
        assert not len(wrong)
        assert figure.texts[0].get_text() == "No mistakes in 1 queries."
        unlabelled = Index(embedding_size=1, distance="euclidean")
        unlabelled.add([[0.0]], data=["a"])
        found = unlabelled.lookup([[0.1]], k=1)
        assert not len(worst_mistakes(["query"], found, [0], show=False)[1])

    def test_bad_input_is_named(self):
        neighbors = self.index(["a", "b", "c"]).lookup([[0.1]], k=1)
        with pytest.raises(ValueError, match="2 examples and 1 rows"):
            worst_mistakes(["a", "b"], neighbors, [0, 1], show=False)
        with pytest.raises(ValueError, match="`labels` must hold one"):
            worst_mistakes(["a"], neighbors, [0, 1], show=False)


def test_long_names_do_not_run_into_each_other():
    name = "a class of a name that nobody would write on a picture"
    row = [lookup(0, np.zeros((2, 2))) for _ in range(4)]
    figure = viz_neighbors_grid([np.zeros((2, 2))], [row], [0], [name], show=False)
    figure.canvas.draw()
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(boxes))
