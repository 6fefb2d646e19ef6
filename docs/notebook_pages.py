"""MkDocs hook: the notebooks in examples/ become pages, with the outputs they were committed with.

Nothing is run, so a build needs neither TensorFlow nor time. In Markdown, notebooks are linked
to where they are in the repository; on the site those links lead to their pages.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"

_LINK = re.compile(r"\]\((?P<up>(?:\.\./)*)examples/(?P<name>\w+)\.ipynb")
_FRAME = re.compile(r'<iframe srcdoc="(?P<page>[^"]*)".*?height: (?P<height>\d+)px', re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for path in sorted(EXAMPLES.glob("*.ipynb")):
        markdown, attachments = page(path)
        files.append(File.generated(config, f"examples/{path.stem}.md", content=markdown))
        files.append(File.generated(config, f"examples/{path.name}", abs_src_path=str(path)))
        for name, content in attachments.items():
            files.append(File.generated(config, f"examples/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to notebooks, as they are in the repository, lead to their pages."""
    depth = page.file.src_uri.count("/")
    return _LINK.sub(
        lambda link: (
            f"]({'../' * depth}examples/{link['name']}.md"
            if link["up"].count("../") == depth + 1
            else link[0]
        ),
        markdown,
    )


def page(path: Path) -> tuple[str, dict[str, bytes | str]]:
    """A notebook as Markdown, and the files that it refers to."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts: list[str] = []
    attachments: dict[str, bytes | str] = {}
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(_links(source))
            continue
        parts.append(_fenced(source, "python"))
        for place, output in enumerate(cell["outputs"]):
            name = f"{path.stem}-{number}-{place}"
            parts.append(_output(output, name, attachments))
    title, *rest = parts
    about = f"*From the notebook [{path.name}]({path.name}), with the outputs of its last run.*"
    heading, _, text = title.partition("\n")
    return "\n\n".join([heading, about, text.strip(), *filter(None, rest)]) + "\n", attachments


def _links(text: str) -> str:
    """Links from examples/ to docs/ and to other notebooks, from one page to another."""
    text = text.replace("](../docs/", "](../")
    return re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", text)


def _output(output: dict[str, Any], name: str, attachments: dict[str, bytes | str]) -> str:
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]), "text")
    data = {kind: "".join(value) for kind, value in output["data"].items()}
    if "image/png" in data:
        attachments[f"{name}.png"] = base64.b64decode(data["image/png"])
        return f"![What the cell above draws]({name}.png)"
    frame = _FRAME.search(data.get("text/html", ""))
    if frame:
        attachments[f"{name}.html"] = html.unescape(frame["page"])
        return (
            f'<div><iframe src="{name}.html" title="What the cell above shows" loading="lazy" '
            f'style="width: 100%; height: {frame["height"]}px; border: 0"></iframe></div>'
        )
    return _fenced(data["text/plain"], "text")


def _fenced(text: str, language: str) -> str:
    fence = "```" if "```" not in text else "````"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
