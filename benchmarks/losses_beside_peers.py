"""The losses beside those of pytorch-metric-learning and TensorFlow Similarity 0.17.

Each library runs in a process of its own, with an interpreter of its own, and is
asked in turn, so that what else the machine does hits all alike:

    python -m venv /tmp/pml && /tmp/pml/bin/pip install torch pytorch-metric-learning
    python -m venv /tmp/tfsim && /tmp/tfsim/bin/pip install tensorflow tf-keras \
        tensorflow_similarity==0.17.1
    python benchmarks/losses_beside_peers.py --pml /tmp/pml/bin/python \
        --tfsim /tmp/tfsim/bin/python

Value and gradient of one batch of unit vectors of 128 dimensions, float32, four
examples a class, seconds of the fastest of some rounds. Ours and TensorFlow Similarity's run as a
`tf.function`, as in `fit`, pytorch-metric-learning's as it is used, eagerly. A loss
that a library has not, or that does not fit the memory, is left blank. Where the
definitions differ (means, miners), the nearest is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from processes import Asked

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
DIM, PER_CLASS = 128, 4
#: ours -> (arguments here; pytorch-metric-learning's loss and miner; TensorFlow Similarity's)
LOSSES: dict[str, tuple[str, str, str]] = {
    "TripletHardLoss": (
        "margin=0.2",
        "TripletMarginLoss(margin=0.2), BatchHardMiner()",
        "TripletLoss(distance='euclidean', negative_mining_strategy='hard', margin=0.2)",
    ),
    "TripletLoss": ("", "", "TripletLoss(margin=1.0)"),
    "TripletSemiHardLoss": (
        "margin=0.2, distance='euclidean'",
        "TripletMarginLoss(margin=0.2), TripletMarginMiner(0.2, type_of_triplets='semihard')",
        "",
    ),
    "TripletAllLoss": ("margin=0.2, distance='euclidean'", "TripletMarginLoss(margin=0.2)", ""),
    "ContrastiveLoss": ("distance='euclidean', power=1", "ContrastiveLoss()", ""),
    "NpairsLoss": ("", "NPairsLoss()", ""),
    "LiftedStructLoss": ("", "LiftedStructureLoss()", ""),
    "GeneralizedLiftedStructLoss": ("", "GeneralizedLiftedStructureLoss()", ""),
    "MultiSimilarityLoss": (
        "",
        "MultiSimilarityLoss(), MultiSimilarityMiner()",
        "MultiSimilarityLoss()",
    ),
    "CircleLoss": ("", "CircleLoss()", "CircleLoss()"),
    "PNLoss": ("", "", "PNLoss()"),
    "SoftNearestNeighborLoss": ("", "", "SoftNearestNeighborLoss()"),
    "NCALoss": ("", "NCALoss()", ""),
    "SupConLoss": ("", "SupConLoss()", ""),
    "NTXentLoss": ("", "NTXentLoss()", ""),
    "MarginLoss": ("", "MarginLoss()", ""),
    "TupletMarginLoss": ("", "TupletMarginLoss()", ""),
    "IntraPairVarianceLoss": ("", "IntraPairVarianceLoss()", ""),
    "SNRContrastiveLoss": ("", "SignalToNoiseRatioContrastiveLoss()", ""),
    "FastAPLoss": ("", "FastAPLoss()", ""),
    "HistogramLoss": ("", "HistogramLoss(n_bins=100)", ""),
    "RankedListLoss": ("alpha=1.2, Tn=10", "RankedListLoss(margin=0.4, Tn=10)", ""),
    "SmoothAPLoss": ("", "SmoothAPLoss()", ""),
    "RecallAtKSurrogateLoss": ("", "", ""),
    "AngularLoss": ("", "AngularLoss()", ""),
    "ArcFaceLoss": ("", "ArcFaceLoss(num_classes=C, embedding_size=D)", ""),
    "SubCenterArcFaceLoss": ("", "SubCenterArcFaceLoss(num_classes=C, embedding_size=D)", ""),
    "CosFaceLoss": ("", "CosFaceLoss(num_classes=C, embedding_size=D)", ""),
    "SphereFaceLoss": ("", "SphereFaceLoss(num_classes=C, embedding_size=D)", ""),
    "NormalizedSoftmaxLoss": ("", "NormalizedSoftmaxLoss(num_classes=C, embedding_size=D)", ""),
    "ProxyNCALoss": ("", "ProxyNCALoss(num_classes=C, embedding_size=D)", ""),
    "ProxyAnchorLoss": ("", "ProxyAnchorLoss(num_classes=C, embedding_size=D)", ""),
    "SoftTripleLoss": ("", "SoftTripleLoss(num_classes=C, embedding_size=D)", ""),
    "SimCLRLoss": ("", "", "SimCLRLoss()"),
    "BarlowTwinsLoss": ("", "", "Barlow()"),
    "VICRegLoss": ("", "VICRegLoss()", "VicReg()"),
}
CENTERS = {"SubCenterArcFaceLoss": 3, "SoftTripleLoss": 10}
#: On the similarities of one anchor and one positive of each class, as the peer takes them.
OF_PAIRS = ("NpairsLoss",)
TWO_VIEWS = ("SimCLRLoss", "BarlowTwinsLoss", "VICRegLoss")


def batch_of(size: int) -> tuple[Any, Any, Any]:
    """Embeddings of unit length, their class ids, and a second view."""
    import numpy as np

    rng = np.random.default_rng(0)
    x, other = (rng.normal(size=(size, DIM)).astype("float32") for _ in range(2))
    x, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, other))
    return x, np.arange(size) // PER_CLASS, other


def in_tensorflow(tf: Any, loss: Any, size: int, name: str) -> Callable[[], None]:
    """A step of a loss that is called with labels and embeddings."""
    x, y, other = (tf.constant(v) for v in batch_of(size))
    first = other if name in TWO_VIEWS else y

    @tf.function
    def step(first: Any, x: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(first, x)
        return value, tf.convert_to_tensor(tape.gradient(value, x))

    return lambda: step(first, x)[1].numpy()


def ours(name: str, size: int) -> Callable[[], None]:
    import tensorflow as tf

    from tensorflow_similarity import layers, losses

    loss = eval(f"losses.{name}({LOSSES[name][0]})", {"losses": losses})
    if isinstance(loss, losses.ProxyLoss):
        head, inner = layers.ProxyHead(size // PER_CLASS, CENTERS.get(name, 1)), loss
        head.build((None, DIM))
        x, y, _ = (tf.constant(v) for v in batch_of(size))
        weights = head.trainable_variables

        @tf.function
        def step(y: Any, x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = inner(y, head(x))
            return tape.gradient(value, [x, *weights])

        return lambda: step(y, x)[0].numpy()
    if name in OF_PAIRS:
        of_values = loss

        def loss(y: Any, x: Any) -> Any:
            anchors, positives = x[::PER_CLASS], x[1::PER_CLASS]
            return of_values(y[::PER_CLASS], tf.matmul(anchors, positives, transpose_b=True))

    return in_tensorflow(tf, loss, size, name)


def of_tfsim(name: str, size: int) -> Callable[[], None]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf

    import tensorflow_similarity.losses as losses

    return in_tensorflow(tf, eval(f"losses.{LOSSES[name][2]}", {"losses": losses}), size, name)


def of_pml(name: str, size: int) -> Callable[[], None]:
    import torch
    from pytorch_metric_learning import losses, miners

    scope = {**vars(losses), **vars(miners), "C": size // PER_CLASS, "D": DIM}
    if name == "VICRegLoss":
        loss, miner = losses.VICRegLoss(), None
    else:
        loss, miner = (*eval(f"({LOSSES[name][1]}, None)", scope),)[:2]
    x, y, other = (torch.tensor(v) for v in batch_of(size))

    def step() -> None:
        embeddings = x.clone().requires_grad_()
        if name in TWO_VIEWS:
            value = loss(embeddings, ref_emb=other)
        else:
            value = loss(embeddings, y, miner(embeddings, y)) if miner else loss(embeddings, y)
        value.backward()
        embeddings.grad.numpy()

    return step


MAKERS = {"ours": ours, "pml": of_pml, "tfsim": of_tfsim}


def serve(library: str) -> None:
    """Times what is asked for on standard input, until it ends."""
    import resource

    # One thread's own seconds say the same on a busy machine; those of several wait for each other.
    clock = time.process_time if "OMP_NUM_THREADS" in os.environ else time.perf_counter
    # What does not fit is an error here, and not the end of the machine.
    limit = int(os.environ["PEER_GIB"]) * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit)) if library == "pml" else None
    step: Callable[[], None] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "name" in request:
                step = None
                step = MAKERS[library](request["name"], request["size"])
                step()
            assert step is not None
            begin = clock()
            step()
            answer: Any = clock() - begin
        except Exception as error:
            step, answer = None, f"{type(error).__name__}: {str(error)[:200]}"
        print("RESULT " + json.dumps(answer), flush=True)


class Peer(Asked):
    """A library in a process of its own."""

    def __init__(self, library: str, interpreter: str, patience: int) -> None:
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        super().__init__(
            [interpreter, os.path.abspath(__file__), "--serve", library],
            patience,
            PYTHONPATH=here if library == "ours" else "",
        )
        self.library = library

    def has(self, name: str) -> bool:
        return self.library == "ours" or bool(LOSSES[name][1 if self.library == "pml" else 2])

    def ask(self, **request: Any) -> float | str:
        """Seconds, or why there are none."""
        answer = super().ask(**request)
        return answer["error"] if isinstance(answer, dict) else answer


def compare(peers: list[Peer], name: str, size: int, rounds: int) -> dict[str, float | str]:
    """The best seconds of each library that has the loss, or why there are none."""
    asked = [peer for peer in peers if peer.has(name)]
    best = {peer.library: peer.ask(name=name, size=size) for peer in asked}
    for _ in range(rounds):
        for peer in asked:
            # What takes seconds is not measured better by repeating it.
            if isinstance(best[peer.library], float) and best[peer.library] < 3:
                again = peer.ask()
                best[peer.library] = min(best[peer.library], again)  # type: ignore[type-var]
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pml", help="an interpreter that has pytorch-metric-learning")
    parser.add_argument("--tfsim", help="an interpreter that has TensorFlow Similarity 0.17")
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 1024, 4096])
    parser.add_argument("--losses", nargs="*", default=list(LOSSES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--patience", type=int, default=60, help="seconds until a loss is given up")
    parser.add_argument(
        "--one-thread", action="store_true", help="seconds of CPU on one thread: for busy machines"
    )
    parser.add_argument("--gib", type=int, default=20, help="what a peer may take of memory")
    parser.add_argument("--json", help="write the seconds to this file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if options.one_thread:
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ[name] = "1"
    os.environ["PEER_GIB"] = str(options.gib)
    interpreters = {"ours": sys.executable, "pml": options.pml, "tfsim": options.tfsim}
    peers = [
        Peer(library, path, options.patience) for library, path in interpreters.items() if path
    ]
    others = [peer.library for peer in peers[1:]]
    how = "CPU of one thread" if options.one_thread else f"{os.cpu_count()} cores"
    print(f"value and gradient, ms, {how}; x: how many times faster ours is")
    heads = "".join(f"{other:>12} {'x':>6}" for other in others)
    print(f"{'loss':28} {'batch':>6} {'ours':>10}{heads}")
    every = {}
    for size in options.sizes:
        for name in options.losses:
            best = compare(peers, name, size, options.rounds)
            every[f"{name}, {size}"] = best
            line = f"{name:28} {size:6} "
            own = best["ours"]
            line += f"{own * 1e3:10.1f}" if isinstance(own, float) else f"  {own}"
            for other in others:
                value = best.get(other, "")
                if isinstance(value, float) and isinstance(own, float):
                    line += f"{value * 1e3:12.1f} {value / own:6.2f}"
                else:
                    line += f"{str(value)[:12]:>12} {'':6}"
            print(line, flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(every, file, indent=1)


if __name__ == "__main__":
    main()
