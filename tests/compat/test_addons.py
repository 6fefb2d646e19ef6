"""`compat.tensorflow_addons` gives what TensorFlow Addons 0.23 gave."""

import json

import keras
import numpy as np
import pytest

from fresh import fresh
from oracle import golden
from tensorflow_similarity import losses
from tensorflow_similarity.compat import tensorflow_addons as tfa
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

# Without a query that has both, the original is NaN or invents pairs; ours is 0.
DEGENERATE = {"b16_d16_allsame", "b16_d16_allunique", "b1_d16"}
ALONE = {"b128_d16_c20_norm_unbal", "b32_d16_c10_raw_unbal"}
ENTRIES = [
    entry
    for entry in golden.entries(impl="tfa-0.23.0")
    if entry["loss"] in tfa.__all__
    and golden.case_of(entry) not in DEGENERATE
    and not (entry["loss"] == "TripletHardLoss" and golden.case_of(entry) in ALONE)
    and not entry["upstream_nonfinite_bug"]
    and not entry.get("upstream_inaccurate")
    and entry["params"].get("reduction", "sum_over_batch_size") == "sum_over_batch_size"
]
FUNCTIONS = {
    "ContrastiveLoss": "contrastive_loss",
    "LiftedStructLoss": "lifted_struct_loss",
    "NpairsLoss": "npairs_loss",
    "NpairsMultilabelLoss": "npairs_multilabel_loss",
    "TripletHardLoss": "triplet_hard_loss",
    "TripletSemiHardLoss": "triplet_semihard_loss",
}


def arguments(entry):
    names = ("y_true", "y_pred") if "y_true" in entry["inputs"] else ("labels", "embeddings")
    return [golden.array(entry["inputs"][name]) for name in names]


def test_there_are_golden_values_of_every_loss():
    assert {entry["loss"] for entry in ENTRIES} == set(FUNCTIONS)


@pytest.mark.further("ContrastiveLoss", "NpairsLoss", "NpairsMultilabelLoss")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_classes_and_functions_give_the_values_of_addons(name):
    for entry in ENTRIES:
        if entry["loss"] != name:
            continue
        y, x = arguments(entry)
        tolerance = 5e-3 if "dup" in golden.case_of(entry) else 1e-4
        wanted = entry["value"]
        value = getattr(tfa, name)(**entry["params"])(y, x)
        np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=1e-6, err_msg=entry["id"])
        function = getattr(losses, FUNCTIONS[name])
        given = {k: v for k, v in entry["params"].items() if k != "reduction"}
        value = np.mean(function(y, x, **given))
        np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=1e-6, err_msg=entry["id"])


@pytest.mark.further("TripletHardLoss-defaults1", "ContrastiveLoss-defaults3")
@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("TripletSemiHardLoss", {"margin": 1.0, "distance_metric": "L2"}),
        ("TripletHardLoss", {"margin": 1.0, "distance_metric": "L2", "soft": False}),
        ("LiftedStructLoss", {"margin": 1.0}),
        ("ContrastiveLoss", {"margin": 1.0, "reduction": "sum_over_batch_size"}),
    ],
)
def test_the_defaults_are_those_of_addons(name, defaults):
    found = [e for e in ENTRIES if e["loss"] == name and e["params"] == defaults]
    assert found
    for entry in found:
        y, x = arguments(entry)
        tolerance = 5e-3 if "dup" in golden.case_of(entry) else 1e-4
        np.testing.assert_allclose(getattr(tfa, name)()(y, x), entry["value"], rtol=tolerance)


def embeddings(seed=0, batch=24, dim=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, dim)).astype("float32"), np.arange(batch) % 4


@pytest.mark.further
def test_semi_hard_is_plain_here_and_squared_in_losses():
    x, y = embeddings()
    plain = losses.TripletSemiHardLoss(distance="euclidean")(y, x)
    squared = losses.TripletSemiHardLoss()(y, x)
    assert abs(plain - squared) > 0.01
    np.testing.assert_array_equal(tfa.TripletSemiHardLoss()(y, x), plain)
    np.testing.assert_array_equal(tfa.triplet_semihard_loss(y, x), plain)
    np.testing.assert_array_equal(tfa.TripletSemiHardLoss(1.0, "squared-L2")(y, x), squared)


@keras.saving.register_keras_serializable(package="tests")
def all_against_all(embeddings):
    difference = embeddings[:, None, :] - embeddings[None, :, :]
    return keras.ops.sum(keras.ops.abs(difference), axis=-1)


