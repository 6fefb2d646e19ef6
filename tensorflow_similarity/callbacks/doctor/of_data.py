"""What is wrong with the data: numbers, batches and labels."""

from __future__ import annotations

import math

from tensorflow_similarity.callbacks.doctor.findings import Finding
from tensorflow_similarity.callbacks.doctor.patient import Patient
from tensorflow_similarity.mining.strategies import Nearest

__all__ = ["no_negatives", "no_positives", "not_finite", "sorted_data", "suspicious_labels"]

# Found with benchmarks/doctor.py, on eight data sets and three networks; docs/training.md has the
# table. Labels that are right let classes separate better than this, and ever better at first.
_SEPARATION = (0.75, 0.91)
_STILL_RISING = 0.02
_SUSPECTED = 0.03
_FEWEST = 8


def _batches(patient: Patient) -> str:
    """How to get batches with enough of each class."""
    if patient.batches == "sampler":
        return (
            "more examples of each class in a batch, or fewer classes: "
            "examples_per_class_per_batch and classes_per_batch of the sampler"
        )
    return (
        "draw balanced batches: MultiShotMemorySampler(x, y, classes_per_batch=8, "
        "examples_per_class_per_batch=4)"
    )


def not_finite(patient: Patient) -> Finding | None:
    """Embeddings that are NaN or infinite."""
    if patient.now.finite:
        return None
    return Finding(
        "not_finite",
        patient.now.step,
        "Embeddings are not finite",
        "Some are NaN or infinite: nothing is learned from here on.",
        (
            patient.slower(),
            *(() if patient.clipped else ("clip gradients: clipnorm=1.0 in the optimizer",)),
            "check the inputs: np.isfinite(x).all()",
            "stop at once next time: keras.callbacks.TerminateOnNaN()",
        ),
        certainty="certain",
    )


def no_positives(patient: Patient) -> Finding | None:
    """Batches in which most queries have no positive."""
    shares = [signs.queries_without_positives for signs in patient.history]
    share = sum(shares) / len(shares)
    if patient.loss is None or not (share >= 0.5 and (len(shares) > 1 or share > 0.9)):
        return None
    return Finding(
        "no_positives",
        patient.now.step,
        "Batches have no positives",
        f"{share:.0%} of the examples have no other of their class in their batch: the loss "
        "learns next to nothing from them.",
        (_batches(patient), "larger batches, if there are few classes"),
        {"queries_without_positives": share},
        certainty="certain",
    )


def no_negatives(patient: Patient) -> Finding | None:
    """Batches of one class."""
    shares = [signs.queries_without_negatives for signs in patient.history]
    share = sum(shares) / len(shares)
    if patient.loss is None or not (share >= 0.5 and (len(shares) > 1 or share > 0.9)):
        return None
    return Finding(
        "no_negatives",
        patient.now.step,
        "Batches have no negatives",
        f"{share:.0%} of the examples are in batches of one class: nothing keeps classes apart.",
        (
            "shuffle the examples: data sorted by class makes such batches",
            "more classes in a batch: classes_per_batch of the sampler"
            if patient.batches == "sampler"
            else _batches(patient),
        ),
        {"queries_without_negatives": share},
        certainty="certain",
    )


def sorted_data(patient: Patient) -> tuple[str, ...]:
    """Advice where the arrays are sorted by class, which hurts only if `fit` does not shuffle."""
    if not patient.sorted_by_class:
        return ()
    advice = (
        "the data are sorted by class: fit(shuffle=False) makes batches of one class of them, "
        "which the doctor looks at with TrainingDoctor(x, y, shuffle=False); shuffle them"
    )
    return (advice,)


def suspicious_labels(patient: Patient) -> Finding | None:
    """Hard negatives that are wrong labels or duplicates."""
    if patient.conflicts:
        a, b, i, j = patient.conflicts[0]
        return Finding(
            "suspicious_labels",
            patient.now.step,
            "Equal examples have different labels",
            f"{len(patient.conflicts)} pairs in the batches that were looked at, such as one of "
            f"classes {patient.named(a)} and {patient.named(b)}, at positions {i} and {j}: no "
            "embedding can tell them apart, and mining picks them first.",
            (
                "find them, np.unique(x, axis=0, return_counts=True), and decide for one label",
                "leave them out",
            ),
            {
                "conflicts": tuple((a, b) for a, b, _, _ in patient.conflicts),
                "positions": tuple((i, j) for _, _, i, j in patient.conflicts),
            },
            certainty="certain",
        )
    recent = patient.recent(2)
    if not all(_labels_in_doubt(patient, back) for back in (0, 1)):
        return None
    judged = sum(signs.examples for signs in recent)
    suspected = round(sum(signs.suspected * signs.examples for signs in recent))
    low, high = _interval(suspected, judged)
    worst = sorted(patient.suspects, key=lambda suspect: -suspect.ratio)[:3]
    shown = ", ".join(
        f"a {patient.named(s.label)} that looks like a {patient.named(s.looks_like)} "
        f"(position {s.position})"
        for s in worst
    )
    separation = sum(signs.separation for signs in recent) / len(recent)
    other = patient.losses_but_this("SupConLoss", "MultiSimilarityLoss")
    hardest = isinstance(getattr(patient.loss, "negative_mining_strategy", None), Nearest)
    return Finding(
        "suspicious_labels",
        patient.now.step,
        "Some labels may be wrong",
        f"Classes do not separate any better (a pair of one class is the nearer one in "
        f"{separation:.0%} of cases), and {suspected / judged:.1%} of the examples ({low:.1%} to "
        f"{high:.1%}, with 95 % confidence) are more than twice as far from their own class as "
        f"from another{': ' + shown if shown else ''}. Classes that overlap can look so, too.",
        (
            "look at them: doctor.suspects has their labels, positions and the examples themselves",
            "correct the labels or leave the examples out; merge classes that are one",
            *sorted_data(patient),
            "a loss that does not chase the hardest: "
            + ('negative_mining_strategy="semi-hard", or ' if hardest else "")
            + other,
        ),
        {
            "share": suspected / judged,
            "suspects": suspected,
            "judged": judged,
            "positions": tuple(suspect.position for suspect in patient.suspects),
        },
    )


def _labels_in_doubt(patient: Patient, back: int) -> bool:
    """Whether the examinations up to `back` before the last look like wrong labels."""
    window = 2 * patient.patience
    after = [signs for signs in patient.history if signs.step > 0]
    seen = after[: len(after) - back][-window:]
    if len(seen) < window:
        return False
    separation = [signs.separation for signs in seen]
    first, second = separation[: window // 2], separation[window // 2 :]
    mean = sum(separation) / window
    rise = sum(second) / len(second) - sum(first) / len(first)
    judged = sum(signs.examples for signs in seen)
    suspected = sum(signs.suspected * signs.examples for signs in seen)
    return (
        _SEPARATION[0] <= mean <= _SEPARATION[1]
        and rise <= _STILL_RISING
        and suspected >= max(_FEWEST - 0.5, _SUSPECTED * judged)
    )


def _interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's interval of a share, at 95 %."""
    z = 1.96
    share, scale = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)
