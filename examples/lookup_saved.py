"""Looks up images with a saved model: nothing but the file and the package is needed.

python examples/lookup_saved.py MODEL.keras QUERIES.npy FOUND.npz
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras
import numpy as np

import tensorflow_similarity  # noqa: F401  registers the classes

model_path, queries_path, found_path = sys.argv[1:]
model = keras.saving.load_model(model_path)
neighbors = model.lookup(np.load(queries_path), k=5, verbose=0)
np.savez(found_path, ids=neighbors.ids, distances=neighbors.distances, labels=neighbors.labels)
