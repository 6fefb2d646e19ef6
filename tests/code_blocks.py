"""Finds the Python code in Markdown and in docstrings, and runs it.

The blocks of one text run in order and share their variables. An expression with
a comment after it that reads as a value, on its line or the next, must have that
value. A fenced `text` block right after a `python` block is what that block
prints. Comments in the Markdown say what is special, on a line of their own
before the fence:

- `<!-- not run: why -->`: the block is not run;
- `<!-- varies -->`: the numbers in the printed text are not compared.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
# What a value in a comment may be written with.
_VALUES = {"__builtins__": {}, "array": np.array, "inf": np.inf, "log": np.log, "nan": np.nan}
_NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?(e[+-]?\d+)?")


@dataclass
class Block:
    """One fenced block."""

    language: str
    code: str
    line: int
    note: str  # the text between the block before and this one


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a Markdown text or docstring."""
    found, end = [], 0
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        code = textwrap.dedent(match["code"])
        found.append(Block(match["language"], code, line, text[end : match.start()]))
        end = match.end()
    return found


def run(text: str, name: str | Path) -> int:
    """Runs the Python blocks of `text`, and compares what they print where it is written.

    Returns:
        The number of blocks run.
    """
    space: dict[str, object] = {"__name__": "__main__"}
    printed, runs = None, 0
    for block in blocks(text):
        if block.language == "python" and "<!-- not run:" not in block.note:
            printed = _execute(block, name, space)
            runs += 1
        elif block.language == "text" and printed is not None and not _prose(block.note):
            expected = block.code
            if "<!-- varies -->" in block.note:
                expected, printed = _NUMBER.sub("#", expected), _NUMBER.sub("#", printed)
                expected, printed = re.sub(" +", " ", expected), re.sub(" +", " ", printed)
            assert printed.rstrip() == expected.rstrip(), f"{name}, line {block.line}"
            printed = None
        else:
            printed = None
    return runs


def _prose(note: str) -> bool:
    return bool(re.sub(r"<!--.*?-->", "", note, flags=re.DOTALL).strip())


def _execute(block: Block, name: str | Path, space: dict[str, object]) -> str:
    file = f"<{name}, line {block.line}>"
    # Lets a traceback, and keras' serialisation of functions, show the source.
    linecache.cache[file] = (len(block.code), None, block.code.splitlines(True), file)
    lines = block.code.splitlines()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for node in ast.parse(block.code, file).body:
            if isinstance(node, ast.Expr):
                value = eval(compile(ast.Expression(node.value), file, "eval"), space)
                _compare(value, _value_written(node, lines), f"{file}: {lines[node.lineno - 1]}")
            else:
                exec(compile(ast.Module([node], []), file, "exec"), space)
    return out.getvalue()


def _value_written(node: ast.Expr, lines: list[str]) -> object:
    """The value in the comment after an expression, or `...` where there is none."""
    comment = lines[node.end_lineno - 1][node.end_col_offset :].strip()
    if not comment and node.end_lineno < len(lines):
        comment = lines[node.end_lineno].strip()
    try:
        return eval(comment.removeprefix("#").strip(), dict(_VALUES))
    except Exception:  # Words, not a value.
        return ...


def _compare(value: Any, written: Any, where: str) -> None:
    if written is ...:
        return
    if isinstance(written, dict):
        assert value.keys() == written.keys(), where
        for key in written:
            _compare(value[key], written[key], where)
    elif isinstance(written, (tuple, list)) and any(isinstance(w, dict) for w in written):
        for one, other in zip(value, written, strict=True):
            _compare(one, other, where)
    elif isinstance(written, (str, set, bool, type(None))):
        assert value == written, where
    elif np.asarray(written).dtype.kind in "OU":  # names, and None among them
        np.testing.assert_array_equal(np.asarray(value), np.asarray(written), err_msg=where)
    else:
        np.testing.assert_allclose(
            np.asarray(value), np.asarray(written), rtol=1e-3, atol=1e-6, err_msg=where
        )
