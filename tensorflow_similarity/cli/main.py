"""Arguments, errors and exit codes of `tfsim`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tensorflow_similarity.cli import commands

__all__ = ["main"]

# What a wrong file or argument raises. Anything else is a defect, and shows its traceback.
_USER_ERRORS = (ImportError, KeyError, OSError, TypeError, ValueError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `tfsim`.

    Args:
        argv: The arguments. Defaults to `None`: those of the process.

    Returns:
        The exit code: 0, or 1 where a file or an argument is wrong. Arguments that cannot
        be read exit with 2, as argparse does.

    Example:

    ```python
    import keras
    from tensorflow_similarity.cli import main

    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save("model.keras")
    main(["info", "model.keras"])  # 0
    ```
    """
    options = _parser().parse_args(argv)
    try:
        options.run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has enough
        return 0
    except _USER_ERRORS as error:
        if options.traceback:
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        sys.stderr.write(f"tfsim: error: {message}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="write JSON, for machines")
    common.add_argument("--quiet", action="store_true", help="no progress bars")
    common.add_argument("--traceback", action="store_true", help="show where an error comes from")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--labels", metavar="FILE", help="class ids of an array: .npy")
    data.add_argument("--batch-size", type=int, default=128, metavar="N")
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

    parser = argparse.ArgumentParser(
        prog="tfsim",
        description="Index, look up and evaluate with models of tensorflow_similarity.",
    )
    commands_ = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, help: str, parents: list[argparse.ArgumentParser]
    ) -> argparse.ArgumentParser:
        found = commands_.add_parser(name, help=help, description=help, parents=parents)
        found.set_defaults(run=getattr(commands, name))
        return found

    what = "array (.npy, or .npz with x and y), or folder of images, in subfolders by class"

    index = command("index", "Add examples to the index of a model.", [common, data])
    index.add_argument("model", help="a model, .keras")
    index.add_argument("data", help=what)
    index.add_argument("-o", "--output", help="where to save (default: the model itself)")
    index.add_argument("--distance", help="of a new index (default: that of the loss, or cosine)")
    index.add_argument("--reset", action="store_true", help="remove the records there are first")

    lookup = command("lookup", "Find the nearest records of examples.", [common, data])
    lookup.add_argument("model", help="a model, .keras; or an index, whose queries are embeddings")
    lookup.add_argument("data", help=f"the queries: {what}, or without")
    lookup.add_argument("-k", type=int, default=5, help="how many records (default: 5)")

    evaluate = command("evaluate", "Evaluate retrieval with labelled examples.", [common, data])
    evaluate.add_argument(
        "model", help="a model, .keras; or an index, whose queries are embeddings"
    )
    evaluate.add_argument("data", help=f"the queries: {what}")
    evaluate.add_argument("--metrics", nargs="+", metavar="NAME", help="e.g. precision@1 map@r")
    evaluate.add_argument(
        "--leave-one-out",
        action="store_true",
        help="search among the examples themselves instead of the index",
    )

    info = command("info", "Describe a model with its index, or an index.", [common])
    info.add_argument("model", help="a model, .keras; or an index")
    return parser
