import keras
import numpy as np
import pytest

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import NTXentLoss, SimCLRLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import (
    MultiShotMemorySampler,
    SingleShotMemorySampler,
    select_examples,
)

X = np.arange(20, dtype="float32")[:, None] * [1.0, 10.0]


def shift(x, y, seed):
    return x + np.random.default_rng(seed).uniform(0, 0.4, size=(len(x), 1)), y


def test_views_follow_one_another():
    sampler = SingleShotMemorySampler(
        X, shift, examples_per_batch=5, num_augmentations_per_example=3, seed=0
    )
    x, y = sampler[0]
    assert x.shape == (15, 2)
    assert sampler.batch_size == 5
    np.testing.assert_array_equal(y.reshape(3, 5), np.tile(y[:5], (3, 1)))
    assert len(set(y.tolist())) == 5
    np.testing.assert_array_equal(np.floor(x[:, 0]), y)
    # No two views of an example are the same.
    assert len(np.unique(x[:, 0])) == 15


def test_augmenters_that_take_a_seed_make_the_same_views_again():
    one, two = (SingleShotMemorySampler(X, shift, 4, seed=7) for _ in range(2))
    expected = [one[step][0] for step in range(3)]
    for step in (2, 0, 1):
        np.testing.assert_array_equal(two[step][0], expected[step])
    two.on_epoch_end()
    assert (two[0][0] != expected[0]).any()
    multi = [MultiShotMemorySampler(X, np.arange(20) % 4, augmenter=shift, seed=1) for _ in "ab"]
    np.testing.assert_array_equal(multi[0][5][0], multi[1][5][0])


def test_layers_augment_in_training_mode():
    sampler = SingleShotMemorySampler(X, keras.layers.GaussianNoise(0.5), 6, seed=0)
    x, y = sampler[0]
    assert isinstance(x, np.ndarray)
    assert (x[:6] != x[6:]).all()
    assert np.abs(x[:6] - X[y[:6]]).max() < 5


def test_every_example_is_drawn():
    sampler = SingleShotMemorySampler(X, lambda x, y: (x, y), 5, steps_per_epoch=100, seed=0)
    assert set(np.concatenate([y for _, y in sampler]).tolist()) == set(range(20))
    x, y = sampler.get_slice(3, 2)
    np.testing.assert_array_equal(x, X[3:5])
    assert y.tolist() == [3, 4]


@pytest.mark.slow
def test_views_train_losses_on_ids_and_losses_on_two_views():
    inputs = keras.Input((2,))
    model = SimilarityModel(inputs, L2Embedding(4)(inputs))
    model.compile("adam", loss=NTXentLoss(temperature=0.5), run_eagerly=True)
    sampler = SingleShotMemorySampler(X, shift, 8, steps_per_epoch=3, seed=0)
    history = model.fit(sampler, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    x, y = sampler[0]
    embeddings = keras.ops.convert_to_tensor(model.embed(x, verbose=0))
    first, second = keras.ops.split(embeddings, 2)
    both = float(SimCLRLoss(temperature=0.5)(first, second))
    ids = float(NTXentLoss(temperature=0.5)(y, embeddings))
    np.testing.assert_allclose(both, 2 * ids, rtol=1e-5)


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (TypeError, "augmenter", {"augmenter": None}),
        (TypeError, "augmenter", {"augmenter": 3}),
        (ValueError, "examples_per_batch=21", {"examples_per_batch": 21}),
        (ValueError, "num_augmentations", {"num_augmentations_per_example": 0}),
        (ValueError, "same number", {"x": (X, X[1:])}),
    ],
)
def test_bad_arguments_are_named(error, match, arguments):
    with pytest.raises(error, match=match):
        SingleShotMemorySampler(
            **({"x": X, "augmenter": shift, "examples_per_batch": 4} | arguments)
        )


def test_augmenters_must_keep_the_number_of_examples():
    sampler = SingleShotMemorySampler(X, lambda x, y: (x[1:], y[1:]), 4)
    with pytest.raises(ValueError, match=r"keep the number.*3 of 4"):
        sampler[0]


def test_select_examples():
    y = np.repeat([3, 5, 9, 11], 5)
    x, found = select_examples({"a": X}, y, class_list=[3, 9], num_examples_per_class=2, seed=0)
    assert np.unique(found, return_counts=True)[1].tolist() == [2, 2]
    positions = x["a"][:, 0].astype(int)
    np.testing.assert_array_equal(y[positions], found)
    assert (np.diff(positions) > 0).all()
    with pytest.raises(ValueError, match="19"):
        select_examples(X[1:], y)
