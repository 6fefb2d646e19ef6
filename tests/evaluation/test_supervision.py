"""evaluate() on labels as people have them, against references written pair by pair."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import distances
from oracle import retrieval as oracle
from tensorflow_similarity.evaluation import SameGroup, compare, evaluate, evaluate_lookup, ranks
from tensorflow_similarity.targets import Targets

NAMES = ["hit_rate@3", "recall@4", "precision@1", "r_precision", "map@r", "map@3", "mrr", "ndcg@5"]
WORDS = np.array(["lynx", "ant", "zebu", "café", "ox"])


def data(seed, n=40, dim=3, classes=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)).astype(np.float32), rng.integers(classes, size=n)


def check(result, distance, relevance, own=None, ignored=None):
    expected = oracle.evaluate(result, distance, relevance, own, ignored)
    for name in result:
        wanted = np.array([np.nan if v is None else v for v in expected[name]])
        np.testing.assert_allclose(result.per_query[name], wanted, rtol=1e-9, err_msg=name)
    assert result.skipped == sum(v is None for v in expected[next(iter(result))])


def pair_by_pair(relevant, queries, keys):
    return np.array([[relevant(q, k) for k in keys] for q in queries])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_ids_of_any_integer_size(dtype):
    x, y = data(0)
    low = 0 if dtype.startswith("u") else np.iinfo(dtype).min
    ids = np.array([low, 1, 2, np.iinfo(dtype).max, 5], dtype)[y]
    result = evaluate(x, ids, metrics=NAMES)
    check(result, distances.matrix("cosine", x, x), y[:, None] == y, range(40))
    assert set(result.per_class["map@r"]) == set(ids.tolist())


def test_ids_of_64_unsigned_bits_are_shown_as_they_are():
    ids = np.array([2**63 + 7, 2**63 + 7, 3, 3, 2**64 - 2, 2**64 - 2], np.uint64)
    result = evaluate(np.arange(6.0)[:, None], ids, distance="l2", metrics="map@r")
    assert set(result.per_class["map@r"]) == {2**63 + 7, 3, 2**64 - 2}


def test_whole_floats_are_ids_with_one_warning():
    x, y = data(1)
    expected = evaluate(x, y)
    for dtype in (np.float32, np.float64):
        with pytest.warns(UserWarning, match="whole numbers") as caught:
            assert dict(evaluate(x, y.astype(dtype))) == dict(expected)
        assert len(caught) == 1
        assert caught[0].filename == __file__
    for bad in (y + 0.5, y + 2.0**24):
        with pytest.raises(TypeError, match="labels"):
            evaluate(x, bad)
    with pytest.raises(ValueError, match="NaN"):
        evaluate(x, np.where(y == 0, np.nan, y))


@pytest.mark.parametrize("kind", [list, np.array, lambda v: np.array(v, object), tuple])
def test_names(kind):
    x, y = data(2)
    gallery, of_gallery = data(3, n=50)
    names, gallery_names = kind(WORDS[y].tolist()), kind(WORDS[of_gallery].tolist())
    result = evaluate(x, names, gallery, gallery_names, metrics=NAMES)
    check(result, distances.matrix("cosine", x, gallery), y[:, None] == of_gallery)
    assert set(result.per_class["mrr"]) == {str(WORDS[i]) for i in set(y.tolist())}
    assert list(result.labels) == list(names)
    # The same numbers as with ids, up to the order of classes in the bootstrap.
    assert dict(result) == pytest.approx(dict(evaluate(x, y, gallery, of_gallery, metrics=NAMES)))


def test_names_of_one_side_only_are_refused():
    x, y = data(4)
    with pytest.raises(TypeError, match="gallery_labels"):
        evaluate(x, WORDS[y], x + 1, y)


def test_a_gallery_with_other_names():
    x = np.array([[0.0], [1.0], [5.0]])
    result = evaluate(x, ["b", "q", "z"], x + 0.1, ["a", "b", "z"], "l2", ["mrr"])
    np.testing.assert_allclose(result.per_query["mrr"], [1 / 2, np.nan, 1])


@pytest.mark.parametrize("named", [False, True])
def test_what_is_unknown_is_relevant_to_nothing(named):
    x, y = data(5)
    gallery, of_gallery = data(6, n=50)
    unknown, of_gallery_unknown = y == 3, of_gallery == 3
    mine = [None if u else (WORDS[c] if named else c) for c, u in zip(y, unknown, strict=True)]
    theirs = [
        None if u else (WORDS[c] if named else c)
        for c, u in zip(of_gallery, of_gallery_unknown, strict=True)
    ]
    same = pair_by_pair(lambda q, k: q is not None and q == k, mine, theirs)
    result = evaluate(x, mine, gallery, theirs, metrics=NAMES)
    check(result, distances.matrix("cosine", x, gallery), same)
    assert result.unknown == unknown.sum() > 0
    assert f"{result.unknown} left out (class unknown)" in str(result)
    for ignored in (WORDS[3], 3):
        if isinstance(ignored, str) == named:
            labels = (WORDS[y], WORDS[of_gallery]) if named else (y, of_gallery)
            again = evaluate(x, labels[0], gallery, labels[1], metrics=NAMES, ignore_class=ignored)
            assert dict(again) == dict(result)
            assert again.unknown == result.unknown
    alone = evaluate(x, mine, metrics=NAMES)
    same = pair_by_pair(lambda q, k: q is not None and q == k, mine, mine)
    check(alone, distances.matrix("cosine", x, x), same, range(40))


def test_minus_one_is_unknown_and_said():
    x, y = data(7)
    y = y - 1
    with pytest.warns(UserWarning, match="-1"):
        result = evaluate(x, y, metrics=NAMES)
    assert dict(result) == dict(evaluate(x, y, metrics=NAMES, ignore_class=-1))
    assert -1 not in result.per_class["mrr"]


def test_several_labels():
    rng = np.random.default_rng(8)
    x, _ = data(8)
    tags = rng.random((40, 6)) < 0.2
    tags[0] = False
    distance = distances.matrix("cosine", x, x)
    shares = pair_by_pair(lambda q, k: bool((q & k).any()), tags, tags)
    for rows in (tags, tags.astype(int), tags.astype(np.float32)):
        result = evaluate(x, Targets.multi_hot(rows), metrics=NAMES)
        check(result, distance, shares, range(40))
    sets = [{f"tag {j}" for j in np.flatnonzero(row)} for row in tags]
    named = evaluate(x, Targets.label_sets(sets), metrics=NAMES)
    check(named, distance, shares, range(40))
    assert set(named.per_class["mrr"]) <= {tuple(sorted(s)) for s in sets}
    grades = pair_by_pair(lambda q, k: (q & k).sum() / max(1, (q | k).sum()), tags, tags)
    for labels in (tags, Targets.multi_hot(tags), Targets.label_sets(sets)):
        result = evaluate(x, labels, metrics=NAMES, relevance="jaccard")
        check(result, distance, grades, range(40))


def test_a_hierarchy():
    x, y = data(9)
    paths = [(f"c{c % 2}", f"p{c // 2}") for c in y]

    def share(q, k):
        return (q[0] == k[0]) * (1 + (q[1] == k[1])) / 2

    result = evaluate(x, Targets.hierarchy(paths), metrics=NAMES)
    grades = pair_by_pair(share, paths, paths)
    check(result, distances.matrix("cosine", x, x), grades, range(40))
    assert set(result.per_class["mrr"]) == {" / ".join(path) for path in set(paths)}


def test_probabilities_are_for_ndcg():
    x, y = data(10)
    soft = np.full((40, 5), 0.02) + 0.9 * np.eye(5)[y]
    with pytest.raises(ValueError, match="ndcg"):
        evaluate(x, Targets.soft(soft))
    result = evaluate(x, Targets.soft(soft), metrics="ndcg@5")
    expected = oracle.evaluate(
        ["ndcg@5"], distances.matrix("cosine", x, x), soft @ soft.T, range(40)
    )
    np.testing.assert_allclose(result.per_query["ndcg@5"], expected["ndcg@5"], rtol=1e-9)


def test_a_matrix_as_targets():
    x, _ = data(11, n=12)
    gallery, _ = data(12, n=20)
    grades = np.random.default_rng(0).integers(3, size=(12, 20))
    wanted = evaluate(x, np.arange(12), gallery, np.arange(20), metrics=NAMES, relevance=grades)
    result = evaluate(x, Targets.relevance(grades), gallery, metrics=NAMES)
    assert dict(result) == dict(wanted)
    with pytest.raises(ValueError, match=r"relevance.*\(12, 20\)"):
        evaluate(x, Targets.relevance(grades[:, :9]), gallery)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_nan_leaves_a_pair_out(graded, alone, monkeypatch):
    monkeypatch.setattr(ranks, "_BLOCK_ELEMENTS", 300)
    rng = np.random.default_rng(13)
    x, _ = data(13)
    gallery = x if alone else data(14, n=30)[0]
    values = rng.integers(4 if graded else 2, size=(40, len(gallery))).astype(float)
    unknown = rng.random(values.shape) < 0.4
    unknown[3] = True
    given = np.where(unknown, np.nan, values)
    arguments = () if alone else (gallery, np.arange(len(gallery)))
    result = evaluate(x, np.arange(40), *arguments, metrics=NAMES, relevance=given)
    own = range(40) if alone else None
    check(result, distances.matrix("cosine", x, gallery), values, own, unknown)
    function = evaluate(
        x, np.arange(40), *arguments, metrics=NAMES, relevance=lambda q, k: given[np.ix_(q, k)]
    )
    assert dict(function) == dict(result)


@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=40)
@pytest.mark.further
def test_ignored_pairs(seed, alone, tied, hierarchical, shallow):
    # The first few ranks are found in another way than whole rankings are.
    names = ["hit_rate@3", "precision@1", "recall@4", "map@3", "ndcg@2"] if shallow else NAMES
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 14, size=2)
    m = n if alone else m
    x = rng.normal(size=(n, 2)).astype(np.float32)
    gallery = x if alone else rng.normal(size=(m, 2)).astype(np.float32)
    if tied:
        x, gallery = np.sign(x), np.sign(gallery)
        gallery = x if alone else gallery + np.float32([0, 2])
    y = rng.integers(3, size=n)
    of_gallery = y if alone else rng.integers(3, size=m)
    ignored = rng.random((n, m)) < rng.choice([0.1, 0.5, 0.95])
    labels, gallery_labels = y, of_gallery
    relevance = (y[:, None] == of_gallery).astype(float)
    if hierarchical:
        labels = Targets.hierarchy(np.stack([y % 2, y], 1))
        gallery_labels = Targets.hierarchy(np.stack([of_gallery % 2, of_gallery], 1))
        relevance = (relevance + (y[:, None] % 2 == of_gallery % 2)) / 2
    arguments = () if alone else (gallery, gallery_labels)
    distance = distances.matrix("manhattan", x, gallery)
    for pairs in (ignored, lambda rows: ignored[rows]):
        result = evaluate(x, labels, *arguments, distance="manhattan", metrics=names, ignore=pairs)
        own = range(n) if alone else None
        check(result, distance, relevance, own, ignored)
        mine = np.eye(n, dtype=bool) if alone else np.zeros((n, m), bool)
        assert result.ignored_pairs == (ignored & ~mine).sum()


def market(seed=0):
    """Persons before cameras: images of a person from one camera are next to copies."""
    rng = np.random.default_rng(seed)
    person, camera = rng.integers(6, size=120), rng.integers(3, size=120)
    x = rng.normal(size=(6, 8))[person] + 2 * rng.normal(size=(6, 3, 8))[person, camera]
    x = (x + 0.3 * rng.normal(size=x.shape)).astype(np.float32)
    query = np.arange(120) < 40
    return x, person, camera, query


@pytest.mark.further
def test_re_identification():
    x, person, camera, query = market()
    keys = ~query
    distance = distances.matrix("cosine", x[query], x[keys])
    same = person[query][:, None] == person[keys]
    junk = same & (camera[query][:, None] == camera[keys])
    arguments = x[query], person[query], x[keys], person[keys]
    names = np.array(["north", "south", "east"])[camera]
    for of in (camera, names):
        result = evaluate(*arguments, metrics=NAMES, ignore=SameGroup(of[query], of[keys]))
        check(result, distance, same, None, junk)
        assert result.ignored_pairs == junk.sum()
    assert "pairs ignored" in str(result)
    naive = evaluate(*arguments, metrics=NAMES)
    assert naive["precision@1"] > result["precision@1"] + 0.2
    everything = SameGroup(camera[query], camera[keys], same_class=False)
    result = evaluate(*arguments, metrics=NAMES, ignore=everything)
    check(result, distance, same, None, camera[query][:, None] == camera[keys])
    alone = evaluate(x, person, metrics=NAMES, ignore=SameGroup(camera))
    same = person[:, None] == person
    junk = same & (camera[:, None] == camera)
    check(alone, distances.matrix("cosine", x, x), same, range(120), junk)


@pytest.mark.further
def test_no_camera_is_no_group():
    x, person, camera, _ = market(1)
    cameras = [None if c == 0 else c for c in camera.tolist()]
    result = evaluate(x, person, metrics=NAMES, ignore=SameGroup(cameras))
    same = person[:, None] == person
    junk = same & (camera[:, None] == camera) & (camera > 0)
    check(result, distances.matrix("cosine", x, x), same, range(120), junk)


def test_what_cannot_be_ignored():
    x, y = data(15)
    gallery, of_gallery = data(16, n=30)
    for bad in (np.zeros((40, 30)), np.zeros((40, 29), bool), [0] * 40, lambda rows: rows):
        with pytest.raises(ValueError, match="ignore"):
            evaluate(x, y, gallery, of_gallery, ignore=bad)
    with pytest.raises(ValueError, match="gallery"):
        evaluate(x, y, gallery, of_gallery, ignore=SameGroup(y))
    with pytest.raises(ValueError, match="expected 40"):
        evaluate(x, y, gallery, of_gallery, ignore=SameGroup(y[1:], of_gallery))
    with pytest.raises(ValueError, match="expected 30"):
        evaluate(x, y, gallery, of_gallery, ignore=SameGroup(y, of_gallery[1:]))
    with pytest.raises(ValueError, match="ignore_class"):
        evaluate(x, y, relevance=np.eye(40, dtype=bool), ignore_class=3)
    with pytest.raises(ValueError, match="Jaccard"):
        evaluate(x, y, relevance="Jaccard")
    with pytest.raises(TypeError, match="kind"):
        evaluate(x, Targets.pairs(np.zeros(40)))


@given(st.integers(0, 10**6))
@settings(max_examples=15)
def test_renaming_classes_and_reordering_queries_change_nothing(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(4, size=30)
    first = evaluate(x, y, metrics=NAMES)
    ids = rng.choice(1000, 4, replace=False)
    names = rng.permutation(["d", "aa", "b", "x y"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        renamed = [evaluate(x, renaming[y], metrics=NAMES) for renaming in (ids, names)]
    order = rng.permutation(30)
    renamed.append(evaluate(x[order], names[y][order], metrics=NAMES))
    for result, rows in zip(renamed, [slice(None), slice(None), order], strict=True):
        for name in NAMES:
            np.testing.assert_allclose(result.per_query[name], first.per_query[name][rows])


def test_compare_takes_names_with_unknown_ones():
    x, y = data(17)
    names = [None if c == 4 else str(WORDS[c]) for c in y]
    noise = np.random.default_rng(0).normal(size=x.shape)
    both = evaluate(x, names, metrics=NAMES), evaluate(x + noise, names, metrics=NAMES)
    comparison = compare(*both)
    assert comparison.classes == 4
    assert comparison.difference["mrr"] == pytest.approx(both[0]["mrr"] - both[1]["mrr"])


def test_lookups_with_names_unknown_and_several_labels():
    found = [["a", "b", None], ["b", None, None], ["c", "a", "b"]]
    result = evaluate_lookup(found, ["b", None, "a"], metrics=["hit_rate@1", "hit_rate@3"])
    np.testing.assert_array_equal(result.per_query["hit_rate@1"], [0, np.nan, 0])
    np.testing.assert_array_equal(result.per_query["hit_rate@3"], [1, np.nan, 1])
    assert result.unknown == 1
    counted = evaluate_lookup(found, ["b", "q", "a"], {"b": 2, "a": 1}, ["recall@3"])
    np.testing.assert_array_equal(counted.per_query["recall@3"], [1 / 2, np.nan, 1])
    several = Targets.label_sets([{"a", "z"}, {"c"}, {"b", "c"}])
    result = evaluate_lookup(found, several, metrics=["precision@1", "precision@3"])
    np.testing.assert_array_equal(result.per_query["precision@1"], [1, 0, 1])
    np.testing.assert_allclose(result.per_query["precision@3"], [1 / 3, 0, 2 / 3])
    ids = evaluate_lookup(
        [[0, 2], [1, -1]], Targets.multi_hot([[1, 0, 1], [0, 0, 1]]), metrics=["precision@2"]
    )
    np.testing.assert_array_equal(ids.per_query["precision@2"], [1, 0])
    with pytest.raises(TypeError, match="names"):
        evaluate_lookup([[0, 2], [1, -1]], ["a", "b"])


def test_a_function_as_targets():
    x, y = data(18)
    gallery, of_gallery = data(19, n=25)

    def near(a, b):
        return np.abs(a[:, None, 0] - b[None, :, 0]) <= 1

    mine, theirs = np.stack([y, y], 1), np.stack([of_gallery, of_gallery], 1)
    result = evaluate(
        x, Targets.relevance(near, mine), gallery, Targets.relevance(near, theirs), metrics=NAMES
    )
    check(result, distances.matrix("cosine", x, gallery), near(mine, theirs))
    alone = evaluate(x, Targets.relevance(near, mine), metrics=NAMES)
    check(alone, distances.matrix("cosine", x, x), near(mine, mine), range(40))


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    x, y = data(20)
    wanted = dict(evaluate(x, y))
    names = pandas.Series(WORDS[y], index=np.arange(40)[::-1])
    for labels in (names, names.astype("category"), names.astype("string"), pandas.Series(y)):
        assert dict(evaluate(x, labels)) == pytest.approx(wanted)
    missing = names.where(names != "ox", None)
    assert evaluate(x, missing).unknown == (WORDS[y] == "ox").sum()
