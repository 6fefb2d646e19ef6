"""Masked, sparse and ragged arrays, and those of odd types, are refused wherever arrays come in."""

import numpy as np
import pytest

from tensorflow_similarity import (
    calibration,
    distances,
    evaluation,
    losses,
    samplers,
    training_metrics,
)
from tensorflow_similarity.calibration import Calibration, calibrate
from tensorflow_similarity.index import Index, exact_search
from tensorflow_similarity.retrieval_metrics import PrecisionAtK

sparse = pytest.importorskip("scipy.sparse")
X = np.eye(4, 3, dtype=np.float32) + 1
Y = np.array([0, 0, 1, 1])


def _index() -> Index:
    index = Index(3, "euclidean")
    index.add(X, labels=Y, ids=[1, 2, 3, 4])
    return index


def _rows(x: object) -> int:
    return x.shape[0] if hasattr(x, "shape") else len(x)


#: name -> (what takes the values, values that it takes). All of the public face that takes arrays.
VECTORS = {
    "add": lambda x: _index().add(x),
    "upsert": lambda x: _index().upsert([1, 2, 3, 4], x),
    "update": lambda x: _index().update([1, 2, 3, 4], x),
    "lookup": lambda x: _index().lookup(x),
    "exact_search queries": lambda x: exact_search(x, X, 1),
    "exact_search keys": lambda x: exact_search(X, x, 1),
    "evaluate": lambda x: evaluation.evaluate(x, Y),
    "evaluate gallery": lambda x: evaluation.evaluate(X[:2], Y[:2], gallery=x, gallery_labels=Y),
    "distance queries": lambda x: distances.get("cosine")(x, X),
    "distance keys": lambda x: distances.get("euclidean")(X, x),
    "paired": lambda x: distances.get("euclidean").paired(x, X),
    "payload": lambda x: Index(3).add(X, data=x),
    "sampler x": lambda x: samplers.MultiShotMemorySampler(x, Y),
    "loss": lambda x: losses.TripletLoss()(Y, x),
    "view": lambda x: losses.SimCLRLoss()(x, X[: _rows(x)]),
    "teacher": lambda x: losses.EmbeddingDistillationLoss()(x, X[: _rows(x)]),
    "proxies": lambda x: losses.ArcFaceLoss()([0, 1, 2, 0], x),
    "training metric": lambda x: training_metrics.MeanCosine().update_state(Y, x),
    "lookup distances": lambda x: calibration.match(x, np.zeros(x.shape, int), 0.5),
}
IDS = {
    "ids of add": lambda y: Index(3).add(X, ids=y),
    "labels of evaluate": lambda y: evaluation.evaluate(X, y),
    "delete": lambda y: _index().delete(y),
    "get": lambda y: _index().get(y),
    "has": lambda y: _index().has(y),
    "filter ids": lambda y: _index().lookup(X, filter={"ids": y}),
    "filter labels": lambda y: _index().lookup(X, filter={"labels": y}),
    "sampler y": lambda y: samplers.MultiShotMemorySampler(X, y),
    "select y": lambda y: samplers.select_examples(X, y),
    "labels of a loss": lambda y: losses.TripletLoss()(y, X),
    "labels of proxies": lambda y: losses.ArcFaceLoss()(y, np.ones((4, 9), np.float32)),
    "labels of a training metric": lambda y: training_metrics.MeanCosine().update_state(y, X),
    "calibrate": lambda y: calibrate(np.ones((4, 1)), np.zeros((4, 1), int), y),
    "metric": lambda y: PrecisionAtK(k=1).compute(query_labels=y, lookup_labels=Y[:, None]),
}


@pytest.mark.parametrize("door", VECTORS)
@pytest.mark.parametrize(
    ("partial", "advice"),
    [
        (np.ma.masked_greater(X, 1.5), "masked"),
        (np.ma.masked_invalid(np.where(X > 1.5, np.nan, X)), "masked"),
        (sparse.csr_matrix(X), "toarray"),
        (sparse.coo_array(X), "toarray"),
    ],
    ids=["masked", "masked NaN", "csr", "coo"],
)
def test_rows_that_are_partly_there(door, partial, advice):
    with pytest.raises(TypeError, match=f"must not .*{advice}"):
        VECTORS[door](partial)


@pytest.mark.parametrize("door", IDS)
@pytest.mark.parametrize(
    "partial", [np.ma.MaskedArray([1, 2, 3, 4], mask=[False, True, False, False])]
)
def test_ids_that_are_partly_there(door, partial):
    with pytest.raises(TypeError, match="must not be a masked array"):
        IDS[door](partial)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ma.MaskedArray(np.ones(4), mask=[0, 1, 0, 0]), "must not be a masked array"),
        (list("abcd"), "must be real numbers"),
        (np.array([1, None, 1, 1]), "must be real numbers"),
    ],
    ids=["masked", "text", "None"],
)
@pytest.mark.parametrize("what", [losses.TripletLoss(), training_metrics.MeanCosine()])
def test_weights_that_are_partly_there(what, weights, message):
    with pytest.raises(TypeError, match=f"`sample_weight` {message}"):
        getattr(what, "update_state", what)(Y, X, sample_weight=weights)


