"""The parts of the package, in the order in which they may import one another.

`python tests/house.py` writes the map in `CONTRIBUTING.md` from this list;
`tests/package/test_imports.py` checks the file, and the imports.
"""

from __future__ import annotations

from pathlib import Path

# A part imports only from parts above it.
PARTS = {
    "_caller": "makes warnings point at the caller's code, outside the package",
    "_types": "type aliases: tensors, and what can be converted to one",
    "_checks": "checks of arguments, with errors that say what to do",
    "_class_names": "class ids and the names that go with them",
    "_configured": "base of objects defined by their config: distances, strategies, miners",
    "_extras": "the name of the distribution, and errors that name the missing extra",
    "_json": "converts values to what JSON can express",
    "_old_names": "names of older libraries, and what to write instead",
    "_text_table": "formats results as tables",
    "_atomic_file": "replaces a file as a whole or not at all",
    "_blocks": "computes rows in blocks, in bounded memory",
    "_class_numbers": "class ids of any size on backends with 32-bit integers",
    "targets": "supervision of any kind: classes, several labels, relevance, pairs",
    "distances": "one object per distance, for all pairs or row by row",
    "mining": "which positives and negatives of a query count",
    "regularizers": "penalties on embeddings and on proxies",
    "layers": "L2Embedding; ProxyHead and MemoryBank, the state that losses need",
    "losses": "MetricLoss, StatisticsLoss, ProxyLoss, TwoViewLoss; losses grouped by idea",
    "training_metrics": "Keras metrics on the embeddings of a batch, for compile",
    "_registration": "registers with Keras what saved models need",
    "samplers": "batches with several examples per class",
    "index": "records, lookups, saving; index/engines/ has a file per search engine",
    "evaluation": "embeddings in, scores with confidence intervals out",
    "classification_metrics": "precision, recall, F1, … as functions of the threshold",
    "retrieval_metrics": "precision@k, map@r and the like: one definition for each name",
    "calibration": "distance thresholds, and answers from neighbours",
    "models": "SimilarityModel: a keras.Model with an Index",
    "architectures": "embedding models on pretrained backbones",
    "callbacks": "evaluation and diagnosis during training, the embedding projector",
    "visualization": 'plots, with the extra "viz"',
    "serving": 'lookups over HTTP, with the extra "serve"',
    "compat": "support for users of older libraries",
    "cli": "the commands of tfsim",
}
ORDER = list(PARTS)
# What the package needs besides the standard library.
CORE = {"_tfsim", "keras", "nmslib", "numpy", "tensorflow", "tqdm"}

_AROUND = {
    "_tfsim/": "the arguments of tfsim, read before anything heavy is imported",
    "tests/": "mirrors the package; tests/oracle/ has reference implementations in NumPy,\n"
    "tests/golden/ values from other libraries, tests/house.py this list",
    "docs/": "the pages of the site; tests/docs/ runs their code",
    "examples/": "notebooks, and the demo with its data",
    "benchmarks/": "the programs that measure the figures in the documentation",
}
_FENCE = "```text\n", "```\n"
_ROOT = Path(__file__).parents[1]
_PACKAGE = _ROOT / "tensorflow_similarity"
_PAGE = _ROOT / "CONTRIBUTING.md"
_COLUMN = 26


def drawn() -> str:
    """The map, as `CONTRIBUTING.md` shows it."""
    lines = ["tensorflow_similarity/"]
    for name, description in PARTS.items():
        shown = f"{name}/" if (_PACKAGE / name).is_dir() else f"{name}.py"
        lines.append(f"  {shown:<{_COLUMN - 2}}{description}")
    for name, description in _AROUND.items():
        first, *others = description.split("\n")
        lines.append(f"{name:<{_COLUMN}}{first}")
        lines += [" " * _COLUMN + other for other in others]
    return "\n".join(lines) + "\n"


def _split() -> tuple[str, str, str]:
    """The page before, in and after the map, which is its first block of text."""
    page = _PAGE.read_text(encoding="utf-8")
    before, opening, rest = page.partition(_FENCE[0])
    shown, closing, after = rest.partition(_FENCE[1])
    return before + opening, shown, closing + after


def shown() -> str:
    """The map that `CONTRIBUTING.md` has now."""
    return _split()[1]


if __name__ == "__main__":
    before, _, after = _split()
    _PAGE.write_text(before + drawn() + after, encoding="utf-8")
