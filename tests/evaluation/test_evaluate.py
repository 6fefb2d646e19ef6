"""evaluate() against one-query-at-a-time loops, in every mode."""

import json

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import distances
from oracle import retrieval as oracle
from tensorflow_similarity.evaluation import RankMetric, evaluate, ranks

NAMES = [
    *("hit_rate@1", "hit_rate@4", "recall@3", "precision@1", "precision@5", "precision@100"),
    *("r_precision", "map@r", "map@3", "map@50", "mrr", "mrr@2", "ndcg@1", "ndcg@7"),
]


def check(result, expected):
    for name, values in expected.items():
        wanted = np.array([np.nan if v is None else v for v in values])
        np.testing.assert_allclose(result.per_query[name], wanted, rtol=1e-12, err_msg=name)
        counted = wanted[~np.isnan(wanted)]
        assert result.skipped == len(wanted) - len(counted)
        assert result.queries == len(counted)
        if len(counted):
            assert result[name] == pytest.approx(counted.mean(), rel=1e-12)


def same(labels, gallery_labels):
    return np.asarray(labels)[:, None] == np.asarray(gallery_labels)


def data(seed, n=60, dim=6, classes=5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    centres = rng.normal(size=(classes, dim))
    return (centres[labels] + rng.normal(size=(n, dim))).astype(np.float32), labels


@pytest.mark.parametrize(
    "distance", ["cosine", "euclidean", "squared_euclidean", "manhattan", "inner_product"]
)
@pytest.mark.slow_cases("cosine")
def test_leave_one_out(distance):
    x, y = data(0)
    matrix = distances.matrix(distance, x, x)
    result = evaluate(x, y, distance=distance, metrics=NAMES)
    check(result, oracle.evaluate(NAMES, matrix, same(y, y), own=range(len(y))))


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product"])
def test_query_and_gallery(distance):
    x, y = data(1, n=30)
    gallery, gallery_labels = data(2, n=70, classes=4)  # Class 4 is not in the gallery.
    matrix = distances.matrix(distance, x, gallery)
    result = evaluate(x, y, gallery, gallery_labels, distance, NAMES)
    assert result.skipped == (y == 4).sum() > 0
    check(result, oracle.evaluate(NAMES, matrix, same(y, gallery_labels)))


def test_queries_inside_the_gallery():
    gallery, gallery_labels = data(3, n=50)
    positions = np.array([4, 17, -1, 30])
    x, y = gallery[positions].copy(), gallery_labels[positions].copy()
    x[2] += 1
    result = evaluate(x, y, gallery, gallery_labels, "euclidean", NAMES, query_positions=positions)
    matrix = distances.matrix("euclidean", x, gallery)
    check(result, oracle.evaluate(NAMES, matrix, same(y, gallery_labels), own=positions))


def test_everything_relevant_to_a_query_from_outside():
    # Depth is the whole gallery for one query, and one less for the other.
    gallery, labels = np.arange(4.0)[:, None], [0, 0, 0, 0]
    x = [[1.0], [7.0]]
    result = evaluate(x, [0, 0], gallery, labels, "l2", NAMES, query_positions=[1, -1])
    matrix = distances.matrix("euclidean", x, gallery)
    check(result, oracle.evaluate(NAMES, matrix, np.ones((2, 4), bool), own=[1, -1]))


@settings(max_examples=40)
@given(
    points=st.lists(
        st.tuples(st.integers(-3, 3), st.integers(-2, 2), st.integers(0, 3)),
        min_size=1,
        max_size=24,
    ),
    distance=st.sampled_from(["euclidean", "squared_euclidean", "manhattan", "inner_product"]),
)
def test_ties_are_ordered_by_position(points, distance):
    # Few integer points: distances are exact, and equal ones abound.
    x = np.array([p[:2] for p in points], np.float32)
    y = np.array([p[2] for p in points])
    result = evaluate(x, y, distance=distance, metrics=NAMES)
    matrix = distances.matrix(distance, x, x)
    check(result, oracle.evaluate(NAMES, matrix, same(y, y), own=range(len(y))))


def test_ties_at_the_cut_are_ordered_by_position():
    # Six keys at distance 1: which of them are within the first R = 3 decides.
    gallery = [[1.0], [-1.0], [1.0], [1.0], [-1.0], [1.0], [5.0]]
    for labels in ([0, 1, 0, 1, 0, 1, 1], [1, 1, 1, 0, 0, 0, 1], [0, 0, 0, 1, 1, 1, 1]):
        result = evaluate([[0.0]], [0], gallery, labels, "l2", NAMES)
        matrix = distances.matrix("euclidean", [[0.0]], gallery)
        check(result, oracle.evaluate(NAMES, matrix, same([0], labels)))


def test_distances_of_either_sign_far_apart():
    # Their order does not fit into 31 bits: the exact way ranks all rows.
    x = np.array([[1e15, 1], [-1e15, 2], [1e-15, 3], [-1e-15, 4], [1e15, 5]], np.float32)
    y = [0, 1, 0, 1, 1]
    result = evaluate(x, y, distance="inner_product", metrics=NAMES)
    matrix = distances.matrix("inner_product", x, x)
    check(result, oracle.evaluate(NAMES, matrix, same(y, y), own=range(5)))


def test_nearly_collapsed_embeddings_keep_their_order():
    # 1 - cos of these is 1e-9 to 1e-7: below float32's resolution near 1.
    rng = np.random.default_rng(0)
    y = np.arange(80) % 8
    offset = np.eye(8)[y] + 0.3 * rng.normal(size=(80, 8))
    x = (np.ones(8) + 1e-4 * offset).astype(np.float32)
    matrix = distances.matrix("cosine", x, x)
    expected = oracle.evaluate(["map@r"], matrix, same(y, y), own=range(80))["map@r"]
    result = evaluate(x, y, metrics=["map@r"])
    assert result["map@r"] == pytest.approx(np.mean(expected), abs=5e-3)
    assert result["map@r"] > 0.5


def test_rows_of_zeros_are_at_cosine_distance_one():
    x = np.array([[1, 0], [0, 0], [1, 0.1], [0, 1], [-1, 0]], np.float32)
    y = [0, 1, 0, 1, 0]
    result = evaluate(x, y, metrics=NAMES)
    matrix = np.round(distances.matrix("cosine", x, x), 6)
    check(result, oracle.evaluate(NAMES, matrix, same(y, y), own=range(5)))


@pytest.mark.parametrize("elements", [1, 64, 200])
@pytest.mark.further("64", "200")
def test_blocks_do_not_change_the_values(monkeypatch, elements):
    x, y = data(5, n=40)
    whole = evaluate(x, y, distance="manhattan", metrics=NAMES)
    monkeypatch.setattr(ranks, "_BLOCK_ELEMENTS", elements)
    monkeypatch.setattr(ranks, "_CHUNK_ELEMENTS", max(1, elements // 3))
    monkeypatch.setattr(ranks, "_WORTH_COMPILING", 1)
    split = evaluate(x, y, distance="manhattan", metrics=NAMES)
    for name in NAMES:
        np.testing.assert_allclose(
            split.per_query[name], whole.per_query[name], rtol=1e-12, err_msg=name
        )


@pytest.mark.parametrize("huge", [2**24, 2**53, 2**62])
def test_ids_of_any_size(huge):
    x, y = data(6, classes=3)
    plain = evaluate(x, y)
    for shift in (huge, -huge):
        assert dict(evaluate(x, y + shift)) == dict(plain)
    assert dict(evaluate(x, y[:, None].astype(np.uint8))) == dict(plain)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_order_of_examples_and_names_of_classes_do_not_matter(seed):
    x, y = data(7, n=40)
    rng = np.random.default_rng(seed)
    shuffle, renamed = rng.permutation(40), rng.permutation(5)
    other = evaluate(x[shuffle], renamed[y][shuffle], metrics=NAMES)
    assert dict(other) == pytest.approx(dict(evaluate(x, y, metrics=NAMES)), rel=1e-9)


def test_perfect_and_chance():
    y = np.repeat(np.arange(6), 5)
    perfect = evaluate(np.eye(6)[y], y, metrics=["precision@1", "r_precision", "map@r", "ndcg@4"])
    assert dict(perfect) == dict.fromkeys(perfect, pytest.approx(1.0))


def test_matrix_and_function_relevance():
    x, _ = data(8, n=40)
    rng = np.random.default_rng(0)
    tags = rng.integers(2, size=(40, 3))
    gallery, gallery_tags = data(9, n=50)[0], rng.integers(2, size=(50, 3))
    shared = (tags @ gallery_tags.T) > 0
    expected = oracle.evaluate(NAMES, distances.matrix("cosine", x, gallery), shared)
    by_matrix = evaluate(x, tags, gallery, gallery_tags, metrics=NAMES, relevance=shared)
    check(by_matrix, expected)
    by_function = evaluate(
        x, tags, gallery, gallery_tags, metrics=NAMES, relevance=lambda a, b: (a @ b.T) > 0
    )
    check(by_function, expected)
    assert set(by_matrix.per_class["mrr"]) <= {tuple(t) for t in tags.tolist()}
    own = oracle.evaluate(
        NAMES, distances.matrix("cosine", x, x), (tags @ tags.T) > 0, own=range(40)
    )
    check(evaluate(x, tags, metrics=NAMES, relevance=lambda a, b: (a @ b.T) > 0), own)


@pytest.mark.parametrize("kind", ["matrix", "function", "integers"])
def test_graded_relevance(kind):
    x, _ = data(8, n=30)
    gallery = data(9, n=40)[0]
    grades = np.random.default_rng(0).choice([0, 0, 1, 2, 5], size=(30, 40)) / 2
    if kind == "integers":
        grades = (2 * grades).astype(int)
    given = grades if kind != "function" else lambda a, b: grades[a][:, b]
    names = [*NAMES, "ndcg@200"]
    result = evaluate(
        x, np.arange(30), gallery, np.arange(40), metrics=names, relevance=given, distance="l2"
    )
    matrix = distances.matrix("euclidean", x, gallery)
    check(result, oracle.evaluate(names, matrix, grades))
    among = evaluate(x, np.arange(30), metrics=names, relevance=grades[:, :30], distance="l2")
    matrix = distances.matrix("euclidean", x, x)
    check(among, oracle.evaluate(names, matrix, grades[:, :30], own=range(30)))


def test_graded_ndcg_is_that_of_scikit_learn():
    x, gallery = data(8, n=20)[0], data(9, n=30)[0]
    grades = np.random.default_rng(0).choice([0.0, 1.0, 2.0, 5.0], size=(20, 30))
    result = evaluate(
        x, np.arange(20), gallery, np.arange(30), "l2", ["ndcg@7", "ndcg@30"], relevance=grades
    )
    scores = -distances.matrix("euclidean", x, gallery)
    for k in (7, 30):
        expected = sklearn.metrics.ndcg_score(grades, scores, k=k, ignore_ties=True)
        assert result[f"ndcg@{k}"] == pytest.approx(expected, rel=1e-9)


def test_a_metric_of_ones_own():
    x, y = data(10)
    worst = RankMetric("miss_rate@5", lambda ranking: 1.0 - ranking.top(5).any(axis=1), k=5)
    result = evaluate(x, y, metrics=[worst, "hit_rate@5"])
    assert result["miss_rate@5"] == pytest.approx(1 - result["hit_rate@5"])


def test_nothing_relevant_anywhere():
    result = evaluate(np.eye(3), [0, 1, 2], metrics=["map@r", "mrr"])
    assert result.skipped == 3
    assert result.queries == 0
    assert np.isnan(result["map@r"])
    assert np.isnan(result.interval("map@r")).all()
    assert result.per_class["map@r"] == {}
    assert "3 left out" in str(result)


def test_result_is_plain_and_readable():
    x, y = data(11)
    y[0] = 99  # The only one of its class.
    result = evaluate(x, y, metrics=["precision@1", "map@r"])
    assert list(result) == ["precision@1", "map@r"]
    assert len(result) == 2
    assert result.skipped == 1
    per_class = result.per_class["precision@1"]
    assert set(per_class) == set(y[1:].tolist())
    for label, value in per_class.items():
        assert value == pytest.approx(result.per_query["precision@1"][y == label].mean())
    assert result.macro["precision@1"] == pytest.approx(np.mean(list(per_class.values())))
    assert result.micro == dict(result)
    assert all(type(v) is float for v in result.values())
    assert json.loads(json.dumps(result.to_dict()))["metrics"] == dict(result)
    text = str(result)
    assert "precision@1" in text
    assert f"{result['map@r']:.4f}" in text
    assert "59 queries of 5 classes, 1 left out" in text
    with pytest.raises(KeyError, match=r"recall@1.*precision@1"):
        result.interval("recall@1")
    with pytest.raises(KeyError):
        result["recall@1"]
    with pytest.raises(ValueError, match="average"):
        result.interval("map@r", "weighted")


def test_bad_input():
    x, y = data(12, n=10)
    with pytest.raises(TypeError, match="labels"):
        evaluate(x, y + 0.5)
    with pytest.raises(TypeError, match="labels"):
        evaluate(x, y > 2)
    with pytest.raises(ValueError, match="one_hot"):
        evaluate(x, np.eye(5)[y].astype(int))
    with pytest.raises(ValueError, match=r"labels.*expected 10.*Received: 9"):
        evaluate(x, y[:9])
    with pytest.raises(ValueError, match="distance"):
        evaluate(x, y, distance="cosin")
    with pytest.raises(ValueError, match=r"metric.*precision@k.*Received: 'precison@1'"):
        evaluate(x, y, metrics=["precison@1"])
    with pytest.raises(ValueError, match="precision@0"):
        evaluate(x, y, metrics="precision@0")
    with pytest.raises(ValueError, match="different names"):
        evaluate(x, y, metrics=["map@r", "MAP@R"])
    with pytest.raises(ValueError, match="different names"):
        evaluate(x, y, metrics=[])
    with pytest.raises(TypeError, match="metric"):
        evaluate(x, y, metrics=[3])
    with pytest.raises(TypeError, match="metrics"):
        evaluate(x, y, metrics=3)
    with pytest.raises(ValueError, match="NaN"):
        evaluate(np.where(x == x[0, 0], np.nan, x), y)
    with pytest.raises(ValueError, match="confidence"):
        evaluate(x, y, confidence=95)
    with pytest.raises(ValueError, match="size 6"):
        evaluate(x, y, x[:, :3], y)
    with pytest.raises(ValueError, match=r"gallery_labels.*None"):
        evaluate(x, y, x + 1)
    with pytest.raises(ValueError, match="gallery_labels"):
        evaluate(x, y, gallery_labels=y)
    with pytest.raises(ValueError, match=r"very queries.*leave-one-out"):
        evaluate(x, y, x.copy(), y)
    with pytest.raises(ValueError, match="query_positions"):
        evaluate(x, y, x, y, query_positions=np.arange(10) + 1)
    with pytest.raises(ValueError, match=r"queries and a gallery"):
        evaluate(x[:0], y[:0])
    with pytest.raises(ValueError, match=r"relevance.*\(10, 10\)"):
        evaluate(x, y, relevance=np.ones((10, 9), bool))
    with pytest.raises(ValueError, match=r"relevance.*float64, with a negative value"):
        evaluate(x, y, relevance=lambda a, b: np.full((len(a), len(b)), -1.0))
    with pytest.raises(ValueError, match=r"relevance.*<U4"):
        evaluate(x, y, relevance=np.full((10, 10), "near"))
    with pytest.raises(ValueError, match=r"distance.*NaN"):
        evaluate(x, y, distance=lambda q, k: (q @ np.transpose(k)) * np.nan)


def test_first_relevant_key_far_down():
    rng = np.random.default_rng(0)
    gallery = np.sort(rng.normal(size=(300, 1)), axis=0).astype(np.float32)
    labels = np.zeros(300, int)
    labels[[7, 150, 160]] = 1, 2, 2
    x, y = [[4.0], [-4.0], [4.0]], [1, 2, 0]
    result = evaluate(x, y, gallery, labels, "l2", ["mrr"])
    matrix = distances.matrix("euclidean", x, gallery)
    expected = oracle.evaluate(["mrr"], matrix, same(y, labels))
    check(result, expected)
    assert min(expected["mrr"]) < 1 / 200


def test_a_query_of_zeros_is_as_far_from_all():
    gallery = np.random.default_rng(0).normal(size=(50, 3))
    labels = np.arange(50) % 7
    result = evaluate([[0.0, 0.0, 0.0]], [3], gallery, labels, metrics=NAMES)
    check(result, oracle.evaluate(NAMES, np.ones((1, 50)), same([3], labels)))
