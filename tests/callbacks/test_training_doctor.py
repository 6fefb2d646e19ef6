"""TrainingDoctor on real images: it names what was made to go wrong, and is silent otherwise."""

import dataclasses
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from oracle.loss_cases import CASES, ON_CLASSES, one_each
from tensorflow_similarity import losses
from tensorflow_similarity.callbacks import TrainingDoctor, TrainingWarning, VitalSigns
from tensorflow_similarity.callbacks.doctor.diagnoses import diagnose
from tensorflow_similarity.callbacks.doctor.suspects import Suspect, equal_inputs, find_suspects
from tensorflow_similarity.callbacks.doctor.training_run import TrainingRun
from tensorflow_similarity.callbacks.model_access import ignored_class
from tensorflow_similarity.layers import L2Embedding, ProxyHead
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler

slow = pytest.mark.slow

# Warnings are errors in these tests: a doctor that speaks without `pytest.warns` fails them.


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def network(loss, rate=1e-3, normalised=True, depth=1, **compile_options):
    """A small model. Without tracing, `run_eagerly`, a few steps are faster."""
    inputs = keras.Input((64,))
    h = inputs
    for _ in range(depth):
        h = keras.layers.Dense(64, activation="relu")(h)
    h = L2Embedding(16)(h) if normalised else keras.layers.Dense(16)(h)
    model = SimilarityModel(inputs, h)
    optimizer = rate if isinstance(rate, keras.Optimizer) else keras.optimizers.Adam(rate)
    model.compile(optimizer, loss, jit_compile=False, **compile_options)
    return model


def train(model, x, y, steps=30, freq=10, classes=8, examples=8, **options):
    """Trains on balanced batches under a doctor."""
    sampler = MultiShotMemorySampler(x, y, classes, examples, steps_per_epoch=steps, seed=0)
    doctor = TrainingDoctor(sampler, freq=freq, **options)
    model.fit(sampler, verbose=0, callbacks=[doctor])
    return doctor


def names(doctor):
    return [finding.name for finding in doctor.findings]


@slow
def test_collapse_is_named_and_its_advice_cures_it(digits):
    x, y = digits
    keras.utils.set_random_seed(0)
    model = network(losses.TripletHardLoss(margin=0.99), 0.03, depth=2)
    with pytest.warns(TrainingWarning, match="The embeddings collapsed") as caught:
        doctor = train(model, x, y)
    assert len(caught) == 1  # Once.
    (finding,) = doctor.findings
    assert finding.name == "collapse"
    assert "mean cosine 0.99" in finding.evidence or "mean cosine 1.0" in finding.evidence
    assert {"direction", "loss", "distance"} <= set(finding.details["signals"])
    # What a rank alone would have said, and how far it was from the truth.
    assert finding.details["effective_rank"] > 2
    assert "does not show it" in finding.evidence
    assert "semi-hard" in finding.advice[0]
    assert "0.003 instead of 0.03" in finding.advice[1]
    collapsed = model.embed(x, verbose=0)
    assert np.ptp(collapsed, axis=0).max() < 0.1

    keras.utils.set_random_seed(0)
    cured = network(losses.TripletSemiHardLoss(), 0.003, depth=2)
    doctor = train(cured, x, y)
    assert doctor.findings == []
    assert doctor.history[-1].mean_cosine < 0.3
    assert np.ptp(cured.embed(x, verbose=0), axis=0).min() > 0.3


@slow
def test_collapse_of_embeddings_without_a_length(digits):
    x, y = digits
    keras.utils.set_random_seed(0)
    model = network(losses.TripletHardLoss(margin=0.99), 0.1, normalised=False, depth=2)
    with pytest.warns(TrainingWarning, match="end the model with L2Embedding"):
        assert names(train(model, x, y, steps=80)) == ["collapse"]


def healthy(name):
    """A loss that is to train digits from scratch."""
    loss = CASES[name].make()
    if name.startswith("intra_pair_variance"):

        class Both(losses.MetricLoss):
            """This loss pulls alone, and is meant to be added to another."""

            def losses(self, comparison):
                other = losses.NpairsLoss(distance="cosine")
                return other.losses(comparison) + loss.losses(comparison)

        return Both(distance="cosine")
    return loss


