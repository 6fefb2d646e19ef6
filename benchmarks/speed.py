"""What is fast and what is not yet: every figure a ratio within one run, kept and compared.

    make bench                       # all of it, at most 30 minutes, with pytorch-metric-learning
                                     # where PML names an interpreter that has it
    python benchmarks/speed.py --parts losses import --pml /tmp/pml/bin/python
    python benchmarks/speed.py --parts backends --jax /tmp/jax/bin/python

Each row is the time of some work against that of a peer, or of what bounds it, taken in turns.
`benchmarks/speed.json` keeps the rows; what is measured again is compared with what was kept, and
what got worse by more than the noise of both is listed. Noise is how far two halves of the repeats
lie apart. `docs/speed.md` is written from the rows.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEPT, PAGE = HERE / "speed.json", HERE.parent / "docs" / "speed.md"
ONE_THREAD = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
#: What uses all cores is timed as it is waited for.
CLOCK = time.perf_counter
#: What is called worse without being noise: less than this is not looked at.
LEAST_CHANGE = 0.05

#: Losses that are also timed at batch 4,096, where a peer takes seconds.
AT_4096 = (
    *("TripletHardLoss", "ContrastiveLoss", "NpairsLoss", "MultiSimilarityLoss", "CircleLoss"),
    *("SupConLoss", "ArcFaceLoss", "NormalizedSoftmaxLoss", "ProxyAnchorLoss"),
)
#: Losses that are timed on every backend.
ON_BACKENDS = ("TripletSemiHardLoss", "ContrastiveLoss", "MultiSimilarityLoss", "SupConLoss")

Row = dict[str, Any]


def row(
    work: str,
    beside: str,
    times: tuple[list[float], list[float]],
    aim: float,
    faster: bool = False,
    **more: Any,
) -> Row:
    """A row of the table.

    Args:
        work: What is timed.
        beside: What it is timed beside.
        times: Seconds of each turn: of the work, and of the other.
        aim: The ratio that is aimed at.
        faster: Whether the ratio says how many times faster the work is, and not how much longer
            it takes.
        **more: Further entries.
    """

    def ratio(part: slice) -> float:
        own, other = (min(seconds[part]) for seconds in times)
        return other / own if faster else own / other

    halves = [ratio(slice(begin, None, 2)) for begin in (0, 1)]
    return {
        "work": work,
        "beside": beside,
        "ratio": round(ratio(slice(None)), 3),
        "noise": round(abs(math.log(halves[0] / halves[1])), 3),
        "aim": aim,
        "faster": faster,
        **more,
    }


def in_turn(
    calls: list[Callable[[], Any]], turns: int, clock: Callable[[], float] = time.process_time
) -> tuple[list[float], ...]:
    """Seconds of each call, of the process's CPU, one after the other, again and again."""
    for call in calls:
        call()
    taken: tuple[list[float], ...] = tuple([] for _ in calls)
    for _ in range(turns):
        for call, seconds in zip(calls, taken, strict=True):
            begin = clock()
            call()
            seconds.append(clock() - begin)
    return taken


def losses(options: Any) -> Iterator[Row]:
    """Value and gradient beside pytorch-metric-learning, CPU seconds of one thread."""
    sys.path.insert(0, str(HERE))
    import losses_beside_peers as beside

    if not options.pml:
        return
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), PEER_GIB=str(options.gib))
    interpreters = {"ours": sys.executable, "pml": options.pml}
    peers = [beside.Peer(*both, options.patience) for both in interpreters.items()]
    cases = [(size, name) for size in options.sizes for name in options.losses or beside.LOSSES]
    if not options.losses and not options.quick:
        cases += [(4096, name) for name in AT_4096]
    for size, name in cases:
        if not beside.LOSSES[name][1]:
            continue
        # The peer takes one anchor and one positive of each class; ours is given the same.
        what = f"{name} of one pair a class" if name in beside.OF_PAIRS else name
        first = [peer.ask(name=name, size=size) for peer in peers]
        seconds_each = [t for t in first if isinstance(t, float)]
        if len(seconds_each) < len(peers):
            print(f"{what}, batch {size:,}: {first}")
            continue
        rounds: tuple[list[float], list[float]] = ([], [])
        # What takes long is no close call.
        for _ in range(2 if max(seconds_each) > 1 else options.turns):
            for seconds, peer in zip(rounds, peers, strict=True):
                again = peer.ask()
                if isinstance(again, float):
                    seconds.append(again)
        if min(map(len, rounds)) > 1:
            beside_it = "pytorch-metric-learning"
            yield row(f"{what}, batch {size:,}", beside_it, rounds, 1.5, faster=True)
    for peer in peers:
        peer.end()


