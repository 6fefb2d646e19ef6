import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.models.batches import batches_of

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


class Pairs(keras.utils.PyDataset):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.threads = set()

    def __len__(self):
        return 5

    def __getitem__(self, i):
        self.threads.add(threading.get_ident())
        return X[2 * i : 2 * i + 2], Y[2 * i : 2 * i + 2]


def joined(batches):
    xs, ys = zip(*batches, strict=True)
    y = None if ys[0] is None else np.concatenate([getattr(y, "ids", y) for y in ys])
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *xs), y


@pytest.mark.parametrize("as_what", [np.asarray, tf.constant, np.ndarray.tolist])
@pytest.mark.parametrize("batch_size", [1, 3, 10, 99])
def test_arrays_are_cut_into_batches(as_what, batch_size):
    batches = batches_of(as_what(X), Y, batch_size)
    parts = list(batches)
    assert len(parts) == batches.count == -(-10 // batch_size)
    assert batches.examples == 10
    x, y = joined(parts)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert next(iter(batches_of(X, None, 4)))[1] is None


@pytest.mark.parametrize("structure", [{"a": X, "b": Y}, (X, Y), [X, Y]])
def test_structures_of_arrays(structure):
    parts = list(batches_of(structure, Y, 4, input_ranks=[2, 1]))
    assert [type(x) for x, _ in parts] == [type(structure)] * 3
    x, _ = joined(parts)
    keras.tree.map_structure(np.testing.assert_array_equal, x, structure)


def test_a_list_is_examples_or_one_array_per_input():
    images = [np.full((3, 3), i) for i in range(3)]
    ((x, _),) = batches_of(images, input_ranks=[3])
    assert x.shape == (3, 3, 3)
    ((x, _),) = batches_of([np.zeros((3, 3, 3))], input_ranks=[3])
    assert isinstance(x, list)
    ((x, _),) = batches_of([np.zeros((3, 3))], input_ranks=[3])
    assert x.shape == (1, 3, 3)
    ((x, _),) = batches_of(images)  # unknown: as in Keras, inputs
    assert len(x) == 3


def datasets():
    pairs = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    return {
        "tf.data": (pairs, 5),
        "tf.data of unknown length": (pairs.filter(lambda x, y: True), None),
        "PyDataset": (Pairs(), 5),
        "PyDataset with workers": (Pairs(workers=3, max_queue_size=2), 5),
        "generator": (((X[i : i + 2], Y[i : i + 2]) for i in range(0, 10, 2)), None),
        "generator of lists": ([X[i : i + 2], Y[i : i + 2]] for i in range(0, 10, 2)),
        "with weights": (((X[i : i + 2], Y[i : i + 2], Y[:2]) for i in range(0, 10, 2)), None),
    }


@pytest.mark.parametrize("kind", list(datasets()))
def test_datasets_bring_their_labels(kind):
    dataset = datasets()[kind]
    dataset, count = dataset if isinstance(dataset, tuple) else (dataset, None)
    batches = batches_of(dataset)
    assert batches.count == count
    x, y = joined(batches)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_datasets_without_labels():
    x, y = joined(batches_of(tf.data.Dataset.from_tensor_slices(X).batch(4)))
    np.testing.assert_array_equal(x, X)
    assert y is None
    x, y = joined(batches_of(tf.data.Dataset.from_tensor_slices({"a": X, "b": Y}).batch(4)))
    np.testing.assert_array_equal(x["a"], X)
    assert y is None


def test_workers_of_a_pydataset_are_used():
    dataset = Pairs(workers=3)
    list(batches_of(dataset))
    assert threading.get_ident() not in dataset.threads


def test_an_error_in_a_worker_reaches_the_caller():
    class Broken(Pairs):
        def __getitem__(self, i):
            if i == 3:
                raise RuntimeError("no such file")
            return super().__getitem__(i)

    with pytest.raises(RuntimeError, match="no such file"):
        list(batches_of(Broken(workers=2)))


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("`y` must be None", {"x": Pairs(), "y": Y}),
        ("`y`.*expected 10", {"x": X, "y": Y[:9]}),
        ("`x`.*shapes", {"x": {"a": X, "b": Y[:9]}}),
        ("`x`.*shapes", {"x": np.float32(3.0)}),
        ("`x`.*at least one", {"x": X[:0]}),
        ("batch_size", {"x": X, "batch_size": 0}),
        ("must have an end.*take", {"x": tf.data.Dataset.range(3).repeat()}),
    ],
)
def test_bad_input_is_refused(match, arguments):
    with pytest.raises(ValueError, match=match):
        batches_of(**arguments)
