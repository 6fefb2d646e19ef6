import numpy as np
import pytest
from sklearn import metrics as sk

from tensorflow_similarity.evaluation import verify_trials
from tensorflow_similarity.visualization import verification_curves

RNG = np.random.default_rng(0)
SAME = np.arange(400) % 2 == 0
DISTANCES = RNG.normal(np.where(SAME, 0.0, 2.0), 1.0) + 5


@pytest.fixture(scope="module")
def result():
    return verify_trials(SAME, distances=DISTANCES)


def test_the_roc_is_that_of_scikit_learn(result):
    axis = verification_curves(result, kind="roc", show=False).axes[0]
    x, y = axis.lines[0].get_data()
    expected_x, expected_y, _ = sk.roc_curve(SAME, -DISTANCES, drop_intermediate=False)
    drawn = dict(zip(x.tolist(), y.tolist(), strict=True))  # the last of each false accept rate
    for rate in np.unique(expected_x):
        if rate > 0:
            assert drawn[rate] == pytest.approx(expected_y[expected_x == rate].max())
    assert axis.get_xscale() == "log"
    area = sk.roc_auc_score(SAME, -DISTANCES)
    assert f"{area:.3f}" in axis.get_legend().get_texts()[0].get_text()


def test_normal_distances_make_a_straight_det(result):
    axis = verification_curves(result, kind="det", show=False).axes[0]
    x, y = axis.lines[0].get_data()
    inner = (np.abs(x) < 1.5) & (np.abs(y) < 1.5)
    slope, start = np.polyfit(x[inner], y[inner], 1)
    assert slope == pytest.approx(-1, abs=0.15)
    assert start == pytest.approx(-2, abs=0.3)  # minus the distance of the means
    # The dot is the equal error rate.
    from statistics import NormalDist

    (dot,) = axis.lines[1].get_xdata()
    assert NormalDist().cdf(float(dot)) == pytest.approx(result["eer"])


def test_several_results_have_their_names(result):
    figure = verification_curves({"one": result, "two": result}, show=False)
    assert len(figure.axes) == 2
    for axis in figure.axes:
        texts = [text.get_text() for text in axis.get_legend().get_texts()]
        assert [text.split(":")[0] for text in texts] == ["one", "two"]


@pytest.mark.parametrize("distances", [[0.1, 0.2, 0.8, 0.9], [0.5] * 4, [0.9, 0.8, 0.2, 0.1]])
@pytest.mark.further("distances0")
def test_perfect_useless_and_reversed_are_drawn(distances, tmp_path):
    found = verify_trials([1, 1, 0, 0], distances=distances)
    verification_curves(found, show=False).savefig(tmp_path / "curves.png")


def test_bad_input_is_named(result):
    with pytest.raises(TypeError, match="verify_trials"):
        verification_curves({"eer": 0.1}, show=False)
    with pytest.raises(ValueError, match="at least one result"):
        verification_curves({}, show=False)
    with pytest.raises(ValueError, match="`kind` must be"):
        verification_curves(result, kind="pr", show=False)