def products(options: Any) -> Iterator[Row]:
    """Losses that are not row by row, beside the three matrix products that bound them."""
    cases = (
        ("TripletSemiHardLoss, 10 classes", "TripletSemiHardLoss", None, 3.0),
        ("TripletSemiHardLoss, 4 a class", "TripletSemiHardLoss", 4, 3.0),
        ("LiftedStructLoss, 4 a class", "LiftedStructLoss", 4, 3.0),
        ("TripletLoss, 4 a class", "TripletLoss", 4, 3.0),
    )
    for work, name, per_class, aim in cases:
        command = [
            *(sys.executable, str(HERE / "losses.py"), "--case"),
            json.dumps([4096, per_class, name, {}]),
        ]
        environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout
        found = json.loads(output.split("RESULT ")[1])
        yield row(
            f"{work}, batch 4,096",
            "its matrix products",
            (found["own"], found["yardstick"]),
            aim,
            note=f"{found['peak_gib']:.2f} GiB",
        )


def steps(options: Any) -> Iterator[Row]:
    """A training step of a small network beside one with a loss that costs nothing."""
    import keras
    import numpy as np
    import tensorflow as tf

    sys.path.insert(0, str(HERE))
    from losses_beside_peers import CENTERS, LOSSES, OF_PAIRS, TWO_VIEWS

    from tensorflow_similarity import layers
    from tensorflow_similarity import losses as ours
    from tensorflow_similarity.models import SimilarityModel

    batch, turns = 128, 5
    x = tf.constant(np.random.default_rng(0).random((batch, 32, 32, 3), np.float32))
    y = tf.constant(np.arange(batch) // 4)
    data = tf.data.Dataset.from_tensors((x, y)).repeat(6)

    def nothing(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.sum(y_pred, axis=-1)

    def model_of(loss: Any, head: Any = None) -> Callable[[], Any]:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((32, 32, 3))
        z = inputs
        for width in (16, 32, 64):
            z = keras.layers.Conv2D(width, 3, activation="relu", padding="same")(z)
            z = keras.layers.MaxPooling2D()(z)
        z = layers.L2Embedding(64)(keras.layers.Flatten()(z))
        outputs = z if head is None else head(z)
        # The network alone is Keras' own model, with a loss that costs nothing.
        model = (SimilarityModel if loss is not nothing else keras.Model)(inputs, outputs)
        model.compile("sgd", loss=loss, jit_compile=False)
        return lambda: model.fit(data, shuffle=False, verbose=0)

    free = model_of(nothing)
    names = [name for name in LOSSES if name not in TWO_VIEWS + OF_PAIRS]
    for name in names[:: 4 if options.quick else 1]:
        loss = eval(f"ours.{name}({LOSSES[name][0]})", {"ours": ours})
        head = None
        if isinstance(loss, ours.ProxyLoss):
            head = layers.ProxyHead(batch // 4, CENTERS.get(name, 1))
        own, bare = in_turn([model_of(loss, head), free], turns)
        yield row(f"a training step with {name}, batch 128", "the network alone", (own, bare), 1.05)


def samplers(options: Any) -> Iterator[Row]:
    """Batches a second beside a plain pipeline on the same data, and beside the bare gather."""
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        print("the machine is busy: samplers keep their last figures")
        return
    sys.path.insert(0, str(HERE))
    import samplers as bench

    seconds = 0.3 if options.quick else 1.5
    with tempfile.TemporaryDirectory() as folder:
        made = iter(range(100))

        def place() -> Path:
            path = Path(folder) / str(next(made))
            path.mkdir()
            return path

        tables = (
            ("arrays", lambda: bench.in_memory(seconds), "plain tf.data"),
            ("JPEG files", lambda: bench.files(place(), 200, seconds), "plain tf.data"),
            ("TFRecords", lambda: bench.records(place(), seconds), "plain tf.data"),
            ("kinds", lambda: bench.kinds(seconds), ""),
        )
        for title, run, beside in tables:
            runs = [run() for _ in range(2)]
            last = ""
            for name in runs[0]:
                if "plain" in name or "gather" in name:
                    last = name
                    continue
                other = beside or last
                own, bare = ([1 / table[n] for table in runs] for n in (name, other))
                if beside:
                    yield row(f"{name.strip()}, {title}", other, (own, bare), 1.0, faster=True)
                else:
                    yield row(f"a batch of {name}", "its bare gather", (own, bare), 1.5)


def evaluations(options: Any) -> Iterator[Row]:
    """`evaluate` beside AccuracyCalculator, which searches with faiss: seconds on all cores."""
    sys.path.insert(0, str(HERE))
    import evaluation as bench

    if not options.pml:
        return
    n = 5_000 if options.quick else 60_000
    for classes in (10, 600, 12_000):
        own = bench.in_child("alone", n, 64, classes, 2)["seconds"]
        peer = bench.in_child("peer", n, 64, classes, 1, python=options.pml)["peer"]
        work = f"evaluate, {n:,} x {n:,}, {classes:,} classes"
        yield row(work, "AccuracyCalculator with faiss", (own, [peer, peer]), 5.0, faster=True)


def searches(options: Any) -> Iterator[Row]:
    """A batch of look-ups through `Index` beside the library's own call; exact beside products."""
    sys.path.insert(0, str(HERE))
    import engines as bench
    from index import product, unit

    from tensorflow_similarity.index import Index

    n, turns = (5_000, 3) if options.quick else (50_000, 15)
    keys, queries = bench.data("clustered", n, 64, 2000)
    for name in bench.installed():
        index, engine = bench.built(name, keys, queries, 0.95)
        bare = bench.bare_call(name, engine)
        calls = [partial(index.lookup, queries, k=bench.K), partial(bare, queries)]
        work = f'a look-up of 2,000 queries, search="{name}", {n:,} x 64'
        yield row(work, "the library's own call", in_turn(calls, turns, CLOCK), 0.95, faster=True)
    import numpy as np

    rng, n = np.random.default_rng(0), 4 * n
    keys, queries = unit(rng, n, 128), unit(rng, 512, 128)
    exact = Index(128, "cosine", search="exact")
    exact.add(keys)
    calls = [partial(exact.lookup, queries, k=10), product(queries, keys)]
    work = f"an exact look-up of 512 queries, {n:,} x 128"
    yield row(work, "the matrix product alone", in_turn(calls, turns, CLOCK), 0.8, faster=True)


def backends(options: Any) -> Iterator[Row]:
    """Value and gradient of some losses on JAX and PyTorch beside TensorFlow, on one thread."""
    sys.path.insert(0, str(HERE))
    import backends as bench
    from processes import Asked

    interpreters = {"tensorflow": sys.executable, "jax": options.jax, "torch": options.torch}
    asked = {
        backend: Asked([path, bench.__file__, "--serve", backend], 300, **bench.alone(backend))
        for backend, path in interpreters.items()
        if path
    }
    for size in (256,) if options.quick else (256, 1024, 4096):
        for name in ON_BACKENDS if len(asked) > 1 else ():
            taken: dict[str, list[float]] = {backend: [] for backend in asked}
            with tempfile.TemporaryDirectory() as folder:
                for backend, each in asked.items():
                    answer = each.ask(name=name, size=size, file=f"{folder}/gradient.npy")
                    if "error" in answer:
                        print(f"{name}, batch {size:,}, {backend}: {answer['error']}")
                        taken.pop(backend)
            for _ in range(options.turns):
                for backend, seconds in taken.items():
                    seconds.append(asked[backend].ask()["seconds"])
            for backend in set(taken) & {"jax", "torch"}:
                times = (taken[backend], taken["tensorflow"])
                yield row(f"{name}, batch {size:,}, {backend}", "TensorFlow", times, 2.0)
    for each in asked.values():
        each.end()


def imports(options: Any) -> Iterator[Row]:
    """CPU seconds of `import tensorflow_similarity` after `import keras`, in one process."""
    code = (
        "import time, keras; begin = time.process_time(); import tensorflow_similarity; "
        "print('RESULT', begin, time.process_time())"
    )
    # As installed: the bytecode is there, and is not made at each import.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    both: tuple[list[float], list[float]] = ([], [])
    for turn in range(5):
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout
        if turn:  # The first one makes the bytecode.
            bare, own = map(float, output.split("RESULT ")[1].split())
            both[0].append(own)
            both[1].append(bare)
    added = min(own - bare for own, bare in zip(*both, strict=True))
    yield row(
        "import tensorflow_similarity", "import keras", both, 1.02, note=f"+{added:.2f} s of CPU"
    )


PARTS: dict[str, Callable[[Any], Iterator[Row]]] = {
    "import": imports,
    "products": products,
    "searches": searches,
    "losses": losses,
    "samplers": samplers,
    "steps": steps,
    "evaluation": evaluations,
    "backends": backends,
}


def worse_than(old: Row, new: Row) -> bool:
    """Whether a ratio got worse by more than the noise of both measurements."""
    change = math.log(new["ratio"] / old["ratio"]) * (1 if new["faster"] else -1)
    return change < -max(LEAST_CHANGE, 2 * (new["noise"] + old["noise"]))


def kept_row(new: Row, worse: list[str]) -> list[str]:
    """Keeps a row, and writes the page. Returns what it got worse by, if it did."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"rows": {}}
    old, today = kept["rows"].get(new["work"]), datetime.date.today().isoformat()
    found = []
    if old is not None and worse_than(old, new):
        found = [f"{new['work']}: {old['ratio']:.2f}, now {new['ratio']:.2f}"]
        print("WORSE", *found)
    kept["rows"][new["work"]] = {**new, "date": today}
    # What this process uses itself is no other work.
    load = max(0, os.getloadavg()[0] - 2)
    kept.update(date=today, machine=machine(), load=round(load, 1), worse=worse + found)
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(kept))
    return found


def machine() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        name = next(
            line.split(":")[1].strip() for line in text.splitlines() if "model name" in line
        )
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name.strip()}, {os.cpu_count()} cores"


INTRO = """# Speed

For choosing with the cost in view, and for making this library faster. You will have the time of
its work beside that of other libraries, or of what bounds it, and see what is slow.

Every figure is a ratio between two timings taken in turns in one run, so it hardly depends on the
machine. Some say how many times faster the work is than what it stands beside, some how many times
as long it takes. *Noise* is how far two halves of the repeats lie apart.

Measured on {machine}, last on {date}, by `make bench PML=/path/to/python`, where `PML` has
pytorch-metric-learning 2.9; without it the rows beside it keep their last figures, with their date.
With `JAX=` and `TORCH=`, interpreters that have Keras and those, some losses are timed there, too.
TensorFlow Addons, the other peer, cannot be installed beside a TensorFlow of today.
All rows are kept in `benchmarks/speed.json`. Samplers are timed on a quiet machine alone: their
threads would wait for other work.
{load}
"""
BUSY = """Other work ran on the machine: losses and steps are timed in seconds of CPU, which that
hardly changes, but the noise is larger than on a quiet machine."""
BOUNDS = """## What bounds the rows that miss their aim

- **Losses on proxies**: three products of batch × classes × dimensions take over half of the time
  in both libraries, which multiply at the same speed, and nearly all of it at batch 4,096
  (NormalizedSoftmaxLoss). At batch 256, calling a `tf.function` takes 0.2 to 0.3 ms of the step;
  within `fit` it is called once for the whole network.
- **PyTorch beside TensorFlow**: each operation of an eager loss is a pass over batch × batch, where
  TensorFlow and JAX run one graph. At batch 4,096 each pass also gets its memory anew from the
  system; with `block_size=256` losses take a fifth to a third less time there.
- **IntraPairVarianceLoss**: two passes over the pairs, one for the means and one for the costs.
- **AngularLoss with more than 8 positives a query**: a product of batch × batch × batch.
- **TripletSemiHardLoss with many positives per query**: each row is sorted once. Beside products of
  236 ms, the sort takes 165 ms of some 470; sums and gradient over batch × batch take the rest.
- **SubCenterArcFaceLoss**: its head multiplies with three proxies a class, beside a network that
  takes 20 ms a step.
- **Batches of a sampler**: classes and examples are drawn for many batches at once, some 2 µs a
  batch; the rest is Python's overhead per batch, beside a gather of 6 µs for 32 small arrays.
- **`balanced_stream`**: it reads through the same shuffle as the plain pipeline, one example at a
  time.
"""


def page(kept: dict[str, Any]) -> str:
    """`docs/speed.md`."""
    load = BUSY if kept["load"] > 1 else ""
    lines = INTRO.format(**{**kept, "load": load}).splitlines()
    rows = list(kept["rows"].values())
    for other in dict.fromkeys(r["beside"] for r in rows):
        these = [r for r in rows if r["beside"] == other]
        faster = these[0]["faster"]
        lines += [
            *("", f"## Beside {other}", ""),
            f"| work | times {'faster' if faster else 'as long'} | noise | aim | reached | date |",
            "|---|---|---|---|---|---|",
        ]
        for r in these:
            reached = r["ratio"] >= r["aim"] if faster else r["ratio"] <= r["aim"]
            cells = (
                r["work"] + (f" ({r['note']})" if r.get("note") else ""),
                f"{r['ratio']:.2f}",
                f"{100 * r['noise']:.0f} %",
                f"{'≥' if faster else '≤'} {r['aim']:g}",
                "yes" if reached else "no",
                r["date"],
            )
            lines.append(f"| {' | '.join(cells)} |")
    worse = [f"- {text}" for text in kept["worse"]] or ["Nothing, beyond noise."]
    lines += ["", *BOUNDS.splitlines(), "", "## Worse than the time before", "", *worse]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pml", default="", help="an interpreter with pytorch-metric-learning")
    parser.add_argument("--jax", default="", help="an interpreter with Keras and JAX")
    parser.add_argument("--torch", default="", help="an interpreter with Keras and PyTorch")
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 1024])
    parser.add_argument("--losses", nargs="*", help="only these, beside their peer")
    parser.add_argument("--turns", type=int, default=8, help="of each loss beside its peer")
    parser.add_argument("--gib", type=int, default=20, help="what a peer may take of memory")
    parser.add_argument("--patience", type=int, default=60, help="seconds until a loss is given up")
    parser.add_argument("--minutes", type=float, default=26, help="nothing is begun later")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter; nothing is kept")
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    here = str(HERE.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    sys.path.insert(0, here)
    begin = time.monotonic()
    worse: list[str] = []
    for part in options.parts:
        for new in PARTS[part](options):
            if not options.quick:
                worse += kept_row(new, worse)
            print(f"{new['work']:60} {new['ratio']:8.2f} ± {100 * new['noise']:3.0f} %", flush=True)
            if time.monotonic() - begin > 60 * options.minutes:
                print("out of time: the other rows keep their last figures")
                return
    if not options.pml:
        print("pytorch-metric-learning was not given: rows beside it keep their last figures")


if __name__ == "__main__":
    main()
