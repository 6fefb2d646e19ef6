"""What the doctor says."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Finding", "TrainingWarning"]


class TrainingWarning(UserWarning):
    """Training goes wrong, and the message says how."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong, with the evidence and what to try.

    Attributes:
        name: Which: `"collapse"`, `"no_positives"`, `"no_negatives"`,
            `"nothing_active"`, `"suspicious_labels"`, `"not_normalised"`,
            `"not_learning"` or `"not_finite"`.
        step: Steps of training when it was found.
        summary: What is wrong, in words.
        evidence: What shows it, in words with numbers.
        certainty: How sure it is: `"certain"` for what was counted, `"likely"` for what was
            concluded.
        advice: What to try, the most likely help first.
        details: The numbers of the evidence, by name.
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
