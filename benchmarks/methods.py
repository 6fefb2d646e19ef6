"""What the methods of training buy, each beside the same training without it.

    python benchmarks/methods.py                          # all, three seeds
    python benchmarks/methods.py --methods matryoshka compatible --seeds 0

Data: the characters of `data/glyphs.npz` (300, in 40 fonts each) at 14 × 14 pixels. Classes 0 to
149 are trained on, the others are unseen ones, which are scored, every other font of them: MAP@R
unless a column says otherwise. A dense network of 256 units, embeddings of 64, 300 batches of 16
characters in 8 fonts, Adam at 0.001. Nothing was tuned on the scored classes: settings are the
defaults, or stand below.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import tensorflow_similarity.losses as L
from tensorflow_similarity import regularizers
from tensorflow_similarity.callbacks import HardNegativeMining
from tensorflow_similarity.evaluation import evaluate, verify
from tensorflow_similarity.layers import CompatibleHead, L2Embedding, ProxyHead
from tensorflow_similarity.models import DualEncoder, SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler, QuerySampler

HERE = pathlib.Path(__file__).parent
STEPS, CLASSES, FONTS = 300, 16, 8
FONTS_OF_A_CLASS = 40

Scores = dict[str, dict[str, float]]


def glyphs() -> tuple[np.ndarray, np.ndarray]:
    """Images `[12000, 196]` in [0, 1], and the number of each one's character."""
    with np.load(HERE / "data" / "glyphs.npz") as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    small = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32) / 255
    order = np.argsort(labels, kind="stable")  # 40 rows of each, one after the other
    return small.reshape(-1, 196)[order], labels[order]


X, Y = glyphs()
SEEN = Y < 150
TRAIN, TEST = (X[SEEN], Y[SEEN]), (X[~SEEN][::2], Y[~SEEN][::2])


def network(
    size: int = 64, hidden: int = 256, regularizer: Any = None, inputs: Any = None
) -> tuple[Any, Any]:
    """The input and the embedding of a network."""
    inputs = keras.Input((196,)) if inputs is None else inputs
    layer = keras.layers.Dense(hidden, activation="relu")(inputs)
    return inputs, L2Embedding(size, activity_regularizer=regularizer)(layer)


def batches(seed: int, data: tuple[np.ndarray, np.ndarray] = TRAIN) -> MultiShotMemorySampler:
    """The batches of the protocol."""
    return MultiShotMemorySampler(
        *data,
        classes_per_batch=CLASSES,
        examples_per_class_per_batch=FONTS,
        steps_per_epoch=STEPS,
        seed=seed,
    )


def trained(
    loss: Any,
    seed: int,
    outputs: Callable[[Any, Any], Any] = lambda inputs, embedding: embedding,
    data: tuple[np.ndarray, np.ndarray] = TRAIN,
    sampler: Any = None,
    **options: Any,
) -> SimilarityModel:
    """A trained model of the embedding alone."""
    keras.utils.set_random_seed(seed)
    inputs, embedding = network(**options)
    model = SimilarityModel(inputs, outputs(inputs, embedding))
    model.compile(keras.optimizers.Adam(1e-3), loss=loss)
    model.fit(batches(seed, data) if sampler is None else sampler, verbose=0)
    alone = SimilarityModel(inputs, embedding)
    alone.create_index("cosine")
    return alone


def embed(model: Any, x: np.ndarray = TEST[0]) -> np.ndarray:
    return model.predict(x, batch_size=1024, verbose=0)


def score(embeddings: np.ndarray, labels: np.ndarray = TEST[1]) -> dict[str, float]:
    return {"map@r": float(evaluate(embeddings, labels, metrics=["map@r"])["map@r"])}


def matryoshka(seed: int) -> Scores:
    """Prefixes of an embedding of 64, and embeddings that were trained at that size."""
    sizes = (4, 8, 16, 32, 64)
    whole = embed(trained(L.NTXentLoss(), seed))
    nested = embed(trained(L.MatryoshkaLoss(L.NTXentLoss(), list(sizes)), seed))
    own = {size: embed(trained(L.NTXentLoss(), seed, size=size)) for size in sizes[:-1]}
    rows: Scores = {"cut": {}, "MatryoshkaLoss, cut": {}, "trained at that size": {}}
    for size in sizes:
        for name, found in (
            ("cut", whole[:, :size]),
            ("MatryoshkaLoss, cut", nested[:, :size]),
            ("trained at that size", own.get(size, whole)),
        ):
            rows[name][str(size)] = score(found)["map@r"]
    return rows


class Taught(keras.utils.PyDataset):
    """The batches of the protocol, with a teacher's embeddings for labels."""

    def __init__(self, seed: int, teacher: Any) -> None:
        super().__init__()
        self.batches, self.teacher = batches(seed), teacher

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        x, _ = self.batches[index]
        return x, np.asarray(self.teacher(x))


