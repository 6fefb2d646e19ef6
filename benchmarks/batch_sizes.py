"""What larger batches buy on real data.

    python benchmarks/batch_sizes.py --seeds 0 1 2 --json sizes.json
    python benchmarks/batch_sizes.py --seeds 0 --steps 400 --rates same --json steps.json

The recipe for glyphs in docs/recipes.md (`NTXentLoss`, averaged weights, images moved by up to two
pixels) with batches of 128 to 4,096. All of them see 204,800 images, so that a batch twice as large
takes half as many steps, unless `--steps` sets a number for all. The learning rate is Adam's of the
protocol, or that times the square root of the batch over 128 (`--rates`). The training data has 150
classes of 40 images. The network goes through a batch 128 images at a time (`micro_batch_size`).
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from typing import Any

import keras
import numpy as np
from quality import LEARNING_RATE, SCORES, Task, batches, network, score, task
from recipes import shifted

from tensorflow_similarity.losses import NTXentLoss
from tensorflow_similarity.models import SimilarityModel

EXAMPLES = 204_800
# Classes and images of each, in a batch.
SHAPES = {128: (16, 8), 512: (64, 8), 1024: (128, 8), 2048: (128, 16), 4096: (128, 32)}


def run(data: Task, batch: int, rate: str, seed: int, steps: int) -> dict[str, Any]:
    """Trains with batches of a size and scores."""
    scale = np.sqrt(batch / 128) if rate == "scaled" else 1.0
    body = network(data.x.shape[1:], seed)
    model = SimilarityModel(body.inputs[0], body.outputs[0])
    # Averages over as many examples whatever the batch: .98 for each 512.
    momentum = 0.98 ** (batch / 512)
    optimizer = keras.optimizers.Adam(
        LEARNING_RATE * scale, epsilon=1e-7, use_ema=True, ema_momentum=momentum
    )
    model.compile(optimizer, NTXentLoss(), micro_batch_size=128)
    rng = np.random.default_rng([seed, 4])
    begin = time.process_time()
    for rows in batches(seed, data.y, steps, *SHAPES[batch]):
        model.train_on_batch(shifted(data.x[rows], rng), data.y[rows])
    seconds = time.process_time() - begin
    optimizer.finalize_variable_values(model.trainable_variables)
    return {"seed": seed, "seconds": seconds, **score(body, data)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--batches", nargs="+", type=int, default=[*SHAPES], choices=[*SHAPES])
    parser.add_argument("--rates", nargs="+", default=["same", "scaled"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of every size; all see 204,800 images without")
    parser.add_argument("--json", help="keep all runs in this file; those it has are not repeated")
    options = parser.parse_args()
    data = task("glyphs")
    kept = pathlib.Path(options.json) if options.json else None
    every: dict[str, Any] = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for seed in options.seeds:
        for rate in options.rates:
            for batch in options.batches:
                if batch == 128 and rate == "scaled":
                    continue
                runs = every.setdefault(f"{batch}, {rate} rate", [])
                if all(each["seed"] != seed for each in runs):
                    runs.append(run(data, batch, rate, seed, options.steps or EXAMPLES // batch))
                    keras.utils.clear_session()
                    if kept:
                        kept.write_text(json.dumps(every, indent=1))
    for name, runs in every.items():
        text = f"{name:20}"
        for metric in SCORES:
            values = np.array([each[metric] for each in runs])
            text += f" {metric} {values.mean():.4f} ± {values.std():.4f}"
        print(f"{text} {np.median([each['seconds'] for each in runs]):.0f} CPU s")


if __name__ == "__main__":
    main()
