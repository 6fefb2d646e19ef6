"""What is wrong with the data: numbers, batches and labels."""

from __future__ import annotations

from tensorflow_similarity.callbacks.doctor.findings import Finding
from tensorflow_similarity.callbacks.doctor.patient import Patient

__all__ = ["no_negatives", "no_positives", "not_finite", "sorted_data", "suspicious_labels"]

_SAMPLER = (
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
        "Some are NaN or infinite: nothing is learnt from here on.",
        (
            patient.slower(),
            "clip gradients: clipnorm=1.0 in the optimizer",
            "check the inputs: np.isfinite(x).all()",
            "stop at once next time: keras.callbacks.TerminateOnNaN()",
        ),
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
        (_SAMPLER, "larger batches, if there are few classes"),
        {"queries_without_positives": share},
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
        ("shuffle the examples: data sorted by class makes such batches", _SAMPLER),
        {"queries_without_negatives": share},
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
            f"classes {a} and {b}, at positions {i} and {j}: no embedding can tell them "
            "apart, and mining picks them first.",
            (
                "find them, np.unique(x, axis=0, return_counts=True), and decide for one label",
                "leave them out",
            ),
            {
                "conflicts": tuple((a, b) for a, b, _, _ in patient.conflicts),
                "positions": tuple((i, j) for _, _, i, j in patient.conflicts),
            },
        )
    share = patient.suspected / max(patient.judged, 1)
    # Digits that are hard to read are a few per cent at first, and become fewer.
    if patient.looks < 2 * patient.patience or patient.suspected < 8 or share < 0.03:
        return None
    worst = sorted(patient.suspects, key=lambda suspect: -suspect.ratio)[:3]
    shown = ", ".join(
        f"a {s.label} that looks like a {s.looks_like} (position {s.position})" for s in worst
    )
    return Finding(
        "suspicious_labels",
        patient.now.step,
        "The hardest negatives look like wrong labels",
        f"Classes separate (a pair of one class is the nearer one in "
        f"{patient.now.separation:.0%} of cases), but {share:.1%} of the examples are more than "
        f"twice as far from their own class as from another: {shown}.",
        (
            "look at them: doctor.suspects has their labels, positions and the examples themselves",
            "correct the labels or leave the examples out; merge classes that are one",
            *sorted_data(patient),
            "a loss that does not chase the hardest: semi-hard negatives, SupConLoss",
        ),
        {
            "share": share,
            "suspects": patient.suspected,
            "judged": patient.judged,
            "positions": tuple(suspect.position for suspect in patient.suspects),
        },
    )
