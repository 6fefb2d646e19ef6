"""Checks on the loss: nothing left to learn, or nothing learned."""

from __future__ import annotations

from tensorflow_similarity.callbacks.doctor.findings import Finding
from tensorflow_similarity.callbacks.doctor.of_data import sorted_data
from tensorflow_similarity.callbacks.doctor.training_run import TrainingRun
from tensorflow_similarity.mining.strategies import Nearest

__all__ = ["not_learning", "nothing_active"]

_CHECK_LABELS = (
    "check that x and y belong together: that shuffling moved both, and that one class has one id"
)


def nothing_active(run: TrainingRun) -> Finding | None:
    """A loss of 0 for nearly all queries."""
    if not run.persists(lambda signs: signs.active_queries < 0.02):
        return None
    return Finding(
        "nothing_active",
        run.now.step,
        "Nothing is active any more",
        f"The loss is 0 for {1 - run.now.active_queries:.1%} of the queries with positives and "
        "negatives: training on changes next to nothing.",
        (
            "stop here if evaluation on new examples is good enough (EvalCallback)",
            "harder batches: more classes in each, and classes that resemble each other",
            *_harder(run),
        ),
        {"active_queries": run.now.active_queries},
    )


def _harder(run: TrainingRun) -> tuple[str, ...]:
    """Ways to make the loss harder that are not in use yet."""
    found = []
    strategy = getattr(run.loss, "negative_mining_strategy", None)
    if strategy is not None and not isinstance(strategy, Nearest):
        found.append('harder negatives: negative_mining_strategy="hard"')
    margin = getattr(run.loss, "margin", None)
    others = run.losses_but_this("MultiSimilarityLoss", "SupConLoss")
    larger = f"a margin larger than {margin:g}, or " if isinstance(margin, float | int) else ""
    found.append(f"{larger}another loss: {others}")
    return tuple(found)


def not_learning(run: TrainingRun) -> Finding | None:
    """A loss that stays at its chance value while classes do not separate."""
    if not run.persists(lambda signs: signs.off_chance < 0.15 and signs.separation < 0.6, times=2):
        return None
    now = run.now
    return Finding(
        "not_learning",
        now.step,
        "The loss stays at its chance value",
        f"It is {now.loss:.4g}, and would be {now.chance_loss:.4g} if all embeddings were equal; a "
        f"pair of one class is nearer than one of two in {now.separation:.0%} of cases, where 50 % "
        "is chance.",
        (
            *sorted_data(run),
            _CHECK_LABELS,
            "another learning rate, ten times smaller, then ten times larger",
            "a network that is trained already, or a larger one",
        ),
        {"loss": now.loss, "chance_loss": now.chance_loss, "separation": now.separation},
    )
