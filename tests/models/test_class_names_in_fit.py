"""`fit` and `evaluate` take class names, and train as with class ids."""

import keras
import numpy as np
import pandas as pd
import pytest

from tensorflow_similarity import losses
from tensorflow_similarity.layers import L2Embedding, ProxyHead
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler
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


@pytest.mark.further
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


@pytest.mark.further
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
    with pytest.raises(ValueError, match="the labels that SupConLoss takes"):
        made(losses.SupConLoss(relevance="multi_hot")).train_on_batch(X, NAMES)


@pytest.mark.further
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


@pytest.mark.further
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


@pytest.mark.further
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


@pytest.mark.further
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


@pytest.mark.further("y2-multi_hot-rows2")
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


@pytest.mark.further
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


class Batches(keras.utils.PyDataset):
    """Batches of the arrays, in order; counts how often Keras says that an epoch ends."""

    def __init__(self, y, size=8):
        super().__init__()
        self.y, self.size, self.ends = y, size, 0

    def __len__(self):
        return len(X) // self.size

    def __getitem__(self, i):
        part = slice(i * self.size, (i + 1) * self.size)
        return X[part], keras.tree.map_structure(lambda y: y[part], self.y)

    def on_epoch_end(self):
        self.ends += 1


def as_data(kind, y):
    batches = Batches(y)
    if kind == "PyDataset":
        return batches
    if kind == "generator":
        return (batches[i] for _ in range(9) for i in range(3))
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, y)).batch(8)


@pytest.mark.further
@pytest.mark.parametrize("kind", ["PyDataset", "generator", "tf.data"])
def test_datasets_yield_names(kind):
    options = {"verbose": 0, "shuffle": False, "epochs": 2}
    if kind == "generator":
        options["steps_per_epoch"] = 3
    found, ends = [], []
    for y in (NAMES, IDS):
        data = as_data(kind, y)
        model = made(losses.SupConLoss())
        history = model.fit(data, validation_data=Batches(y), **options).history
        ends.append(getattr(data, "ends", None))
        evaluated = model.evaluate(as_data(kind, y), verbose=0, steps=3)
        found.append([*history["loss"], *history["val_loss"], evaluated])
    np.testing.assert_allclose(*found, rtol=1e-5)
    assert ends[0] == ends[1] != 0
    with pytest.raises(ValueError, match=r"must be class ids for ArcFaceLoss.*np\.unique"):
        made(losses.ArcFaceLoss(), ProxyHead(4)).fit(as_data(kind, NAMES), **options)


BY_NAME = {"owl": 2.0, "cat": 0.5, "dog": 0.0}
BY_ID = {0: 2.0, 1: 0.5, 2: 0.0}


@pytest.mark.further
@pytest.mark.parametrize(
    ("y", "weights"),
    [
        (NAMES, BY_NAME),
        (Targets.classes(NAMES), BY_NAME),
        (NAMES.tolist(), BY_NAME),
        (IDS, BY_ID),
        (IDS + 2**40, {key + 2**40: value for key, value in BY_ID.items()}),
    ],
    ids=["names", "targets", "list", "ids", "large ids"],
)
def test_classes_have_weights(y, weights):
    options = {"batch_size": 24, "shuffle": False, "verbose": 0}
    by_example = np.array([BY_ID.get(i, 1.0) for i in IDS])
    expected = made(losses.SupConLoss()).fit(X, IDS, sample_weight=by_example, **options)
    found = made(losses.SupConLoss()).fit(
        X, y, class_weight=weights, validation_data=(X, y), **options
    )
    np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=1e-5)
    assert found.history["val_loss"][0] != pytest.approx(expected.history["loss"][0], rel=1e-3)


@pytest.mark.further
@pytest.mark.parametrize("kind", ["PyDataset", "generator", "tf.data", "sampler"])
def test_classes_of_a_dataset_have_weights(kind):
    found = []
    for weights in (None, dict.fromkeys(["bat", "cat", "dog", "owl"], 2.0)):
        data = as_data(kind, NAMES)
        if kind == "sampler":
            data = MultiShotMemorySampler(X, NAMES, 4, 2, steps_per_epoch=1, seed=0)
        options = {"verbose": 0, "shuffle": False, "steps_per_epoch": 1}
        model = made(losses.SupConLoss())
        found.append(model.fit(data, class_weight=weights, **options).history["loss"][0])
    assert found[1] == pytest.approx(2 * found[0], rel=1e-5)


class InBatches(keras.utils.PyDataset):
    """Batches as they are given."""

    def __init__(self, *batches):
        super().__init__()
        self._batches = batches

    @property
    def num_batches(self):
        return len(self._batches)

    def __getitem__(self, index):
        return self._batches[index]


def in_tf_data(*batches):
    tf = pytest.importorskip("tensorflow")
    parts = [np.concatenate(part) for part in zip(*batches, strict=True)]
    return tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(len(batches[0][0]))


BATCHES = {"steps_per_epoch": 1, "shuffle": False, "verbose": 0}
KINDS = [InBatches, lambda *batches: iter(batches), in_tf_data]