@slow
@pytest.mark.filterwarnings("ignore:.*with nothing but its defaults")  # as `compile` says
@pytest.mark.parametrize("name", [name for name in one_each() if name in ON_CLASSES])
def test_silent_on_healthy_runs(digits, name):
    x, y = digits
    # Scales of losses differ by a factor of 1000: steps are of one length at most.
    optimizer = keras.optimizers.SGD(0.3, clipnorm=1.0)
    doctor = train(network(healthy(name), optimizer), x, y, steps=25, freq=5)
    assert doctor.findings == []
    assert len(doctor.history) == 6
    assert doctor.history[-1].separation > 0.7
    assert str(doctor).endswith("Nothing found.")


@slow
def test_silent_with_proxies_and_memories(digits):
    x, y = digits
    inputs = keras.Input((64,))
    embedding = L2Embedding(16, name="embedding")(inputs)
    model = SimilarityModel(inputs, ProxyHead(10)(embedding))
    model.compile("adam", losses.ArcFaceLoss(), distance="cosine", jit_compile=False)
    doctor = train(model, x, y, steps=30, freq=6)
    assert doctor.findings == []
    assert np.isnan(doctor.history[-1].loss)
    assert doctor.history[-1].separation > 0.7
    memory = losses.CrossBatchMemory(losses.MultiSimilarityLoss(), memory_size=256)
    doctor = train(network(memory), x, y, steps=30, freq=6)
    assert doctor.findings == []
    # The doctor's batches do not enter the memory.
    assert doctor.history[-1].loss > 0
    assert int(memory.memory.filled) == 256


@slow
def test_wrong_labels_are_found(digits):
    x, y = digits
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.1
    noisy = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    keras.utils.set_random_seed(0)
    model = network(losses.MultiSimilarityLoss(), 3e-3)
    doctor = TrainingDoctor(x, noisy, freq=10)
    with pytest.warns(TrainingWarning, match="Some labels may be wrong"):
        model.fit(x, noisy, batch_size=64, epochs=4, verbose=0, callbacks=[doctor])
    assert names(doctor) == ["suspicious_labels"]
    places = [suspect.position for suspect in doctor.suspects]
    assert len(places) >= 4
    assert wrong[places].mean() > 0.9
    right = [suspect.looks_like == y[suspect.position] for suspect in doctor.suspects]
    assert np.mean(right) > 0.8
    for suspect in doctor.suspects:
        np.testing.assert_array_equal(suspect.example, x[suspect.position])
        assert suspect.label == noisy[suspect.position]


@pytest.mark.further
def test_equal_examples_of_two_classes_are_found(digits):
    x, y = digits
    x, y = np.concatenate([x[:60], x[:4]]), np.concatenate([y[:60], y[:4] + 1])
    model = network(losses.MultiSimilarityLoss(), run_eagerly=True)
    doctor = TrainingDoctor(x, y, freq=1)
    with pytest.warns(TrainingWarning, match="Equal examples have different labels") as caught:
        model.fit(x, y, batch_size=64, epochs=2, verbose=0, callbacks=[doctor])
    assert len(caught) == 1
    a, b = doctor.findings[0].details["conflicts"][0]
    assert b == a + 1


@pytest.mark.further
def test_batches_without_positives(digits):
    x, _ = digits
    x, y = x[:192], np.arange(192) // 2  # Two of each class: seldom in one batch.
    model = network(losses.TripletSemiHardLoss(), run_eagerly=True)
    doctor = TrainingDoctor(x, y, freq=2, batch_size=32)
    with pytest.warns(TrainingWarning, match="have no other of their class") as caught:
        model.fit(x, y, verbose=0, callbacks=[doctor])
    assert names(doctor) == ["no_positives"]
    assert len(caught) == 1
    assert "MultiShotMemorySampler" in doctor.findings[0].advice[0]


@pytest.mark.further
def test_batches_without_negatives(digits):
    x, y = digits
    order = np.argsort(y, kind="stable")[:240]
    data = tf.data.Dataset.from_tensor_slices((x[order], y[order])).batch(30)
    model = network(losses.TripletSemiHardLoss(), run_eagerly=True)
    doctor = TrainingDoctor(data, freq=2)
    # fit itself warns of a loss that is 0 in the first batches.
    with (
        pytest.warns(TrainingWarning, match="are in batches of one class"),
        pytest.warns(UserWarning, match="exactly 0"),
    ):
        model.fit(data, shuffle=False, verbose=0, callbacks=[doctor])
    assert names(doctor) == ["no_negatives"]


