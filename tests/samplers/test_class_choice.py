from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity import distances
from tensorflow_similarity.samplers import (
    BalancedDraws,
    ClassChoice,
    HardClasses,
    HierarchicalClasses,
    MultiShotMemorySampler,
)
from tensorflow_similarity.samplers.class_choice import others

LABELS = np.repeat(np.arange(12) * 10, 4)
# Categories of 6, 4 and 2 classes.
CATEGORIES = {label * 10: "aaaaaabbbbcc"[label] for label in range(12)}


def classes_of(draws, step):
    return sorted(set((LABELS[draws.draw(0, step)] // 10).tolist()))


@settings(max_examples=30)
@given(st.integers(1, 30), st.data())
def test_others_are_distinct_and_not_taken(total, data):
    taken = np.array(data.draw(st.lists(st.integers(0, total - 1), unique=True)), np.int64)
    count = data.draw(st.integers(0, total - len(taken)))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    found = others(rng, total, taken, count).tolist()
    assert len(set(found)) == len(found) == count
    assert not set(found) & set(taken.tolist())
    assert all(0 <= number < total for number in found)


def test_others_are_drawn_uniformly():
    rng = np.random.default_rng(0)
    seen = Counter(n for _ in range(3000) for n in others(rng, 7, np.array([2, 5]), 2).tolist())
    assert set(seen) == {0, 1, 3, 4, 6}
    assert all(abs(n - 1200) < 5 * np.sqrt(1200 * 0.6) for n in seen.values())


@pytest.mark.parametrize(("categories", "count"), [(1, 4), (2, 4), (2, 5), (3, 4)])
def test_hierarchical_batches_share_their_classes_evenly(categories, count):
    choice = HierarchicalClasses(CATEGORIES, categories_per_batch=categories)
    draws = BalancedDraws(LABELS, count, 2, class_choice=choice, seed=0)
    seen = Counter()
    for step in range(100):
        classes = classes_of(draws, step)
        assert len(classes) == count
        kinds = Counter(CATEGORIES[c * 10] for c in classes)
        least = count // categories
        # Every category gives its share, or all that it has.
        whole = [k for k, n in kinds.items() if n >= least or (k == "c" and n == 2)]
        assert len(whole) >= categories
        if "c" not in kinds:
            assert len(kinds) == categories
        seen.update(classes)
    assert set(seen) == set(range(12))


def test_categories_are_equally_likely():
    choice = HierarchicalClasses(CATEGORIES, categories_per_batch=1)
    draws = BalancedDraws(LABELS, 2, 1, class_choice=choice, seed=1)
    kinds = Counter(CATEGORIES[classes_of(draws, step)[0] * 10] for step in range(900))
    assert all(abs(n - 300) < 5 * np.sqrt(300 * 2 / 3) for n in kinds.values())


def test_hard_batches_hold_a_class_and_its_nearest():
    # Classes along a line; the last of them is alone far away.
    places = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100.0])
    hard = HardClasses(share=1.0, neighbors=3, distance="euclidean")
    draws = BalancedDraws(LABELS, 4, 2, class_choice=hard, seed=0)
    noise = np.random.default_rng(0).normal(size=(len(LABELS), 2)) / 100
    embeddings = np.stack([places[LABELS // 10], np.zeros(len(LABELS))], axis=1) + noise
    before = {tuple(classes_of(draws, step)) for step in range(50)}
    hard.update(embeddings, LABELS)
    means = np.array([embeddings[label == LABELS].mean(axis=0) for label in draws.classes])
    matrix = np.sqrt(((means[:, None] - means) ** 2).sum(axis=2))
    expected = {tuple(sorted(np.argsort(row)[:4].tolist())) for row in matrix}
    after = {tuple(classes_of(draws, step)) for step in range(200)}
    assert after == expected
    assert not before <= expected


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_others_is_near(share):
    hard = HardClasses(share=share, neighbors=2)
    draws = BalancedDraws(LABELS, 5, 1, class_choice=hard, seed=0)
    angles = LABELS / 120 * np.pi
    hard.update(np.stack([np.cos(angles), np.sin(angles)], axis=1), LABELS)
    near = hard._near
    cosine = distances.get("cosine")
    means = np.stack([np.cos(np.arange(12) / 12 * np.pi), np.sin(np.arange(12) / 12 * np.pi)], 1)
    matrix = np.array(cosine(means, means)) + np.eye(12) * 9
    for row in range(12):
        assert matrix[row][near[row]].max() <= np.partition(matrix[row], 1)[1] + 1e-6
    for step in range(100):
        positions = LABELS[draws.draw(0, step)] // 10
        assert len(set(positions.tolist())) == 5
        wanted = min(round(share * 4), 2)
        assert len(set(positions[1:].tolist()) & set(near[positions[0]].tolist())) >= wanted


@pytest.mark.parametrize(("share", "count"), [(0.5, 2), (0.5, 4), (0.15, 3)])
@pytest.mark.further("0.5-2")
def test_the_share_is_right_on_average(share, count):
    hard = HardClasses(share=share, neighbors=3, distance="euclidean")
    hard.bind(np.arange(1000), count)
    places = np.arange(1000.0)[:, None]
    hard.update(places, np.arange(1000))
    rng = np.random.default_rng(0)
    near = 0
    for _ in range(1000):
        first, *others = hard.choose(rng, count).tolist()
        near += len(set(others) & set(hard._near[first].tolist()))
    wanted = share * (count - 1)
    # One in a thousand of the others is near by chance only: less than the tolerance.
    assert abs(near / 1000 - wanted) < 0.08


def test_hard_classes_without_embeddings_are_drawn_at_random():
    hard = HardClasses(share=1.0, neighbors=5)
    draws = BalancedDraws(LABELS, 3, 2, class_choice=hard, seed=0)
    known = LABELS < 50
    hard.update(np.random.default_rng(0).normal(size=(known.sum(), 3)), LABELS[known])
    seen = {c for step in range(200) for c in classes_of(draws, step)}
    assert seen == set(range(12))


def test_choices_reach_samplers_and_are_reproducible():
    def made():
        return MultiShotMemorySampler(
            np.arange(len(LABELS)),
            LABELS,
            classes_per_batch=4,
            class_choice=HierarchicalClasses(CATEGORIES, 1),
            seed=3,
        )

    one, two = made(), made()
    for step in (7, 0, 3):
        np.testing.assert_array_equal(one[step][0], two[step][0])
    kinds = Counter(CATEGORIES[int(label)] for label in one[0][1])
    assert max(kinds.values()) >= 4


def test_own_rules_draw_from_the_classes_of_the_sampler():
    class First(ClassChoice):
        def choose(self, rng, count):
            return np.arange(count)

    draws = BalancedDraws(LABELS, 2, 1, class_list=[30, 70, 90], class_choice=First(), seed=0)
    assert LABELS[draws.draw(0, 0)].tolist() == [30, 70]


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (TypeError, "class_choice", lambda: "hard"),
        (TypeError, "categories", lambda: HierarchicalClasses(["a", "b"])),
        (ValueError, "categories_per_batch", lambda: HierarchicalClasses(CATEGORIES, 0)),
        (
            ValueError,
            "categories_per_batch.*3 categories",
            lambda: HierarchicalClasses(CATEGORIES, 4),
        ),
        (ValueError, "none for 11 of 12", lambda: HierarchicalClasses({0: "a"})),
        (ValueError, "share", lambda: HardClasses(share=1.5)),
        (ValueError, "neighbors", lambda: HardClasses(neighbors=0)),
        (ValueError, "distance", lambda: HardClasses(distance="far")),
    ],
)
def test_bad_arguments_are_named(error, match, make):
    with pytest.raises(error, match=match):
        BalancedDraws(LABELS, 4, 2, class_choice=make())


def test_bad_updates_are_named():
    hard = HardClasses()
    with pytest.raises(ValueError, match="sampler"):
        hard.update(np.zeros((2, 2)), [0, 1])
    BalancedDraws(LABELS, 4, 2, class_choice=hard)
    with pytest.raises(ValueError, match="expected 2"):
        hard.update(np.zeros((2, 2)), [0])
    with pytest.raises(ValueError, match="at least two"):
        hard.update(np.zeros((2, 2)), [10, 5])
    with pytest.raises(ValueError, match="serve one sampler"):
        BalancedDraws(LABELS, 4, 2, class_list=[0, 10, 20, 30], class_choice=hard)


def test_reprs_say_what_is_chosen():
    assert repr(HierarchicalClasses(CATEGORIES)) == (
        "HierarchicalClasses(categories=3, categories_per_batch=2)"
    )
    assert repr(HardClasses()) == "HardClasses(share=0.5, neighbors=10, distance='cosine')"


def test_what_the_model_learned_is_seen_by_the_next_batch():
    hard = HardClasses(share=1.0, neighbors=3)
    draws = BalancedDraws(LABELS, 4, 2, class_choice=hard, seed=0)
    before = [classes_of(draws, step) for step in range(20)]
    assert before == [classes_of(draws, step) for step in range(20)]
    angles = LABELS / 10 * 0.25
    hard.update(np.stack([np.cos(angles), np.sin(angles)], axis=1), LABELS)
    after = [classes_of(draws, step) for step in range(20)]
    assert after != before
    # Of a class and its three nearest, which lie beside it on the circle.
    assert all(max(batch) - min(batch) <= 6 for batch in after)


def test_a_choice_of_ones_own_may_choose_ahead():
    class Two(ClassChoice):
        calls = 0

        def choose(self, rng, count):
            type(self).calls += 1
            return rng.permutation(len(self.classes))[:count]

    class Ahead(Two):
        ahead, calls = True, 0

        def choose_many(self, rng, count, batches):
            type(self).calls += 1
            return rng.permuted(np.tile(np.arange(12), (batches, 1)), axis=1)[:, :count]

    for choice, calls in ((Two(), 100), (Ahead(), 1)):
        draws = BalancedDraws(LABELS, 3, 2, class_choice=choice, seed=0)
        batches = [classes_of(draws, step) for step in range(100)]
        assert all(len(set(batch)) == 3 for batch in batches)
        assert choice.calls == calls
