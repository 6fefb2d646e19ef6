from types import SimpleNamespace

import numpy as np
import pytest

from tensorflow_similarity.visualization import distance_histogram


def neighbors(distances, labels):
    return SimpleNamespace(
        distances=np.asarray(distances, np.float32), labels=np.asarray(labels, np.int64)
    )


def heights(figure):
    """Bars of the two histograms, the query's own class first."""
    return [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]


def test_bars_count_each_kind_and_leave_out_padding():
    found = neighbors([[0.0, 1.0, np.inf], [0.0, 0.9, 0.5]], [[1, 2, -1], [1, 1, -1]])
    figure = distance_histogram(found, [1, 1], bins=2, show=False)
    assert heights(figure) == [[2, 1], [0, 1]]


def test_a_far_neighbour_does_not_squeeze_the_others():
    near = np.linspace(0, 1, 999, dtype=np.float32)
    figure = distance_histogram(
        neighbors([np.append(near, 100)], [np.zeros(1000)]), [0], bins=4, show=False
    )
    assert figure.axes[0].containers[0][-1].get_x() < 1
    assert sum(heights(figure)[0]) == 1000
    assert "beyond" in figure.axes[0].get_xlabel()


def test_cut_point_is_marked():
    figure = distance_histogram(neighbors([[0.1]], [[0]]), [0], cutpoint=0.25, show=False)
    assert [list(line.get_xdata()) for line in figure.axes[0].lines] == [[0.25, 0.25]]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="`labels` must hold one label per example"):
        distance_histogram(neighbors([[0.1]], [[0]]), [0, 1], show=False)
    with pytest.raises(ValueError, match="at least one labelled record"):
        distance_histogram(neighbors([[np.inf]], [[-1]]), [0], show=False)
    with pytest.raises(ValueError, match="`bins`"):
        distance_histogram(neighbors([[0.1]], [[0]]), [0], bins=0, show=False)
