"""A stand-in has what is used of `datasets.Dataset`; the library itself where it is installed."""

import types

import numpy as np
import pytest

from tensorflow_similarity.samplers import HuggingFaceSampler, Padding

N = 24
COLUMNS = {
    "text": [f"text {i}" for i in range(N)],
    "tokens": [[i] * (1 + i % 5) for i in range(N)],
    "label": [i % 3 if i else -1 for i in range(N)],
    "topic": ["dog" if i % 2 else "cat" for i in range(N)],
    "price": [i / N for i in range(N)],
}
NAMES = ["zebra", "ant", "emu"]


class StandIn:
    def __init__(self, columns, features):
        self.columns, self.features = columns, features
        self.column_names = list(columns)

    def __len__(self):
        return N

    def select_columns(self, names):
        return StandIn({name: self.columns[name] for name in names}, self.features)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.columns[key]
        return {name: [column[i] for i in key] for name, column in self.columns.items()}


def stand_in():
    features = {name: types.SimpleNamespace() for name in COLUMNS}
    features["label"].names = NAMES
    return StandIn(COLUMNS, features)


def real():
    datasets = pytest.importorskip("datasets", reason="an extra")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "tokens": datasets.Sequence(datasets.Value("int32")),
            "label": datasets.ClassLabel(names=NAMES),
            "topic": datasets.Value("string"),
            "price": datasets.Value("float32"),
        }
    )
    return datasets.Dataset.from_dict(COLUMNS, features=features)


@pytest.fixture(params=[stand_in, real], ids=["stand-in", "datasets"])
def dataset(request):
    return request.param()


def numbers(texts):
    return [int(text.decode().split()[1]) for text in np.asarray(texts).tolist()]


def test_batches_of_text_with_the_names_of_the_feature(dataset):
    sampler = HuggingFaceSampler(dataset, "text", steps_per_epoch=5, seed=0)
    assert sampler.class_names == NAMES
    assert sampler.num_examples == N - 1  # One is of unknown class.
    for x, y in sampler:
        np.testing.assert_array_equal([i % 3 for i in numbers(x)], y)
        assert np.unique(y, return_counts=True)[1].tolist() == [2, 2]


def test_names_sequences_several_columns_and_weights(dataset):
    sampler = HuggingFaceSampler(
        dataset,
        ["tokens", "text"],
        ["topic", "price"],
        weight_key="price",
        padding=Padding(lengths=[5]),
        seed=0,
    )
    assert sampler.class_names == ["cat", "dog"]
    x, y, w = sampler[0]
    which = x["tokens"][:, 0]
    assert x["tokens"].shape == (4, 5)
    assert numbers(x["text"]) == which.tolist()
    np.testing.assert_array_equal(which % 2, y["topic"])
    np.testing.assert_allclose(y["price"], which / N, rtol=1e-6)
    np.testing.assert_allclose(w, which / N, rtol=1e-6)


def test_examples_are_loaded(dataset):
    def load(row):
        return {"n": np.full(2, int(row["text"].split()[1])), "p": row["price"]}

    sampler = HuggingFaceSampler(
        dataset, ["text", "price"], "topic", class_list=["dog", "cat"], load_example_fn=load, seed=0
    )
    x, y = sampler[0]
    np.testing.assert_array_equal(x["n"][:, 0] % 2, y)
    np.testing.assert_allclose(x["p"], x["n"][:, 1] / N, rtol=1e-6)


def test_bad_arguments_are_named(dataset):
    with pytest.raises(KeyError, match="'picture'"):
        HuggingFaceSampler(dataset, "picture")
    with pytest.raises(TypeError, match=r"dataset\['train'\]"):
        HuggingFaceSampler({"train": dataset}, "text")
    with pytest.raises(ValueError, match="label_output"):
        HuggingFaceSampler(dataset, "text", ["topic", "text"])
    with pytest.raises(TypeError, match="dataset"):
        HuggingFaceSampler(iter(dataset), "text")
