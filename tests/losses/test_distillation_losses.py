"""Losses whose labels are a teacher's embeddings, against their formulas."""

import itertools
import json
import math

import keras
import numpy as np
import pytest

from oracle.gradients import finite_differences, value_and_gradient
from tensorflow_similarity import losses
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

RNG = np.random.default_rng(0)
TEACHER, STUDENT = RNG.normal(size=(7, 5)), RNG.normal(size=(7, 3))


def cosine_of(a, b):
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / size if size else 0.0


def huber(x):
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def of_similarities(teacher, student, temperature=0.1):
    def probabilities(z, i):
        scores = {j: -(1 - cosine_of(z[i], z[j])) / temperature for j in range(len(z)) if j != i}
        total = sum(math.exp(s) for s in scores.values())
        return {j: math.exp(s) / total for j, s in scores.items()}

    return [
        temperature**2
        * sum(
            p * math.log(p / q)
            for p, q in zip(
                probabilities(teacher, i).values(), probabilities(student, i).values(), strict=True
            )
        )
        for i in range(len(teacher))
    ]


def of_relations(teacher, student, distance_weight=1.0, angle_weight=2.0):
    n = len(teacher)

    def distances(z):
        d = np.array([[np.linalg.norm(a - b) for b in z] for a in z])
        return d / d[~np.eye(n, dtype=bool)].mean()

    dt, ds = distances(teacher), distances(student)
    expected = np.zeros(n)
    for i in range(n):
        far = sum(huber(ds[i, j] - dt[i, j]) for j in range(n) if j != i) / max(n - 1, 1)
        angles = sum(
            huber(
                cosine_of(student[j] - student[i], student[k] - student[i])
                - cosine_of(teacher[j] - teacher[i], teacher[k] - teacher[i])
            )
            for j, k in itertools.product(range(n), repeat=2)
        )
        expected[i] = distance_weight * far + angle_weight * angles / n**2
    return expected


FORMULAS = {
    "embeddings": (
        lambda **kw: losses.EmbeddingDistillationLoss("squared_euclidean", **kw),
        lambda t, s: np.sum((t - s) ** 2, axis=1),
        TEACHER[:, :3],
    ),
    "similarities": (losses.SimilarityDistillationLoss, of_similarities, TEACHER),
    "relations": (losses.RelationalDistillationLoss, of_relations, TEACHER),
    "relations in blocks": (
        lambda **kw: losses.RelationalDistillationLoss(block_size=3, angle_weight=1.0, **kw),
        lambda t, s: of_relations(t, s, angle_weight=1.0),
        TEACHER,
    ),
    "distances": (
        lambda **kw: losses.RelationalDistillationLoss(angle_weight=0, **kw),
        lambda t, s: of_relations(t, s, angle_weight=0),
        TEACHER,
    ),
}
each = pytest.mark.parametrize("name", FORMULAS)


@pytest.mark.further("embeddings", "similarities")
@each
def test_value_and_gradient_are_the_formulas(name):
    make, formula, teacher = FORMULAS[name]
    np.testing.assert_allclose(
        make(reduction=None)(teacher, STUDENT), formula(teacher, STUDENT), rtol=1e-9, atol=1e-12
    )
    _, gradient = value_and_gradient(make(), teacher, STUDENT)
    wanted = finite_differences(lambda s: float(np.mean(formula(teacher, s))), STUDENT)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-8)


@each
@pytest.mark.slow_cases("relations in blocks")
def test_a_student_that_is_the_teacher_has_nothing_to_learn(name):
    make, _, _ = FORMULAS[name]
    value, gradient = value_and_gradient(make(), STUDENT, STUDENT)
    np.testing.assert_allclose(value, 0, atol=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


@pytest.mark.further("embeddings", "similarities", "distances")
@each
def test_finite_in_the_corners(name):
    make, _, _ = FORMULAS[name]
    rows = [np.zeros((4, 3)), np.ones((4, 3)), np.ones((1, 3)), 1e6 * np.eye(3), 1e-6 * np.eye(3)]
    for teacher, student in itertools.product(rows, rows):
        if len(teacher) != len(student):
            continue
        value, gradient = value_and_gradient(
            make(), teacher.astype("float32"), student.astype("float32")
        )
        assert np.isfinite(value), (teacher, student)
        assert np.isfinite(gradient).all(), (teacher, student)


@each
@pytest.mark.slow_cases("relations in blocks")
def test_order_does_not_count(name):
    make, _, teacher = FORMULAS[name]
    order = np.random.default_rng(3).permutation(7)
    np.testing.assert_allclose(
        make(reduction=None)(teacher[order], STUDENT[order]),
        np.asarray(make(reduction=None)(teacher, STUDENT))[order],
        rtol=1e-9,
    )


@each
@pytest.mark.slow_cases("relations in blocks")
def test_config_and_weights(name):
    make, _, teacher = FORMULAS[name]
    loss = make()
    again = type(loss).from_config(json.loads(json.dumps(loss.get_config())))
    weights = np.random.default_rng(1).uniform(size=7)
    value = again(teacher, STUDENT, sample_weight=weights)
    per_example = np.asarray(make(reduction=None)(teacher, STUDENT))
    np.testing.assert_allclose(value, np.mean(weights * per_example), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: losses.EmbeddingDistillationLoss()(TEACHER, STUDENT), "one shape"),
        (lambda: losses.SimilarityDistillationLoss()(TEACHER[:5], STUDENT), "Received: shapes"),
        (lambda: losses.SimilarityDistillationLoss()(np.arange(7), STUDENT), "`y_true`"),
        (lambda: losses.SimilarityDistillationLoss(temperature=0), "`temperature`"),
        (lambda: losses.RelationalDistillationLoss(0, 0), "`distance_weight`"),
        (lambda: losses.RelationalDistillationLoss(-1), "`distance_weight`"),
    ],
)
def test_refusals(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.further
def test_a_student_learns_its_teachers_neighbours():
    x = np.random.default_rng(0).normal(size=(128, 6)).astype("float32")
    teacher = x[:, :3] / np.linalg.norm(x[:, :3], axis=1, keepdims=True)
    inputs = keras.Input((6,))
    student = SimilarityModel(inputs, L2Embedding(4)(inputs))
    student.compile(keras.optimizers.Adam(0.05), loss=losses.SimilarityDistillationLoss())
    history = student.fit(x, teacher, batch_size=64, epochs=15, verbose=0).history["loss"]
    assert history[-1] < history[0] / 3
    assert student.vector_index.distance.name == "cosine"
