import numpy as np
import pytest
from matplotlib.figure import Figure

from tensorflow_similarity.visualization import pair_histogram, viz_embeddings


def legend(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


class TestEmbeddings:
    def test_points_of_each_class(self):
        x = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
        figure = viz_embeddings(x, [5, 9, 5], {5: "five"}, method=lambda x: x, show=False)
        (axis,) = figure.axes
        five, nine = axis.collections
        np.testing.assert_array_equal(five.get_offsets(), x[[0, 2]])
        np.testing.assert_array_equal(nine.get_offsets(), x[[1]])
        assert legend(axis) == ["five", "9"]

    @pytest.mark.further
    def test_many_classes_have_no_legend_unless_asked(self):
        x = np.random.default_rng(0).normal(size=(100, 3))
        assert viz_embeddings(x, np.arange(100), show=False).axes[0].get_legend() is None
        figure = viz_embeddings(x, np.arange(100), legend=True, show=False)
        assert len(legend(figure.axes[0])) == 100

    def test_all_points_are_within(self):
        x = np.array([[-100.0, 0.0], [300.0, 1.0], [0.0, 50.0]])
        (axis,) = viz_embeddings(x, [0, 1, 2], method=lambda x: x, show=False).axes
        assert axis.get_xlim()[0] < -100
        assert axis.get_xlim()[1] > 300
        assert axis.get_ylim()[0] < 0
        assert axis.get_ylim()[1] > 50

    def test_on_an_axis_of_ones_own(self):
        axis = Figure().subplots()
        figure = viz_embeddings(np.eye(3), [0, 1, 2], title="mine", axis=axis)
        assert figure is axis.figure
        assert axis.get_title() == "mine"
        assert axis.get_legend() is None

    def test_bad_input_is_named(self):
        with pytest.raises(ValueError, match="`labels` must hold one"):
            viz_embeddings(np.eye(3), [0, 1], show=False)


class TestPairs:
    X = ((0.0,), (1.0,), (4.0,))

    def test_densities_and_accepted_shares(self):
        figure = pair_histogram(
            self.X, [0, 0, 1], distance="euclidean", cutpoint=3.0, bins=4, show=False
        )
        (axis,) = figure.axes
        same, other = axis.containers
        width = same[0].get_width()
        # Distances: 1 of one class; 3 and 4 of two.
        np.testing.assert_allclose([bar.get_height() * width for bar in same], [1, 0, 0, 0])
        np.testing.assert_allclose([bar.get_height() * width for bar in other], [0, 0, 0.5, 0.5])
        assert legend(axis) == [
            "one class (1 pairs): 100.0% accepted",
            "two classes (2 pairs): 50.0% accepted",
            "cut point 3",
        ]
        assert axis.lines[0].get_xdata()[0] == 3

    def test_no_more_pairs_of_a_kind_than_asked(self):
        rng = np.random.default_rng(0)
        figure = pair_histogram(
            rng.normal(size=(200, 2)), np.arange(200) % 2, max_pairs=500, show=False
        )
        assert legend(figure.axes[0]) == ["one class (500 pairs)", "two classes (500 pairs)"]

    def test_cut_point_beyond_all_is_seen(self):
        figure = pair_histogram(self.X, [0, 0, 1], distance="euclidean", cutpoint=9, show=False)
        assert figure.axes[0].containers[0][-1].get_x() < 9 < figure.axes[0].get_xlim()[1]

    def test_bad_input_is_named(self):
        with pytest.raises(ValueError, match="pairs of one class and pairs of two"):
            pair_histogram(self.X, [0, 1, 2], show=False)
        with pytest.raises(ValueError, match="`bins`"):
            pair_histogram(self.X, [0, 0, 1], bins=0, show=False)
