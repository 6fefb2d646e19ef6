"""Checks files named on the command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["ARRAYS", "IMAGES", "STANDARD_INPUT", "check"]

ARRAYS = (".npy", ".npz")
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
STANDARD_INPUT = "-"
_INDEX = b"TFSIMIDX"  # the first bytes of a saved index


def check(options: argparse.Namespace) -> None:
    """Checks names and first bytes of files, and turns file: URLs into paths.

    Raises:
        ValueError: If a file is missing or of the wrong type.
    """
    if options.command == "migrate":
        options.files = [_program(_path(name)) for name in options.files]
        return
    options.model = _path(options.model)
    _model(options.model, only_keras=options.command == "index")
    if getattr(options, "data", None) is not None:
        options.data = _path(options.data)
        _data(options.data)
    if options.command == "lookup" and (options.data is None) == (options.text is None):
        raise ValueError("Name the queries: either DATA, or --text. See tfsim lookup --help.")
    if getattr(options, "labels", None) is not None:
        options.labels = _path(options.labels)
        if not os.path.isfile(options.labels):
            raise ValueError(f"--labels must be a file that exists. Received: {options.labels!r}.")
    output = getattr(options, "output", None)
    if output is not None and not output.endswith(".keras"):
        raise ValueError(f"--output must end in .keras. Received: {output!r}.")
    for name in ("output", "picture"):
        path = getattr(options, name, None)
        if path is not None and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise ValueError(f"The folder of --{name} must exist. Received: {path!r}.")


def _path(name: str) -> str:
    """The path of a file: URL; anything else is returned unchanged."""
    parts = urlsplit(name)
    if parts.scheme != "file":
        return name
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"A file: URL must be one of this machine. Received: {name!r}.")
    return url2pathname(parts.path)


def _program(path: str) -> str:
    if not path.endswith((".py", ".ipynb")):
        raise ValueError(f"FILE must be a program, .py, or a notebook, .ipynb. Received: {path!r}.")
    if not os.path.isfile(path):
        raise ValueError(f"FILE must be a file that exists. Received: {path!r}.")
    return path


def _model(path: str, only_keras: bool) -> None:
    if not os.path.exists(path):
        raise ValueError(f"MODEL must be a file that exists. Received: {path!r}.")
    if path.endswith(".keras"):
        return
    if only_keras:
        raise ValueError(f"MODEL must be a .keras file. Received: {path!r}.")
    if os.path.isdir(path):
        return
    with open(path, "rb") as file:
        begin = file.read(len(_INDEX))
    if begin != _INDEX:
        what = "an empty file" if not begin else "which is neither"
        raise ValueError(
            f"MODEL must be a .keras file, or an index that Index.save or Index(path=…) wrote. "
            f"Received: {path!r}, {what}."
        )


def _data(path: str) -> None:
    if path == STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise ValueError("DATA is -, the standard input, which must come from a file or pipe.")
        return
    if not os.path.exists(path):
        raise ValueError(f"DATA must be a file or folder that exists. Received: {path!r}.")
    if not os.path.isdir(path) and Path(path).suffix.lower() not in (*ARRAYS, *IMAGES, ".txt"):
        raise ValueError(
            f"DATA must be a folder of images, or end in one of "
            f"{', '.join((*ARRAYS, *IMAGES, '.txt'))}. Received: {path!r}."
        )
