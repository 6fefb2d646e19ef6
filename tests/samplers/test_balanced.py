import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.samplers import BalancedDraws, RowSampler
from tensorflow_similarity.samplers._distinct import distinct
from tensorflow_similarity.targets import Targets


@st.composite
def settings_of_draws(draw):
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    ids = draw(
        st.lists(
            st.integers(-(2**62), 2**62), min_size=len(sizes), max_size=len(sizes), unique=True
        )
    )
    labels = draw(st.permutations(np.repeat(ids, sizes).tolist()))
    return np.array(labels), draw(st.integers(1, len(sizes))), draw(st.integers(1, 6))


@pytest.mark.filterwarnings("ignore:.*repeat them within a batch")
@settings(max_examples=50)
@given(settings_of_draws(), st.integers(0, 2**31), st.integers(0, 5), st.integers(0, 5))
@pytest.mark.further
def test_a_draw_is_balanced(given_settings, seed, epoch, step):
    labels, classes, examples = given_settings
    draws = BalancedDraws(labels, classes, examples, seed=seed)
    positions = draws.draw(epoch, step)
    available, drawn = Counter(labels.tolist()), Counter(labels[positions].tolist())
    assert len(drawn) == classes
    assert set(drawn.values()) == {examples}
    # Class by class, and the classes' blocks hold one class each.
    assert all(len(set(block)) == 1 for block in labels[positions].reshape(classes, examples))
    times = Counter(positions.tolist())
    for label in drawn:
        uses = [times[i] for i in np.flatnonzero(labels == label)]
        if available[label] >= examples:
            assert max(uses) == 1
        else:
            assert max(uses) - min(uses) <= 1


def test_a_draw_depends_on_seed_epoch_and_step_only():
    labels = np.repeat(np.arange(50), 20)
    one, two = (BalancedDraws(labels, 8, 4, seed=3) for _ in range(2))
    grid = [(e, s) for e in range(3) for s in range(4)]
    forward = {key: one.draw(*key) for key in grid}
    backward = {key: two.draw(*key) for key in reversed(grid)}
    for key in grid:
        np.testing.assert_array_equal(forward[key], backward[key])
    assert len({array.tobytes() for array in forward.values()}) == len(grid)
    assert (BalancedDraws(labels, 8, 4, seed=4).draw(0, 0) != forward[0, 0]).any()


def test_a_made_up_seed_can_be_read_and_used_again():
    labels = np.repeat(np.arange(5), 5)
    one, two = BalancedDraws(labels, 3, 2), BalancedDraws(labels, 3, 2)
    assert one.seed != two.seed
    again = BalancedDraws(labels, 3, 2, seed=one.seed)
    np.testing.assert_array_equal(again.draw(2, 5), one.draw(2, 5))


def test_a_made_up_seed_of_rows_can_be_used_again():
    given = Targets.triplets(np.arange(8), np.arange(8) + 8, np.arange(8) + 16)
    one = RowSampler(np.arange(24.0), given, batch_size=4)
    again = RowSampler(np.arange(24.0), given, batch_size=4, seed=one.seed)
    np.testing.assert_array_equal(again[1][0][0], one[1][0][0])


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_a_seed_that_is_none_is_refused(seed, error):
    with pytest.raises(error, match="`seed` must be"):
        BalancedDraws(np.repeat(np.arange(5), 5), 3, 2, seed=seed)


@pytest.mark.filterwarnings("ignore:.*repeat them within a batch")
@pytest.mark.parametrize(("size", "count"), [(6, 3), (3, 3), (2, 3)])
def test_classes_and_members_are_drawn_uniformly(size, count):
    labels = np.repeat(np.arange(6), size)
    draws = BalancedDraws(labels, 2, count, seed=0)
    batches = np.array([draws.draw(0, step) for step in range(3000)]).reshape(3000, 2, count)
    # 3000 batches of 2 out of 6 classes: each 1000 times, within five standard deviations.
    classes = Counter(labels[batches[:, :, 0]].ravel().tolist())
    assert all(abs(n - 1000) < 5 * np.sqrt(1000 * 2 / 3) for n in classes.values())
    # Each member, in each place of the block, equally often.
    expected = 3000 * 2 / (6 * size)
    for place in range(count):
        uses = np.bincount(batches[:, :, place].ravel(), minlength=6 * size)
        assert (np.abs(uses - expected) < 5 * np.sqrt(expected)).all()


def test_all_pairs_of_members_are_equally_likely():
    draws = BalancedDraws(np.zeros(5, int), 1, 2, seed=0)
    pairs = Counter(tuple(sorted(draws.draw(0, step))) for step in range(5000))
    assert len(pairs) == 10
    assert all(abs(n - 500) < 5 * np.sqrt(500) for n in pairs.values())


def test_class_list_restricts_classes():
    labels = np.repeat([5, 6, 7, 8], 4)
    draws = BalancedDraws(labels, 2, 2, class_list=[7, 5, 7], seed=0)
    assert draws.classes.tolist() == [5, 7]
    assert draws.positions.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert {int(labels[i]) for s in range(20) for i in draws.draw(0, s)} == {5, 7}


def test_total_examples_per_class_restricts_examples():
    labels = np.tile([1, 2, 3], 40)
    draws = BalancedDraws(labels, 3, 4, total_examples_per_class=5, seed=0)
    assert Counter(labels[draws.positions].tolist()) == {1: 5, 2: 5, 3: 5}
    drawn = np.concatenate([draws.draw(0, step) for step in range(200)])
    assert sorted(set(drawn.tolist())) == draws.positions.tolist()
    other = BalancedDraws(labels, 3, 4, total_examples_per_class=5, seed=1)
    assert other.positions.tolist() != draws.positions.tolist()


