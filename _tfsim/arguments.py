"""The arguments of `tfsim`."""

from __future__ import annotations

import argparse
import re
from importlib import util
from pathlib import Path

__all__ = ["parser", "version"]

_WHAT = (
    "a folder of images, in subfolders by class; an image; a .txt file with a text a line; "
    "an array, .npy, or .npz with x and y; or - for the standard input"
)


def version() -> str:
    """The version of the package, without importing it."""
    found = util.find_spec("tensorflow_similarity")
    text = Path(str(found.origin)).read_text(encoding="utf-8") if found else ""
    match = re.search(r'^__version__ = "(.*)"$', text, re.MULTILINE)
    return match[1] if match else "of unknown version"


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1. Received: {text!r}.")
    return number


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535. Received: {text!r}.")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The parser; `command` is the name of what to run."""
    stored = argparse.ArgumentParser(add_help=False)
    stored.add_argument(
        "--trust-graph",
        choices=("yes", "no"),
        help="read the graph of an index without a check, or not at all, as for files of "
        "strangers (default: after a check)",
    )

    common = argparse.ArgumentParser(add_help=False, parents=[stored])
    common.add_argument("--json", action="store_true", help="write JSON, for machines")
    common.add_argument("--quiet", action="store_true", help="no progress bars")
    common.add_argument("--traceback", action="store_true", help="show where an error comes from")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--labels", metavar="FILE", help="class ids of an array or texts: .npy")
    data.add_argument("--batch-size", type=_at_least_one, default=128, metavar="N")
    data.add_argument(
        "--size", metavar="HxW", help="of images, where the model takes any size, e.g. 224x224"
    )
    data.add_argument(
        "--scale",
        type=int,
        choices=(1, 255),
        default=255,
        help="the greatest value of an image that the model takes (default: 255)",
    )

    root = argparse.ArgumentParser(
        prog="tfsim",
        description="Index, look up, evaluate and serve with models of tensorflow_similarity.",
    )
    root.add_argument("--version", action="version", version=f"tfsim {version()}")
    commands = root.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def command(
        name: str, help: str, parents: list[argparse.ArgumentParser]
    ) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help, parents=parents)

    index = command("index", "Add examples to the index of a model.", [common, data])
    index.add_argument("model", help="a model, .keras")
    index.add_argument("data", help=_WHAT)
    index.add_argument("-o", "--output", help="where to save (default: the model itself)")
    index.add_argument("--distance", help="of a new index (default: that of the loss, or cosine)")
    index.add_argument(
        "--ids",
        metavar="FILE",
        help="keys of the records, one a line of a .txt; or ids or keys in an .npy",
    )
    index.add_argument("--reset", action="store_true", help="remove the records there are first")

    lookup = command("lookup", "Find the nearest records of examples.", [common, data])
    lookup.add_argument("model", help="a model, .keras; or an index, whose queries are embeddings")
    lookup.add_argument("data", nargs="?", help=f"the queries: {_WHAT}")
    lookup.add_argument("--text", help="one query, for a model that takes texts, instead of DATA")
    lookup.add_argument(
        "-k", type=_at_least_one, default=5, metavar="N", help="how many records (default: 5)"
    )
    lookup.add_argument(
        "--picture", metavar="FILE", help="draw queries and what was found, e.g. found.png"
    )

    match = command("match", "Say which class each example matches, if any.", [common, data])
    match.add_argument("model", help="a model, .keras; or an index, whose queries are embeddings")
    match.add_argument("data", help=f"the queries: {_WHAT}")
    match.add_argument(
        "--cutpoint",
        default="optimal",
        metavar="NAME",
        help="the threshold of the calibration (default: optimal)",
    )

    evaluate = command("evaluate", "Evaluate retrieval with labelled examples.", [common, data])
    evaluate.add_argument(
        "model", help="a model, .keras; or an index, whose queries are embeddings"
    )
    evaluate.add_argument("data", help=f"the queries: {_WHAT}")
    evaluate.add_argument("--metrics", nargs="+", metavar="NAME", help="e.g. precision@1 map@r")
    evaluate.add_argument(
        "--leave-one-out",
        action="store_true",
        help="search among the examples themselves instead of the index",
    )

    info = command("info", "Describe a model with its index, or an index.", [common])
    info.add_argument("model", help="a model, .keras; or an index")

    migrate = command(
        "migrate",
        "List what programs for TensorFlow Similarity or TensorFlow Addons must change.",
        [],
    )
    migrate.add_argument(
        "files", nargs="+", metavar="file", help="a program, .py, or a notebook, .ipynb"
    )
    migrate.add_argument("--json", action="store_true", help="write JSON, for machines")
    migrate.add_argument("--traceback", action="store_true", help="show where an error comes from")

    serve = command("serve", "Answer lookups over HTTP.", [stored])
    serve.add_argument("model", help="a model, .keras; or an index, whose queries are embeddings")
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    serve.add_argument(
        "--port", type=_port, default=8000, help="0 for any that is free (default: 8000)"
    )
    serve.add_argument(
        "--max-body",
        type=_at_least_one,
        default=16,
        metavar="MIB",
        help="the largest request that is read (default: 16)",
    )
    serve.add_argument(
        "--max-examples",
        type=_at_least_one,
        default=256,
        metavar="N",
        help="the most examples of a request, and of a batch (default: 256)",
    )
    serve.add_argument("--quiet", action="store_true", help="do not tell the address")
    serve.add_argument("--traceback", action="store_true", help="show where an error comes from")
    return root
