"""`tfsim migrate` finds what programs must change. Ten programs as people write them, in our words.

A comment at the end of a line says what is to be listed there; where there is none, nothing is.
"""

import json
import re

import pytest

from tensorflow_similarity.cli import main
from tensorflow_similarity.compat import migration

PROGRAMS = {
    "hello world with images": """
import tensorflow as tf
import tensorflow_similarity as tfsim

tfsim.utils.tf_cap_memory()  # renamed
(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
sampler = tfsim.samplers.MultiShotMemorySampler(  # changed
    x_train, y_train, classes_per_batch=8, steps_per_epoch=200, warmup=5  # gone
)
inputs = tf.keras.layers.Input(shape=(28, 28, 1))
x = tf.keras.layers.Conv2D(32, 3, activation="relu")(inputs)
x = tf.keras.layers.Flatten()(x)
outputs = tfsim.layers.MetricEmbedding(64)(x)
model = tfsim.models.SimilarityModel(inputs, outputs)  # changed
model.compile(tf.keras.optimizers.Adam(1e-3), loss=tfsim.losses.MultiSimilarityLoss())
model.fit(sampler, epochs=10)
model.index(x_train[:200], y_train[:200], data=x_train[:200])
neighbors = model.single_lookup(x_test[0])
tfsim.visualization.viz_neigbors_imgs(x_test[0], 7, neighbors)  # renamed
tfsim.visualization.projector(x_test, class_mapping=["a"])  # changed renamed
""",
    "names imported one by one": """
from tensorflow_similarity.layers import MetricEmbedding
from tensorflow_similarity.losses import MultiSimilarityLoss, TripletLoss  # changed
from tensorflow_similarity.models import SimilarityModel as Model  # changed
from tensorflow_similarity.samplers import select_examples

loss = TripletLoss("cosine", "hard", "semi-hard", 0.2)  # gone
other = TripletLoss("cosine", "hard", "semi-hard", margin=0.2)
model = Model.from_model(None)
model.compile("adam", loss=loss, kv_store="memory")  # gone
model.index(select_examples, None, None, False)  # gone
model.lookup([1], 5, 0)  # gone
model.lookup([1], k=5, verbose=0)
""",
    "an unsupervised program": """
from tensorflow_similarity.augmenters import SimCLRAugmenter  # gone
from tensorflow_similarity.losses import Barlow, SimSiamLoss  # renamed
from tensorflow_similarity.models import ContrastiveModel, create_contrastive_model  # changed gone
from tensorflow_similarity.schedules import WarmupCosineDecay  # renamed
from tensorflow_similarity import visualization

def train(backbone, projector, predictor, x):
    model = ContrastiveModel(
        backbone=backbone, projector=projector, predictor=predictor, algorithm="simsiam"  # gone
    )
    model.compile(optimizer="sgd", loss=SimSiamLoss(projection_type="cosine_distance"))
    visualization.visualize_views(x, num_imgs=16)  # gone
    return model
""",
    "callbacks and metrics": """
import tensorflow_similarity as tfsim
from tensorflow_similarity.callbacks import EvalCallback, SplitValidationLoss  # changed gone
from tensorflow_similarity.training_metrics import avg_neg, avg_pos  # changed changed
from tensorflow_similarity.retrieval_metrics import MapAtK, RecallAtK  # changed
import tensorflow_similarity.classification_metrics as metrics

callback = EvalCallback(
    [1], [1], targets=[2], targets_labels=[2], k=1  # gone
)
model.compile("adam", tfsim.losses.PNLoss(), [avg_pos("cosine")])  # changed
model.evaluate_retrieval([1], [1], [RecallAtK(k=1)], 0)  # gone
model.calibrate([1], [1], {}, rounding=3)  # gone
metrics.make_classification_metric("f1")
""",
    "an index by itself": """
from tensorflow_similarity.indexer import Indexer  # gone
from tensorflow_similarity.search import NMSLibSearch  # gone
from tensorflow_similarity.stores import MemoryStore  # gone
from tensorflow_similarity.types import FloatTensor, Lookup  # renamed renamed

def look(x: FloatTensor) -> list[Lookup]:
    index = Indexer(embedding_size=3, distance="cosine")
    return index.single_lookup(x)
""",
    "files": """
import numpy as np
import tensorflow as tf
from tensorflow_similarity.models import SimilarityModel  # changed

model = tf.keras.models.load_model("my_model")  # gone
model.load_index("my_model")  # changed
model.save("my_model", save_index=True, compression=False)  # gone gone gone
model.save("my_model.keras")
layer = tf.keras.layers.experimental.preprocessing.Rescaling(1 / 255)  # gone
model.save_index("index", True)  # gone
np.save("x.npy", np.zeros(3), True)
frame = model.to_data_frame(num_items=10)  # gone
frame = model.to_data_frame(0)  # gone
""",
    "Addons in an old tutorial": """
import io
import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa  # gone

model = tf.keras.Sequential([tf.keras.layers.Dense(8)])
model.compile(
    optimizer=tf.keras.optimizers.Adam(0.001),
    loss=tfa.losses.TripletSemiHardLoss(),  # changed
)
np.savetxt("vecs.tsv", model.predict(np.zeros((3, 2))), delimiter=" ")
""",
    "Addons beyond losses": """
from tensorflow_addons.losses import npairs_loss, ContrastiveLoss  # gone renamed
from tensorflow_addons.losses.metric_learning import pairwise_distance  # gone renamed
import tensorflow_addons as tfa  # gone

optimizer = tfa.optimizers.AdamW(1e-4)  # gone
loss = tfa.losses.SigmoidFocalCrossEntropy()  # gone
""",
    "own losses and distances": """
import tensorflow as tf
from tensorflow_similarity.algebra import build_masks  # gone
from tensorflow_similarity.distances import Distance, distance_canonicalizer  # changed renamed
from tensorflow_similarity.losses import MetricLoss  # changed

class Mine(MetricLoss):
    def __init__(self, distance="cosine", **kwargs):
        super().__init__(None, name="mine", distance=distance_canonicalizer(distance), **kwargs)

class Other(Distance):
    def call(self, a, b):
        return tf.matmul(a, b, transpose_b=True)

MetricLoss(fn=None)  # gone
""",
    "a program for Keras 2 and older engines": """
import os
import re

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # gone
try:
    import tf_keras  # gone
except ImportError:
    pass
import tensorflow_similarity.api.losses as losses
from tensorflow_similarity.architectures import EfficientNetSim, ResNet18Sim  # gone
from tensorflow_similarity.never import nothing  # gone

loss = losses.XBM(losses.TripletLoss(), memory_size=1000, warmup_steps=10)  # renamed changed
model = EfficientNetSim((32, 32, 3))
model.create_index("cosine", search="linear", evaluator="memory")  # gone gone
model.create_index("cosine", "nmslib", "memory", "memory")  # gone
model.index_single([1], 1, verbose=0)  # gone
re.match("a", "b", 0)
""",
}


