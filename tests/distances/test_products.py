"""A distance tells which product ranks it; every part asks the object, and nothing else."""

import importlib.util
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tensorflow_similarity import distances, losses
from tensorflow_similarity.distances import CosineDistance, Distance, EuclideanDistance, Product
from tensorflow_similarity.evaluation import evaluate
from tensorflow_similarity.index import Index, exact_search
from tensorflow_similarity.models import SimilarityModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6)).astype("float32")
Q = RNG.normal(size=(40, 6)).astype("float32")
MATRIX = RNG.normal(size=(6, 6)).astype("float32")


@keras.saving.register_keras_serializable(package="test_products")
class MahalanobisDistance(Distance):
    """A distance with a product, in a file of its own: this is all there is to write."""

    name = "mahalanobis"

    def _moved(self, rows, xp):
        return xp.matmul(rows, xp.asarray(MATRIX) if xp is np else xp.cast(MATRIX, rows.dtype))

    def pairwise(self, queries, keys):
        queries, keys = self._moved(queries, ops), self._moved(keys, ops)
        squares = ops.sum(ops.square(queries[:, None] - keys[None]), axis=-1)
        return ops.sqrt(ops.maximum(squares, 1e-30))

    def product(self):
        return Product("euclidean", transform=self._moved)


@keras.saving.register_keras_serializable(package="test_products")
def cosine(queries, keys):
    """A user's function that has the name of a distance of the library, and is another."""
    return ops.sum(ops.abs(queries[:, None] - keys[None]), axis=-1)


@keras.saving.register_keras_serializable(package="test_products")
class Own(CosineDistance):
    """A subclass of a distance with a product that computes something else."""

    def pairwise(self, queries, keys):
        return cosine(queries, keys)


class Sub(EuclideanDistance):
    """A subclass that changes nothing."""


def truth(distance, queries=Q, keys=X):
    return np.asarray(distances.get(distance)(queries.astype("f8"), keys.astype("f8")))


def nearest(distance, k, queries=Q, keys=X):
    matrix = truth(distance, queries, keys)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(matrix, order, axis=1)


ALL = {
    "mahalanobis": MahalanobisDistance(),
    "function": cosine,
    "own": Own(),
    "sub": Sub(),
    "snr": "snr",
    "manhattan": "manhattan",
    **{name: name for name in ("cosine", "euclidean", "inner_product", "squared_euclidean")},
}


def test_who_has_a_product():
    have = {name for name, d in ALL.items() if distances.product_of(distances.get(d)) is not None}
    assert have == {
        "mahalanobis",
        "sub",
        "snr",
        "cosine",
        "euclidean",
        "inner_product",
        "squared_euclidean",
    }
    with pytest.raises(ValueError, match=r"`space`.*cosine"):
        Product("angular")


@pytest.mark.parametrize("name", ALL)
def test_exact_search_is_by_the_distance(name):
    expected, values = nearest(ALL[name], 7)
    found, ours = exact_search(Q, X, 7, ALL[name])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(ours, values, rtol=1e-4, atol=1e-5)
    one, _ = exact_search(Q[:1], X, 7, ALL[name])
    np.testing.assert_array_equal(one, expected[:1])


@pytest.mark.parametrize("name", ALL)
def test_evaluation_is_by_the_distance(name):
    y = RNG.integers(0, 5, len(X) + len(Q))
    result = evaluate(Q, y[: len(Q)], X, y[len(Q) :], distance=ALL[name], metrics=["precision@1"])
    order, _ = nearest(ALL[name], 1)
    expected = (y[len(Q) :][order[:, 0]] == y[: len(Q)]).mean()
    np.testing.assert_allclose(result["precision@1"], expected)