@slow
def test_nothing_left_to_learn(digits):
    x, y = digits
    x, y = x[y < 2], y[y < 2]  # 0 and 1 are told apart in no time.
    model = network(losses.TripletSemiHardLoss(margin=0.2), 1e-2)
    with pytest.warns(TrainingWarning, match="Nothing is active any more"):
        doctor = train(model, x, y, steps=120, classes=2)
    assert names(doctor) == ["nothing_active"]


@slow
def test_labels_that_do_not_belong_to_the_examples(digits):
    x, y = digits
    model = network(losses.TripletSemiHardLoss())
    y = np.random.default_rng(0).permutation(y)
    with pytest.warns(TrainingWarning, match="check that x and y belong together"):
        doctor = train(model, x, y, freq=5)
    assert names(doctor) == ["not_learning"]


@slow
@pytest.mark.parametrize(
    ("settings", "scale", "why"),
    [
        ({"loss": losses.TripletLoss("inner_product"), "rate": 0.01}, 1, "Inner products grow"),
        pytest.param(
            {"loss": losses.TripletSemiHardLoss()},
            200,
            "where the margin is 1",
            # The margin tells all apart at that length, of which `fit` warns, too.
            marks=pytest.mark.filterwarnings("ignore:The loss was exactly 0:UserWarning"),
        ),
        (
            {"loss": losses.TripletLoss("euclidean"), "distance": "cosine"},
            1,
            "by euclidean, the index by cosine",
        ),
    ],
)
def test_lengths_in_the_way(digits, settings, scale, why):
    x, y = digits
    model = network(**settings, normalised=False)
    with pytest.warns(TrainingWarning, match=why):
        doctor = train(model, scale * x, y, steps=50 if "Inner" in why else 30)
    assert names(doctor) == ["not_normalised"]


@pytest.mark.further
def test_not_finite(digits):
    x, y = digits
    model = network(losses.TripletSemiHardLoss(), run_eagerly=True)
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    with pytest.warns(TrainingWarning, match="Embeddings are not finite"):
        doctor = train(model, x, y, steps=2, freq=1)
    assert names(doctor) == ["not_finite"]
    assert not doctor.history[0].finite


def test_signs_are_what_the_names_say(digits):
    x, y = digits
    x, y = x[:50], y[:50]
    model = network(losses.TripletSemiHardLoss(distance="euclidean"))
    doctor = TrainingDoctor(x, y, batch_size=50)
    doctor.set_model(model)
    signs = doctor.examine()
    embeddings = model.embed(x, verbose=0).astype(np.float64)
    d = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    same, upper = y[:, None] == y, np.triu(np.ones((50, 50), bool), 1)
    positives, negatives = d[same & upper], d[~same & upper]
    assert signs.positive_distance == pytest.approx(positives.mean(), rel=1e-5)
    assert signs.negative_distance == pytest.approx(negatives.mean(), rel=1e-5)
    nearer = (positives[:, None] < negatives[None]).mean()
    assert signs.separation == pytest.approx(nearer, abs=1e-4)
    assert signs.loss == pytest.approx(float(model.loss(y, embeddings.astype("float32"))), rel=1e-5)
    assert signs.chance_loss == pytest.approx(1.0)
    assert signs.mean_norm == pytest.approx(1.0)
    assert signs.queries_without_positives == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: losses.TripletLoss(ignore_class=-1),
        lambda: losses.CrossBatchMemory(losses.MultiSimilarityLoss(ignore_class=-1), 64),
    ],
    ids=["loss", "memory"],
)
@pytest.mark.further("memory")
def test_ignored_examples_are_left_out(digits, make):
    x, y = digits
    x, y = x[:60].copy(), y[:60].copy()
    x[1] = x[0]  # Equal to another, and of no class.
    y[1::3] = -1
    model = network(make(), run_eagerly=True)
    signs = []
    for known in (y == y, y != -1):
        doctor = TrainingDoctor(x[known], y[known], batch_size=60)
        doctor.set_model(model)
        signs.append(doctor.examine())
        assert not doctor._run.conflicts
    found, expected = map(dataclasses.astuple, signs)
    # The lengths of normalised embeddings vary by rounding only.
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    # A batch without anything known tells nothing.
    doctor = TrainingDoctor(x, np.full(60, -1), batch_size=60)
    doctor.set_model(model)
    assert np.isnan(doctor.examine().loss)


