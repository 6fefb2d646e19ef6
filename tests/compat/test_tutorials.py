"""Programs as READMEs and tutorials have them, in our words, run with the named changes only.

Lines that begin with "-" are those of the older library, with "+" those here; all others are
the same. `tfsim migrate` must name each "-" line, and no other as failing.
"""

import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.compat import migration

PROGRAMS = {
    "README of TensorFlow Similarity 0.17": """
from tensorflow.keras import layers
from tensorflow_similarity.layers import MetricEmbedding
from tensorflow_similarity.losses import MultiSimilarityLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import TFDatasetMultiShotMemorySampler
from tensorflow_similarity.visualization import viz_neigbors_imgs

sampler = TFDatasetMultiShotMemorySampler(dataset_name="mnist", classes_per_batch=4)
inputs = layers.Input(shape=(28, 28, 1))
-x = layers.experimental.preprocessing.Rescaling(1 / 255)(inputs)
+x = layers.Rescaling(1 / 255)(inputs)
x = layers.Conv2D(4, 7, strides=4, activation="relu")(x)
x = layers.Flatten()(x)
outputs = MetricEmbedding(16)(x)
model = SimilarityModel(inputs, outputs)
model.compile("adam", loss=MultiSimilarityLoss())
model.fit(sampler, epochs=1, steps_per_epoch=2, verbose=0)

sx, sy = sampler.get_slice(0, 60)
model.index(x=sx, y=sy, data=sx, verbose=0)
qx, qy = sampler.get_slice(61, 1)
neighbors = model.single_lookup(qx[0])
viz_neigbors_imgs(qx[0], qy[0], neighbors, show=False)

assert len(neighbors) == 5
assert neighbors[0].data.shape == (28, 28, 1)
""",
    "README of the development branch": """
import tensorflow as tf
import tensorflow_similarity as tfsim

(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
sampler = tfsim.samplers.MultiShotMemorySampler(
    x_train, y_train, classes_per_batch=4, examples_per_class_per_batch=3, steps_per_epoch=2
)
inputs = tf.keras.layers.Input(shape=(28, 28))
x = tf.keras.layers.Rescaling(1 / 255)(inputs)
x = tf.keras.layers.Flatten()(x)
outputs = tfsim.layers.MetricEmbedding(8)(x)
model = tfsim.models.SimilarityModel(inputs, outputs)
-model.compile("adam", loss=tfsim.losses.TripletLoss(), search="linear", kv_store="memory")
+model.compile("adam", loss=tfsim.losses.TripletLoss(), search="exact")
model.fit(sampler, epochs=1, verbose=0)
-model.index(x_train, y_train, build=True, verbose=0)
+model.index(x_train, y_train, verbose=0)
-lookups = model.lookup(x_test, 3, 0)
+lookups = model.lookup(x_test, 3, verbose=0)

for row, label in zip(lookups, y_test):
    assert len(row) == 3
    assert row[0].distance <= row[1].distance
""",
    "README of the first versions": """
from tensorflow.keras import layers
from tensorflow_similarity.layers import MetricEmbedding
from tensorflow_similarity.losses import MultiSimilarityLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import TFDatasetMultiShotMemorySampler

sampler = TFDatasetMultiShotMemorySampler(
    dataset_name="mnist",
-    class_per_batch=4,
+    classes_per_batch=4,
)
inputs = layers.Input(shape=(28, 28, 1))
x = layers.Flatten()(inputs)
outputs = MetricEmbedding(8)(x)
model = SimilarityModel(inputs, outputs)
model.compile("adam", loss=MultiSimilarityLoss())
model.fit(sampler, epochs=1, steps_per_epoch=2, verbose=0)
sx, sy = sampler.get_slice(0, 20)
-model.index(sx, sy, sx, True, 0)
+model.index(sx, sy, sx, verbose=0)

assert model.index_size() == 20
""",
    "supervised tutorial": """
import numpy as np
import tensorflow as tf
import tensorflow_similarity as tfsim
from matplotlib import pyplot as plt

tfsim.utils.tf_cap_memory()
(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
CLASSES = [2, 3, 1, 7, 9, 6, 8, 5, 0, 4]
sampler = tfsim.samplers.MultiShotMemorySampler(
    x_train,
    y_train,
    classes_per_batch=6,
    examples_per_class_per_batch=4,
    class_list=CLASSES[:6],
    steps_per_epoch=3,
)


def get_model():
    inputs = tf.keras.layers.Input(shape=x_train.shape[1:])
-    x = tf.keras.layers.experimental.preprocessing.Rescaling(1 / 255)(inputs)
+    x = tf.keras.layers.Rescaling(1 / 255)(inputs)
    x = tf.keras.layers.Reshape((28, 28, 1))(x)
    x = tf.keras.layers.Conv2D(8, 5, strides=3, activation="relu")(x)
    x = tf.keras.layers.BatchNormalization()(x)
    x = tf.keras.layers.Flatten()(x)
    outputs = tfsim.layers.MetricEmbedding(16)(x)
    return tfsim.models.SimilarityModel(inputs, outputs)


model = get_model()
loss = tfsim.losses.MultiSimilarityLoss(distance="cosine")
metrics = [tfsim.training_metrics.dist_gap("cosine"), tfsim.training_metrics.avg_pos("cosine")]
model.compile(optimizer=tf.keras.optimizers.Adam(1e-3), loss=loss, metrics=metrics)
history = model.fit(sampler, epochs=2, validation_data=(x_test, y_test), verbose=0)
plt.plot(history.history["loss"])
plt.plot(history.history["val_loss"])

x_index, y_index = tfsim.samplers.select_examples(x_train, y_train, CLASSES, 5)
model.reset_index()
model.index(x_index, y_index, data=x_index, verbose=0)
x_show, y_show = tfsim.samplers.select_examples(x_test, y_test, CLASSES, 1)
neighbors = model.lookup(x_show, k=5, verbose=0)
for i in np.argsort(y_show)[:2]:
    tfsim.visualization.viz_neigbors_imgs(
        x_show[i], y_show[i], neighbors[i], fig_size=(16, 2), cmap="Greys", show=False
    )

calibration = model.calibrate(
    x_train[:60],
    y_train[:60],
    extra_metrics=["precision", "recall", "binary_accuracy"],
    verbose=0,
)
plt.plot(calibration.thresholds["distance"], calibration.thresholds["precision"])
print(calibration.cutpoints["optimal"]["distance"])
matches = model.match(x_show, cutpoint="optimal", no_match_label=10)
labels = [str(i) for i in range(10)] + ["Unknown"]
tfsim.visualization.confusion_matrix(
    matches, y_show, labels=labels, title="Confusion matrix", normalize=True, show=False
)
model.index_summary()
-model.save("models", save_index=True)
+model.save("models.keras")
-again = tf.keras.models.load_model("models")
+again = tf.keras.models.load_model("models.keras")
-again.load_index("models")
again.index_summary()

assert set(calibration.thresholds) >= {"distance", "precision", "recall", "binary_accuracy", "f1"}
assert {"loss", "val_loss", "dist_gap", "mean_pos"} <= set(history.history)
assert again.lookup(x_show, k=5, verbose=0) == neighbors
assert (again.match(x_show, no_match_label=10) == matches).all()
""",
    "unsupervised tutorial": """
import tensorflow as tf
import tensorflow_similarity as tfsim
-from tensorflow_similarity.augmenters import SimCLRAugmenter

(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
x_train = x_train[:64, :, :, None].astype("float32")
x_test = x_test[..., None].astype("float32")
-augmenter = SimCLRAugmenter(28, 28)
+augmenter = tf.keras.layers.RandomTranslation(0.1, 0.1)
-views = tf.data.Dataset.from_tensor_slices(x_train).map(augmenter.augment_img).batch(32)
+views = tf.data.Dataset.from_tensor_slices(x_train).batch(32)
-views = views.repeat()
backbone = tf.keras.Sequential(
    [tf.keras.layers.Input((28, 28, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(16)]
)
-projector = tfsim.models.contrastive_model.get_projector(input_dim=16, dim=8)
+projector = tf.keras.Sequential([tf.keras.layers.Dense(8), tf.keras.layers.BatchNormalization()])
-predictor = tfsim.models.contrastive_model.get_predictor(input_dim=8, hidden_dim=4)
+predictor = tf.keras.Sequential([tf.keras.layers.Dense(4), tf.keras.layers.Dense(8)])
model = tfsim.models.ContrastiveModel(
    backbone=backbone,
    projector=projector,
    predictor=predictor,
-    algorithm="simsiam",
+    augmenter=augmenter,
)
schedule = tfsim.schedules.WarmupCosineDecay(
    max_learning_rate=0.05, total_steps=10, warmup_steps=2
)
loss = tfsim.losses.SimSiamLoss(projection_type="cosine_distance", name="simsiam")
model.compile(optimizer=tf.keras.optimizers.SGD(schedule, momentum=0.9), loss=loss)
val = tfsim.callbacks.EvalCallback(
    x_test[:20],
    y_test[:20],
    x_test[20:],
    y_test[20:],
    metrics=["binary_accuracy"],
    k=1,
)
history = model.fit(views, epochs=2, callbacks=[val], verbose=0)

assert len(history.history["binary_accuracy"]) == 2
""",
    "callbacks and metrics": """
import tensorflow as tf
from tensorflow_similarity.callbacks import EvalCallback
from tensorflow_similarity.layers import MetricEmbedding
from tensorflow_similarity.losses import XBM, MultiSimilarityLoss, TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.retrieval_metrics import BNDCG, MapAtK, PrecisionAtK
from tensorflow_similarity.samplers import MultiShotMemorySampler

(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
sampler = MultiShotMemorySampler(x_train, y_train, classes_per_batch=5, steps_per_epoch=2)
inputs = tf.keras.layers.Input(shape=(28, 28))
model = SimilarityModel(inputs, MetricEmbedding(8)(tf.keras.layers.Flatten()(inputs)))
-loss = XBM(TripletLoss("cosine", "hard", "semi-hard", 0.2), memory_size=40)
+loss = XBM(TripletLoss("cosine", "hard", "semi-hard", margin=0.2), memory_size=40)
model.compile("sgd", loss=loss)
metrics = [PrecisionAtK(k=3), MapAtK(r={i: 6 for i in range(10)}, k=3), BNDCG(k=3)]
callback = EvalCallback(
    x_test[:30], y_test[:30], x_test[30:], y_test[30:], "cosine", ["f1score"], None, 1,
    "match_nearest", [0.3], [0, 1, 2], metrics,
)
stop = tf.keras.callbacks.EarlyStopping("precision@3", mode="max", patience=5)
history = model.fit(sampler, epochs=2, callbacks=[callback, stop], verbose=0)
model.index(x_train, y_train, verbose=0)
-scores = model.evaluate_retrieval(x_test, y_test, metrics, 0)
+scores = model.evaluate_retrieval(x_test, y_test, metrics, verbose=0)
-model.calibrate(x_test, y_test, rounding=3, verbose=0)
+model.calibrate(x_test, y_test, verbose=0)
model.evaluate_classification(x_test, y_test, extra_metrics=["precision"], verbose=0)

assert {"f1score", "f1score_known_classes"} <= set(history.history)
assert {"precision@3", "map@3", "ndcg@3"} <= set(history.history)
assert set(scores) == {"precision@3", "map@3", "ndcg@3"}
""",
    "tutorial of Addons on triplets": """
import io
import numpy as np
import tensorflow as tf
-import tensorflow_addons as tfa
+from tensorflow_similarity.compat import tensorflow_addons as tfa

(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
train = tf.data.Dataset.from_tensor_slices((x_train[..., None] / 255.0, y_train)).batch(32)
model = tf.keras.Sequential(
    [
        tf.keras.layers.Conv2D(4, 3, strides=3, activation="relu"),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(16, activation=None),
        tf.keras.layers.Lambda(lambda x: tf.math.l2_normalize(x, axis=1)),
    ]
)
model.compile(optimizer=tf.keras.optimizers.Adam(0.001), loss=tfa.losses.TripletSemiHardLoss())
history = model.fit(train, epochs=1, verbose=0)
results = model.predict(x_test[..., None] / 255.0, verbose=0)
np.savetxt("vecs.tsv", results, delimiter="\\t")
out = io.open("meta.tsv", "w", encoding="utf-8")
out.writelines(f"{label}\\n" for label in y_test)
out.close()

assert np.isfinite(history.history["loss"]).all()
assert np.loadtxt("vecs.tsv").shape == (len(x_test), 16)
""",
    "Addons in a training loop": """
import numpy as np
import tensorflow as tf
-import tensorflow_addons as tfa
+from tensorflow_similarity.compat import tensorflow_addons as tfa
-from tensorflow_addons.losses import ContrastiveLoss, npairs_loss
+from tensorflow_similarity.compat.tensorflow_addons import ContrastiveLoss, npairs_loss

x = tf.random.stateless_normal((12, 6), seed=(0, 0))
y = tf.constant([0, 0, 1, 1, 2, 2] * 2)
dense = tf.keras.layers.Dense(4)
with tf.GradientTape() as tape:
    embedding = tf.math.l2_normalize(dense(x), axis=1)
    logits = tf.matmul(embedding, embedding, transpose_b=True)
    loss = npairs_loss(y, logits) + tfa.losses.triplet_hard_loss(y, embedding, margin=0.5)
    distances = tf.norm(embedding[:6] - embedding[6:], axis=1)
    loss += ContrastiveLoss(margin=1.0)(tf.cast(y[:6] == y[6:], tf.float32), distances)
gradients = tape.gradient(loss, dense.trainable_variables)

assert all(np.isfinite(gradient).all() for gradient in gradients)
assert tfa.losses.metric_learning.pairwise_distance(embedding).shape == (12, 12)
""",
}


