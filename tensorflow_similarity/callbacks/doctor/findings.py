"""Findings of `TrainingDoctor`, and the warning that reports them."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Finding", "TrainingWarning"]


class TrainingWarning(UserWarning):
    """Warns that training is going wrong; the message says how and what to try."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A problem with training, its evidence, and what to try.

    Attributes:
        name: Which problem: `"collapse"`, `"no_positives"`, `"no_negatives"`,
            `"nothing_active"`, `"suspicious_labels"`, `"not_normalised"`,
            `"not_learning"` or `"not_finite"`.
        step: Training step at which it was found.
        summary: What is wrong, in words.
        evidence: The evidence, in words with figures.
        certainty: `"certain"` for what was counted, `"likely"` for what was inferred.
        advice: What to try, most promising first.
        details: The figures behind the evidence, by name.
    """

    name: str
    step: int
    summary: str
    evidence: str
    advice: tuple[str, ...]
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    certainty: str = "likely"

    def __str__(self) -> str:
        tries = "".join(f"\n  {i}. {advice}" for i, advice in enumerate(self.advice, start=1))
        return f"{self.summary} ({self.certainty}, step {self.step:,}). {self.evidence} Try:{tries}"