@pytest.mark.parametrize("search", ["exact", "nmslib", "faiss", "usearch", "scann"])
@pytest.mark.parametrize("name", ["mahalanobis", "own", "function", "sub", "snr"])
@pytest.mark.slow_cases(
    "mahalanobis-nmslib",
    "mahalanobis-usearch",
    "snr-nmslib",
    "mahalanobis-scann",
    "sub-nmslib",
    "sub-faiss",
    "snr-faiss",
    "snr-scann",
    "snr-usearch",
    "mahalanobis-faiss",
    "sub-scann",
    "sub-usearch",
)
def test_every_engine(name, search, tmp_path):
    if search not in ("exact", "nmslib") and importlib.util.find_spec(search) is None:
        pytest.skip(f"{search} is an extra that is not installed")
    x = np.random.default_rng(1).normal(size=(3000, 6)).astype("float32")
    index = Index(6, ALL[name], search=search, search_params={} if search == "exact" else None)
    index.add(x, labels=np.arange(3000))
    _, values = nearest(ALL[name], 5, Q, x)
    found = index.lookup(Q, k=5)
    # ScaNN misses more than others on so few dimensions.
    near = values[:, -1:] * (1 + np.sign(values[:, -1:]) * 1e-4) + 1e-5
    assert (found.distances <= near).mean() > 0.85
    true = np.take_along_axis(truth(ALL[name], Q, x), found.ids, axis=1)
    np.testing.assert_allclose(found.distances, true, rtol=1e-4, atol=1e-5)
    has_product = distances.product_of(distances.get(ALL[name])) is not None
    assert index.engine == (search if has_product else "exact")
    index.save(tmp_path / "x")
    if name != "sub":  # which is not registered with Keras
        again = Index.load(tmp_path / "x").lookup(Q, k=5)
        np.testing.assert_array_equal(again.ids, found.ids)
        np.testing.assert_array_equal(again.distances, found.distances)


@pytest.mark.further
@pytest.mark.parametrize("name", ["mahalanobis", "own", "function", "snr"])
def test_the_saved_model(name, tmp_path):
    inputs = keras.Input((6,), name="x")
    model = SimilarityModel(inputs, keras.layers.Identity()(inputs))
    model.create_index(distance=ALL[name])
    model.index(X, np.arange(len(X)), verbose=0)
    model.export_serving(tmp_path / "m", k=4)
    served = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    found = served(tf.constant(Q))
    expected, values = nearest(ALL[name], 4)
    np.testing.assert_array_equal(found["ids"], expected)
    np.testing.assert_allclose(found["distances"], values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["own", "function"])
@pytest.mark.further("own")
def test_losses_and_configs_keep_what_was_given(name):
    loss = losses.TripletLoss(distance=ALL[name])
    labels = np.arange(12) % 3
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.distance == loss.distance
    value = float(loss(labels, X[:12]))
    assert float(again(labels, X[:12])) == value
    assert value != float(losses.TripletLoss(distance="cosine")(labels, X[:12]))


def test_what_is_for_one_distance_is_not_fooled_by_a_name():
    for fooling in (cosine, Own()):
        with pytest.raises(ValueError, match="angles"):
            losses.HistogramLoss(distance=fooling)

    def euclidean(queries, keys):
        return cosine(queries, keys)

    with pytest.raises(ValueError, match="`distance` must be one of"):
        losses.MarginLoss(distance=euclidean, mining="distance_weighted")
    losses.MarginLoss(distance=Sub(), mining="distance_weighted")


@pytest.mark.parametrize("name", distances.names())
@pytest.mark.parametrize(
    ("queries", "keys"),
    [
        (np.zeros(3), np.zeros((2, 3))),
        (np.zeros((2, 3)), np.zeros(3)),
        (np.zeros((2, 2, 3)), np.zeros((2, 3))),
        (np.zeros((2, 3)), np.zeros((2, 4))),
    ],
)
def test_other_shapes_are_refused(name, queries, keys):
    with pytest.raises(ValueError, match="`queries` and `keys` must"):
        distances.get(name)(queries, keys)


@pytest.mark.parametrize("name", [*distances.names(), "mahalanobis"])
@pytest.mark.parametrize(
    ("a", "b"),
    [(np.ones((2, 6)), np.ones((2, 1))), (np.ones((2, 6)), 1.0), (np.ones(6), np.ones(5))],
)
def test_rows_of_other_widths_are_refused(name, a, b):
    """One number is not broadcast over all coordinates."""
    with pytest.raises(ValueError, match="`queries` and `keys` must"):
        distances.get(ALL.get(name, name)).paired(a, b)


def test_an_inherited_call_has_no_product():
    class Doubled(CosineDistance):
        def __call__(self, queries, keys):
            return 2 - super().__call__(queries, keys)

    class Below(Doubled):
        """Changes nothing."""

    assert distances.product_of(Below()) is None


def test_whole_numbers_are_taken_as_floats():
    for name in distances.names():
        whole = np.arange(12).reshape(4, 3)
        np.testing.assert_allclose(
            distances.get(name)(whole, whole[::-1]),
            distances.get(name)(whole.astype("f4"), whole[::-1].astype("f4")),
        )
