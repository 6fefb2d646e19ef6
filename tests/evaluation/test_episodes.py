"""Few-shot episodes against one query at a time."""

import numpy as np
import pytest

from tensorflow_similarity.evaluation import few_shot


def data(noise=0.6, n=20, classes=8):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(classes), n)
    return (np.eye(classes)[y] + noise * rng.normal(size=(len(y), classes))).astype(np.float32), y


def reference(x, y, ways, shots, queries, episodes, prototypes, seed=0):
    """The same draws, one query and one class at a time."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(y == c) for c in sorted(set(y))]
    groups = [g for g in groups if len(g) >= shots + queries]
    found = []
    for _ in range(episodes):
        classes = rng.choice(len(groups), ways, replace=False)
        drawn = [rng.choice(groups[c], shots + queries, replace=False) for c in classes]
        right = []
        for own, rows in enumerate(drawn):
            for query in rows[shots:]:
                far = []
                for other in drawn:
                    known = [x[i].astype(float) for i in other[:shots]]
                    if prototypes:
                        known = [sum(known) / shots]
                    far.append(min(((x[query] - k) ** 2).sum() for k in known))
                right.append(int(np.argmin(far)) == own)
        found.append(np.mean(right))
    return np.array(found)


@pytest.mark.parametrize("prototypes", [True, False])
@pytest.mark.parametrize(("ways", "shots"), [(2, 1), (5, 3)])
def test_against_one_at_a_time(ways, shots, prototypes):
    x, y = data()
    result = few_shot(x, y, ways, shots, queries=4, episodes=20, prototypes=prototypes)
    expected = reference(x, y, ways, shots, 4, 20, prototypes)
    np.testing.assert_allclose(result.per_episode, expected)
    assert result.accuracy == pytest.approx(expected.mean())
    error = 1.959964 * expected.std(ddof=1) / np.sqrt(20)
    assert result.interval == pytest.approx((expected.mean() - error, expected.mean() + error))
    assert f"{ways}-way {shots}-shot" in str(result)


def test_names_and_what_is_unknown():
    x, y = data()
    names = [None if c == 3 else f"class {c}" for c in y]
    keep = y != 3
    wanted = few_shot(x[keep], y[keep], episodes=10, queries=5)
    assert few_shot(x, names, episodes=10, queries=5).accuracy == wanted.accuracy
    assert few_shot(x, y, episodes=10, queries=5, ignore_class=3).accuracy == wanted.accuracy


def test_small_classes_are_left_out():
    x, y = data()
    y = y.copy()
    y[:15] = 99
    y[15] = 7
    few_shot(x, y, ways=7, queries=10, shots=5, episodes=2)
    with pytest.raises(ValueError, match=r"8 classes of 16 examples.*7 such"):
        few_shot(x, y, ways=8, queries=15, episodes=2)


def test_bad_input():
    x, y = data()
    for name, value in {
        "ways": 1,
        "shots": 0,
        "queries": 0,
        "episodes": 0,
        "confidence": 2,
    }.items():
        with pytest.raises(ValueError, match=name):
            few_shot(x, y, **{name: value})
    with pytest.raises(ValueError, match="labels"):
        few_shot(x, y[1:])
