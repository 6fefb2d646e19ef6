import numpy as np
import pytest

from tensorflow_similarity.visualization import confusion_matrix


def labels_of(axis):
    return [tick.get_text() for tick in axis.get_xticklabels()], [
        tick.get_text() for tick in axis.get_yticklabels()
    ]


def test_counts_and_shares():
    truth, answers = [5, 5, 5, 9], [5, 9, 5, 9]
    _, counts = confusion_matrix(answers, truth, normalize=False, show=False)
    np.testing.assert_array_equal(counts, [[2, 1], [0, 1]])
    _, shares = confusion_matrix(answers, truth, show=False)
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3], [0, 1]])


def test_agrees_with_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(0)
    truth, answers = rng.integers(-3, 30, (2, 500))
    _, counts = confusion_matrix(answers, truth, normalize=False, show=False)
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(truth, answers))


def test_no_match_is_a_column_only():
    figure, shares = confusion_matrix([-1, 0, 1, -1], [0, 0, 1, 1], labels={0: "cat"}, show=False)
    np.testing.assert_allclose(shares, [[0.5, 0.5, 0], [0.5, 0, 0.5]])
    assert labels_of(figure.axes[0]) == (["no match", "cat", "1"], ["cat", "1"])


def test_minus_one_as_a_class_is_a_class():
    figure, counts = confusion_matrix([-1, 0], [-1, 0], normalize=False, show=False)
    np.testing.assert_array_equal(counts, [[1, 0], [0, 1]])
    assert labels_of(figure.axes[0])[0] == ["-1", "0"]


def test_a_class_never_true_divides_by_nothing():
    _, shares = confusion_matrix([1, 1], [0, 0], show=False)
    np.testing.assert_array_equal(shares, [[0, 1], [0, 0]])


def test_many_classes_have_few_ticks_and_no_numbers():
    figure, _ = confusion_matrix(np.arange(300), np.arange(300), show=False)
    assert len(figure.axes[0].get_xticks()) <= 40
    assert not figure.axes[0].texts


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="`y_pred` must hold one label per example"):
        confusion_matrix([1], [1, 2], show=False)
    with pytest.raises(ValueError, match="`y_true` must hold at least one"):
        confusion_matrix([], [], show=False)
    with pytest.raises(TypeError, match="`y_pred` must be integer"):
        confusion_matrix([0.5], [1], show=False)
