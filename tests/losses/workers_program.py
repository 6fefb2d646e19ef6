"""Training in processes of `MultiWorkerMirroredStrategy`; `test_replicas.py` runs it.

    python tests/losses/workers_program.py FILE.npz

With `TF_CONFIG` in the environment it is one of the workers, else it trains alone. Writes what
training came to.
"""

import os
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf

from tensorflow_similarity import losses, training_metrics
from tensorflow_similarity.models import SimilarityModel

X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
Y = np.arange(32) // 8  # In the order of the classes: a worker alone would see one or two.


def trained(strategy, make_loss):
    """Weights, the metric, the memory, and the answers of the index."""
    # Keras' own `fit` cannot read the batches of this strategy, whatever the loss.
    strategy = strategy or tf.distribute.get_strategy()
    workers = strategy.num_replicas_in_sync
    with strategy.scope():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6,))
        model = SimilarityModel(inputs, keras.layers.Dense(4)(inputs))
        optimizer, loss = keras.optimizers.SGD(0.1), make_loss()
        model.compile(optimizer, loss, jit_compile=False)
        optimizer.build(model.trainable_variables)
        metric = training_metrics.MeanCosine()
        memory = getattr(loss, "memory", None)
        if memory is not None:
            memory.build((None, 4))

    def step_of_replica(x, y):
        with tf.GradientTape() as tape:
            embeddings = model(x, training=True)
            training = {} if memory is None else {"training": True}
            value = loss(y, embeddings, **training)
        metric.update_state(y, embeddings)
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    @tf.function(autograph=False)
    def step(x, y):
        strategy.run(step_of_replica, args=(x, y))

    for batch in (slice(0, 16), slice(16, 32), slice(0, 16), slice(16, 32)):

        def part(context, batch=batch, of=X):
            rows = np.array_split(of[batch], workers)
            return tf.constant(rows[context.replica_id_in_sync_group])

        spread = strategy.experimental_distribute_values_from_function
        step(spread(part), spread(lambda context, part=part: part(context, of=Y)))
    yield from (np.asarray(weight) for weight in model.get_weights())
    yield np.asarray(metric.result())
    if memory is not None:
        yield keras.ops.convert_to_numpy(memory.labels)
    model.index(X, Y, verbose=0)
    yield np.asarray(model.lookup(X[:5], k=3, verbose=0).ids)
    yield np.asarray(model.evaluate_retrieval(X + 0.01, Y, verbose=0)["precision@1"])
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        yield np.asarray(keras.saving.load_model(f"{folder}/model.keras").predict(X, verbose=0))


if __name__ == "__main__":
    strategy = tf.distribute.MultiWorkerMirroredStrategy() if "TF_CONFIG" in os.environ else None
    cases = [
        lambda: losses.MultiSimilarityLoss(),
        lambda: losses.CrossBatchMemory(losses.TripletLoss(), memory_size=24),
    ]
    results = [array for loss in cases for array in trained(strategy, loss)]
    np.savez(sys.argv[1], *results)