def test_ignored_class_is_that_of_the_embeddings():
    inputs = keras.Input((4,))
    outputs = {name: keras.layers.Dense(2, name=name)(inputs) for name in "ab"}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"a": losses.TripletLoss(), "b": losses.ArcFaceLoss(ignore_class=3)})
    assert ignored_class(model) is None
    model.compile("sgd", {"a": "mse", "b": losses.ArcFaceLoss(ignore_class=3)})
    assert ignored_class(model) == 3
    model.compile("sgd", {"a": losses.TripletLoss(ignore_class=7), "b": "mse"})
    assert ignored_class(model) == 7


@pytest.mark.further
def test_plain_model_with_two_outputs(digits):
    x, y = digits
    inputs = keras.Input((64,))
    embedding = keras.layers.Dense(8, name="embedding")(inputs)
    model = keras.Model(inputs, {"embedding": embedding, "digit": keras.layers.Dense(10)(inputs)})
    digit = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses_by_name = {"embedding": losses.TripletSemiHardLoss(), "digit": digit}
    model.compile("sgd", losses_by_name, run_eagerly=True)
    targets = {"embedding": y[:64], "digit": y[:64]}
    data = tf.data.Dataset.from_tensor_slices((x[:64], targets)).batch(32)
    doctor = TrainingDoctor(data, freq="epoch", embedding_output="embedding")
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[doctor])
    assert [signs.step for signs in doctor.history] == [0, 2, 4]
    assert np.isfinite([dataclasses.astuple(signs) for signs in doctor.history]).all()


@pytest.mark.further
def test_a_second_fit_starts_afresh(digits):
    x, y = digits
    doctor = TrainingDoctor(x[:64], y[:64], freq=1)
    model = network(losses.TripletSemiHardLoss(), run_eagerly=True)
    for _ in range(2):
        model.fit(x[:64], y[:64], batch_size=64, verbose=0, callbacks=[doctor])
        assert [signs.step for signs in doctor.history] == [0, 1]


# -- Diagnoses of made-up histories -------------------------------------------------------------

WELL = VitalSigns(
    step=0, loss=0.8, chance_loss=1.0, active_queries=0.9, queries_without_positives=0.0,
    queries_without_negatives=0.0, mean_cosine=0.5, effective_rank=6.0, positive_distance=0.5,
    negative_distance=1.0, separation=0.8, mean_norm=1.0, norm_variation=0.0,
)  # fmt: skip


def after(*changes, start=WELL, **run):
    """Findings after a start and examinations with some signs changed."""
    history = [start] + [
        dataclasses.replace(start, step=i, **change) for i, change in enumerate(changes, start=1)
    ]
    run = {"loss": losses.TripletLoss(), "embedding_size": 16} | run
    return [f.name for f in diagnose(TrainingRun(patience=3, history=history, **run), {})]


def test_collapse_takes_two_signs_and_patience():
    both = {"mean_cosine": 0.999, "loss": 1.001}
    assert after(both, both, both) == ["collapse"]
    assert after(both, both) == []
    assert after(both, {}, both, both) == []
    assert after(*[{"mean_cosine": 0.999}] * 5) == []
    assert after(*[{"loss": 1.001}] * 5) == []
    assert after(*[{"effective_rank": 1.1}] * 5) == []
    assert after(*[{"effective_rank": 1.1, "loss": 1.0}] * 3) == ["collapse"]
    assert after(*[{"negative_distance": 0.05, "mean_cosine": 0.99}] * 3) == ["collapse"]


def test_a_slow_start_that_opens_up_is_no_collapse():
    start = dataclasses.replace(WELL, mean_cosine=0.999, loss=1.0)
    opening = [{"mean_cosine": 1 - 0.002 * i, "loss": 0.999} for i in range(1, 6)]
    assert after(*opening, start=start) == []
    assert after(*opening[::-1]) == ["collapse"]


