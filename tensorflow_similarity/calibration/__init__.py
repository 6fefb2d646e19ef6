"""Calibrating distance thresholds, and matching with them."""

from tensorflow_similarity.calibration.drift import DriftReport, drift
from tensorflow_similarity.calibration.matchers import (
    ClassificationMatch,
    MatchMajorityVote,
    MatchNearest,
    make_classification_matcher,
)
from tensorflow_similarity.calibration.matches import Matches
from tensorflow_similarity.calibration.matching import (
    CutpointResults,
    evaluate_classification,
    evaluate_cutpoints,
    match,
)
from tensorflow_similarity.calibration.results import Calibration, CalibrationResults
from tensorflow_similarity.calibration.thresholds import calibrate

__all__ = [
    "Calibration",
    "CalibrationResults",
    "ClassificationMatch",
    "CutpointResults",
    "DriftReport",
    "MatchMajorityVote",
    "MatchNearest",
    "Matches",
    "calibrate",
    "drift",
    "evaluate_classification",
    "evaluate_cutpoints",
    "make_classification_matcher",
    "match",
]


def __dir__() -> list[str]:
    return sorted(__all__)