QUICK = ("README of TensorFlow Similarity 0.17", "Addons in a training loop", "supervised tutorial")


def versions(program):
    """The old program, the new one, and the numbers of the lines that only the old one has."""
    lines = program.splitlines()
    old = [line for line in lines if not line.startswith("+")]
    new = [line.removeprefix("+") for line in lines if not line.startswith("-")]
    removed = {number for number, line in enumerate(old, start=1) if line.startswith("-")}
    return "\n".join(line.removeprefix("-") for line in old), "\n".join(new), removed


@pytest.fixture
def data(monkeypatch, tmp_path):
    """A few digits in place of MNIST, from Keras and from TensorFlow Datasets."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 30, size=(10, 28, 28))

    def digits(count):
        y = (np.arange(count) % 10).astype("uint8")
        return (prototypes[y] + rng.integers(0, 225, size=(count, 28, 28))).astype("uint8"), y

    train, test = digits(120), digits(60)
    monkeypatch.setattr(tf.keras.datasets.mnist, "load_data", lambda: (train, test))
    module = types.ModuleType("tensorflow_datasets")
    examples = {"image": train[0][..., None], "label": train[1].astype("int64")}
    module.load = lambda name, **options: tf.data.Dataset.from_tensor_slices(examples)
    module.as_numpy = lambda dataset: dataset.as_numpy_iterator()
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    keras.utils.set_random_seed(0)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_changes_are_those_that_migrate_names(name):
    old, new, removed = versions(PROGRAMS[name])
    found = migration.changes(old)
    failing = {change.line for change in found if change.status == "gone"}
    assert failing <= removed
    if name != "unsupervised tutorial":  # where what makes the views is written anew
        named = {change.line for change in found if change.status != "renamed"}
        assert removed <= named
    assert not [change for change in migration.changes(new) if change.status == "gone"]


@pytest.mark.further("Addons in a training loop")
@pytest.mark.filterwarnings("ignore:.*not interactive.*:UserWarning")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")  # Keras to itself
@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PROGRAMS],
)
def test_programs_run(name, data):
    exec(compile(versions(PROGRAMS[name])[1], name, "exec"), {"__name__": "program"})
