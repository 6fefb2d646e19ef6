"""Losses whose default arguments were measured to train hardly at all."""

from __future__ import annotations

import warnings
from typing import Any

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.losses import PNLoss, TripletHardLoss
from tensorflow_similarity.losses.base import parts_of

__all__ = ["warn_of_doubtful"]

#: MAP@R on unseen classes, of `benchmarks/quality.py --data glyphs`.
_UNTRAINED = 0.023
_MEASURED = {TripletHardLoss: 0.009, PNLoss: 0.029}
_INSTEAD = "TripletSemiHardLoss() 0.200, MultiSimilarityLoss() 0.188"


def warn_of_doubtful(loss: object) -> None:
    """Warns of losses whose default arguments are known to train badly.

    Args:
        loss: A loss, or a structure of them, as for `compile`.
    """
    for one in parts_of(loss):
        value = _MEASURED.get(type(one))
        if value is None or not _as_it_comes(one):
            continue
        name = type(one).__name__
        warnings.warn(
            f"{name}() with nothing but its defaults trains a network from scratch to hardly more "
            f"than nothing: MAP@R {value:.3f} on classes never seen, {_UNTRAINED:.3f} untrained; "
            f"{_INSTEAD}. Take one of these; or, for a pretrained network, give {name} a margin "
            "that suits its distances, such as margin=0.2, and a small learning rate.",
            stacklevel=levels_to_the_caller(),
        )


def _as_it_comes(loss: Any) -> bool:
    own, default = loss.get_config(), type(loss)().get_config()
    return {**own, "name": None} == {**default, "name": None}
