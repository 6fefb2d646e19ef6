"""From examinations to findings: one diagnosis for each thing that goes wrong.

Thresholds are set so that training goes wrong in earnest before anything is said.
Those of collapse were found on digits, with all losses of the package, on healthy runs and on ones
that were made to fail; those of wrong labels with benchmarks/doctor.py.
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
from tensorflow_similarity.callbacks.doctor.patient import Patient

__all__ = ["DIAGNOSES", "diagnose"]

#: In this order; what a finding explains is not said again by those in its set.
DIAGNOSES: tuple[tuple[Callable[[Patient], Finding | None], frozenset[str]], ...] = (
    (not_finite, frozenset()),
    (no_positives, frozenset()),
    (no_negatives, frozenset()),
    (collapse, frozenset({"no_positives", "no_negatives"})),
    (not_normalised, frozenset({"collapse"})),
    (nothing_active, frozenset({"no_positives", "no_negatives", "collapse", "not_normalised"})),
    (suspicious_labels, frozenset({"collapse"})),
    (not_learning, frozenset({"no_positives", "no_negatives", "collapse", "suspicious_labels"})),
)


def diagnose(patient: Patient, said: dict[str, Any]) -> list[Finding]:
    """What is to be said now, beside what was said already."""
    found: dict[str, Finding] = {}
    for diagnosis, explained_by in DIAGNOSES:
        if diagnosis.__name__ in said or explained_by & (said.keys() | found.keys()):
            continue
        finding = diagnosis(patient)
        if finding is not None:
            found[finding.name] = finding
    return list(found.values())
