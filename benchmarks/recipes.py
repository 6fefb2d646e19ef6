"""The best recipe for a kind of data: a loss and what surrounds it.

The network, its initial weights, the optimiser, the number of steps and the scores are those of
`quality.py`; a recipe may change the loss, the size of the batch, the learning rate's schedule, and
how weights are averaged or images moved while training. Its name says what:

    LOSS+big        512 examples a batch in place of 128
    LOSS+cosine     the learning rate falls to 0 along a cosine
    LOSS+ema        weights are averaged exponentially, momentum 0.98
    LOSS+shift      images are moved by up to 2 pixels each way

Recipes are chosen on training data alone (`--select`): glyphs of 100 training classes train, and
the other 50 score; of Fashion-MNIST, 700 training images of each class train and are the gallery,
and the other 300 are the queries. What was chosen is then scored once, on classes or images that
nothing was chosen on, by training on all of the training data with three seeds.

    python benchmarks/recipes.py --data glyphs --select --seeds 0 1 --json select.json
    python benchmarks/recipes.py --data glyphs --recipes multisim+ema --json scores.json
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from quality import LEARNING_RATE, LOSSES, Setting, Task, batches, model_for, score, task

import tensorflow_similarity.losses as L

_MORE: dict[str, Callable[[], Any]] = {
    "semihard_squared": lambda: L.TripletSemiHardLoss(margin=0.2),
    "semihard_squared_1": lambda: L.TripletSemiHardLoss(margin=1.0),
    "supcon_0.05": lambda: L.SupConLoss(temperature=0.05),
    "ntxent_0.05": lambda: L.NTXentLoss(temperature=0.05),
    "histogram": L.HistogramLoss,
    "smooth_ap": L.SmoothAPLoss,
    "recall_at_k": L.RecallAtKSurrogateLoss,
    "snr": L.SNRContrastiveLoss,
    "xbm_multisim": lambda: L.CrossBatchMemory(
        L.MultiSimilarityLoss(beta=50, epsilon=None), 1024, 100
    ),
    "xbm_ntxent": lambda: L.CrossBatchMemory(L.NTXentLoss(), 1024, 100),
    "xbm_fastap": lambda: L.CrossBatchMemory(L.FastAPLoss(), 1024, 100),
    "xbm_semihard": lambda: L.CrossBatchMemory(L.TripletSemiHardLoss(margin=0.2), 1024, 100),
    "multisim+fastap": lambda: L.WeightedSumLoss(
        [L.MultiSimilarityLoss(beta=50, epsilon=None), L.FastAPLoss()]
    ),
    "ntxent+contrastive": lambda: L.WeightedSumLoss(
        [L.NTXentLoss(), L.ContrastiveLoss(distance="cosine")], weights=[0.5, 1.0]
    ),
}
SETTINGS: dict[str, Setting] = {
    **LOSSES,
    **{name.replace("+", "&"): Setting(loss) for name, loss in _MORE.items()},
}
OPTIONS = ("big", "cosine", "ema", "shift")


def selection(name: str) -> Task:
    """A task made of training data alone, to choose a recipe on."""
    full = task(name)
    if full.gallery is None:
        train = full.y < np.unique(full.y)[len(np.unique(full.y)) * 2 // 3]
    else:
        train = np.zeros(len(full.y), bool)
        for label in np.unique(full.y):
            rows = np.flatnonzero(full.y == label)
            train[rows[: len(rows) * 7 // 10]] = True
    x, y = full.x[train], full.y[train]
    gallery = (None, None) if full.gallery is None else (x, y)
    return full._replace(
        x=x,
        y=y,
        queries=full.x[~train],
        query_labels=full.y[~train],
        gallery=gallery[0],
        gallery_labels=gallery[1],
    )


def shifted(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by -2 to 2 pixels each way."""
    padded = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, x.shape[1:3], axis=(1, 2))
    down, right = rng.integers(0, 5, (2, len(x)))
    return np.moveaxis(windows[np.arange(len(x)), down, right], 1, -1)


def run(task: Task, recipe: str, seed: int) -> dict[str, Any]:
    """Trains by a recipe and scores."""
    name, *options = recipe.split("+")
    classes, per_class = task.classes_per_batch, task.per_class
    if "big" in options:
        classes = min(classes * 4, len(np.unique(task.y)))
        per_class = 4 * task.classes_per_batch * task.per_class // classes
        most = int(np.bincount(task.y)[np.unique(task.y)].min())
        per_class = min(per_class, most)
    rows = batches(seed, task.y, task.steps, classes, per_class)
    setting = SETTINGS[name]
    model, body = model_for(task, setting, setting.loss(), seed)
    rate: Any = LEARNING_RATE
    if "cosine" in options:
        rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, task.steps)
    model.compile(
        keras.optimizers.Adam(rate, epsilon=1e-7, use_ema="ema" in options, ema_momentum=0.98),
        loss=model.loss,
    )
    rng = np.random.default_rng([seed, 4])
    begin = time.perf_counter()
    for batch in rows:
        x = task.x[batch]
        model.train_on_batch(shifted(x, rng) if "shift" in options else x, task.y[batch])
    seconds = time.perf_counter() - begin
    if "ema" in options:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return {"seed": seed, "seconds": seconds, **score(body, task)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="glyphs", choices=["glyphs", "closed10k"])
    parser.add_argument("--select", action="store_true", help="score on training data only")
    parser.add_argument("--recipes", nargs="*", help=f"LOSS[+OPTION…]: {[*SETTINGS]}, {OPTIONS}")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--json", help="keep all runs in this file; those it has are not repeated")
    options = parser.parse_args()
    data = selection(options.data) if options.select else task(options.data)
    kept = pathlib.Path(options.json) if options.json else None
    every: dict[str, Any] = json.loads(kept.read_text()) if kept and kept.exists() else {}
    print(f"{options.data}, {'selection' if options.select else 'evaluation'}: mean ± deviation")
    for recipe in options.recipes or SETTINGS:
        runs = every.setdefault(recipe, [])
        for seed in options.seeds:
            if any(r["seed"] == seed for r in runs):
                continue
            runs.append(run(data, recipe, seed))
            keras.utils.clear_session()
            if kept:
                kept.write_text(json.dumps(every, indent=1))
        runs = [r for r in runs if r["seed"] in options.seeds]
        text = f"{recipe:38}"
        for metric in ("map@r", "precision@1"):
            values = np.array([r[metric] for r in runs])
            text += f" {metric} {values.mean():.4f} ± {values.std():.4f}"
        print(text, flush=True)


if __name__ == "__main__":
    main()