def distillation(seed: int) -> Scores:
    """A student of 16 hidden units, taught by labels or by a network of 1,024."""
    teacher = trained(L.NTXentLoss(), seed, hidden=1024)
    rows = {"teacher": score(embed(teacher))}
    student = trained(L.NTXentLoss(), seed, hidden=16)
    rows["student, from labels"] = score(embed(student))
    for loss in (
        L.EmbeddingDistillationLoss(),
        L.SimilarityDistillationLoss(),
        L.RelationalDistillationLoss(angle_weight=0),
    ):
        taught = trained(loss, seed, hidden=16, sampler=Taught(seed, teacher))
        rows[type(loss).__name__] = score(embed(taught))
    return rows


def compatible(seed: int) -> Scores:
    """An older model of half the classes and 64 units, and newer ones of all and 256."""
    half = TRAIN[1] < 75
    old = trained(L.NTXentLoss(), seed, data=(TRAIN[0][half], TRAIN[1][half]), hidden=64)
    old.trainable = False

    def beside(inputs: Any, embedding: Any) -> Any:
        return CompatibleHead()([embedding, old(inputs, training=False)])

    new = {
        "trained alone": trained(L.NTXentLoss(), seed),
        "EmbeddingDistillationLoss": trained(
            L.EmbeddingDistillationLoss(), seed, sampler=Taught(seed, old)
        ),
    }
    for weight in (0.3, 1.0, 3.0):
        loss = L.CompatibleLoss(L.NTXentLoss(), weight)
        new[f"CompatibleLoss, weight {weight}"] = trained(loss, seed, beside)
    rows = {}
    for name, model in new.items():
        result = model.compatible_with(old, *TEST, retrieval_metrics="map@r")
        rows[name] = {key: float(one["map@r"]) for key, one in result.results.items()}
    return rows


def hard_negatives(seed: int) -> Scores:
    """Characters in 39 fonts look for theirs in the 40th: the mean reciprocal rank."""
    first = np.arange(0, len(X), FONTS_OF_A_CLASS)
    others = np.delete(np.arange(len(X)), first)
    train = others[Y[others] < 150]
    test, unseen = others[Y[others] >= 150][::2], first[150:]
    rows = {}
    for name, number, options in (
        ("of the batch alone", 0, None),
        ("and 4 at random", 4, None),
        ("and 4 mined once", 4, {"every": 100}),
        ("and 4 mined each epoch", 4, {"every": 1}),
        ("and 4 mined from epoch 2 on", 4, {"start": 2}),
    ):
        keras.utils.set_random_seed(seed)
        inputs, embedding = network()
        model = DualEncoder(keras.Model(inputs, embedding))
        model.compile(keras.optimizers.Adam(1e-3), L.MultiNegativesRankLoss("cosine"))
        sampler = QuerySampler(
            X[train], X[first[:150]], Y[train], batch_size=16, num_negatives=number or 1, seed=seed
        )
        data = WithoutNegatives(sampler) if not number else sampler
        mining = [HardNegativeMining(sampler, **options)] if options else []
        model.fit(data, epochs=3, callbacks=mining, verbose=0, shuffle=False)
        result = evaluate(
            embed(model, X[test]), Y[test], embed(model, X[unseen]), Y[unseen], metrics=["mrr"]
        )
        rows[name] = {"mrr": float(result["mrr"])}
    return rows


class WithoutNegatives(keras.utils.PyDataset):
    """Pairs alone."""

    def __init__(self, sampler: QuerySampler) -> None:
        super().__init__()
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __getitem__(self, index: int) -> Any:
        x, y = self.sampler[index]
        return x, {"candidates": y["candidates"], "ids": y["ids"]}

    def on_epoch_end(self) -> None:
        self.sampler.on_epoch_end()


class TwoFonts(keras.utils.PyDataset):
    """Pairs of images of one character, each character once in a batch."""

    def __init__(self, seed: int, size: int) -> None:
        super().__init__()
        self.seed, self.size = seed, size

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> Any:
        rng = np.random.default_rng([self.seed, index])
        characters = rng.choice(150, self.size, replace=False)
        fonts = np.argsort(rng.random((self.size, FONTS_OF_A_CLASS)), axis=1)[:, :2]
        left, right = (characters[:, None] * FONTS_OF_A_CLASS + fonts).T
        return TRAIN[0][left], TRAIN[0][right]


def pairs(seed: int) -> Scores:
    """Losses on two views, of two fonts, by the size of the batch."""
    rows: Scores = {}
    for name, loss in (
        ("SimCLRLoss(0.1)", lambda: L.SimCLRLoss(temperature=0.1)),
        ("DecoupledContrastiveLoss()", L.DecoupledContrastiveLoss),
        ("DecoupledContrastiveLoss(sigma=0.5)", lambda: L.DecoupledContrastiveLoss(sigma=0.5)),
        ('MultiNegativesRankLoss("cosine")', lambda: L.MultiNegativesRankLoss("cosine")),
        ("SigmoidContrastiveLoss()", L.SigmoidContrastiveLoss),
    ):
        rows[name] = {}
        for size in (8, 32, 128):
            keras.utils.set_random_seed(seed)
            inputs, embedding = network()
            model = DualEncoder(keras.Model(inputs, embedding))
            model.compile(keras.optimizers.Adam(1e-3), loss())
            model.fit(TwoFonts(seed, size), verbose=0)
            rows[name][f"batch {size}"] = score(embed(model))["map@r"]
    return rows


