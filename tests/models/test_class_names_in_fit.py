"""`fit` and `evaluate` take class names, and train as with class ids."""

import keras
import numpy as np
import pandas as pd
import pytest

from tensorflow_similarity import losses
from tensorflow_similarity.layers import L2Embedding, ProxyHead
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.targets import Targets

X = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
IDS = np.tile(np.arange(4), 6)
NAMES = np.array(["owl", "cat", "dog", "bat"])[IDS]


def made(loss, head=None, **options):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    outputs = L2Embedding(3)(inputs)
    model = SimilarityModel(inputs, outputs if head is None else head(outputs))
    model.compile(keras.optimizers.SGD(0.1), loss, **options)
    return model


def results(loss, y, **options):
    """Weights after training, the values of losses, and the values of evaluation."""
    model = made(loss, **options)
    history = model.fit(
        X, y, batch_size=8, shuffle=False, epochs=2, validation_data=(X[:8], y[:8]), verbose=0
    ).history
    values = [model.train_on_batch(X, y), model.test_on_batch(X, y)]
    return [*model.get_weights(), history["loss"], history["val_loss"], values]


@pytest.fixture(scope="module")
def of_ids():
    return results(losses.MultiSimilarityLoss(), IDS)


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        NAMES.tolist(),
        NAMES.astype(object),
        NAMES[:, None],
        pd.Series(NAMES),
        pd.Series(pd.Categorical(NAMES)),
        NAMES.astype("S"),
    ],
    ids=["array", "list", "objects", "column", "series", "categories", "bytes"],
)
def test_names_are_class_ids(names, of_ids):
    # Names are read before a step: compiled for one kind of them, it is for all.
    found = results(losses.MultiSimilarityLoss(), names, run_eagerly=names is not NAMES)
    for one, other in zip(found, of_ids, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        losses.MatryoshkaLoss(losses.SupConLoss(ignore_class=-1), [2, 3]),
        losses.WeightedSumLoss([losses.SupConLoss(ignore_class=-1)]),
        losses.CrossBatchMemory(losses.SupConLoss(ignore_class=-1), 24),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_losses_around_a_loss_take_what_it_takes(loss):
    names = NAMES.astype(object)
    names[:5] = None
    ids = np.where(np.arange(24) < 5, -1, IDS)
    values = [made(loss).train_on_batch(X, y) for y in (names, ids)]
    assert np.isfinite(values).all()
    if not isinstance(loss, losses.CrossBatchMemory):  # which remembers the first call
        np.testing.assert_allclose(*values, rtol=1e-5)


def test_masked_labels_are_refused():
    with pytest.raises(TypeError, match="`y` must not be a masked array"):
        made(losses.TripletLoss()).fit(X, np.ma.masked_equal(IDS, 3), verbose=0)


def test_labels_of_another_kind_are_no_names():
    with pytest.raises(ValueError, match="the labels that it takes for SupConLoss"):
        made(losses.SupConLoss(relevance="multi_hot")).train_on_batch(X, NAMES)


def test_a_memory_knows_a_name_again():
    memories = []
    for y in (NAMES, IDS):
        loss = losses.CrossBatchMemory(losses.TripletLoss(), 16)
        model = made(loss)
        for part in (slice(0, 8), slice(8, 24)):
            model.fit(X[part], y[part], batch_size=8, shuffle=False, verbose=0)
        memories.append(keras.ops.convert_to_numpy(loss.memory.labels))
    same = [labels[:, None] == labels[None, :] for labels in memories]
    np.testing.assert_array_equal(*same)


def test_none_is_unknown_where_the_loss_has_an_id_for_it():
    names = NAMES.astype(object)
    names[:5] = None
    with pytest.raises(ValueError, match="ignore_class"):
        made(losses.TripletLoss()).fit(X, names, verbose=0)
    ids = np.where(np.arange(24) < 5, -1, IDS)
    for one, other in zip(
        results(losses.SupConLoss(ignore_class=-1), names),
        results(losses.SupConLoss(ignore_class=-1), ids),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "head"),
    [(losses.SupConLoss, None), (losses.ArcFaceLoss, ProxyHead(4))],
    ids=["pairs", "proxies"],
)
def test_none_among_ids_is_unknown_too(loss, head):
    with_none = [None if i < 5 else int(label) for i, label in enumerate(IDS)]
    ids = np.where(np.arange(24) < 5, -1, IDS)
    values = [made(loss(ignore_class=-1), head).test_on_batch(X, y) for y in (with_none, ids)]
    np.testing.assert_allclose(*values, rtol=1e-5)
    with pytest.raises(ValueError, match="ignore_class"):
        made(loss(), head).test_on_batch(X, with_none)


