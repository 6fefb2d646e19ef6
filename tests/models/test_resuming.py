"""Indexing piece by piece, in a folder, and going on after an interruption."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tensorflow_similarity.index import Index, IndexLockedError
from tensorflow_similarity.models import SimilarityModel, resuming


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(resuming, "_PIECE", 20)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    return SimilarityModel(inputs, keras.layers.Dense(3)(inputs))


def examples(n):
    return np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32), np.arange(n) % 7


def assert_all_there(model, x, y, ids, data=None):
    index = model.vector_index
    assert len(index) == len(x)
    records = index.get(ids)
    np.testing.assert_allclose(records.embeddings, model.embed(x, verbose=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(records.labels, y)
    if data is not None:
        assert list(records.data) == list(data)


@pytest.mark.parametrize("kind", ["array", "tf.data", "generator"])
@pytest.mark.further("generator")
def test_an_interruption_costs_at_most_a_piece(model, tmp_path, kind):
    x, y = examples(100)
    data = [{"i": i} for i in range(100)]

    def stream(fail_at=None):
        for start in range(0, 100, 8):
            if start == fail_at:
                raise InterruptedError("the power went")
            yield x[start : start + 8], y[start : start + 8]

    model.create_index(distance="euclidean", path=tmp_path / "index")
    with pytest.raises(InterruptedError):
        model.index(stream(fail_at=64), data=data, verbose=0, resume=True)
    assert 64 - 24 <= len(model.vector_index) <= 64
    model.vector_index.close()

    model.create_index(distance="euclidean", path=tmp_path / "index")
    there, calls = len(model.vector_index), []
    embedder = model._binding.embedder
    call = embedder.call
    embedder.call = lambda batch: calls.append(len(batch)) or call(batch)
    if kind == "array":
        ids = model.index(x, y, data=data, batch_size=8, verbose=0, resume=True)
    elif kind == "tf.data":
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(9)
        ids = model.index(dataset, data=data, verbose=0, resume=True)
    else:
        ids = model.index(stream(), data=data, verbose=0, resume=True)
    assert sum(calls) == 100 - there  # what was there is not embedded again
    np.testing.assert_array_equal(ids, np.arange(100))
    assert_all_there(model, x, y, ids, data)
    model.vector_index.close()


def test_ids_and_data_of_ones_own(model):
    x, y = examples(50)
    ids = np.random.default_rng(1).permutation(50) * 10
    model.create_index(distance="euclidean")
    model.index(x[:5], y[:5], ids=ids[:5], data=np.arange(10).reshape(5, 2), verbose=0)
    found = model.index(
        x, y, ids=ids, data=np.arange(100).reshape(50, 2), batch_size=16, verbose=0, resume=True
    )
    np.testing.assert_array_equal(found, ids)
    assert_all_there(model, x, y, ids)
    np.testing.assert_array_equal(model.vector_index.get(ids).data, np.arange(100).reshape(50, 2))


@pytest.mark.parametrize("kind", ["array", "series", "tensor", "hdf5"])
def test_data_goes_by_position(model, kind):
    x, y = examples(30)
    values = np.arange(30) * 2
    data = {
        "array": lambda: values,
        "series": lambda: pd.Series(values, index=np.arange(30)[::-1]),
        "tensor": lambda: tf.constant(values),
        "hdf5": lambda: Chunked(values),
    }[kind]()
    model.create_index(distance="euclidean")
    model.index(x[:4], y[:4], data=values[:4], verbose=0)
    ids = model.index(x, y, data=data, batch_size=7, verbose=0, resume=True)
    np.testing.assert_array_equal(model.vector_index.get(ids).data, values)


class Chunked:
    """As files of HDF5: rows are read when they are asked for, not all at once."""

    chunks = (5,)

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, places):
        return self.values[places]

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole file was read")


def test_examples_in_a_series_go_by_position():
    inputs = keras.Input(())
    model = SimilarityModel(inputs, keras.layers.Dense(2)(keras.ops.expand_dims(inputs, 1)))
    x = pd.Series(np.arange(9, dtype="float32"), index=np.arange(9)[::-1])
    model.create_index(distance="euclidean")
    model.index(x.to_numpy()[[2, 5]], ids=[2, 5], verbose=0)
    ids = model.index(x, batch_size=4, verbose=0, resume=True)
    embeddings = model.embed(x.to_numpy(), verbose=0)
    np.testing.assert_allclose(model.vector_index.get(ids).embeddings, embeddings, rtol=1e-5)


def test_without_labels_and_with_several_inputs():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = SimilarityModel({"a": a, "b": b}, keras.layers.Add()([a, b]))
    model.create_index(distance="euclidean")
    x = {"a": np.ones((30, 2), "f4"), "b": tf.reshape(tf.range(60.0), (30, 2))}
    model.index({key: value[:7] for key, value in x.items()}, verbose=0, resume=True)
    ids = model.index(x, verbose=0, resume=True)
    records = model.vector_index.get(ids)
    np.testing.assert_allclose(records.embeddings, x["a"] + x["b"].numpy())
    assert not records.has_label.any()


def test_lengths_that_differ(model):
    x, y = examples(30)
    model.create_index(distance="euclidean")
    stream = [(x[:20], y[:20]), (x[20:], y[20:])]
    for wrong in ({"ids": np.arange(25)}, {"ids": np.arange(31)}, {"data": ["a"] * 29}):
        with pytest.raises(ValueError, match="must hold one value per example: expected 30"):
            model.index(iter(stream), verbose=0, resume=True, **wrong)
    with pytest.raises(ValueError, match="labels with every batch or with none"):
        model.index(iter([(x, y), (x, None)]), verbose=0, resume=True)
    with pytest.raises(ValueError, match="at least one example"):
        model.index(iter([]), verbose=0, resume=True)


def test_a_model_whose_index_lives_in_a_folder(model, tmp_path):
    x, y = examples(40)
    model.create_index(distance="euclidean", path=tmp_path / "index", storage="float16")
    assert model.vector_index.path == str(tmp_path / "index")
    assert model.vector_index.storage == "float16"
    model.index(x, y, verbose=0)
    with pytest.raises(IndexLockedError):
        Index.open(tmp_path / "index")
    before = model.lookup(x[:5], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.vector_index.path is None  # it has all of the index in its file
    np.testing.assert_array_equal(loaded.lookup(x[:5], verbose=0).ids, before.ids)
    model.vector_index.close()
    loaded.load_index(tmp_path / "index")
    assert loaded.vector_index.path == str(tmp_path / "index")
    np.testing.assert_array_equal(loaded.lookup(x[:5], verbose=0).ids, before.ids)
    loaded.index(x[:1], verbose=0)
    loaded.vector_index.close()
    model.create_index(distance="cosine")
    with pytest.raises(ValueError, match="must hold an index with the distance of the model"):
        model.load_index(tmp_path / "index")
    with Index.open(tmp_path / "index") as index:  # which was let go
        assert len(index) == 41


def test_weights_that_changed_are_noticed_after_a_crash(model, tmp_path):
    """The note of which weights made the records is in the journal before the records are."""
    x, y = examples(10)
    model.create_index(distance="euclidean", path=tmp_path / "index")
    model.index(x, y, verbose=0)
    journal = (tmp_path / "index" / "journal.1").read_bytes()
    model.vector_index.close()
    (tmp_path / "index" / "journal.1").write_bytes(journal)
    model.set_weights([weights + 1 for weights in model.get_weights()])
    model.load_index(tmp_path / "index")
    with pytest.warns(UserWarning, match="weights changed"):
        model.lookup(x[:1], verbose=0)
    model.vector_index.close()