@pytest.mark.further
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_need_not_have_the_classes_that_are_weighed(kind):
    batches = [(X[:8], np.tile(names, 4)) for names in (["owl", "cat"], ["dog", "bat"])]
    model = made(losses.SupConLoss())
    weights = {"owl": 0.0, "cat": 0.0}
    history = model.fit(kind(*batches), class_weight=weights, **(BATCHES | {"steps_per_epoch": 2}))
    assert np.isfinite(history.history["loss"][0])


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_classes_beside_those_of_examples_are_refused(kind):
    data = kind((X, NAMES, np.full(len(X), 5.0, "float32")))
    with pytest.raises(ValueError, match="`class_weight` must be None where batches have"):
        made(losses.SupConLoss()).fit(data, class_weight=BY_NAME, **BATCHES)


@pytest.mark.parametrize("kind", [InBatches, in_tf_data])  # Keras takes no ids with generators
def test_weights_of_ids_are_not_for_names(kind):
    with pytest.raises(TypeError, match="`class_weight` must have class names"):
        made(losses.SupConLoss()).fit(kind((X, NAMES)), class_weight={0: 9.0}, **BATCHES)


MISSPELT = {"owl": 2.0, "aegle": 3.0}


@pytest.mark.parametrize(
    ("kind", "names", "weights"),
    [
        *((kind, NAMES, MISSPELT) for kind in KINDS),
        (InBatches, IDS, {0: 2.0, 77: 3.0}),  # which Keras reads
    ],
)
@pytest.mark.further("<lambda>-names1-weights1")
def test_a_misspelt_class_in_a_dataset_is_told_after_the_first_epoch(kind, names, weights):
    wrong = list(weights)[1]
    model = made(losses.SupConLoss())
    expected = rf"not in any batch of the first epoch: {wrong!r}\..*such as .*have weight 1"
    with pytest.warns(UserWarning, match=expected) as told:
        model.fit(kind((X, names), (X, names)), class_weight=weights, **BATCHES | {"epochs": 2})
    assert len(told) == 1


@pytest.mark.further
def test_a_misspelt_class_in_a_sampler_of_ids_is_told_after_the_first_epoch():
    sampler = MultiShotMemorySampler(X, IDS, 4, 2, steps_per_epoch=1)
    with pytest.warns(UserWarning, match="not in any batch of the first epoch: 77"):
        made(losses.SupConLoss()).fit(sampler, class_weight={0: 2.0, 77: 3.0}, verbose=0)


@pytest.mark.parametrize(
    ("y", "weights"),
    [(NAMES, MISSPELT), (IDS, {0: 2.0, 77: 3.0}), (IDS + 2**40, {2**40: 2.0, 77: 3.0})],
)
@pytest.mark.further("y0-weights0")
def test_a_misspelt_class_among_others_is_told_before_training(y, weights):
    with pytest.warns(UserWarning, match=r"not in `y`: ('aegle'|77)\.") as told:
        made(losses.SupConLoss()).fit(X, y, class_weight=weights, verbose=0)
    assert len(told) == 1


def test_weights_of_classes_that_are_not_there_are_refused():
    model = made(losses.SupConLoss())
    for y, weights, error in [
        (IDS, {77: 2.0}, ValueError),
        (NAMES, {0: 2.0}, TypeError),
        (IDS, {"owl": 2.0}, TypeError),
        (NAMES, {"eagle": 2.0}, ValueError),
        (IDS + 2**40, {1: 2.0}, ValueError),
    ]:
        with pytest.raises(error, match="`class_weight` must have class"):
            model.fit(X, y, class_weight=weights, verbose=0)
    sampler = MultiShotMemorySampler(X, NAMES, 4, 2, steps_per_epoch=1)
    with pytest.raises(ValueError, match="`class_weight` must have classes of the sampler"):
        model.fit(sampler, class_weight={"eagle": 2.0}, verbose=0)
    many = made(losses.SupConLoss(relevance="multi_hot"))
    with pytest.raises(ValueError, match="`class_weight` is for labels of one class"):
        many.fit(X, Targets.multi_hot(TAGS), class_weight={0: 2.0}, verbose=0)


@pytest.mark.further
def test_lists_are_arrays():
    options = {"batch_size": 24, "shuffle": False, "verbose": 0}
    weights = np.linspace(0, 1, 24)
    found = [
        made(losses.SupConLoss()).fit(X, y, sample_weight=w, **options).history["loss"]
        for y, w in ((IDS, weights), (IDS.tolist(), weights.tolist()))
    ]
    np.testing.assert_allclose(*found)


def test_names_where_only_numbers_fit_are_refused_by_their_key():
    inputs = keras.Input((5,))
    model = SimilarityModel(
        inputs, {"a": L2Embedding(3)(inputs), "b": keras.layers.Dense(4)(inputs)}
    )
    model.compile("sgd", {"a": losses.TripletLoss(), "b": "sparse_categorical_crossentropy"})
    with pytest.raises(ValueError, match=r"`y\['b'\]` must be class ids for sparse_cat.*np.unique"):
        model.fit(X, {"a": NAMES, "b": NAMES}, verbose=0)
    with pytest.raises(ValueError, match=r"a dict with labels for each of the outputs"):
        model.fit(X, NAMES, verbose=0)
