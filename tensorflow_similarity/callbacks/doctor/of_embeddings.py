"""Checks on the embeddings: collapse, and lengths that do not suit the distance."""

from __future__ import annotations

from tensorflow_similarity.callbacks.doctor.findings import Finding
from tensorflow_similarity.callbacks.doctor.measurements import VitalSigns
from tensorflow_similarity.callbacks.doctor.of_data import sorted_data
from tensorflow_similarity.callbacks.doctor.training_run import TrainingRun
from tensorflow_similarity.mining.strategies import Nearest

__all__ = ["collapse", "not_normalised"]


def collapse(run: TrainingRun) -> Finding | None:
    """Embeddings collapsed to one point: at least two of four signs agree."""
    start = run.history[0]

    def signals(signs: VitalSigns) -> dict[str, str]:
        found = {}
        if signs.mean_cosine >= 0.98:
            found["direction"] = f"all point one way (mean cosine {signs.mean_cosine:.4f})"
        if start.step == 0 and _shrunk(signs, start):
            found["distance"] = (
                f"classes are {signs.negative_distance:.2g} apart, "
                f"{start.negative_distance:.2g} at the start"
            )
        if signs.off_chance < 0.02:
            found["loss"] = (
                f"the loss is {signs.loss:.4g}, and would be {signs.chance_loss:.4g} if they were "
                "all equal"
            )
        if run.embedding_size >= 8 and signs.effective_rank < 1.5:
            found["rank"] = f"they lie on a line (effective rank {signs.effective_rank:.1f})"
        return found

    # Deep networks may start out that narrow, and need a while to spread.
    narrow_start = "direction" in signals(start) and (
        1 - run.now.mean_cosine > 0.5 * (1 - start.mean_cosine)
    )
    if not run.persists(lambda signs: len(signals(signs)) > 1, times=1 + narrow_start):
        return None
    first, last = run.recent()[0], run.recent()[-1]
    if 1 - last.mean_cosine > 1.1 * (1 - first.mean_cosine) and "rank" not in signals(last):
        return None  # The embeddings spread out again, as after a slow start.
    found = signals(last)
    advice = [run.slower()]
    strategy = getattr(run.loss, "negative_mining_strategy", None)
    if isinstance(strategy, Nearest):
        advice.insert(
            0,
            'semi-hard negatives: TripletLoss(negative_mining_strategy="semi-hard") or '
            "TripletSemiHardLoss. The hardest ones pull a young network to a point",
        )
    elif run.loss is not None:
        others = run.losses_but_this("TripletSemiHardLoss", "MultiSimilarityLoss")
        advice.append(f"{others}, which seldom collapse")
    advice.append("a few epochs of an easier loss first, then this one")
    if abs(last.mean_norm - 1) > 0.01 or last.norm_variation > 0.01:
        advice.append("embeddings of length 1: end the model with L2Embedding")
    rank = ""
    if "rank" not in found and last.effective_rank > 1.5:
        rank = (
            f" (The effective rank, {last.effective_rank:.1f} of {run.embedding_size}, does "
            "not show it: what is left is noise in all directions.)"
        )
    return Finding(
        "collapse",
        last.step,
        "The embeddings collapsed",
        f"Since step {first.step:,} at the latest: {'; '.join(found.values())}.{rank}",
        (*sorted_data(run), *advice),
        {
            "signals": tuple(found),
            "mean_cosine": last.mean_cosine,
            "effective_rank": last.effective_rank,
            "loss": last.loss,
            "chance_loss": last.chance_loss,
        },
    )


def _shrunk(signs: VitalSigns, start: VitalSigns) -> bool:
    """Whether classes are a tenth as far apart as at the start (for non-negative distances)."""
    return (
        min(signs.positive_distance, start.positive_distance) >= 0
        and signs.negative_distance < 0.1 * start.negative_distance
    )


def not_normalised(run: TrainingRun) -> Finding | None:
    """Embedding lengths that do not suit the distance."""
    now, start = run.now, run.history[0]
    name = getattr(run.distance, "name", "")
    margin = getattr(run.loss, "margin", None)
    why = None
    if name == "inner_product" and run.persists(
        lambda signs: signs.mean_norm > 2 * start.mean_norm and signs.norm_variation > 0.01
    ):
        why = (
            f"Inner products grow with length, and so it grows: {now.mean_norm:.2g} on average, "
            f"{start.mean_norm:.2g} at the start. Length alone lowers part of the loss, and "
            "long embeddings are near to everything."
        )
    elif (
        name in ("euclidean", "squared_euclidean", "manhattan")
        and margin
        and run.persists(lambda signs: signs.negative_distance > 50 * margin)
    ):
        why = (
            f"Classes are {now.negative_distance:.3g} apart on average, where the margin is "
            f"{margin:g}: at this scale it means nothing (length {now.mean_norm:.3g})."
        )
    elif (
        run.index_distance is not None
        and run.index_distance != run.distance
        and run.persists(lambda signs: signs.norm_variation > 0.1)
    ):
        why = (
            f"The loss compares by {name}, the index by {run.index_distance.name}, and lengths "
            f"vary ({now.norm_variation:.0%} of their mean): the two rank neighbours differently."
        )
    if why is None:
        return None
    return Finding(
        "not_normalised",
        now.step,
        "The embedding is not normalised for its distance",
        why,
        (
            "embeddings of length 1: end the model with L2Embedding",
            *(
                ('a distance for the index that is the loss\'s: compile(..., distance="auto")',)
                if name == "cosine"
                else ('distance="cosine", which looks at directions alone',)
            ),
        ),
        {"mean_norm": now.mean_norm, "norm_variation": now.norm_variation},
    )
