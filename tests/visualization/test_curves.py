from types import SimpleNamespace

import numpy as np
import pytest

from tensorflow_similarity.visualization import training_curves


def panels(figure):
    return [axis for axis in figure.axes if axis.axison]


def test_training_and_validation_share_a_picture():
    history = {"loss": [3.0, 2.0], "val_loss": [4.0, 3.0], "val_map@r": [0.1, 0.2]}
    figure = training_curves(SimpleNamespace(history=history), show=False)
    loss, map_r = panels(figure)
    assert [axis.get_title() for axis in (loss, map_r)] == ["loss", "map@r"]
    assert [list(line.get_ydata()) for line in loss.lines] == [[3, 2], [4, 3]]
    assert list(loss.lines[0].get_xdata()) == [1, 2]
    assert loss.lines[0].get_color() != loss.lines[1].get_color()
    # Validation has its colour where it is alone, too.
    assert map_r.lines[0].get_color() == loss.lines[1].get_color()


def test_values_every_few_epochs_stand_at_their_epoch():
    figure = training_curves({"loss": [1, 2, 3, 4], "val_f1": [5, 6]}, show=False)
    assert list(panels(figure)[1].lines[0].get_xdata()) == [2, 4]


def test_epochs_that_are_not_finite_are_marked():
    (axis,) = panels(training_curves({"loss": [1.0, np.nan, np.inf, 2.0]}, show=False))
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [1, np.nan, np.nan, 2])
    assert [line.get_xdata()[0] for line in axis.lines[1:3]] == [2, 3]
    assert "not finite" in axis.get_legend().get_texts()[-1].get_text()


def test_chosen_metrics_only():
    figure = training_curves({"loss": [1], "a": [1], "val_a": [2]}, metrics=["a"], show=False)
    assert [axis.get_title() for axis in panels(figure)] == ["a"]


def test_bad_input_is_named():
    with pytest.raises(TypeError, match=r"what `model.fit` returns.*Received: list"):
        training_curves([1, 2], show=False)
    with pytest.raises(ValueError, match="at least one loss"):
        training_curves({}, show=False)
    with pytest.raises(ValueError, match=r"has no \['b'\]. It has: \['loss'\]"):
        training_curves({"loss": [1]}, metrics=["b"], show=False)