@pytest.mark.further
@pytest.mark.parametrize(
    ("name", "arguments"), [("TripletSemiHardLoss", {}), ("TripletHardLoss", {"soft": True})]
)
def test_a_distance_metric_of_one_argument(name, arguments):
    x, y = embeddings()
    loss = getattr(tfa, name)(distance_metric=all_against_all, **arguments)
    wanted = getattr(losses, name)(distance="manhattan", **arguments)
    np.testing.assert_allclose(loss(y, x), wanted(y, x), rtol=1e-5)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    np.testing.assert_allclose(again(y, x), wanted(y, x), rtol=1e-5)


@pytest.mark.further
def test_a_distance_metric_of_one_argument_in_blocks():
    x, y = embeddings()
    whole = tfa.TripletSemiHardLoss(distance_metric=all_against_all)(y, x)
    blocks = tfa.TripletSemiHardLoss(distance_metric=all_against_all, block_size=7)(y, x)
    np.testing.assert_allclose(blocks, whole, rtol=1e-5)


def test_a_distance_metric_of_two_arguments():
    x, y = embeddings()
    loss = tfa.TripletHardLoss(
        distance_metric=lambda a, b: keras.ops.matmul(-a, keras.ops.transpose(b))
    )
    np.testing.assert_allclose(
        loss(y, x), losses.TripletHardLoss(distance="inner_product")(y, x), rtol=1e-5
    )


def test_a_distance_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="L3"):
        tfa.TripletSemiHardLoss(distance_metric="L3")


@pytest.mark.parametrize("name", ["TripletSemiHardLoss", "TripletHardLoss", "NpairsLoss"])
def test_the_serialised_names_of_addons(name):
    config = {"class_name": f"Addons>{name}", "registered_name": f"Addons>{name}"}
    own = {"margin": 0.5, "distance_metric": "L2"} if name != "NpairsLoss" else {}
    loss = keras.saving.deserialize_keras_object({**config, "module": None, "config": own})
    assert isinstance(loss, getattr(tfa, name))
    x, y = embeddings(batch=6, dim=6)
    np.testing.assert_allclose(loss(y, x), getattr(tfa, name)(**own)(y, x))


def model():
    inputs = keras.Input((5,))
    return SimilarityModel(inputs, L2Embedding(3)(inputs))


@pytest.mark.further
@pytest.mark.parametrize(
    "loss",
    [
        "Addons>TripletSemiHardLoss",
        tfa.triplet_semihard_loss,
        tfa.lifted_struct_loss,
        tfa.TripletHardLoss(soft=True),
    ],
)
def test_compiles_and_trains(loss):
    x, y = embeddings()
    similarity = model()
    similarity.compile("sgd", loss=loss, distance="cosine", jit_compile=False)
    history = similarity.fit(x, y, epochs=2, batch_size=24, shuffle=False, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


def test_a_name_that_is_registered_nowhere_is_refused():
    with pytest.raises(ValueError, match="Addons>NoSuchLoss"):
        model().compile("sgd", loss="Addons>NoSuchLoss", distance="cosine")


@pytest.mark.further
def test_a_model_loads_with_the_package_alone(tmp_path):
    similarity = model()
    similarity.compile("sgd", loss=tfa.TripletSemiHardLoss(0.5, "squared-L2"))
    similarity.save(tmp_path / "m.keras")
    program = """
import keras
loss = keras.saving.load_model("m.keras").loss
print(type(loss).__module__, loss.margin, loss.distance.name)
"""
    assert fresh(program, tmp_path).split() == [
        tfa.TripletSemiHardLoss.__module__,
        "0.5",
        "squared_euclidean",
    ]


def test_sparse_labels_of_npairs_multilabel():
    import tensorflow as tf

    y = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]])
    x = np.eye(3, dtype="float32")
    np.testing.assert_allclose(
        losses.npairs_multilabel_loss(tf.sparse.from_dense(y), x),
        losses.NpairsMultilabelLoss()(y, x),
    )


def test_distances_of_all_pairs():
    x = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    x[3] = x[2]
    squares = ((x[:, None].astype(float) - x[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(tfa.pairwise_distance(x, squared=True), squares, atol=1e-5)
    np.testing.assert_allclose(tfa.pairwise_distance(x), np.sqrt(squares), atol=1e-5)
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(tfa.angular_distance(x), 1 - units @ units.T, atol=1e-6)
    assert np.diag(tfa.pairwise_distance(x)).tolist() == [0] * 7


def test_the_losses_of_the_package_are_those_of_the_module():
    assert tfa.losses.TripletSemiHardLoss is tfa.TripletSemiHardLoss
    assert tfa.losses.metric_learning.pairwise_distance is tfa.pairwise_distance
    assert all(getattr(tfa.losses, name) is getattr(tfa, name) for name in tfa.__all__)
    with pytest.raises(AttributeError, match="optimizers"):
        _ = tfa.optimizers
