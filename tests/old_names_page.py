"""The page of every public name of the older libraries, from the committed lists of them.

`python tests/old_names_page.py` writes `docs/migration/old-names.md`;
`tests/compat/test_old_names_page.py` checks that it is up to date and complete.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tensorflow_similarity.compat import names

DATA = Path(__file__).parent / "compat/data"
PAGE = Path(__file__).parents[1] / "docs/migration/old-names.md"
LISTS = {
    "0.17": "tensorflow_similarity_0.17",
    "0.18": "tensorflow_similarity_0.18.dev",
    "Addons": "tensorflow_addons_0.23",
}
STATUS = {
    "same": "the same",
    "changed": "changed",
    "renamed": "works, has another name",
    "gone": "**gone**",
}

HEAD = """\
# Every old name

What became of every public name of TensorFlow Similarity 0.17, of its development branch 0.18
and of the losses of TensorFlow Addons 0.23. `tfsim migrate FILE.py` finds the names that a
program uses: see [Command line](../command-line.md#coming-from-an-older-library).

- **the same**: works unchanged.
- **changed**: works, and differs in what the last column says.
- **works, has another name**: the old name works too, and leads to the new one.
- **gone**: importing it raises an error with what the last column says.

Names below stand without the `tensorflow_similarity.` before them. A name that a package gave
again, such as `losses.TripletLoss` for `losses.triplet_loss.TripletLoss`, is listed once, under
the package. Both imports work.

"""

COLUMNS = """\
| name | | here | what differs, or what to write |
|---|---|---|---|
"""


def listed(name: str) -> list[tuple[str, str]]:
    """`(module, name)` of each name in a list; lines that name a module only are left out."""
    lines = (DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split(" ")) for line in lines if " " in line]
    return [(module, name) for module, name in pairs if module != "api"]


def rows() -> dict[str, dict[str, tuple[str, names.Fate]]]:
    """Where a name is listed -> name -> `(which versions, fate)`."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for version, file in LISTS.items():
        root = "tensorflow_addons" if version == "Addons" else "tensorflow_similarity"
        for module, name in listed(file):
            where = home(root, module, name)
            if version not in found[where][name]:
                found[where][name].append(version)
    result: dict[str, dict[str, tuple[str, names.Fate]]] = {}
    for where in sorted(found, key=lambda each: (each.startswith("tensorflow_addons"), each)):
        result[where] = {}
        for name, versions in sorted(found[where].items(), key=lambda item: item[0].lower()):
            fate = names.fate(where, name)
            assert fate is not None, (where, name)
            text = "0.17 and 0.18" if versions == ["0.17"] else ", ".join(versions)
            result[where][name] = text, fate
    return result


def home(root: str, module: str, name: str) -> str:
    """The module under which a name stands on the page: the package that gives it again, if any."""
    if root == "tensorflow_addons":
        return f"{root}.losses"
    full = f"{root}.{module}"
    fate = names.fate(full, name)
    assert fate is not None, (module, name)
    while "." in module:
        package = module.rpartition(".")[0]
        if names.fate(f"{root}.{package}", name) != fate:
            break
        module = package
    return f"{root}.{module}"


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for where, table in rows().items():
        title = where.removeprefix("tensorflow_similarity.")
        parts.append(
            f"## {title}\n\n| name | | here | what differs, or what to write |\n|---|---|---|---|\n"
        )
        for name, (versions, fate) in table.items():
            only = "" if versions in ("0.17 and 0.18", "Addons") else f" ({versions} only)"
            target = "" if fate.target is None else f"`{fate.target}`"
            note = fate.note.replace("|", "\\|")
            parts.append(f"| `{name}`{only} | {STATUS[fate.status]} | {target} | {note} |\n")
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
