"""Values that other packages printed, read from `tests/golden`."""

import functools
import gzip
import json
import re
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "golden"
_REFERENCE = re.compile(r"(?P<file>[^:]+\.npz):(?P<key>[^\[]+)(\[(?P<stop>:?)(?P<index>\d+)\])?")


@functools.cache
def manifest(name):
    """The entries of a manifest, e.g. `"addons_tfsim/manifest"`."""
    with gzip.open(FOLDER / f"{name}.json.gz") as file:
        return json.load(file)["entries"]


@functools.cache
def _archive(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def array(reference, folder="addons_tfsim"):
    """Resolves `FILE.npz:KEY`, `FILE.npz:KEY[3]`, `FILE.npz:KEY[:3]`; inside, `/` of KEY is `|`."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(reference)
    values = _archive(FOLDER / folder / match["file"])[match["key"].replace("/", "|")]
    if match["index"] is None:
        return values
    index = int(match["index"])
    return values[:index] if match["stop"] else values[index]


def entries(name="addons_tfsim/manifest", **fields):
    """The entries of a manifest whose fields have these values."""
    return [e for e in manifest(name) if all(e.get(k) == v for k, v in fields.items())]


def case_of(entry):
    """The name of the input case, such as `b8_d2_c2_norm`."""
    return next(iter(entry["inputs"].values())).split(":")[1].split("/")[0]


def gradient(entry, name):
    """`(flat indices, values)` of an entry's gradient: all of it, or the probes that are stored."""
    stored = entry["grad"][name]
    if "array" in stored:
        values = array(stored["array"]).ravel()
        return np.arange(values.size), values
    return np.array(stored["flat_index"]), np.array(stored["flat_value"], np.float64)
