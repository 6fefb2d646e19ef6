"""HardNegativeMining, and the sampler that it feeds."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.callbacks import HardNegativeMining
from tensorflow_similarity.losses import MultiNegativesRankLoss
from tensorflow_similarity.models import DualEncoder, mine_hard_negatives
from tensorflow_similarity.samplers import MultiShotMemorySampler, QuerySampler

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(12, 4)).astype("float32")
OWN = np.arange(20) % 10
QUERIES = (ITEMS[OWN] + 0.3 * RNG.normal(size=(20, 4))).astype("float32")
IDS = 2**40 + np.arange(12) // 2  # Two of each item.


def sampler(**options):
    return QuerySampler(
        QUERIES, ITEMS, OWN, **{"batch_size": 8, "num_negatives": 2, "seed": 0} | options
    )


def encoder():
    tower = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    tower.set_weights([np.eye(4, 3, dtype="float32")])
    model = DualEncoder(tower)
    model.compile(
        keras.optimizers.SGD(0.5), MultiNegativesRankLoss(distance="cosine"), run_eagerly=True
    )
    return model


def mined(weights, ids=None):
    ids = np.arange(12) if ids is None else ids
    return mine_hard_negatives(
        QUERIES @ weights, ITEMS @ weights, ids[OWN], ids, num_negatives=2
    ).rows


class Remember(keras.callbacks.Callback):
    """What the sampler has in each epoch, and the weights before it."""

    def __init__(self, data):
        super().__init__()
        self.data, self.negatives, self.weights = data, [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.weights.append(self.model.get_weights()[0])

    def on_epoch_end(self, epoch, logs=None):
        self.negatives.append(self.data.negatives)


def trained(model=None, first=0, last=5, **options):
    data, model = sampler(), model or encoder()
    seen = Remember(data)
    mining = HardNegativeMining(data, **options)
    model.fit(
        data, initial_epoch=first, epochs=last, callbacks=[seen, mining], verbose=0, shuffle=False
    )
    return seen, mining, model


def test_batches_have_every_query_once_with_its_candidate():
    data = sampler(candidate_ids=IDS)
    batches = [data[i] for i in range(len(data))]
    queries = np.concatenate([x for x, _ in batches])
    order = [int(np.flatnonzero((q == QUERIES).all(axis=1))[0]) for q in queries]
    assert sorted(order) == list(range(20))
    candidates = np.concatenate([y["candidates"] for _, y in batches])
    np.testing.assert_array_equal(candidates, ITEMS[OWN[order]])
    ids = np.concatenate([y["ids"] for _, y in batches])
    np.testing.assert_array_equal(ids, OWN[order] // 2)
    negatives = np.concatenate([y["negatives"] for _, y in batches])
    rows = [
        [int(np.flatnonzero((n == ITEMS).all(axis=1))[0]) for n in of_query]
        for of_query in negatives
    ]
    assert negatives.shape == (20, 2, 4)
    theirs = np.concatenate([y["negative_ids"] for _, y in batches])
    np.testing.assert_array_equal(theirs, np.array(rows) // 2)


def test_negatives_that_are_set_come_and_what_is_missing_is_drawn():
    data = sampler(batch_size=20)
    wanted = mined(np.eye(4))
    wanted[:5, 1] = -1
    drawn = data[0][1]["negatives"]
    data.set_negatives(wanted)
    x, y = data[0]
    order = [int(np.flatnonzero((q == QUERIES).all(axis=1))[0]) for q in x]
    rows = wanted[order]
    expected = np.where(rows[..., None] >= 0, ITEMS[rows], drawn)
    np.testing.assert_array_equal(y["negatives"], expected)
    again = sampler(batch_size=20)
    np.testing.assert_array_equal(again[0][1]["negatives"], drawn)
    again.on_epoch_end()
    assert not np.array_equal(again[0][1]["negatives"], drawn)
    data.set_negatives(None)
    np.testing.assert_array_equal(data[0][1]["negatives"], drawn)


@pytest.mark.further
def test_it_mines_with_the_weights_as_they_are_then():
    seen, mining, _ = trained(every=2, start=1)
    assert seen.negatives[0] is None
    for epoch, mined_before in ((1, 1), (2, 1), (3, 3), (4, 3)):
        np.testing.assert_array_equal(seen.negatives[epoch], mined(seen.weights[mined_before]))
    assert mining.epoch == 3
    assert any(not np.array_equal(seen.negatives[1], later) for later in seen.negatives[3:])


@pytest.mark.further
def test_a_run_that_goes_on_has_the_negatives_of_one_without_an_interruption(tmp_path):
    whole, _, model = trained(every=3)
    _, _, half = trained(every=3, last=2, filepath=tmp_path / "mined.npz")
    rest, mining, half = trained(half, first=2, every=3, filepath=tmp_path / "mined.npz")
    for ours, theirs in zip(rest.negatives, whole.negatives[2:], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(half.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert mining.epoch == 3


@pytest.mark.further
def test_without_a_file_such_a_run_mines_at_once_unless_the_callback_has_them():
    data, model = sampler(), encoder()
    seen, mining = Remember(data), HardNegativeMining(data, every=3)
    model.fit(data, epochs=2, callbacks=[seen, mining], verbose=0)
    model.fit(data, initial_epoch=2, epochs=3, callbacks=[seen, mining], verbose=0)
    assert mining.epoch == 0
    rest, mining, _ = trained(model, first=2, last=3, every=3)
    np.testing.assert_array_equal(rest.negatives[0], mined(rest.weights[0]))
    assert mining.epoch == 2


def test_items_of_one_id_are_no_negatives_of_each_other():
    data, model = sampler(candidate_ids=IDS), encoder()
    mining = HardNegativeMining(data)
    mining.set_model(model)
    rows = mining.mine().rows
    np.testing.assert_array_equal(rows, mined(np.eye(4, 3), IDS))
    assert (IDS[rows] != IDS[OWN][:, None]).all()
    assert data.negatives is None


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"every": 0}, ValueError, "`every`"),
        ({"start": -1}, ValueError, "`start`"),
        ({"skip": 0.5}, TypeError, "`skip`"),
        ({"margin": "1"}, TypeError, "`margin`"),
        ({"distance": "cosin"}, ValueError, "`distance`|Unknown|cosin"),
        ({"search": "fast"}, ValueError, "`search`"),
        ({"filepath": "mined.txt"}, ValueError, "`filepath`"),
        ({"batch_size": 0}, ValueError, "`batch_size`"),
        ({"sampler": MultiShotMemorySampler(ITEMS, IDS, steps_per_epoch=1)}, TypeError, "`sampl"),
    ],
)
def test_arguments_are_checked_when_it_is_made(options, error, match):
    with pytest.raises(error, match=match):
        HardNegativeMining(**{"sampler": sampler()} | options)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: QuerySampler(QUERIES, ITEMS, OWN[:3]), ValueError, "`positives`"),
        (lambda: QuerySampler(QUERIES, ITEMS, OWN + 5), ValueError, "`positives`.*0 to 11"),
        (lambda: QuerySampler(QUERIES, ITEMS, OWN / 2), TypeError, "`positives`"),
        (lambda: sampler(candidate_ids=IDS[:3]), ValueError, "`candidate_ids`"),
        (lambda: sampler(num_negatives=0), ValueError, "`num_negatives`"),
        (lambda: sampler(batch_size=0), ValueError, "`batch_size`"),
        (lambda: sampler().set_negatives(OWN), ValueError, "`negatives`"),
        (lambda: sampler().set_negatives(np.full((20, 2), 12)), ValueError, "-1 to 11"),
        (
            lambda: sampler().set_negatives(np.repeat(OWN[:, None], 2, 1)),
            ValueError,
            "candidate 0 for query 0",
        ),
    ],
)
def test_refusals_of_the_sampler(make, error, match):
    with pytest.raises(error, match=match):
        make()