def test_a_narrow_start_gets_twice_the_time():
    start = dataclasses.replace(WELL, mean_cosine=0.99, loss=1.0)
    flat = {"mean_cosine": 0.99, "loss": 1.0}
    assert after(*[flat] * 5, start=start) == []
    assert after(*[flat] * 6, start=start) == ["collapse"]
    assert after(*[flat | {"mean_cosine": 0.9999}] * 3, start=start) == ["collapse"]


def test_what_explains_it_is_said_and_not_what_follows():
    lone = {"queries_without_positives": 1.0, "loss": 0.0, "active_queries": 0.0}
    start = dataclasses.replace(WELL, **lone)
    assert after(lone, lone, lone, start=start) == ["no_positives"]
    stuck = {"separation": 0.5, "loss": 0.99, "mean_cosine": 0.999}
    assert after(*[stuck] * 6) == ["collapse"]
    assert after(*[{"separation": 0.5, "loss": 0.99}] * 6) == ["not_learning"]
    # A loss that is not on pairs does not need positives.
    unknown = {"loss": np.nan, "active_queries": np.nan}
    start, lone = dataclasses.replace(start, **unknown), lone | unknown
    assert after(lone, lone, lone, start=start, loss=None) == []


def test_suspects_are_nearer_to_another_class():
    x = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2, 5.05])[:, None]
    labels = np.array([1, 1, 1, 2, 2, 2, 1])
    found = find_suspects(x, labels, np.abs(x - x.T), np.arange(10, 17))
    assert [(s.label, s.looks_like, s.position) for s in found] == [(1, 2, 16)]
    assert found[0].ratio == pytest.approx((5.05 + 4.95 + 4.85) / 3 / ((0.05 + 0.05 + 0.15) / 3))
    assert find_suspects(x[:6], labels[:6], np.abs(x - x.T)[:6, :6], None) == []


def test_equal_inputs_of_several_parts():
    a, b = np.array([[1], [1], [2]]), np.array([[3.0], [3.0], [3.0]])
    places = np.array([4, 6, 9])
    assert equal_inputs({"a": a, "b": b}, np.array([7, 8, 8]), places) == [(7, 8, 4, 6)]
    assert equal_inputs({"a": a, "b": b}, np.array([7, 7, 8]), places) == []


# -- Wrong labels, and how it is said ------------------------------------------------------------

DOUBTFUL = {"separation": 0.87, "suspected": 0.05, "examples": 64}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, True),
        ({"suspected": 0.02}, False),  # as many as there are in clean data that is hard to read
        ({"separation": 0.95}, False),  # wrong labels would not let classes separate so well
        ({"separation": 0.7}, False),  # nothing is learnt yet
        ({"examples": 16}, False),  # five examples in all
    ],
)
def test_wrong_labels_take_doubtful_examples_and_classes_that_do_not_separate(change, said):
    found = after(*[DOUBTFUL | change] * 7)
    assert found == (["suspicious_labels"] if said else [])


def test_wrong_labels_take_patience_and_an_end_of_learning():
    assert after(*[DOUBTFUL] * 6) == []
    rising = [DOUBTFUL | {"separation": 0.78 + 0.02 * i} for i in range(7)]
    assert after(*rising) == []


def finding(*changes, start=WELL, **run):
    """The first finding after examinations, in words."""
    history = [start] + [
        dataclasses.replace(start, step=i, **change) for i, change in enumerate(changes, start=1)
    ]
    run = {"loss": losses.TripletLoss(), "embedding_size": 16} | run
    return diagnose(TrainingRun(patience=3, history=history, **run), {})[0]


def test_the_share_has_an_interval():
    said = finding(*[DOUBTFUL] * 7)
    assert said.certainty == "likely"
    low, high = (float(part) / 100 for part in re.findall(r"([\d.]+)% to ([\d.]+)%", str(said))[0])
    assert low < said.details["share"] < high
    assert said.details["share"] == pytest.approx(0.05, abs=0.002)
    more = finding(*[DOUBTFUL | {"examples": 6400}] * 7)
    assert "4.9% to 5.1%" in str(more) or "4.8% to 5.2%" in str(more)


def test_classes_are_called_by_their_names():
    suspects = [Suspect(6, 0, 3.0, None, 17)]
    said = finding(*[DOUBTFUL] * 7, suspects=suspects, class_names={6: "shirt", 0: "T-shirt"})
    assert "a shirt that looks like a T-shirt" in str(said)
    said = finding({}, conflicts=[(0, 6, 2, 3)], class_names=["T-shirt"])
    assert "classes T-shirt and 6" in str(said)
    assert said.certainty == "certain"


