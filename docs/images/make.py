"""Draws the pictures of the documentation: python docs/images/make.py

They are committed, so that a build of the site needs neither data nor training.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import base64
import io
import json
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits

from tensorflow_similarity.callbacks import EvalCallback
from tensorflow_similarity.evaluation import evaluate, verify_trials
from tensorflow_similarity.index import Index
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler
from tensorflow_similarity.visualization import (
    confusion_matrix,
    distance_histogram,
    pair_histogram,
    projector,
    training_curves,
    verification_curves,
    viz_embeddings,
    viz_neighbors_grid,
    viz_neighbors_signals,
    viz_neighbors_text,
    worst_mistakes,
)

HERE = Path(__file__).parent
X, Y = load_digits(return_X_y=True)
X = (X / 16).astype("float32")
X_TRAIN, Y_TRAIN, X_TEST, Y_TEST = X[:900], Y[:900], X[900:], Y[900:]


def save(figure: Figure, name: str, dpi: int = 80) -> None:
    figure.savefig(HERE / f"{name}.png", dpi=dpi)
    print(name)


def trained(loss, dim=16, epochs=4, callbacks=()):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64,))
    h = keras.layers.Dense(128, activation="relu")(inputs)
    model = SimilarityModel(inputs, L2Embedding(dim)(h))
    model.compile(keras.optimizers.Adam(0.005), loss=loss)
    batches = MultiShotMemorySampler(
        X_TRAIN,
        Y_TRAIN,
        classes_per_batch=10,
        examples_per_class_per_batch=6,
        steps_per_epoch=50,
        seed=0,
    )
    history = model.fit(batches, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model, history


def mining() -> None:
    """What the strategies make of one small network."""
    strategies = {
        "hard positive, hard negative": ("hard", "hard"),
        "hard positive, semi-hard negative": ("hard", "semi-hard"),
        "easy positive, semi-hard negative": ("easy", "semi-hard"),
    }
    figure = Figure((11, 4.6), layout="constrained")
    for axis, (name, (positive, negative)) in zip(
        figure.subplots(1, 3), strategies.items(), strict=True
    ):
        loss = TripletLoss(
            positive_mining_strategy=positive, negative_mining_strategy=negative, margin=0.5
        )
        embeddings = trained(loss, dim=3)[0].predict(X_TEST, verbose=0)
        score = evaluate(embeddings, Y_TEST, metrics="map@r")["map@r"]
        cosine = (embeddings @ embeddings.T).mean()
        title = f"{name}\nMAP@R {score:.2f}, mean cosine {cosine:.2f}"
        viz_embeddings(embeddings, Y_TEST, axis=axis, title=title)
        axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))
    save(figure, "mining-outcome")


def digits() -> None:
    evaluation = EvalCallback(X_TEST, Y_TEST, metrics=())
    model, history = trained(TripletLoss(margin=0.3), epochs=8, callbacks=[evaluation])
    save(training_curves(history, ["loss", "precision_at_1", "map_at_r"], show=False), "curves", 64)
    images = X_TEST.reshape(-1, 8, 8)
    model.index(X_TRAIN, Y_TRAIN, data=X_TRAIN.reshape(-1, 8, 8), verbose=0)
    neighbors = model.lookup(X_TEST, k=5, verbose=0)
    model.calibrate(X_TEST[::2], Y_TEST[::2], verbose=0)
    cutpoint = model.vector_index.calibration
    save(viz_neighbors_grid(images[:3], neighbors[:3], Y_TEST[:3], show=False), "neighbors", 64)
    save(worst_mistakes(images, neighbors, Y_TEST, count=3, show=False)[0], "mistakes", 64)
    save(distance_histogram(neighbors, Y_TEST, cutpoint, show=False), "histogram")
    answers = model.match(X_TEST, cutpoint="optimal", verbose=0)
    save(confusion_matrix(y_true=Y_TEST, y_pred=answers, show=False)[0], "confusion")
    embeddings = model.predict(X_TEST, verbose=0)
    save(pair_histogram(embeddings, Y_TEST, cutpoint=cutpoint, show=False), "pairs")
    save(viz_embeddings(embeddings, Y_TEST, method="tsne", show=False), "embeddings")
    page = projector(
        embeddings,
        Y_TEST,
        images=images,
        title="897 handwritten digits",
        pt_size=3.5,
    )
    page.save(HERE / "projector.html")


def signals() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    time = np.linspace(0, 6, 120)
    speed = np.array([1.0, 2.2, 3.1])[labels] + 0.15 * rng.normal(size=90)
    heard = np.sin(speed[:, None] * time + rng.random((90, 1))) + 0.2 * rng.normal(size=(90, 120))
    index = Index(embedding_size=120, distance="cosine")
    index.add(heard[6:], labels=labels[6:], data=heard[6:])
    names = ["pump", "fan", "bearing"]
    found = index.lookup(heard[:3], k=4)
    save(viz_neighbors_signals(heard[:3], found, labels[:3], names, show=False), "signals", 64)


def verification() -> None:
    rng = np.random.default_rng(0)
    same = rng.random(2000) < 0.5
    trials = {
        name: verify_trials(same, distances=rng.normal(np.where(same, 0, gap)))
        for name, gap in (("before", 1), ("after", 3))
    }
    save(verification_curves(trials, show=False), "verification")


def texts() -> None:
    names = ["delivery", "account"]
    known = {
        "My parcel has not arrived yet": 0,
        "The package came, but it is empty": 0,
        "When will you ship the second half of my order?": 0,
        "Please close my account": 1,
        "I cannot log in since I changed my address": 1,
    }
    asked = ["Where is my parcel?", "Where can I change the address of my account?"]
    words = sorted(
        {word.strip("?.,").lower() for text in [*known, *asked] for word in text.split()}
    )

    def bag(text):
        return [sum(w.strip("?.,").lower() == word for w in text.split()) for word in words]

    index = Index(embedding_size=len(words), distance="cosine")
    index.add([bag(text) for text in known], labels=list(known.values()), data=list(known))
    found = index.lookup([bag(text) for text in asked], k=3)
    save(viz_neighbors_text(asked, found, [0, 1], names, width=7, show=False), "texts")


def gallery() -> None:
    """One picture of each notebook, small."""
    chosen = {"loss_zoo": 0, "text_similarity": 0, "calibration_and_matching": 0}
    # As much of it as can be read when it is small.
    parts = {"loss_zoo": (0, 0, 365, 290), "text_similarity": (0, 0, 300, 275)}
    for path in sorted((HERE.parents[1] / "examples").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        found = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
        image = Image.open(io.BytesIO(base64.b64decode(found[chosen.get(path.stem, -1)])))
        image = image.convert("RGB").crop(parts.get(path.stem, (0, 0, *image.size)))
        image.thumbnail((420, 320))
        image.quantize(64).save(HERE / f"gallery-{path.stem}.png", optimize=True)
        print(path.stem)


if __name__ == "__main__":
    gallery()
    verification()
    texts()
    signals()
    digits()
    mining()
