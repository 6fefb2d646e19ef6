"""The parts of the package, in the order in which they may import each other.

`python tests/house.py` writes the map in `CONTRIBUTING.md` from this list;
`tests/package/test_imports.py` checks the file, and the imports.
"""

from __future__ import annotations

from pathlib import Path

# A part imports only from parts above it.
PARTS = {
    "_caller": "where a warning points: at the code that uses the package",
    "_types": "types of annotations: tensors, and what becomes one",
    "_checks": "arguments checked at the boundary, with errors that say what to do",
    "_class_names": "class ids and the names that go with them",
    "_configured": "small objects that are their config: distances, strategies, miners",
    "_extras": "the name of the distribution, and errors for libraries that are missing",
    "_json": "values as JSON can express them",
    "_old_names": "names of older libraries, and what to write instead",
    "_text_table": "results as tables",
    "_atomic_file": "a file is replaced as a whole",
    "_blocks": "rows of a computation taken block by block, in bounded memory",
    "_class_numbers": "class ids of any size where integers have 32 bits",
    "targets": "what is known of examples: classes, several labels, relevance, pairs",
    "distances": "one object per distance, pairwise and row by row",
    "mining": "which positives and negatives of a query count",
    "regularizers": "penalties on embeddings and on proxies",
    "layers": "L2Embedding; ProxyHead and MemoryBank, the state that losses need",
    "losses": "MetricLoss, StatisticsLoss, ProxyLoss, TwoViewLoss; the losses by idea",
    "training_metrics": "Keras metrics of the embeddings of a batch, for compile",
    "_registration": "what Keras must know to load saved models, imported or named",
    "samplers": "batches with several examples of each of their classes",
    "index": "records, lookups, saving; index/engines/ has a file per search engine",
    "evaluation": "embeddings in, scores with confidence intervals out",
    "classification_metrics": "precision, recall, F1, … as functions of the threshold",
    "retrieval_metrics": "precision@k, map@r and the like: one definition for each name",
    "calibration": "thresholds on distance, and answers from neighbours",
    "models": "SimilarityModel: a keras.Model that owns an Index",
    "architectures": "embedding models on pretrained backbones",
    "callbacks": "evaluation while training, a doctor for it, the embedding projector",
    "visualization": 'plots, with the extra "viz"',
    "serving": 'lookups over HTTP, with the extra "serve"',
    "compat": "what exists only for users of older libraries",
    "cli": "what each command of tfsim does",
}
ORDER = list(PARTS)
# What the package imports when it is loaded, besides Python itself.
CORE = {"_tfsim", "keras", "nmslib", "numpy", "tensorflow", "tqdm"}

_AROUND = {
    "_tfsim/": "the arguments of tfsim, read before anything heavy is imported",
    "tests/": "mirrors the package; tests/oracle/ has the references in plain NumPy,\n"
    "tests/golden/ the values of other libraries, tests/house.py this list",
    "docs/": "the pages of the site; their code runs in tests/docs/",
    "examples/": "notebooks, the demo and its data",
    "benchmarks/": "what the figures in the documentation were measured with",
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
