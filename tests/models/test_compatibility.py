"""compatible_with: the three rankings are what they are called."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.evaluation import compare, evaluate
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

RNG = np.random.default_rng(0)
Y = np.arange(40) % 5
X = (np.eye(5)[Y] + 0.6 * RNG.normal(size=(40, 5))).astype("float32")


def model(seed, size=5):
    """A linear one, of random weights."""
    inputs = keras.Input((5,))
    made = SimilarityModel(inputs, keras.layers.Dense(size, use_bias=False)(inputs))
    made.create_index("euclidean")
    weights = np.eye(5, size) + 0.4 * np.random.default_rng(seed).normal(size=(5, size))
    made.set_weights([weights.astype("float32")])
    return made


OLD, NEW = model(1), model(2)
NAMES = ("old on old", "new on old", "new on new")


@pytest.mark.parametrize("gallery", [False, True])
def test_the_three_rankings(gallery):
    old, new = (one.embed(X, verbose=0) for one in (OLD, NEW))
    if gallery:
        result = NEW.compatible_with(OLD, X[:15], Y[:15], X[15:], Y[15:])
        expected = {
            name: evaluate(q[:15], Y[:15], k[15:], Y[15:], "euclidean")
            for name, q, k in zip(NAMES, (old, new, new), (old, old, new), strict=True)
        }
    else:
        result = NEW.compatible_with(OLD, X, Y)
        own = np.arange(40)
        expected = {
            name: evaluate(q, Y, k, Y, "euclidean", query_positions=own)
            for name, q, k in zip(NAMES, (old, new, new), (old, old, new), strict=True)
        }
    assert list(result.results) == list(NAMES)
    for name, one in expected.items():
        assert dict(result[name]) == dict(one)
    better = compare(expected["new on old"], expected["old on old"])
    assert result.comparison.intervals == better.intervals
    for metric, gain in better.difference.items():
        assert result.holds[metric] == (gain > 0)
        advantage = expected["new on new"][metric] - expected["old on old"][metric]
        if advantage > 0:
            assert result.update_gain[metric] == pytest.approx(gain / advantage)
        else:
            assert np.isnan(result.update_gain[metric])


def test_a_model_of_the_same_space_that_is_better_holds_and_another_space_does_not():
    noise = model(3)
    noise.set_weights([(np.eye(5) * [1, 1, 1, 0.1, 0.1]).astype("float32")])
    same, turned = model(4), model(5)
    same.set_weights([np.eye(5, dtype="float32")])
    turned.set_weights([np.roll(np.eye(5, dtype="float32"), 1, axis=1)])
    good, bad = (one.compatible_with(noise, X, Y) for one in (same, turned))
    assert good.holds["map@r"]
    assert not bad.holds["map@r"]
    assert good["new on new"]["map@r"] == pytest.approx(bad["new on new"]["map@r"])
    header, _, *rows = str(bad).splitlines()
    assert header.split("  ")[0] == "metric"
    assert next(row for row in rows if row.startswith("map@r")).endswith("fails")


def test_no_index_is_touched():
    before = OLD.index_size(), NEW.index_size()
    NEW.compatible_with(OLD, X, Y, retrieval_metrics="precision@1")
    assert (OLD.index_size(), NEW.index_size()) == before


def test_refusals():
    without = SimilarityModel.from_model(keras.Sequential([keras.Input((5,)), L2Embedding(5)]))
    for old, error, match in (
        (OLD.vector_index, TypeError, "`old`.*Index"),
        (without, ValueError, "`old` has no distance"),
        (model(1, size=4), ValueError, "Received: 4 and 5"),
    ):
        with pytest.raises(error, match=match):
            NEW.compatible_with(old, X, Y)
    with pytest.raises(ValueError, match="`x` must come with class ids"):
        NEW.compatible_with(OLD, X)
