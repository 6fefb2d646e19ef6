"""Checks on the data: non-finite values, the make-up of batches, and labels."""

from __future__ import annotations

import math

from tensorflow_similarity.callbacks.doctor.findings import Finding
from tensorflow_similarity.callbacks.doctor.training_run import TrainingRun
from tensorflow_similarity.mining.strategies import Nearest

__all__ = ["no_negatives", "no_positives", "not_finite", "sorted_data", "suspicious_labels"]

# Tuned with benchmarks/doctor.py on eight data sets and three networks; docs/training.md has the
# table. With correct labels, classes separate better than this, and keep improving early on.
_SEPARATION = (0.75, 0.91)
_STILL_RISING = 0.02
_SUSPECTED = 0.03
_FEWEST = 8


def _batches(run: TrainingRun) -> str:
    """Advice on how to get enough examples of each class into a batch."""
    if run.batches == "sampler":
        return (
            "more examples of each class in a batch, or fewer classes: "
            "examples_per_class_per_batch and classes_per_batch of the sampler"
        )
    return (
        "draw balanced batches: MultiShotMemorySampler(x, y, classes_per_batch=8, "
        "examples_per_class_per_batch=4)"
    )


def not_finite(run: TrainingRun) -> Finding | None:
    """Embeddings that are NaN or infinite."""
    if run.now.finite:
        return None
    return Finding(
        "not_finite",
        run.now.step,
        "Embeddings are not finite",
        "Some are NaN or infinite: nothing is learned from here on.",
        (
            run.slower(),
            *(() if run.clipped else ("clip gradients: clipnorm=1.0 in the optimizer",)),
            "check the inputs: np.isfinite(x).all()",
            "stop at once next time: keras.callbacks.TerminateOnNaN()",
        ),
        certainty="certain",
    )


def no_positives(run: TrainingRun) -> Finding | None:
    """Batches in which most queries have no positive."""
    shares = [signs.queries_without_positives for signs in run.history]
    share = sum(shares) / len(shares)
    if run.loss is None or not (share >= 0.5 and (len(shares) > 1 or share > 0.9)):
        return None
    return Finding(
        "no_positives",
        run.now.step,
        "Batches have no positives",
        f"{share:.0%} of the examples have no other of their class in their batch: the loss "
        "learns next to nothing from them.",
        (_batches(run), "larger batches, if there are few classes"),
        {"queries_without_positives": share},
        certainty="certain",
    )


def no_negatives(run: TrainingRun) -> Finding | None:
    """Batches that hold a single class."""
    shares = [signs.queries_without_negatives for signs in run.history]
    share = sum(shares) / len(shares)
    if run.loss is None or not (share >= 0.5 and (len(shares) > 1 or share > 0.9)):
        return None
    return Finding(
        "no_negatives",
        run.now.step,
        "Batches have no negatives",
        f"{share:.0%} of the examples are in batches of one class: nothing keeps classes apart.",
        (
            "shuffle the examples: data sorted by class makes such batches",
            "more classes in a batch: classes_per_batch of the sampler"
            if run.batches == "sampler"
            else _batches(run),
        ),
        {"queries_without_negatives": share},
        certainty="certain",
    )


def sorted_data(run: TrainingRun) -> tuple[str, ...]:
    """Advice for arrays sorted by class, which is harmful only if `fit` does not shuffle."""
    if not run.sorted_by_class:
        return ()
    advice = (
        "the data are sorted by class, so fit(shuffle=False) makes batches of a single class; "
        "shuffle them. TrainingDoctor(x, y, shuffle=False) examines such batches"
    )
    return (advice,)


def suspicious_labels(run: TrainingRun) -> Finding | None:
    """Labels that look wrong: equal inputs with different labels, or hard negatives throughout."""
    if run.conflicts:
        a, b, i, j = run.conflicts[0]
        return Finding(
            "suspicious_labels",
            run.now.step,
            "Equal examples have different labels",
            f"{len(run.conflicts)} pairs in the batches that were looked at, such as one of "
            f"classes {run.named(a)} and {run.named(b)}, at positions {i} and {j}: no "
            "embedding can tell them apart, and mining picks them first.",
            (
                "find them, np.unique(x, axis=0, return_counts=True), and decide for one label",
                "leave them out",
            ),
            {
                "conflicts": tuple((a, b) for a, b, _, _ in run.conflicts),
                "positions": tuple((i, j) for _, _, i, j in run.conflicts),
            },
            certainty="certain",
        )
    recent = run.recent(2)
    if not all(_labels_in_doubt(run, back) for back in (0, 1)):
        return None
    judged = sum(signs.examples for signs in recent)
    suspected = round(sum(signs.suspected * signs.examples for signs in recent))
    low, high = _interval(suspected, judged)
    worst = sorted(run.suspects, key=lambda suspect: -suspect.ratio)[:3]
    shown = ", ".join(
        f"a {run.named(s.label)} that looks like a {run.named(s.looks_like)} "
        f"(position {s.position})"
        for s in worst
    )
    separation = sum(signs.separation for signs in recent) / len(recent)
    other = run.losses_but_this("SupConLoss", "MultiSimilarityLoss")
    hardest = isinstance(getattr(run.loss, "negative_mining_strategy", None), Nearest)
    return Finding(
        "suspicious_labels",
        run.now.step,
        "Some labels may be wrong",
        f"Classes do not separate any better (a pair of one class is the nearer one in "
        f"{separation:.0%} of cases), and {suspected / judged:.1%} of the examples ({low:.1%} to "
        f"{high:.1%}, with 95 % confidence) are more than twice as far from their own class as "
        f"from another{': ' + shown if shown else ''}. Classes that overlap can look so, too.",
        (
            "look at them: doctor.suspects has their labels, positions and the examples themselves",
            "correct the labels or leave the examples out; merge classes that are one",
            *sorted_data(run),
            "a loss that does not chase the hardest: "
            + ('negative_mining_strategy="semi-hard", or ' if hardest else "")
            + other,
        ),
        {
            "share": suspected / judged,
            "suspects": suspected,
            "judged": judged,
            "positions": tuple(suspect.position for suspect in run.suspects),
        },
    )


def _labels_in_doubt(run: TrainingRun, back: int) -> bool:
    """Whether the examinations, without the last `back`, suggest wrong labels."""
    window = 2 * run.patience
    after = [signs for signs in run.history if signs.step > 0]
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
    """Wilson's 95 % confidence interval of a proportion."""
    z = 1.96
    share, scale = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)