def expected(program):
    """`(line, status)` of what the comments say."""
    for number, line in enumerate(program.splitlines(), start=1):
        marks = re.search(r"  # ((?:gone|changed|renamed)(?: (?:gone|changed|renamed))*)$", line)
        for status in marks[1].split() if marks else []:
            yield number, status


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    program = PROGRAMS[name]
    found = migration.changes(program)
    assert sorted((change.line, change.status) for change in found) == sorted(expected(program))
    for change in found:
        assert change.name
        assert change.advice.endswith((".", '"'))


def test_the_advice_is_that_of_the_errors():
    found = migration.changes(PROGRAMS["names imported one by one"])
    by_name = {change.name: change.advice for change in found}
    assert "records are found" in by_name["SimilarityModel.index()"]
    assert "`margin=`" in by_name["TripletLoss()"]
    (compile_,) = [name for name in by_name if "compile" in name]
    assert compile_ == "SimilarityModel.compile(kv_store=)"


def test_what_has_nothing_to_do_with_the_libraries_is_left_alone():
    program = "import numpy as np\nnp.save('x', 1, True)\nmodel.lookup(x, 5, 0)\nrow.index(1, 2)\n"
    assert migration.changes(program) == []


@pytest.mark.parametrize("text", ["print 'a'", "def f(:", "x = (1"])
def test_what_is_no_python_3_is_refused(text):
    with pytest.raises(ValueError, match="Line 2 is not Python 3"):
        migration.changes(f"import tensorflow_similarity\n{text}\n")


NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["import tensorflow_addons"]},
        {
            "cell_type": "code",
            "source": ["!pip install tensorflow_similarity\n", "%matplotlib inline"],
        },
        {
            "cell_type": "code",
            "source": ["import tensorflow_similarity as tfsim\n", "if True:\n", "    %time 1\n"],
        },
        {"cell_type": "code", "source": "%%time\nmodel.index(x, y, build=False)\ntfsim.indexer?"},
        {"cell_type": "code", "source": "%%bash\nls -l && echo $("},
        {"cell_type": "code", "source": ["tfsim.augmenters.SimCLRAugmenter()"]},
    ]
}


def test_notebooks():
    found = migration.notebook_changes(NOTEBOOK)
    assert [(each.cell, each.line, each.status) for each in found] == [
        (4, 2, "gone"),
        (6, 1, "gone"),
    ]
    broken = {"cells": [*NOTEBOOK["cells"], {"cell_type": "code", "source": "x = 1\nx = ="}]}
    with pytest.raises(ValueError, match="Cell 7, line 2"):
        migration.notebook_changes(broken)
    for wrong in ({}, {"cells": None}):
        with pytest.raises(ValueError, match="cells"):
            migration.notebook_changes(wrong)


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.py").write_text(PROGRAMS["an index by itself"])
    (tmp_path / "two.ipynb").write_text(json.dumps(NOTEBOOK))
    assert main(["migrate", "one.py", "two.ipynb"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one.py:2: must change: tensorflow_similarity.indexer.Indexer: use ")
    assert "two.ipynb:cell 4, line 2: must change: SimilarityModel.index(build=): " in lines[-3]
    assert lines[-1].startswith("must change: 5, differs: 0, has another name: 2.")
    assert main(["migrate", "--json", "one.py"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["file"], row["line"]) for row in rows] == [
        ("one.py", line) for line, _ in expected(PROGRAMS["an index by itself"])
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.py", None, "exists"),
        ("text.txt", "a", r"\.py"),
        ("old.py", "print 1", "old.py.*Line 1"),
        ("broken.ipynb", "{", "broken.ipynb"),
    ],
)
def test_mistakes_get_a_line(capsys, tmp_path, monkeypatch, name, text, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    assert main(["migrate", name]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
