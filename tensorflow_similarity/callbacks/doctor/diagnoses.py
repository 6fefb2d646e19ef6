"""The checks, in order: each turns the measurements of a run into a finding, or none.

Thresholds are conservative: nothing is reported until training has clearly gone wrong. Those for
collapse were tuned on digits with every loss of the package, on healthy runs and on runs made to
fail; those for wrong labels with benchmarks/doctor.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorflow_similarity.callbacks.doctor.findings import Finding
from tensorflow_similarity.callbacks.doctor.of_data import (
    no_negatives,
    no_positives,
    not_finite,
    suspicious_labels,
)
from tensorflow_similarity.callbacks.doctor.of_embeddings import collapse, not_normalised
from tensorflow_similarity.callbacks.doctor.of_losses import not_learning, nothing_active
from tensorflow_similarity.callbacks.doctor.training_run import TrainingRun

__all__ = ["DIAGNOSES", "diagnose"]

#: Run in this order. A check is skipped once a finding in its set, which explains it, was reported.
DIAGNOSES: tuple[tuple[Callable[[TrainingRun], Finding | None], frozenset[str]], ...] = (
    (not_finite, frozenset()),
    (no_positives, frozenset()),
    (no_negatives, frozenset()),
    (collapse, frozenset({"no_positives", "no_negatives"})),
    (not_normalised, frozenset({"collapse"})),
    (nothing_active, frozenset({"no_positives", "no_negatives", "collapse", "not_normalised"})),
    (suspicious_labels, frozenset({"collapse"})),
    (not_learning, frozenset({"no_positives", "no_negatives", "collapse", "suspicious_labels"})),
)


def diagnose(run: TrainingRun, said: dict[str, Any]) -> list[Finding]:
    """Runs the checks that have not reported yet, and returns the new findings."""
    found: dict[str, Finding] = {}
    for diagnosis, explained_by in DIAGNOSES:
        if diagnosis.__name__ in said or explained_by & (said.keys() | found.keys()):
            continue
        finding = diagnosis(run)
        if finding is not None:
            found[finding.name] = finding
    return list(found.values())
