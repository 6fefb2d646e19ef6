"""Speed of the losses on TensorFlow, JAX and PyTorch, value and gradient, as ratios within one run.

Each backend runs in a process of its own, with an interpreter of its own, and is asked in turn, so
that what else the machine does hits all of them:

    python -m venv /tmp/jax && /tmp/jax/bin/pip install keras jax numpy nmslib tqdm
    python -m venv /tmp/torch && /tmp/torch/bin/pip install keras torch numpy nmslib tqdm
    python benchmarks/backends.py --jax /tmp/jax/bin/python --torch /tmp/torch/bin/python

One batch of unit vectors of 128 dimensions, float32, four examples a class; seconds of CPU, which
other processes hardly change, the least of some rounds, on one thread. TensorFlow runs a
`tf.function`, as in `fit` without XLA; JAX a jitted function; PyTorch eagerly, and with `--compile`
also by `torch.compile`. `x` is how many times slower a backend is than the fastest; values and
gradients that differ from TensorFlow's by more than 1e-5 of the largest are named.
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
TOLERANCE = 1e-5
#: No losses themselves, or no losses on embeddings with class ids.
BASES = ("MetricLoss", "MinedLoss", "NpairsMultilabelLoss", "StatisticsLoss")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ContrastiveLoss": {"distance": "euclidean"},
    "NpairsLoss": {"distance": "euclidean"},
}
Answer = tuple[float, Any]  # The value of a loss, and its gradient.


def names() -> list[str]:
    """The losses on embeddings with class ids."""
    from tensorflow_similarity import losses

    found = []
    for name in losses.__all__:
        kind = getattr(losses, name)
        if name in BASES or not isinstance(kind, type):
            continue
        if not issubclass(kind, losses.MetricLoss) or issubclass(kind, losses.ProxyLoss):
            continue
        try:
            kind(**ARGUMENTS.get(name, {}))
        except (TypeError, ValueError):  # It needs another loss, or a teacher.
            continue
        found.append(name)
    return found


def batch_of(size: int) -> tuple[Any, Any]:
    import numpy as np

    x = np.random.default_rng(0).normal(size=(size, DIM)).astype("float32")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x, (np.arange(size) // PER_CLASS).astype("int32")


def in_tensorflow(loss: Any, x: Any, y: Any) -> Callable[[], Answer]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    x, y = tf.constant(x), tf.constant(y)

    @tf.function
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(y, x)
        return value, tf.convert_to_tensor(tape.gradient(value, x))

    def run() -> Answer:
        value, gradient = step(x, y)
        return float(value), gradient.numpy()

    return run


def in_jax(loss: Any, x: Any, y: Any) -> Callable[[], Answer]:
    import jax
    import numpy as np

    x, y = jax.numpy.asarray(x), jax.numpy.asarray(y)
    step = jax.jit(jax.value_and_grad(lambda x, y: loss(y, x)))

    def run() -> Answer:
        value, gradient = step(x, y)
        return float(value), np.asarray(gradient)

    return run


def in_torch(loss: Any, x: Any, y: Any, compiled: bool = False) -> Callable[[], Answer]:
    import torch

    torch.set_num_threads(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    function = (lambda y, x: loss(y, x)) if not compiled else torch.compile(lambda y, x: loss(y, x))

    def run() -> Answer:
        embeddings = x.clone().requires_grad_()
        value = function(y, embeddings)
        value.backward()
        return float(value), embeddings.grad.numpy()

    return run


MAKERS: dict[str, Callable[..., Callable[[], Answer]]] = {
    "tensorflow": in_tensorflow,
    "jax": in_jax,
    "torch": in_torch,
    "torch.compile": lambda *args: in_torch(*args, compiled=True),
}


def serve(backend: str) -> None:
    """Times what is asked for on standard input, until it ends."""
    import numpy as np

    from tensorflow_similarity import losses

    run: Callable[[], Answer] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if "name" in request:
                name = request["name"]
                loss = getattr(losses, name)(**ARGUMENTS.get(name, {}))
                run = MAKERS[backend](loss, *batch_of(request["size"]))
                value, gradient = run()
                np.save(request["file"], gradient)
                answer["value"] = value
            assert run is not None
            begin = time.process_time()
            run()
            answer["seconds"] = time.process_time() - begin
        except Exception as error:
            run, answer = None, {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print("RESULT " + json.dumps(answer), flush=True)


def alone(backend: str) -> dict[str, str]:
    """Environment variables of a process of a backend on one thread."""
    return {
        "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        "KERAS_BACKEND": backend.split(".")[0],
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def compare(
    asked: dict[str, Asked], name: str, size: int, rounds: int, folder: str
) -> dict[str, Any]:
    """The best seconds of each backend, or why there are none, and what differs."""
    import numpy as np

    first = {
        backend: each.ask(name=name, size=size, file=f"{folder}/{backend}.npy")
        for backend, each in asked.items()
    }
    best: dict[str, Any] = {
        backend: answer.get("seconds", answer.get("error")) for backend, answer in first.items()
    }
    for _ in range(rounds):
        for backend, each in asked.items():
            # What takes seconds is not measured better by repeating it.
            if isinstance(best[backend], float) and best[backend] < 2:
                best[backend] = min(best[backend], each.ask()["seconds"])
    differs = []
    if "value" in first["tensorflow"]:
        value = first["tensorflow"]["value"]
        gradient = np.load(f"{folder}/tensorflow.npy")
        for backend, answer in first.items():
            if "value" not in answer:
                continue
            off = np.abs(np.load(f"{folder}/{backend}.npy") - gradient).max()
            off = max(
                off / max(np.abs(gradient).max(), 1e-30),
                abs(answer["value"] - value) / max(abs(value), 1e-30),
            )
            if not off <= TOLERANCE:
                differs.append(f"{backend} {off:.0e}")
    return {"seconds": best, "differs": differs}


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jax", help="an interpreter that has Keras and JAX")
    parser.add_argument("--torch", help="an interpreter that has Keras and PyTorch")
    parser.add_argument("--compile", action="store_true", help="PyTorch by torch.compile, too")
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 1024, 4096])
    parser.add_argument("--losses", nargs="*")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--patience", type=int, default=300, help="seconds until one is given up")
    parser.add_argument("--json", help="write the seconds to this file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    interpreters = {"tensorflow": sys.executable, "jax": options.jax, "torch": options.torch}
    if options.compile:
        interpreters["torch.compile"] = options.torch
    asked = {
        backend: Asked(
            [path, os.path.abspath(__file__), "--serve", backend],
            options.patience,
            **alone(backend),
        )
        for backend, path in interpreters.items()
        if path
    }
    print("value and gradient, ms of CPU on one thread; x: times the least")
    print(f"{'loss':30} {'batch':>6}" + "".join(f"{backend:>14}      x" for backend in asked))
    every = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            for name in options.losses or names():
                found = every[f"{name}, {size}"] = compare(
                    asked, name, size, options.rounds, folder
                )
                seconds = found["seconds"]
                times = [each for each in seconds.values() if isinstance(each, float)]
                line = f"{name:30} {size:6}"
                for each in seconds.values():
                    if isinstance(each, float):
                        line += f"{each * 1e3:14.2f} {each / min(times):6.2f}"
                    else:
                        line += f"{str(each)[:14]:>14} {'':6}"
                print(line + "  " + ", ".join(found["differs"]), flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(every, file, indent=1)


if __name__ == "__main__":
    main()