def test_outputs_have_names_of_their_own():
    inputs = keras.Input((5,))
    outputs = {"a": L2Embedding(3, name="a")(inputs), "b": L2Embedding(2, name="b")(inputs)}
    model = SimilarityModel(inputs, outputs)
    model.compile("sgd", {"a": losses.TripletLoss(), "b": losses.NCALoss()}, embedding_output="a")
    model.fit(X, {"a": NAMES, "b": IDS}, verbose=0)


def test_a_head_needs_numbers():
    model = made(losses.ArcFaceLoss(), ProxyHead(4))
    with pytest.raises(ValueError, match=r"`y` must be class ids.*np\.unique"):
        model.fit(X, NAMES, verbose=0)


PATHS = [("bird" if i in (0, 3) else "beast", ["owl", "cat", "dog", "bat"][i]) for i in IDS]
TAGS = np.eye(4)[IDS] + np.eye(4)[(IDS + 1) % 4]


@pytest.mark.parametrize(
    ("y", "relevance", "rows"),
    [
        (Targets.hierarchy(PATHS), "hierarchy", np.stack([IDS % 3 == 0, IDS], axis=1)),
        (Targets.hierarchy(np.stack([IDS // 2, IDS], axis=1)), "hierarchy", None),
        (Targets.multi_hot(TAGS), "multi_hot", TAGS),
        (Targets.multi_hot(TAGS), "jaccard", TAGS),
        (Targets.soft(TAGS / 2), "multi_hot", TAGS / 2),
    ],
)
def test_targets_of_any_kind(y, relevance, rows):
    rows = y.matrix if rows is None else rows
    loss = losses.SupConLoss(relevance=relevance)
    model = made(loss)
    expected = float(loss(rows.astype(int if relevance == "hierarchy" else "float32"), model(X)))
    assert model.evaluate(X, y, batch_size=24, verbose=0) == pytest.approx(expected, rel=1e-5)
    history = model.fit(
        X, y, batch_size=24, shuffle=False, verbose=0, validation_data=(X, y)
    ).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(model.train_on_batch(X, y))
    others = {"hierarchy": "multi_hot", "multi_hot": "hierarchy", "jaccard": "hierarchy"}
    for other in (
        losses.TripletLoss(),
        losses.NpairsMultilabelLoss("cosine", relevance=others[relevance]),
    ):
        with pytest.raises(ValueError, match=r"`y` must be labels that.*relevance="):
            made(other).fit(X, y, verbose=0)


def test_targets_of_classes():
    loss = losses.SupConLoss()
    model = made(loss)
    expected = float(loss(IDS, model(X)))
    for y in (Targets.classes(IDS), Targets.classes(NAMES), Targets.hierarchy(PATHS).level(-1)):
        assert model.evaluate(X, y, batch_size=24, verbose=0) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="Pairs that are given are for SiameseModel"):
        model.fit(X, Targets.pairs(IDS % 2), verbose=0)
    with pytest.raises(TypeError, match="must be targets of kind"):
        model.fit(X, Targets.relevance(np.eye(24)), verbose=0)
