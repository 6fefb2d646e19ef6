"""How good a model each loss trains, beside pytorch-metric-learning.

One protocol fixes everything but the loss: the network and its initial weights,
the batches, the optimiser, the steps and the scores. The results of
pytorch-metric-learning 2.9.0 on the same protocol are in `data/`.

    python benchmarks/quality.py --data glyphs --losses contrastive triplet_semihard
    python benchmarks/quality.py --data closed10k --seeds 0 1 2 --json out.json

Data: `glyphs` (300 characters in 40 fonts each; 150 classes to train, 150 unseen
ones to be scored), `closed10k` and `zeroshot` (Fashion-MNIST, where Debian's
dataset-fashion-mnist is installed), `digits_closed` and `digits_zeroshot`
(scikit-learn's digits).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import tensorflow_similarity.losses as L
from tensorflow_similarity.evaluation import evaluate
from tensorflow_similarity.layers import L2Embedding, ProxyHead
from tensorflow_similarity.models import SimilarityModel

LEARNING_RATE = 1e-3
HERE = pathlib.Path(__file__).parent
SCORES = ("precision@1", "r_precision", "map@r", "hit_rate@2", "hit_rate@4", "hit_rate@8")
THEIR_NAMES = {
    "precision@1": "precision_at_1",
    "r_precision": "r_precision",
    "map@r": "map_at_r",
    "hit_rate@2": "recall_at_2",
    "hit_rate@4": "recall_at_4",
    "hit_rate@8": "recall_at_8",
}


class Setting(NamedTuple):
    """A loss, and what belongs to it beside the network.

    `centers`: proxies a class, 0 where the loss is on pairs of embeddings.
    `proxy_rate`: the learning rate of the proxies. `kaiming`: whether
    they start as pytorch-metric-learning starts those of ProxyAnchor; a length
    that only sets how fast they turn.
    """

    loss: Callable[[], Any]
    centers: int = 0
    proxy_rate: float = 1e-2
    kaiming: bool = False


#: Their name of a setting -> our loss at the same setting.
LOSSES: dict[str, Setting] = {
    "triplet_semihard": Setting(lambda: L.TripletSemiHardLoss(margin=0.2, distance="euclidean")),
    "triplet_batchhard": Setting(lambda: L.TripletHardLoss(margin=0.2)),
    "triplet_batchhard_soft": Setting(lambda: L.TripletHardLoss(soft=True)),
    "contrastive": Setting(lambda: L.ContrastiveLoss(distance="euclidean", power=1)),
    "npairs": Setting(lambda: L.NpairsLoss(distance="inner_product")),
    "lifted": Setting(lambda: L.LiftedStructLoss()),
    "triplet_all": Setting(lambda: L.TripletAllLoss(margin=0.2, distance="euclidean")),
    "multisim": Setting(lambda: L.MultiSimilarityLoss(beta=50, epsilon=None)),
    "multisim_miner": Setting(lambda: L.MultiSimilarityLoss(beta=50, epsilon=0.1)),
    "circle": Setting(lambda: L.CircleLoss()),
    "supcon": Setting(lambda: L.SupConLoss()),
    "ntxent": Setting(lambda: L.NTXentLoss()),
    "fastap": Setting(lambda: L.FastAPLoss()),
    "proxy_anchor": Setting(lambda: L.ProxyAnchorLoss(), 1, kaiming=True),
    "proxy_anchor_plr0.1": Setting(lambda: L.ProxyAnchorLoss(), 1, 0.1, kaiming=True),
    "arcface": Setting(lambda: L.ArcFaceLoss(margin=np.radians(28.6)), 1),
    "arcface_plr0.1": Setting(lambda: L.ArcFaceLoss(margin=np.radians(28.6)), 1, 0.1),
    "cosface": Setting(lambda: L.CosFaceLoss(), 1),
    "norm_softmax_plr0.1": Setting(lambda: L.NormalizedSoftmaxLoss(), 1, 0.1),
    "margin_distweighted": Setting(lambda: L.MarginLoss(mining="distance_weighted")),
    "xbm_contrastive": Setting(
        lambda: L.CrossBatchMemory(L.ContrastiveLoss(distance="euclidean", power=1), 1024)
    ),
    "xbm_contrastive_warm100": Setting(
        lambda: L.CrossBatchMemory(L.ContrastiveLoss(distance="euclidean", power=1), 1024, 100)
    ),
    "xbm_multisim_miner": Setting(
        lambda: L.CrossBatchMemory(L.MultiSimilarityLoss(beta=50, epsilon=0.1), 1024)
    ),
}

#: Our losses as a user gets them who types the name only.
DEFAULTS: dict[str, Setting] = {
    **{
        f"{loss.__name__}()": Setting(loss)
        for loss in (
            L.TripletLoss, L.TripletSemiHardLoss, L.TripletHardLoss, L.TripletAllLoss,
            L.LiftedStructLoss, L.GeneralizedLiftedStructLoss, L.MultiSimilarityLoss,
            L.CircleLoss, L.PNLoss, L.SoftNearestNeighborLoss, L.NCALoss, L.SupConLoss,
            L.NTXentLoss, L.MarginLoss, L.TupletMarginLoss, L.IntraPairVarianceLoss,
            L.SNRContrastiveLoss, L.FastAPLoss, L.HistogramLoss, L.RankedListLoss,
            L.SmoothAPLoss, L.RecallAtKSurrogateLoss, L.AngularLoss,
        )
    },
    "ContrastiveLoss(euclidean)": Setting(lambda: L.ContrastiveLoss(distance="euclidean")),
    "ContrastiveLoss(cosine)": Setting(lambda: L.ContrastiveLoss(distance="cosine")),
    "NpairsLoss(inner_product)": Setting(lambda: L.NpairsLoss(distance="inner_product")),
    **{
        f"{loss.__name__}()": Setting(loss, centers)
        for loss, centers in (
            (L.ArcFaceLoss, 1), (L.SubCenterArcFaceLoss, 3), (L.CosFaceLoss, 1),
            (L.SphereFaceLoss, 1), (L.NormalizedSoftmaxLoss, 1), (L.ProxyNCALoss, 1),
            (L.ProxyAnchorLoss, 1), (L.SoftTripleLoss, 3),
        )
    },
    "CrossBatchMemory(MultiSimilarityLoss)": Setting(
        lambda: L.CrossBatchMemory(L.MultiSimilarityLoss(), 1024)
    ),
    "CrossBatchMemory(…, batch_loss=False)": Setting(
        lambda: L.CrossBatchMemory(L.MultiSimilarityLoss(), 1024, batch_loss=False)
    ),
    "CrossBatchMemory(ContrastiveLoss)": Setting(
        lambda: L.CrossBatchMemory(L.ContrastiveLoss(distance="euclidean"), 1024)
    ),
}  # fmt: skip


class Task(NamedTuple):
    """What to train on and how to score; see `task`."""

    x: np.ndarray
    y: np.ndarray
    queries: np.ndarray
    query_labels: np.ndarray
    gallery: np.ndarray | None
    gallery_labels: np.ndarray | None
    classes_per_batch: int
    per_class: int
    steps: int


def task(name: str) -> Task:
    """The data of the protocol, float32 in [0, 1]."""
    if name == "glyphs":
        with np.load(HERE / "data" / "glyphs.npz") as file:
            x, y = file["images"], file["labels"].astype(np.int64)
        x = (x / np.float32(255))[..., None].astype(np.float32)
        train, test = y < 150, y >= 150
        return Task(x[train], y[train], x[test], y[test], None, None, 16, 8, 400)
    if name in ("closed10k", "zeroshot"):
        (x, y), (x_test, y_test) = _fashion("train"), _fashion("t10k")
        if name == "zeroshot":
            train, test = y < 5, y_test >= 5
            return Task(x[train], y[train], x_test[test], y_test[test], None, None, 4, 32, 200)
        train = np.sort(np.concatenate([np.flatnonzero(y == c)[:1000] for c in range(10)]))
        return Task(x[train], y[train], x_test, y_test, x[train], y[train], 8, 16, 400)
    if name in ("digits_closed", "digits_zeroshot"):
        from sklearn.datasets import load_digits

        digits = load_digits()
        x = (digits.data / 16).astype(np.float32)
        y = digits.target.astype(np.int64)
        train = np.arange(len(y)) % 3 != 0
        if name == "digits_closed":
            return Task(x[train], y[train], x[~train], y[~train], x[train], y[train], 8, 16, 200)
        old, new = train & (y < 5), ~train & (y >= 5)
        return Task(x[old], y[old], x[new], y[new], None, None, 4, 32, 200)
    raise SystemExit(f"Unknown --data {name!r}.")


def _fashion(part: str) -> tuple[np.ndarray, np.ndarray]:
    folder = pathlib.Path("/usr/share/datasets/fashion-mnist")
    if not folder.exists():
        raise SystemExit(f"No {folder}: apt-get install dataset-fashion-mnist (Debian, Ubuntu).")
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return (images / np.float32(255)).astype(np.float32), labels


def network(shape: tuple[int, ...], seed: int) -> keras.Model:
    """The network of the protocol with its weights for a seed."""
    layers = [keras.Input(shape)]
    shapes = [(64, 128), (128, 64)]
    if len(shape) == 3:
        for filters in (32, 64):
            layers.append(
                keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")
            )
        layers.append(keras.layers.Flatten())
        shapes = [(3, 3, 1, 32), (3, 3, 32, 64), (7 * 7 * 64, 128), (128, 64)]
    layers += [keras.layers.Dense(128, activation="relu"), L2Embedding(64)]
    model = keras.Sequential(layers)
    rng = np.random.default_rng([seed, 1])
    weights = []
    for kernel in shapes:
        fields = int(np.prod(kernel[:-2]))
        limit = np.sqrt(6.0 / (kernel[-2] * fields + kernel[-1] * fields))
        weights += [rng.uniform(-limit, limit, kernel).astype(np.float32)]
        weights += [np.zeros(kernel[-1], np.float32)]
    model.set_weights(weights)
    return model


def batches(seed: int, y: np.ndarray, steps: int, classes: int, per_class: int) -> np.ndarray:
    """Places in `y`, int64 `[steps, classes * per_class]`."""
    rng = np.random.default_rng([seed, 2])
    labels = np.unique(y)
    pool = {c: np.flatnonzero(y == c) for c in labels}
    out = np.empty((steps, classes * per_class), np.int64)
    for step in range(steps):
        drawn = rng.permutation(labels)[:classes]
        out[step] = np.concatenate([rng.choice(pool[c], per_class, replace=False) for c in drawn])
    return out


def score(model: keras.Model, task: Task) -> dict[str, float]:
    """The scores of the protocol."""

    def embed(x: np.ndarray) -> np.ndarray:
        return model.predict(x, batch_size=512, verbose=0)

    result = evaluate(
        embed(task.queries),
        task.query_labels,
        None if task.gallery is None else embed(task.gallery),
        task.gallery_labels,
        distance="euclidean",
        metrics=list(SCORES),
    )
    return {name: float(result[name]) for name in SCORES}


def model_for(task: Task, setting: Setting, loss: Any, seed: int) -> tuple[Any, keras.Model]:
    """The model that is trained, and the network inside that is scored."""
    body = network(task.x.shape[1:], seed)
    output = body.outputs[0]
    if setting.centers:
        classes = len(np.unique(task.y))
        head = ProxyHead(
            classes, setting.centers, learning_rate_multiplier=setting.proxy_rate / LEARNING_RATE
        )
        output = head(output)
        rng = np.random.default_rng([seed, 3])
        shape = (classes, setting.centers, body.output_shape[-1])
        proxies = rng.standard_normal(shape) * (np.sqrt(2 / classes) if setting.kaiming else 1.0)
        head.set_weights([(proxies / head.learning_rate_multiplier).astype(np.float32)])
    model = SimilarityModel(body.inputs[0], output)
    model.compile(keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-7), loss=loss)
    return model, body


def run(task: Task, setting: Setting, seed: int) -> dict[str, Any]:
    """Trains one model and scores it."""
    places = batches(seed, task.y, task.steps, task.classes_per_batch, task.per_class)
    loss = setting.loss()
    model, body = model_for(task, setting, loss, seed)
    before_memory = getattr(loss, "loss", loss)
    first = float(before_memory(task.y[places[0]], model(task.x[places[0]])))
    begin = time.perf_counter()
    for batch in places:
        model.train_on_batch(task.x[batch], task.y[batch])
    seconds = time.perf_counter() - begin
    sha = hashlib.sha256(places.tobytes()).hexdigest()[:16]
    return {
        "seed": seed,
        "loss_first": first,
        "batches_sha": sha,
        "seconds": seconds,
        **score(body, task),
    }


def line_of(name: str, runs: list[dict[str, Any]], peer: dict[str, Any] | None) -> str:
    """A row of the table."""
    line = f"{name:38}"
    for metric in ("map@r", "precision@1"):
        values = np.array([r[metric] for r in runs])
        line += f" {values.mean():8.4f} ±{values.std():.4f}"
        mean, std = (
            (peer[key][THEIR_NAMES[metric]] for key in ("mean", "std")) if peer else (np.nan,) * 2
        )
        line += f" | {mean:7.4f} ±{std:.4f}"
    first = peer and peer.get("loss_first")
    if first and "loss_first" in runs[0]:
        line += f" {runs[0]['loss_first']:10.5f}|{first[0]:.5f}"
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="glyphs")
    parser.add_argument("--losses", nargs="*", help=f"of {[*LOSSES, *DEFAULTS]}")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--json", help="keep all runs in this file; those it has are not repeated")
    options = parser.parse_args()
    data = task(options.data)
    theirs = json.loads((HERE / "data" / "pytorch_metric_learning.json").read_text())
    theirs = theirs["results"].get(options.data, {})
    settings = {**LOSSES, **DEFAULTS}
    kept = pathlib.Path(options.json) if options.json else None
    every: dict[str, Any] = json.loads(kept.read_text()) if kept and kept.exists() else {}

    print(f"{options.data}: {len(options.seeds)} seeds; mean ± standard deviation, ours | theirs")
    print(f"{'loss':38} {'MAP@R':>15} {'theirs':>17} {'P@1':>17} {'theirs':>17} {'first loss':>21}")
    for name in ["untrained", *(options.losses or settings)]:
        runs = every.setdefault(name, [])
        for seed in options.seeds:
            if any(r["seed"] == seed for r in runs):
                continue
            if name == "untrained":
                runs.append({"seed": seed, **score(network(data.x.shape[1:], seed), data)})
            else:
                runs.append(run(data, settings[name], seed))
            keras.utils.clear_session()
            if kept:
                kept.write_text(json.dumps(every, indent=1))
        print(line_of(name, runs, theirs.get(name)), flush=True)


if __name__ == "__main__":
    main()
