"""A wrong argument of a public function is named in the error, whatever is wrong with it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tensorflow_similarity import calibration, callbacks, evaluation, layers, regularizers, samplers
from tensorflow_similarity import visualization as viz
from tensorflow_similarity.evaluation import splits
from tensorflow_similarity.index import Index, KReciprocal, expand_queries
from tensorflow_similarity.losses import (
    CrossBatchMemory,
    MatryoshkaLoss,
    MultiSimilarityLoss,
    TripletLoss,
    TripletMarginLoss,
    WeightedSumLoss,
)

X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = np.tile(np.arange(4), 6)
SAME = np.arange(12) % 3 == 0


def index() -> Index:
    found = Index(4, "euclidean")
    found.add(X, Y)
    return found


CALIBRATION = {
    "distances": [[0.1], [0.2], [0.4], [0.5]],
    "neighbor_labels": [[1], [2], [3], [1]],
    "query_labels": [1, 2, 3, 4],
}
#: A right call, and its arguments by what they must be.
CASES = {
    "evaluate": (evaluation.evaluate, {"embeddings": X, "labels": Y}),
    "audit": (evaluation.audit, {"embeddings": X, "labels": Y}),
    "verify": (evaluation.verify, {"embeddings": X, "labels": Y}),
    "few_shot": (
        evaluation.few_shot,
        {"embeddings": X, "labels": Y, "ways": 2, "shots": 1, "queries": 1, "episodes": 2},
    ),
    "verify_trials": (
        evaluation.verify_trials,
        {"same": SAME, "distances": np.linspace(0, 1, 12), "resamples": 0},
    ),
    "class_disjoint": (splits.class_disjoint, {"labels": Y}),
    "class_disjoint_folds": (splits.class_disjoint_folds, {"labels": Y}),
    "calibrate": (calibration.calibrate, CALIBRATION),
    "Index": (Index, {"embedding_size": 4}),
    "pairs": (lambda **given: index().pairs(**given), {"max_distance": 0.5}),
    "KReciprocal_of": (KReciprocal, {"index": index()}),
    "KReciprocal": (lambda **given: KReciprocal(index(), **given), {}),
    "expand_queries": (lambda **given: expand_queries(index(), X, **given), {}),
    "confusion_matrix": (viz.confusion_matrix, {"y_true": Y, "y_pred": Y, "show": False}),
    "pair_histogram": (viz.pair_histogram, {"embeddings": X, "labels": Y, "show": False}),
    "viz_embeddings": (viz.viz_embeddings, {"embeddings": X, "labels": Y, "show": False}),
    "TrainingDoctor": (callbacks.TrainingDoctor, {"x": X, "y": Y}),
    "EvalCallback": (callbacks.EvalCallback, {"queries": X, "query_labels": Y}),
    "drift": (
        calibration.drift,
        {
            "calibration": calibration.calibrate(**CALIBRATION),
            "distances": [[0.1], [0.3]],
            "neighbor_labels": [[1], [2]],
        },
    ),
    "compare": (
        evaluation.compare,
        {"first": evaluation.evaluate(X, Y), "second": evaluation.evaluate(X, Y)},
    ),
    "Temperature": (layers.Temperature, {}),
    "MatryoshkaLoss": (MatryoshkaLoss, {"loss": TripletLoss(), "sizes": [2]}),
    "WeightedSumLoss": (WeightedSumLoss, {"losses": [TripletLoss()]}),
    "TripletMarginLoss": (TripletMarginLoss, {}),
    "HardClasses": (samplers.HardClasses, {}),
    "Padding": (samplers.Padding, {}),
    "EmbeddingPrefix": (layers.EmbeddingPrefix, {"size": 2}),
    "GeneralizedMeanPooling2D": (layers.GeneralizedMeanPooling2D, {}),
    "KoLeo": (regularizers.KoLeo, {"weight": 0.1}),
    "TripletLoss": (TripletLoss, {}),
    "CrossBatchMemory": (
        CrossBatchMemory,
        {"loss": MultiSimilarityLoss(), "memory_size": 8},
    ),
}
ARGUMENTS = {
    "number": """
        evaluate.confidence audit.agreement audit.outlier_ratio audit.hub_factor verify.far
        few_shot.confidence verify_trials.prior verify_trials.confidence verify_trials.miss_cost
        verify_trials.false_accept_cost verify_trials.far class_disjoint.test_size
        calibrate.confidence calibrate.miss_rate Index.target_recall pairs.max_distance
        KReciprocal.weight expand_queries.alpha HardClasses.share KoLeo.weight TripletLoss.margin
        GeneralizedMeanPooling2D.p drift.significance drift.smallest_shift compare.confidence
        Temperature.initial Temperature.minimum""",
    "count": """
        audit.k few_shot.ways few_shot.episodes verify.max_pairs class_disjoint_folds.folds
        calibrate.min_per_class Index.embedding_size KReciprocal.k KReciprocal.expand
        expand_queries.k pair_histogram.max_pairs pair_histogram.bins TrainingDoctor.freq
        TrainingDoctor.patience TrainingDoctor.batch_size EvalCallback.k HardClasses.neighbors
        EmbeddingPrefix.size CrossBatchMemory.memory_size CrossBatchMemory.warmup_steps""",
    "seed": "evaluate.seed verify.seed few_shot.seed verify_trials.seed class_disjoint.seed "
    "class_disjoint_folds.seed pair_histogram.seed TrainingDoctor.seed compare.seed",
    "flag": """
        few_shot.prototypes Index.background confusion_matrix.normalize viz_embeddings.legend
        TrainingDoctor.shuffle Padding.truncate Padding.mask EmbeddingPrefix.normalize
        GeneralizedMeanPooling2D.keepdims CrossBatchMemory.batch_loss TripletLoss.soft_margin
        calibrate.guarantee calibrate.per_class MatryoshkaLoss.normalize TripletMarginLoss.swap""",
    "class id": "evaluate.ignore_class verify.ignore_class few_shot.ignore_class "
    "TripletLoss.ignore_class",
    "text": "confusion_matrix.title confusion_matrix.cmap pair_histogram.title",
    "choice": "Index.storage viz_embeddings.method TripletMarginLoss.layout "
    "TripletMarginLoss.in_batch_negatives TripletLoss.reduction",
    "object": "drift.calibration compare.first compare.second KReciprocal_of.index "
    "WeightedSumLoss.losses MatryoshkaLoss.loss",
    "list": "MatryoshkaLoss.sizes MatryoshkaLoss.weights WeightedSumLoss.weights",
    "names of metrics": "evaluate.metrics calibrate.extra_metrics calibrate.calibration_metric "
    "EvalCallback.metrics",
    "class names": "confusion_matrix.class_names viz_embeddings.class_names",
}
#: Values that none of these may be, and what only some of them may be.
WRONG = {
    "array": np.ones((3, 2)),
    "empty array": np.array([]),
    "masked": np.ma.MaskedArray([1.0, 2.0], mask=[True, False]),
    "bytes": b"ab",
    "object": object(),
    "dict": {"a": 1},
    "nested": [[1, 2], [3]],
    "times": np.array(["2020-01-01"], dtype="datetime64[D]"),
}
MORE = {
    "number": {"None": None, "text": "x", "nan": float("nan"), "bool": True},
    "count": {"text": "x", "nan": float("nan"), "float": 2.5, "negative": -3, "huge": 2**70},
    "seed": {"text": "x", "float": 1.5, "negative": -1},
    "flag": {"None": "no", "number": 2},
    "class id": {"float": 1.5, "bool": True},
    "text": {"number": 3, "bool": False},
    "choice": {"text": "x", "number": 3},
    "names of metrics": {"text": "x", "number": 3},
    "class names": {"number": 3, "text": "ab"},
    "object": {"number": 3, "text": "ab", "None": None},
    "list": {"number": 3, "text": "ab"},
}
# None leaves out what it stands for, an empty list asks for nothing, a seed may be several
# numbers, and names may be a dict.
MEANT = {
    ("calibrate.miss_rate", "None"),
    ("TripletLoss.margin", "None"),
    *((argument, "empty array") for argument in ("verify.far", "verify_trials.far")),
    *(
        (argument, name)
        for argument in ARGUMENTS["seed"].split()
        for name in ("empty array", "nested")
    ),
    *((argument, "empty array") for argument in ARGUMENTS["names of metrics"].split()),
    *(
        (argument, name)
        for argument in ARGUMENTS["class names"].split()
        for name in ("array", "dict", "nested", "masked", "times", "empty array")
    ),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
@pytest.mark.slow_cases("text", "count", "number")
def test_a_wrong_argument_is_named(kind: str) -> None:
    faults = []
    for argument in ARGUMENTS[kind].split():
        case, name = argument.split(".")
        function, given = CASES[case]
        for wrong, value in (WRONG | MORE[kind]).items():
            if (argument, wrong) in MEANT:
                continue
            try:
                function(**{**given, name: value})
            except (TypeError, ValueError) as error:
                if f"`{name}" not in str(error):
                    faults.append(f"{argument}={wrong}: {type(error).__name__}: {error}")
            except Exception as error:
                faults.append(f"{argument}={wrong}: {type(error).__name__}: {error}")
            else:
                faults.append(f"{argument}={wrong} is taken")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow_cases("viz_embeddings", "pair_histogram")
def test_the_right_call_works(case: str) -> None:
    function, given = CASES[case]
    assert function(**given) is not None


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.array(0.5)])
def test_numbers_of_numpy_are_numbers(number: object) -> None:
    assert evaluation.audit(X, Y, agreement=number).max_distance >= 0
    assert HARD(share=number).share == 0.5
    assert Index(4, target_recall=number).get_config()["target_recall"] == 0.5
    assert TripletLoss(margin=number).margin == 0.5


HARD = samplers.HardClasses


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: None,
        lambda a, b: keras.ops.sum(a),
        lambda a, b: keras.ops.matmul(b, keras.ops.transpose(a))[:1],
    ],
)
def test_what_a_distance_function_returns_is_checked(function: object) -> None:
    with pytest.raises(ValueError, match=r"must return values \[queries, keys\]"):
        evaluation.evaluate(X, Y, distance=function)


def test_one_metric_may_be_given_alone() -> None:
    found = calibration.calibrate(**CALIBRATION, extra_metrics="recall")
    assert "recall" in found.cutpoints["optimal"]
    results = calibration.evaluate_cutpoints(
        CALIBRATION["distances"],
        CALIBRATION["neighbor_labels"],
        CALIBRATION["query_labels"],
        found,
        metrics="f1",
    )
    assert "f1" in results["optimal"]