COLLAPSED = {"mean_cosine": 0.999, "loss": 1.0}
IDLE = {"active_queries": 0.0}
LONELY = {"queries_without_positives": 1.0}
SEMI, HARD = "semi-hard", '="hard"'


@pytest.mark.parametrize(
    ("signs", "run", "never"),
    [
        (DOUBTFUL, {"loss": losses.TripletLoss()}, SEMI),
        (DOUBTFUL, {"loss": losses.SupConLoss()}, "SupConLoss"),
        (DOUBTFUL, {"loss": losses.MultiSimilarityLoss()}, "MultiSimilarityLoss"),
        (
            DOUBTFUL,
            {"loss": losses.CrossBatchMemory(losses.SupConLoss(), memory_size=64)},
            "SupConLoss",
        ),
        (COLLAPSED, {"loss": losses.TripletLoss()}, 'negative_mining_strategy="semi-hard"'),
        (COLLAPSED, {"loss": losses.TripletSemiHardLoss()}, "TripletSemiHardLoss"),
        (COLLAPSED, {"loss": losses.MultiSimilarityLoss()}, "MultiSimilarityLoss"),
        (IDLE, {"loss": losses.TripletLoss(negative_mining_strategy="hard")}, HARD),
        (IDLE, {"loss": losses.MultiSimilarityLoss()}, "another loss: MultiSimilarityLoss"),
        (IDLE, {"loss": losses.SupConLoss()}, "margin"),
        (LONELY, {"batches": "sampler"}, "MultiShotMemorySampler"),
        ({"finite": False}, {"clipped": True}, "clipnorm"),
    ],
)
def test_what_is_set_is_not_advised(signs, run, never):
    start = dataclasses.replace(WELL, **signs) if signs is LONELY else WELL
    advice = "; ".join(finding(*[signs] * 7, start=start, **run).advice)
    assert advice
    assert never not in advice


@pytest.mark.parametrize(
    ("signs", "run", "wanted"),
    [
        (DOUBTFUL, {"loss": losses.TripletLoss(negative_mining_strategy="hard")}, SEMI),
        (COLLAPSED, {"loss": losses.TripletHardLoss()}, "TripletSemiHardLoss"),
        (IDLE, {"loss": losses.TripletLoss(margin=0.2)}, "a margin larger than 0.2"),
        (LONELY, {}, "MultiShotMemorySampler"),
        ({"finite": False}, {}, "clipnorm"),
    ],
)
def test_what_is_not_set_is_advised(signs, run, wanted):
    start = dataclasses.replace(WELL, **signs) if signs is LONELY else WELL
    assert wanted in "; ".join(finding(*[signs] * 7, start=start, **run).advice)


@pytest.mark.further
def test_what_the_model_and_the_sampler_have_set_is_known(digits):
    x, y = digits
    model = network(losses.TripletLoss(), keras.optimizers.Adam(clipnorm=1.0), run_eagerly=True)
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    names = np.array(list("abcdefghij"))[y]
    sampler = MultiShotMemorySampler(x, names, 4, 4, steps_per_epoch=2, seed=0)
    doctor = TrainingDoctor(sampler, freq=1)
    with pytest.warns(TrainingWarning, match="certain") as caught:
        model.fit(sampler, verbose=0, callbacks=[doctor])
    assert "clipnorm" not in str(caught[0].message)
    assert list(doctor.class_names) == list("abcdefghij")


def test_errors(digits):
    x, y = digits
    with pytest.raises(ValueError, match="`x` must be something that can be iterated again"):
        TrainingDoctor(iter([(x, y)]))
    with pytest.raises(ValueError, match="`freq` must be 'epoch' or a number of steps"):
        TrainingDoctor(x, y, freq="batch")
    with pytest.raises(ValueError, match="`y` must hold the class id of each example"):
        network(losses.TripletLoss()).fit(x, y, verbose=0, callbacks=[TrainingDoctor(x)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = network(losses.TripletLoss())
        doctor = TrainingDoctor(x, y)
        doctor.set_model(model)
        doctor.examine()
        assert repr(doctor) == "TrainingDoctor(examinations=1, findings=[])"