def proxies(seed: int) -> Scores:
    """Losses on proxies and penalties on them; known classes are those trained on, in 10 fonts
    that were not."""
    font = np.arange(len(TRAIN[0])) % FONTS_OF_A_CLASS
    fit, held = font < 30, font >= 30
    data = TRAIN[0][fit], TRAIN[1][fit]

    def head(centers: int = 1, regularizer: Any = None) -> Callable[[Any, Any], Any]:
        return lambda inputs, embedding: ProxyHead(
            150, centers, learning_rate_multiplier=10, proxy_regularizer=regularizer
        )(embedding)

    rows: Scores = {}
    for name, loss, outputs in (
        ("NormalizedSoftmaxLoss()", L.NormalizedSoftmaxLoss(), head()),
        ("P2SGradLoss()", L.P2SGradLoss(), head()),
        ("ArcFaceLoss()", L.ArcFaceLoss(), head()),
        ("… RegularFace(1.0)", L.ArcFaceLoss(), head(1, regularizers.RegularFace(1.0))),
        ("… ZeroMean(0.1)", L.ArcFaceLoss(), head(1, regularizers.ZeroMean(0.1))),
        ("SoftTripleLoss()", L.SoftTripleLoss(), head(5)),
        ("… SparseCenters(0.2)", L.SoftTripleLoss(), head(5, regularizers.SparseCenters(0.2))),
    ):
        model = trained(loss, seed, outputs, data)
        known = score(embed(model, TRAIN[0][held]), TRAIN[1][held])["map@r"]
        rows[name] = {"unseen": score(embed(model))["map@r"], "known": known}
    return rows


def rankings(seed: int) -> Scores:
    """Losses on the ranking."""
    losses = {"SmoothAPLoss()": L.SmoothAPLoss()}
    losses |= {f'PNPLoss("{one}")': L.PNPLoss(variant=one) for one in ("Dq", "Ds", "Iu", "Ib", "O")}
    return {name: score(embed(trained(loss, seed))) for name, loss in losses.items()}


def additions(seed: int) -> Scores:
    """What is added to a loss: `eer` is the equal error rate of one threshold on unseen classes,
    and `spread` the standard deviation over classes of the false accept rate there."""
    base = L.NTXentLoss()
    rows: Scores = {}
    for name, loss, regularizer in (
        ("NTXentLoss()", base, None),
        ("… + ThresholdConsistentMarginLoss()", L.ThresholdConsistentMarginLoss(), None),
        ("… + IntraPairVarianceLoss()", L.IntraPairVarianceLoss(), None),
        ("… KoLeo(0.1)", None, regularizers.KoLeo(0.1)),
        ("… KoLeo(1.0)", None, regularizers.KoLeo(1.0)),
    ):
        added = base if loss in (None, base) else L.WeightedSumLoss([base, loss])
        found = embed(trained(added, seed, regularizer=regularizer))
        verified = verify(found, TEST[1])
        rows[name] = {
            **score(found),
            "eer": float(verified.eer),
            "spread": spread(found, TEST[1], float(verified.eer_distance)),
        }
    return rows


def spread(embeddings: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """The standard deviation over classes of the share of others within a distance."""
    near = 1 - embeddings @ embeddings.T <= threshold
    other = labels[:, None] != labels[None, :]
    rates = (near & other).sum(axis=1) / other.sum(axis=1)
    return float(np.std([rates[labels == label].mean() for label in np.unique(labels)]))


METHODS = {
    method.__name__: method
    for method in (
        matryoshka,
        distillation,
        compatible,
        hard_negatives,
        pairs,
        proxies,
        rankings,
        additions,
    )
}


def table(runs: list[Scores]) -> str:
    """Rows of means and standard deviations over the seeds, in Markdown."""
    columns = list(next(iter(runs[0].values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in runs[0]:
        cells = []
        for column in columns:
            values = np.array([run[name][column] for run in runs])
            cells.append(f"{values.mean():.3f} ± {values.std():.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--json", help="keep all runs in this file; those it has are not repeated")
    options = parser.parse_args()
    kept = pathlib.Path(options.json) if options.json else None
    every: dict[str, dict[str, Scores]] = (
        json.loads(kept.read_text()) if kept and kept.exists() else {}
    )
    for name in options.methods:
        runs = every.setdefault(name, {})
        for seed in options.seeds:
            if str(seed) not in runs:
                runs[str(seed)] = METHODS[name](seed)
                keras.utils.clear_session()
                if kept:
                    kept.write_text(json.dumps(every, indent=1))
        print(f"\n{name}: {METHODS[name].__doc__}\n", flush=True)
        print(table([runs[str(seed)] for seed in options.seeds]), flush=True)


if __name__ == "__main__":
    main()