def test_a_masked_id_deletes_nothing():
    index = _index()
    with pytest.raises(TypeError, match=r"ids\.compressed\(\)"):
        index.delete(np.ma.MaskedArray([1, 2], mask=[False, True]))
    assert index.ids.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("door", [d for d in VECTORS if d not in ("payload", "sampler x")])
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([[1.0, 2.0, 3.0], [1.0]], ValueError, "rows of one length"),
        (np.array([[1.0, None, 2.0]], object), TypeError, "numbers"),
        (X.astype(object), TypeError, "numbers"),
        (X.astype("V4"), TypeError, "numbers"),
        (X.astype(str), TypeError, "numbers"),
        (X * 1j, TypeError, "numbers"),
        (X.astype("datetime64[s]"), TypeError, "numbers"),
    ],
    ids=["ragged", "None", "objects", "bytes", "text", "complex", "times"],
)
def test_rows_of_odd_types(door, values, error, message):
    if door == "lookup distances" and isinstance(values, np.ndarray):
        error, message = (TypeError, ValueError), "must be numbers|real numbers"
    if isinstance(values, list) and door == "lookup distances":
        with pytest.raises(error, match=message):
            calibration.match(values, [[0], [0]], 0.5)
        return
    with pytest.raises(error, match=message):
        VECTORS[door](values)


@pytest.mark.parametrize("door", IDS)
@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([[1, 2], [3]], ValueError),
        (np.array([1.5, 2, 3, 4]), (TypeError, ValueError)),
        ([1, 2, 3, 2**64], (TypeError, ValueError)),
        (np.array(["2020"] * 4, "datetime64[s]"), TypeError),
    ],
    ids=["ragged", "halves", "beyond 64 bits", "times"],
)
def test_ids_of_odd_types(door, values, error):
    with pytest.raises(error, match="Received"):
        IDS[door](values)


@pytest.mark.parametrize("method", ["upsert", "update", "delete", "get", "has"])
@pytest.mark.parametrize("ids", [None, {1: 2}, {1, 2}, "1", object()])
def test_ids_that_are_no_list(method, ids):
    arguments = (ids, X) if method in ("upsert", "update") else (ids,)
    if (method, ids) == ("upsert", "1"):  # one key, for four records
        error, match = ValueError, "`ids` must hold one key per record: expected 4. Received: 1"
    else:  # Without ids, `update`, `delete` and `get` may have a filter.
        error, match = TypeError, r"`ids` (must be|or `filter` must be given)"
    with pytest.raises(error, match=match):
        getattr(_index(), method)(*arguments)


@pytest.mark.parametrize(
    "id_", [2**63, 2**100, -1, -(2**64), 1.0, "1", None, True, np.uint64(2**63)]
)
def test_what_no_index_contains(id_):
    index = Index(3)
    index.add(X)
    assert id_ not in index


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (2**31, r"`k` must not be so far beyond.*k=len\(index\)"),
        (2**63, r"`k` must be below 2\*\*63"),
        (10**100, r"`k` must be below 2\*\*63"),
    ],
)
def test_a_k_whose_padding_would_fill_memory(k, message):
    index = _index()
    with pytest.raises(ValueError, match=message):
        index.lookup(X, k=k)
    assert index.lookup(X, k=1000).ids.shape == (4, 1000)


@pytest.mark.parametrize("distance", [{"a": 1}, {}, {"class_name": "dict", "config": {}}])
def test_a_dict_that_is_no_distance(distance):
    with pytest.raises(TypeError, match=r"`distance`|registered|decorated"):
        Index(3, distance)


@pytest.mark.parametrize(
    "call", [lambda: _index().save(""), lambda: Index.load(""), lambda: Index.open(""),
             lambda: Index(3, path="")],
    ids=["save", "load", "open", "path"],
)  # fmt: skip
def test_an_empty_path(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="`path` must name a file or a folder"):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("label", [2**63, 2**70, -(2**63) - 1, 1.5, None])
def test_labels_of_no_match_fit_into_64_bits(label):
    found: Calibration = calibrate([[0.1], [0.9]], [[3], [7]], [3, 5])
    for match in (found.match, lambda d, y, **more: calibration.match(d, y, 0.5, **more)):
        with pytest.raises((TypeError, ValueError), match="`no_match_label` must"):
            match([[0.1]], [[3]], no_match_label=label)
