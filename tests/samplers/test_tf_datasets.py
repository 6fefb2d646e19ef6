"""Nothing is downloaded: a stand-in has the two functions that are used."""

import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.samplers import TFDatasetMultiShotMemorySampler

SPLITS = {"train": np.arange(24), "test": np.arange(24, 30)}


def images(numbers):
    return tf.data.Dataset.from_tensor_slices(
        {
            "image": (numbers[:, None] * np.ones(4)).astype("uint8"),
            "label": numbers % 3,
            "id": numbers,
            "name": np.array(["ant", "bee", "cat"])[numbers % 3],
        }
    )


@pytest.fixture
def stand_in(monkeypatch):
    def load(name, split, data_dir):
        assert (name, data_dir) == ("digits", "/data")
        return images(SPLITS[split])

    module = types.SimpleNamespace(load=load, as_numpy=lambda ds: ds.as_numpy_iterator())
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)


def made(**kwargs):
    options = {"classes_per_batch": 2, "data_dir": "/data", "verbose": 0, "seed": 0} | kwargs
    return TFDatasetMultiShotMemorySampler("digits", **options)


def test_splits_are_read_into_memory(stand_in):
    sampler = made()
    assert sampler.num_examples == 30
    x, y = sampler[0]
    assert x.shape == (4, 4)
    assert x.dtype == "uint8"
    np.testing.assert_array_equal(x[:, 0] % 3, y)
    assert made(splits="test").num_examples == 6
    assert made(class_list=[0, 2], total_examples_per_class=5).num_examples == 10


def test_examples_are_preprocessed_and_features_chosen(stand_in):
    sampler = made(
        x_key="id", y_key="id", splits="train", preprocess_fn=lambda x, y: (x * np.ones(2), y // 12)
    )
    x, y = sampler[3]
    np.testing.assert_array_equal(x[:, 0] // 12, y)


def test_names_text_and_sequences(stand_in):
    sampler = made(x_key="name", y_key="name", class_list=["cat", "ant"])
    assert sampler.num_examples == 20
    assert sampler.class_names == ["ant", "cat"]
    x, y = sampler[0]
    assert [sampler.class_names[label] for label in y] == [
        text.decode() for text in np.asarray(x).tolist()
    ]
    x, y = made(x_key="id", preprocess_fn=lambda x, y: ({"n": np.full(1 + x % 3, x), "y": y}, y))[0]
    np.testing.assert_array_equal(x["n"][:, 0] % 3, y)
    np.testing.assert_array_equal(x["y"], y)


def test_bad_arguments_are_named(stand_in):
    with pytest.raises(
        ValueError, match=r"\['picture'\]; there are \['id', 'image', 'label', 'name'\]"
    ):
        made(x_key="picture")
    with pytest.raises(ValueError, match="class_list"):
        made(class_list=[7])


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"keras-similarity\[tfds\]"):
        made()


def test_with_the_real_library(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets", reason="not in [test]: over 100 MB")

    class Numbers(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tmp_path

        def _info(self):
            features = {"image": tfds.features.Tensor(shape=(2,), dtype=np.int64)}
            features["label"] = tfds.features.ClassLabel(num_classes=3)
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(12):
                yield i, {"image": np.array([i, -i]), "label": i % 3}

    sampler = TFDatasetMultiShotMemorySampler(
        Numbers(data_dir=str(tmp_path)), 3, splits="train", verbose=0
    )
    x, y = sampler[0]
    np.testing.assert_array_equal(x[:, 0] % 3, y)
