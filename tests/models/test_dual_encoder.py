"""Two towers: pairs without classes, trained, indexed, looked up, saved."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle import golden
from tensorflow_similarity import losses
from tensorflow_similarity.callbacks import EvalCallback
from tensorflow_similarity.layers import Temperature
from tensorflow_similarity.models import DualEncoder

N = 48
RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(N, 6)).astype("float32")
USERS = (ITEMS[:, :4] + 0.05 * RNG.normal(size=(N, 4))).astype("float32")


def tower(size, name, seed, dim=8):
    inputs = keras.Input((size,), name=name)
    initializer = keras.initializers.GlorotUniform(seed)
    return keras.Model(inputs, keras.layers.Dense(dim, kernel_initializer=initializer)(inputs))


def make(loss=None, temperature=None, shared=False, **compiled):
    query = tower(4, "user", 1)
    model = DualEncoder(query, None if shared else tower(6, "item", 2), temperature)
    loss = loss or losses.MultiNegativesRankLoss(distance="cosine")
    model.compile(keras.optimizers.Adam(0.02), loss, **{"jit_compile": False} | compiled)
    return model


# -- The loss ------------------------------------------------------------------------------------


def reference(
    queries,
    candidates,
    ids=None,
    probability=None,
    negatives=None,
    negative_ids=None,
    scale=1.0,
    symmetric=False,
):
    """The formula, query by query, with inner products."""
    ids = np.arange(len(queries)) if ids is None else np.asarray(ids)
    found = []
    for i, query in enumerate(queries):
        own = scale * query @ candidates[i]
        own_back = own
        row = []
        for j, candidate in enumerate(candidates):
            if j == i or ids[j] != ids[i]:
                score = scale * query @ candidate
                row.append(score - (0 if probability is None else np.log(probability[j])))
        if probability is not None:
            own = own - np.log(probability[i])
        for m, negative in enumerate([] if negatives is None else negatives):
            if negative_ids is None or negative_ids[m] != ids[i]:
                row.append(scale * query @ negative)
        value = np.log(np.exp(row).sum()) - own
        if symmetric:
            column = [
                scale * queries[j] @ candidates[i]
                for j in range(len(queries))
                if j == i or ids[j] != ids[i]
            ]
            value = (value + np.log(np.exp(column).sum()) - own_back) / 2
        found.append(value)
    return np.array(found)


CASES = {
    "plain": {},
    "ids": {"ids": [1, 2, 1, 3, 2, 1]},
    "probability": {"sampling_probability": RNG.uniform(0.1, 1, 6)},
    "negatives": {"negatives": RNG.normal(size=(6, 2, 3))},
    "all": {
        "ids": [1, 2, 1, 3, 2, 1],
        "sampling_probability": RNG.uniform(0.1, 1, 6),
        "negatives": RNG.normal(size=(6, 2, 3)),
        "negative_ids": RNG.integers(0, 5, size=(6, 2)),
        "scale": 3.0,
    },
}


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_formula(name, symmetric):
    queries, candidates = np.random.default_rng(5).normal(size=(2, 6, 3))
    known = dict(CASES[name])
    loss = losses.MultiNegativesRankLoss(scale=1.5, symmetric=symmetric, reduction=None)
    value = loss.ranking(queries, candidates, **known)
    scale, flat = known.pop("scale", 1.5), {}
    for key, values in known.items():
        flat[{"sampling_probability": "probability"}.get(key, key)] = (
            np.reshape(values, (-1, 3)) if key == "negatives" else np.ravel(values)
        )
    expected = reference(queries, candidates, scale=scale, symmetric=symmetric, **flat)
    np.testing.assert_allclose(value, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("case", "scale", "known"),
    [
        ("plain", 1.0, ()),
        ("corrected", 1.0, ("probability",)),
        ("no accidental hits", 1.0, ("ids",)),
        ("temperature 0.5", 2.0, ()),
        ("all", 2.0, ("probability", "ids")),
    ],
)
def test_values_of_keras_rs(case, scale, known):
    given = golden_retrieval("keras_rs")
    more = {
        "sampling_probability" if key == "probability" else key: np.array(given[key])
        for key in known
    }
    loss = losses.MultiNegativesRankLoss(scale=scale, reduction=None)
    value = loss.ranking(np.float32(given["queries"]), np.float32(given["candidates"]), **more)
    np.testing.assert_allclose(value, given[case], rtol=1e-5, atol=1e-6)


def golden_retrieval(name):
    return json.loads((golden.FOLDER / "retrieval" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", golden_retrieval("sentence_transformers")["cases"])
def test_values_and_gradients_of_sentence_transformers(name):
    given = golden_retrieval("sentence_transformers")
    case = given["cases"][name]
    sides = {key: tf.constant(given[key], "float32") for key in case["gradients"]}
    loss = losses.MultiNegativesRankLoss(
        case["distance"], case["scale"], symmetric=case["symmetric"]
    )
    with tf.GradientTape() as tape:
        tape.watch(sides)
        value = loss.ranking(**sides)
    np.testing.assert_allclose(value, case["value"], rtol=1e-5)
    for key, gradient in tape.gradient(value, sides).items():
        np.testing.assert_allclose(gradient, case["gradients"][key], rtol=1e-4, atol=1e-5)


def test_two_views_are_the_plain_case():
    queries, candidates = np.random.default_rng(5).normal(size=(2, 6, 3))
    loss = losses.MultiNegativesRankLoss()
    np.testing.assert_allclose(loss(queries, candidates), loss.ranking(queries, candidates))


def test_duplicates_are_not_pushed_apart():
    queries = np.eye(4)[[0, 0, 1, 2]]
    loss = losses.MultiNegativesRankLoss(scale=30.0, reduction=None)
    assert loss.ranking(queries, queries)[0] > 0.6  # log 2: the twin is as near
    assert (np.asarray(loss.ranking(queries, queries, ids=[5, 5, 6, 7])) < 1e-6).all()


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e4])
@pytest.mark.parametrize("name", CASES)
def test_finite(name, scale):
    pairs = [tf.constant(scale * v) for v in np.random.default_rng(5).normal(size=(2, 6, 3))]
    loss = losses.MultiNegativesRankLoss(symmetric=True)
    with tf.GradientTape() as tape:
        tape.watch(pairs)
        value = loss.ranking(*pairs, **CASES[name])
    assert np.isfinite(value)
    for gradient in tape.gradient(value, pairs):
        assert np.isfinite(gradient).all()


def test_errors_of_the_loss():
    loss, pairs = losses.MultiNegativesRankLoss(), np.eye(3)
    with pytest.raises(TypeError, match=r"`ids` must be integers.*np.unique"):
        loss.ranking(pairs, pairs, ids=[0.5, 1.0, 2.0])
    with pytest.raises(TypeError, match="`sampling_probability` must be floats"):
        loss.ranking(pairs, pairs, sampling_probability=[1, 2, 3])
    with pytest.raises(ValueError, match="one row for each pair"):
        loss.ranking(pairs, pairs[:2])
    with pytest.raises(ValueError, match="`negative_ids`"):
        loss.ranking(pairs, pairs, negatives=pairs, negative_ids=[1, 2, 3])


# -- The model -----------------------------------------------------------------------------------


OTHERS = [
    losses.MultiNegativesRankLoss(distance="cosine"),
    losses.SimCLRLoss(temperature=0.1),
    losses.TripletLoss(distance="cosine", margin=0.5),
    losses.SupConLoss(),
]


@pytest.mark.parametrize("loss", OTHERS)
@pytest.mark.further("loss3")
def test_both_towers_are_trained_by_losses_of_all_kinds(loss):
    model = make(loss, run_eagerly=True)
    before = model.get_weights()
    value = model.test_on_batch(USERS, ITEMS)
    model.train_on_batch(USERS, ITEMS)
    model.reset_metrics()  # Some versions of Keras go on with the mean.
    assert model.test_on_batch(USERS, ITEMS) < value
    kernels = [(a, b) for a, b in zip(before, model.get_weights(), strict=True) if a.ndim == 2]
    assert len(kernels) == 2
    assert all(np.abs(a - b).max() > 1e-3 for a, b in kernels)


def rank_of_own(model):
    ids = model.lookup(USERS, k=N, verbose=0).ids
    return np.argmax(ids == np.arange(N)[:, None], axis=1)


@pytest.mark.parametrize(
    ("loss", "temperature"),
    [
        (losses.MultiNegativesRankLoss(distance="cosine", symmetric=True), 0.1),
        *(pytest.param(loss, None, marks=pytest.mark.slow) for loss in OTHERS),
    ],
)
@pytest.mark.further
def test_a_query_learns_to_find_its_candidate(loss, temperature):
    model = make(loss, temperature)
    model.index(ITEMS, verbose=0)
    before = rank_of_own(model).mean()
    model.reset_index()
    history = model.fit(
        USERS, ITEMS, batch_size=24, epochs=25, verbose=0, validation_data=(USERS, ITEMS)
    ).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(history["val_loss"]).all()
    model.index(ITEMS, verbose=0)
    assert rank_of_own(model).mean() < before / 2


@pytest.mark.further
def test_each_side_goes_through_its_tower():
    model = make()
    model.index(ITEMS, data=ITEMS, verbose=0)
    queries = model.query_tower.predict(USERS, verbose=0)
    candidates = model.candidate_tower.predict(ITEMS, verbose=0)
    np.testing.assert_allclose(model.embed(USERS, verbose=0), queries, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(USERS, verbose=0), queries, rtol=1e-5, atol=1e-6)
    stored = model.vector_index.get(np.arange(N)).embeddings
    np.testing.assert_allclose(stored, candidates, rtol=1e-5, atol=1e-6)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    nearest = np.argmax(unit(queries) @ unit(candidates).T, axis=1)
    np.testing.assert_array_equal(model.lookup(USERS, k=1, verbose=0).ids[:, 0], nearest)
    assert model.single_lookup(USERS[3], k=1)[0].id == nearest[3]
    one = model.index_single(ITEMS[0])
    np.testing.assert_allclose(
        model.vector_index.get([one]).embeddings[0], candidates[0], rtol=1e-5, atol=1e-6
    )


def test_the_loss_of_a_batch_is_that_of_the_towers():
    known = {
        "ids": np.arange(N) // 2,
        "sampling_probability": np.full(N, 0.1, "float32"),
        "negatives": np.stack([ITEMS[::-1], ITEMS[:, ::-1]], axis=1),
    }
    model = make(run_eagerly=True)
    value = model.test_on_batch(USERS, {"candidates": ITEMS, **known})
    negatives = model.candidate_tower(known["negatives"].reshape(-1, 6))
    expected = losses.MultiNegativesRankLoss(distance="cosine").ranking(
        model.query_tower(USERS),
        model.candidate_tower(ITEMS),
        ids=known["ids"],
        sampling_probability=known["sampling_probability"],
        negatives=negatives,
    )
    np.testing.assert_allclose(value, float(expected), rtol=1e-5)
    assert value != model.test_on_batch(USERS, ITEMS)


def test_ids_are_the_classes_of_other_losses():
    ids = np.arange(N) // 2
    loss = losses.SupConLoss()
    model = make(loss, run_eagerly=True)
    value = model.test_on_batch(USERS, {"candidates": ITEMS, "ids": ids})
    losses_ = loss.query_losses(
        tf.constant(ids), model.query_tower(USERS), tf.constant(ids), model.candidate_tower(ITEMS)
    )
    np.testing.assert_allclose(value, np.mean(losses_), rtol=1e-5)


@pytest.mark.parametrize("in_batch", [None, "hard", "all"])
@pytest.mark.parametrize("negatives", [0, 2])
@pytest.mark.further("0-None")
def test_triplets_of_two_towers(in_batch, negatives):
    loss = losses.TripletMarginLoss(0.7, "cosine", in_batch_negatives=in_batch)
    model = make(loss, run_eagerly=True)
    more = np.stack([ITEMS[::-1], ITEMS[:, ::-1]], axis=1)
    y = {"candidates": ITEMS, "negatives": more} if negatives else ITEMS
    if in_batch is None and not negatives:
        with pytest.raises(ValueError, match=r"`y` must have 'negatives'.*in_batch_negatives"):
            model.test_on_batch(USERS, y)
        return
    weight = np.linspace(0, 2, N).astype("float32")
    value = model.test_on_batch(USERS, y, sample_weight=weight)
    sides = [USERS, ITEMS, *([more[:, 0], more[:, 1]] if negatives else [])]
    towers = [model.query_tower, *[model.candidate_tower] * (len(sides) - 1)]
    triplets = np.stack([t(x) for t, x in zip(towers, sides, strict=True)], axis=1)
    np.testing.assert_allclose(value, float(loss(None, triplets, weight)), rtol=1e-5)
    before = model.candidate_tower.get_weights()
    model.train_on_batch(USERS, y)
    assert np.abs(before[0] - model.candidate_tower.get_weights()[0]).max() > 1e-3


def test_what_triplets_do_not_take_is_refused():
    with pytest.raises(ValueError, match="layout='columns'"):
        make(losses.TripletMarginLoss(layout="blocks"))
    with pytest.raises(TypeError, match="`loss` must compare queries with candidates"):
        make(losses.SupConLoss(relevance="multi_hot"))
    model = make(losses.TripletMarginLoss(in_batch_negatives="hard"), run_eagerly=True)
    with pytest.raises(ValueError, match=r"must not have \['ids'\].*MultiNegativesRankLoss"):
        model.test_on_batch(USERS, {"candidates": ITEMS, "ids": np.arange(N)})


def test_candidates_have_names():
    names = np.array([f"item {i // 2}" for i in range(N)])
    more = {"negatives": ITEMS[::-1]}
    values = []
    for ids, negative_ids in ((names, names[::-1]), (np.arange(N) // 2, np.arange(N)[::-1] // 2)):
        y = {"candidates": ITEMS, "ids": ids, "negative_ids": negative_ids, **more}
        values.append(make(run_eagerly=True).test_on_batch(USERS, y))
    y["negatives"] = ITEMS[::-1][:, None]
    values.append(make(run_eagerly=True).test_on_batch(USERS, y))
    np.testing.assert_allclose(values, values[0], rtol=1e-6)
    with pytest.raises(ValueError, match=r"`y\['negatives'\]` must be \[batch, n, ...\]"):
        make(run_eagerly=True).test_on_batch(USERS, {"candidates": ITEMS, "negatives": ITEMS[:, 0]})


@pytest.mark.parametrize("wrong", [np.arange(N) * 1.0, np.log(np.full(N, 0.1)), np.full(N, np.nan)])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be probabilities.*counts / counts.sum\(\)"):
        make(run_eagerly=True).train_on_batch(
            USERS, {"candidates": ITEMS, "sampling_probability": wrong.astype("float32")}
        )


def test_weights_datasets_and_parts():
    weight = np.linspace(0, 2, N).astype("float32")
    y = {"candidates": ITEMS, "ids": np.arange(N), "negatives": ITEMS[:, None, ::-1]}
    results = []
    for size in (None, 10):
        model = make(run_eagerly=True, micro_batch_size=size)
        model.fit(USERS, y, batch_size=N, sample_weight=weight, shuffle=False, verbose=0)
        results.append(model.get_weights())
    model = make(run_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices((USERS, y, weight)).batch(N)
    model.fit(dataset, shuffle=False, verbose=0)
    for others in (results[1], model.get_weights()):
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_one_tower_for_both():
    query = tower(6, "text", 3)
    model = DualEncoder(query)
    model.compile("adam", losses.MultiNegativesRankLoss(), run_eagerly=True)
    model.fit(ITEMS, ITEMS + 0.1, verbose=0)
    assert model.candidate_tower is model.query_tower
    assert len(model.trainable_variables) == 2
    model.index(ITEMS, verbose=0)
    assert len(model.lookup(ITEMS[:2], k=2, verbose=0)) == 2


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.further("True")
def test_it_is_one_file(tmp_path, shared):
    model = DualEncoder(tower(6, "a", 1), None if shared else tower(6, "b", 2), temperature=0.2)
    model.compile("adam", losses.MultiNegativesRankLoss(distance="cosine"), run_eagerly=True)
    model.fit(ITEMS, ITEMS[:, ::-1], epochs=2, verbose=0)
    model.index(ITEMS[:, ::-1], data=list(range(N)), verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert isinstance(loaded, DualEncoder)
    assert (loaded.candidate_tower is loaded.query_tower) is shared
    expected = model.lookup(ITEMS, k=4, verbose=0)
    found = loaded.lookup(ITEMS, k=4, verbose=0)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert float(loaded.temperature.scale) == float(model.temperature.scale) != 5.0
    loaded.run_eagerly = True
    loaded.fit(ITEMS, ITEMS[:, ::-1], verbose=0)


@pytest.mark.further
def test_it_is_trained_in_a_graph():
    weights = []
    for eagerly in (True, False):
        model = make(temperature=0.1, run_eagerly=eagerly)
        model.fit(USERS, ITEMS, batch_size=24, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.further
def test_a_callback_embeds_each_side_with_its_tower():
    ids = np.arange(N)
    callback = EvalCallback(USERS, ids, ITEMS, ids, retrieval_metrics=["precision@1"])
    model = make(run_eagerly=True)
    logs = model.fit(USERS, ITEMS, verbose=0, callbacks=[callback]).history
    model.index(ITEMS, ids, verbose=0)
    found = model.lookup(USERS, k=1, verbose=0).labels[:, 0]
    (value,) = (v[-1] for name, v in logs.items() if "precision" in name)
    np.testing.assert_allclose(value, (found == ids).mean())


@pytest.mark.slow
def test_it_is_served(tmp_path):
    model = make()
    model.index(ITEMS, verbose=0)
    model.export_serving(tmp_path / "served", k=3)
    served = tf.saved_model.load(str(tmp_path / "served"))
    found = served.signatures["serving_default"](tf.constant(USERS))
    np.testing.assert_array_equal(found["ids"], model.lookup(USERS, k=3, verbose=0).ids)


@pytest.mark.further
def test_what_cannot_be_right_is_refused():
    with pytest.raises(TypeError, match="`query_tower`"):
        DualEncoder(keras.layers.Dense(3))
    with pytest.raises(ValueError, match="one size"):
        DualEncoder(tower(4, "a", 1, dim=3), tower(4, "b", 1, dim=5))
    with pytest.raises(ValueError, match=r"`candidate_tower`.*keras.Input"):
        DualEncoder(tower(4, "a", 1), keras.Sequential([keras.layers.Dense(8)]))
    for loss in (None, "mse", losses.ArcFaceLoss(), losses.ContrastiveLoss()):
        with pytest.raises(TypeError, match="`loss`"):
            make().compile("adam", loss)
    with pytest.raises(ValueError, match="`temperature`"):
        make(losses.SimCLRLoss(), temperature=0.1)
    model = make(run_eagerly=True)
    with pytest.raises(ValueError, match=r"fit\(queries, candidates\)"):
        model.fit(USERS, verbose=0)
    with pytest.raises(ValueError, match="negative_id'"):
        model.fit(USERS, {"candidates": ITEMS, "negative_id": np.zeros(N)}, verbose=0)
    model = make(losses.SimCLRLoss(), run_eagerly=True)
    with pytest.raises(ValueError, match="MultiNegativesRankLoss takes all"):
        model.fit(USERS, {"candidates": ITEMS, "ids": np.arange(N)}, verbose=0)


def test_a_temperature_is_trained_and_keeps_its_minimum():
    layer = Temperature(0.5, minimum=0.25)
    np.testing.assert_allclose(layer(np.array([[1.0, -2.0]], "float32")), [[2.0, -4.0]], rtol=1e-6)
    layer.log_scale.assign(9.0)
    np.testing.assert_allclose(float(layer.scale), 4.0, rtol=1e-6)
    wrong = {"initial": (0.0, 0.01), "minimum": (0.1, 0.0), "minimum` must be at most": (0.1, 0.2)}
    for name, (initial, minimum) in wrong.items():
        with pytest.raises(ValueError, match=f"`{name}"):
            Temperature(initial, minimum)
    again = Temperature.from_config(layer.get_config())
    assert (again.initial, again.minimum) == (0.5, 0.25)
