"""Classification metrics against fractions, and their names."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.matching import metric as expected_metric
from tensorflow_similarity.classification_metrics import (
    BinaryAccuracy,
    ClassificationMetric,
    F1Score,
    FalsePositiveRate,
    NegativePredictiveValue,
    Precision,
    Recall,
    make_classification_metric,
)

NAMES = {
    "precision": Precision,
    "recall": Recall,
    "f1": F1Score,
    "binary_accuracy": BinaryAccuracy,
    "npv": NegativePredictiveValue,
    "fpr": FalsePositiveRate,
}
COUNTS = st.lists(
    st.tuples(*[st.integers(0, 50)] * 4).filter(lambda c: sum(c) > 0), min_size=1, max_size=8
)


@pytest.mark.parametrize("name", NAMES)
@given(counts=COUNTS)
@pytest.mark.further("recall")
def test_values(name, counts):
    metric = make_classification_metric(name)
    for tp, fp, tn, fn in counts:
        value = metric.compute(tp, fp, tn, fn, tp + fp + tn + fn)
        expected = expected_metric(name, tp, fp, tn, fn)
        assert value == pytest.approx(float(Fraction(expected)))
    columns = np.array(counts).T
    values = metric.compute(*columns, count=columns.sum(axis=0))
    expected = [expected_metric(name, *c) for c in counts]
    if name == "precision" and len(counts) > 1 and sum(counts[0][:2]) == 0:
        expected[0] = 1.0  # A curve starts at precision 1.
    np.testing.assert_allclose(values, expected)


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    metric = make_classification_metric(name)
    assert type(metric) is NAMES[name]
    assert metric.name == str(metric) == name
    assert metric.maximize == (name != "fpr")
    assert metric.increasing == (name != "precision")
    assert metric.get_config()["name"] == name
    assert repr(metric) == f"{NAMES[name].__name__}(name={name!r})"
    assert make_classification_metric(metric) is metric
    assert make_classification_metric(name, "mine").name == "mine"
    assert make_classification_metric(metric.canonical_name.upper()).canonical_name == (
        metric.canonical_name
    )


def test_bad_names():
    with pytest.raises(ValueError, match=r"Expected one of.*'f1'.*Received: 'f2'"):
        make_classification_metric("f2")
    with pytest.raises(TypeError, match="Precision"):
        make_classification_metric(Precision)
    with pytest.raises(NotImplementedError, match="compute"):
        ClassificationMetric().compute(1, 1, 1, 1, 4)