def test_small_classes_are_warned_of_once():
    with pytest.warns(UserWarning, match=r"1 of 2 classes .* class 9 with 1") as caught:
        draws = BalancedDraws([4, 4, 4, 9], 2, 3, seed=0)
    assert len(caught) == 1
    for step in range(10):  # a warning here would be an error
        draws.draw(0, step)


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (TypeError, "labels", {"labels": ["a", 1]}),
        (TypeError, "labels", {"labels": [0.5, 1.5]}),
        (ValueError, "one_hot", {"labels": np.eye(3, dtype=int)}),
        (ValueError, "labels", {"labels": []}),
        (ValueError, "classes_per_batch.*Received: classes_per_batch=3", {"classes_per_batch": 3}),
        (ValueError, "classes_per_batch", {"classes_per_batch": 0}),
        (TypeError, "examples_per_class", {"examples_per_class": 2.0}),
        (ValueError, r"class_list.*\[11, 12\]", {"class_list": [0, 11, 12]}),
        (TypeError, "class_list", {"class_list": ["a"]}),
        (ValueError, "total_examples_per_class", {"total_examples_per_class": 0}),
        (TypeError, "seed", {"seed": "x"}),
    ],
)
def test_bad_arguments_are_named(error, match, arguments):
    good = {"labels": [0, 0, 1, 1], "classes_per_batch": 2, "examples_per_class": 2}
    with pytest.raises(error, match=match):
        BalancedDraws(**(good | arguments))


def test_repr_says_what_is_drawn():
    draws = BalancedDraws([0, 0, 1, 1], 2, 2, seed=7)
    assert repr(draws) == (
        "BalancedDraws(classes=2, examples=4, classes_per_batch=2, examples_per_class=2, seed=7)"
    )


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([1, 2, 3, 7, 40, 511, 513, 700, 10**6]), min_size=1, max_size=6),
    st.sampled_from([1, 2, 5, 33, 520]),
    st.integers(0, 1000),
)
def test_rows_are_distinct_and_below_their_bounds(below, count, seed):
    below = np.array(below)
    found = distinct(np.random.default_rng(seed), below, count)
    assert found.shape == (len(below), count)
    for bound, row in zip(below.tolist(), found.tolist(), strict=True):
        assert all(0 <= number < bound for number in row)
        times = Counter(row).values()
        # Each once, or all of them as evenly as can be.
        assert len(times) == min(bound, count)
        assert max(times) - min(times) <= 1


@pytest.mark.parametrize(("bound", "count"), [(40, 4), (5, 4), (600, 40), (3, 1)])
def test_distinct_integers_are_uniform_in_every_place(bound, count):
    found = distinct(np.random.default_rng(0), np.full(2000, bound), count)
    expected = 2000 / bound
    for place in range(count):
        uses = np.bincount(found[:, place], minlength=bound)
        assert (np.abs(uses - expected) < 6 * np.sqrt(expected)).all()


def test_integers_are_below_bounds_of_any_size():
    class Largest:
        """A source of randomness that always gives its largest number."""

        def random(self, shape):
            return np.full(shape, 1 - 2.0**-53)

    below = np.array([1, 2, 3, 5, 7, 2**20, 2**40 - 1, 2**52 - 1, 2**52])
    found = distinct(Largest(), below, 1)[:, 0]
    np.testing.assert_array_equal(found, below - 1)


def test_batches_in_any_order_and_from_any_process_are_the_same():
    labels = np.repeat(np.arange(50), 20)
    steps = np.random.default_rng(0).permutation(1000)
    one, two = (BalancedDraws(labels, 8, 4, seed=3) for _ in range(2))
    forward = [one.draw(1, step).tolist() for step in range(1000)]
    another = pickle.loads(pickle.dumps(one))
    assert len(pickle.dumps(one)) < 40_000  # Without what was drawn.
    assert all(two.draw(1, int(step)).tolist() == forward[step] for step in steps)
    assert all(another.draw(1, step).tolist() == forward[step] for step in range(0, 1000, 90))
    assert len({tuple(batch) for batch in forward}) == 1000
    # Whoever gets a batch may write to it.
    one.draw(1, 0)[:] = -1
    assert one.draw(1, 0).tolist() == forward[0]


def test_what_is_kept_of_draws_is_bounded(monkeypatch):
    monkeypatch.setattr("tensorflow_similarity.samplers.balanced._KEPT", 2000)
    draws = BalancedDraws(np.repeat(np.arange(50), 20), 8, 4, seed=3)
    seen = {step: draws.draw(0, step).tolist() for step in range(0, 3000, 7)}
    assert sum(drawn.size for _, _, drawn in draws._kept.values()) <= 128 * 32
    assert all(draws.draw(0, step).tolist() == batch for step, batch in seen.items())


def test_every_example_is_drawn_sooner_or_later():
    labels = np.random.default_rng(0).integers(20, size=500)
    draws = BalancedDraws(labels, 5, 4, seed=0)
    assert len(set(np.concatenate([draws.draw(0, s) for s in range(400)]).tolist())) == 500


@pytest.mark.further
def test_half_a_million_classes_cost_no_more_memory_than_their_labels():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(500_000), 2))
    draws = BalancedDraws(labels, 32, 2, seed=0)
    for step in range(300):
        classes = labels[draws.draw(0, step)].reshape(32, 2)
        assert (classes[:, 0] == classes[:, 1]).all()
        assert len(np.unique(classes)) == 32
