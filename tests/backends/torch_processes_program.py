"""PyTorch in two processes beside one: `test_devices.py` runs it.

    KERAS_BACKEND=torch python tests/backends/torch_processes_program.py

Prints how many cases there were, and a line for each that differs.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import torch
import torch.distributed as distributed
import torch.multiprocessing as processes

from oracle.loss_cases import CASES, ON_CLASSES
from tensorflow_similarity import losses, training_metrics

COUNT = 2
SIZES = [(6, 6), (9, 3)]


def value_and_gradient(loss, *arrays):
    y, x, *weights = arrays
    x = torch.tensor(x, requires_grad=True)
    value = loss(torch.tensor(y), x, *map(torch.tensor, weights))
    value.backward()
    return value.detach().numpy(), x.grad.numpy()


def cases():
    """Name, what makes the loss, and the rows of each process."""
    for name in ON_CLASSES:
        for sizes, options in zip(SIZES, ({"ignore_class": 1}, {"block_size": 5}), strict=True):
            yield f"{name} {sizes} {options}", name, options, sizes


def of_case(name, options, weighted, rows):
    y, x = CASES[name].batch(12, seed=3, dtype="float64")
    arrays = [y, x, np.linspace(0.2, 2, 12)] if weighted else [y, x]
    return value_and_gradient(CASES[name].make(**options), *(each[rows] for each in arrays))


def trained(rank=None):
    """Weights, memory and metrics after steps of `DistributedDataParallel`, or of one process."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    loss = losses.CrossBatchMemory(losses.TripletLoss(), memory_size=24)
    alone = losses.TripletLoss(across_replicas=False)
    metric = training_metrics.EffectiveRank()
    network = model if rank is None else torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    own = slice(None) if rank is None else slice(8 * rank, 8 * rank + 8)
    values = []
    for _ in range(3):
        x, y = rng.normal(size=(16, 6)).astype("float32"), rng.integers(0, 4, 16)
        embeddings = network(torch.tensor(x[own]))
        value = loss(torch.tensor(y[own]), embeddings, training=True)
        metric.update_state(torch.tensor(y[own]), embeddings.detach())
        # Compared with a process's own rows alone, where the loss is to look at no others.
        halves = [slice(0, 8), slice(8, 16)] if rank is None else [slice(None)]
        values.append([float(alone(torch.tensor(y[own][h]), embeddings[h])) for h in halves])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    memory = [keras.ops.convert_to_numpy(each) for each in loss.memory.variables]
    weights = [p.detach().numpy() for p in model.parameters()]
    return weights, memory, float(metric.result()), values


def work(rank, folder):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=COUNT
    )
    results = {}
    for number, (_, name, options, sizes) in enumerate(cases()):
        begin = sum(sizes[:rank])
        rows = slice(begin, begin + sizes[rank])
        results[number] = of_case(name, options, number % 2, rows)
    torch.save((results, trained(rank)), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def relative(a, b):
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(work, (folder,), nprocs=COUNT)
        parts = [torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(COUNT)]
    failed = []
    number = -1
    for number, (title, name, options, _) in enumerate(cases()):
        value, gradient = of_case(name, options, number % 2, slice(None))
        found = [results[number] for results, _ in parts]
        # DistributedDataParallel takes the mean of the gradients.
        together = np.concatenate([each[1] for each in found]) / COUNT
        for what, a, b in (
            ("value", value, sum(each[0] for each in found) / COUNT),
            ("gradient", gradient, together),
        ):
            if not relative(a, b) < 1e-6:  # Keras reduces losses in float32 with PyTorch.
                failed.append(f"{title}: the {what} differs by {relative(a, b):.1e}")
    weights, memory, rank_of_embeddings, values = trained()
    for process, (_, other) in enumerate(parts):
        for what, ours, theirs in (("weight", weights, other[0]), ("memory", memory, other[1])):
            for a, b in zip(ours, theirs, strict=True):
                if not np.allclose(a, b, atol=1e-5):
                    failed.append(f"process {process}: the {what} differs")
        if abs(rank_of_embeddings - other[2]) > 1e-4:
            failed.append(f"process {process}: the metric is {other[2]}, not {rank_of_embeddings}")
        expected = [step[process] for step in values]
        if not np.allclose(expected, [step[0] for step in other[3]], atol=1e-5):
            failed.append(f"process {process}: across_replicas=False looks at others")
    print(number + 2, "cases")
    print("\n".join(failed))
