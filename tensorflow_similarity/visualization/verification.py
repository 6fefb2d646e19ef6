"""ROC and DET curves of verification."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity.visualization.class_names import shorten
from tensorflow_similarity.visualization.colors import class_colors
from tensorflow_similarity.visualization.figures import NEUTRAL, finish, give_title, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RATES = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8)
_NAME_CHARACTERS = 24


def verification_curves(
    results: Any, kind: str = "both", title: str = "Verification", show: bool = True
) -> Figure:
    """Draws the ROC curve and the DET curve of a list of trials.

    ROC: the true accept rate over the false accept rate, whose axis is logarithmic because small
    rates matter most. DET: the two error rates against each other, on axes on which normally
    distributed distances give a straight line; lower is better. A dot marks the equal error rate,
    a dashed line chance.

    Args:
        results: The result of `evaluation.verify_trials`; or several, as a mapping from names of
            models to results.
        kind: `"roc"`, `"det"` or `"both"`. Defaults to `"both"`.
        title: Title of the figure. Defaults to `"Verification"`.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If a result has no curve.
        ValueError: If there are no results, a result has no trials of one of the two kinds, or
            there is no such `kind`.

    Example:

    ```python
    from tensorflow_similarity.evaluation import verify_trials
    from tensorflow_similarity.visualization import verification_curves

    result = verify_trials([1, 1, 0, 0, 1], distances=[0.1, 0.3, 0.2, 0.9, 0.15])
    figure = verification_curves(result, show=False)
    figure = verification_curves({"mine": result}, kind="roc", show=False)
    ```
    """
    named = {"": results} if hasattr(results, "false_accept_rates") else results
    if not isinstance(named, Mapping) or not all(
        hasattr(result, "false_accept_rates") for result in named.values()
    ):
        raise TypeError(
            "`results` must be what evaluation.verify_trials returns, or a mapping from names to "
            f"such results. Received: {type(results).__name__}."
        )
    if not named:
        raise ValueError("`results` must hold at least one result. Received: none.")
    if kind not in ("roc", "det", "both"):
        raise ValueError(f"`kind` must be 'roc', 'det' or 'both'. Received: {kind!r}.")
    for result in named.values():
        if not (result.same_trials and result.different_trials):
            raise ValueError(
                "`results` must have trials of one identity and of two. Received: "
                f"{result.same_trials} and {result.different_trials}."
            )
    panels = {"roc": [_roc], "det": [_det], "both": [_roc, _det]}[kind]
    figure = new_figure((4.6 * len(panels), 4.4), show)
    give_title(figure, title)
    colors = class_colors(len(named))
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axis, named, colors)
        axis.grid(alpha=0.25)
    return finish(figure, show)


def _roc(axis: Axes, named: Mapping[str, Any], colors: list[str]) -> None:
    least = min(1 / result.different_trials for result in named.values())
    for (name, result), color in zip(named.items(), colors, strict=True):
        accepted, found = result.false_accept_rates, 1 - result.false_reject_rates
        label = f"{_short(name)}area {result['roc_auc']:.3f}"
        axis.plot(
            np.maximum(accepted, least / 2), found, color=color, drawstyle="steps-post", label=label
        )
    chance = np.geomspace(least / 2, 1, 100)
    axis.plot(chance, chance, color=NEUTRAL, linestyle="--", linewidth=1)
    axis.set_xscale("log")
    axis.set(xlim=(least / 2, 1), ylim=(0, 1.02))
    axis.set(xlabel="false accept rate", ylabel="true accept rate")
    axis.legend(fontsize=8, loc="lower right")


def _det(axis: Axes, named: Mapping[str, Any], colors: list[str]) -> None:
    least = min(1 / max(result.same_trials, result.different_trials) for result in named.values())
    low = max(min(least / 2, 0.001), _RATES[0] / 2)
    for (name, result), color in zip(named.items(), colors, strict=True):
        x, y = _normal(result.false_accept_rates, low), _normal(result.false_reject_rates, low)
        label = f"{_short(name)}equal error {result['eer']:.1%}"
        axis.plot(x, y, color=color, label=label)
        equal = _normal(np.array([result["eer"]]), low)
        axis.plot(equal, equal, "o", color=color)
    ends = _normal(np.array([low, 1 - low]), low)
    axis.plot(ends, ends[::-1], color=NEUTRAL, linestyle="--", linewidth=1)
    shown = [rate for rate in _RATES if rate >= low]
    places = _normal(np.array(shown), low)
    names = [f"{rate:.4g}" for rate in shown]
    axis.set_xticks(places, names)
    axis.set_yticks(places, names)
    limits = _normal(np.array([low, 0.9]), low)
    axis.set(xlim=limits, ylim=limits)
    axis.set_aspect("equal")
    axis.set(xlabel="false accept rate", ylabel="false reject rate")
    axis.legend(fontsize=8, loc="upper right")


def _normal(rates: np.ndarray, low: float) -> np.ndarray:
    """Rates as quantiles of the normal distribution, none beyond `low` and `1 - low`."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(float(rate)) for rate in np.clip(rates, low, 1 - low)])


def _short(name: str) -> str:
    return f"{shorten(name, _NAME_CHARACTERS)}: " if name else ""
