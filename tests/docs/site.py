"""``python -m tests.docs.site FOLDER`` writes the pages of the site that ``make docs`` builds.

The documents stay where they are and link to each other as files. Here those outside of docs/ join the others, links
follow them, and the API reference is listed from ``adsynflow/__init__.py``; mkdocstrings fills it with docstrings.
"""

import ast
import json
import os.path
import re
import shutil
import sys
from pathlib import Path
from typing import Any

HOME = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md", "benchmarks/gpu.md": "gpu.md", "docs/notebook.ipynb": "notebook.md",
}  # fmt: skip
"""Documents by their place in the checkout, and the names of their pages."""
LINK = re.compile(r"(?P<text>\[(?:[^\[\]]|\[[^\[\]]*\])*\])\((?P<target>[^)\s]+)\)")
ROOMS = {
    "pruning": "Masks and scores", "experiments": "Experiments", "training": "Data and training", "lottery": "Levels",
    "stability": "Stability", "models": "Models", "foundations": "Foundations",
}  # fmt: skip
"""Headings of the API reference, in its order."""


def linked(text: str, document: str) -> str:
    """Return a document's text with links to pages of the site; what is not on the site is named without a link."""

    def link(found: re.Match[str]) -> str:
        target, _, anchor = found["target"].partition("#")
        if "://" in target or not target:
            return found[0]
        place = os.path.normpath(Path(document).parent / target)
        page = PAGES.get(place, place.removeprefix("docs/") if place.startswith("docs/") else "")
        if not page:
            return found["text"][1:-1]
        own = PAGES.get(document, document.removeprefix("docs/"))
        path = os.path.relpath(page, Path(own).parent)
        return f"{found['text']}({path}{'#' * bool(anchor)}{anchor})"

    return LINK.sub(link, text)


def reference() -> str:
    """Return the page of public names: a heading for each package that they come from."""
    names: dict[str, list[str]] = {room: [] for room in ROOMS}
    for node in ast.parse((HOME / "adsynflow" / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names[node.module.partition(".")[0]] += [alias.asname or alias.name for alias in node.names]
    sections = [
        "\n\n".join([f"## {ROOMS[room]}", *(f"::: adsynflow.{name}" for name in sorted(found, key=str.lower))])
        for room, found in names.items()
    ]
    start = "# Public names\n\nWhat `adsynflow` exports, with signatures and docstrings of this version."
    return "\n\n".join([start, *sections]) + "\n"


def notebook(text: str) -> str:
    """Return a notebook as Markdown, outputs included."""
    return "\n\n".join(part for cell in json.loads(text)["cells"] for part in cell_parts(cell)) + "\n"


def cell_parts(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    outputs = [output.get("data", {"text/plain": output.get("text", "")}) for output in cell["outputs"]]
    return [f"```python\n{source}\n```", *map(shown, outputs)]


def shown(data: dict[str, Any]) -> str:
    if "image/png" in data:
        return f"![figure](data:image/png;base64,{''.join(data['image/png']).strip()})"
    return f"```text\n{''.join(data['text/plain']).rstrip()}\n```"


def write(folder: Path) -> None:
    """Write the pages, and the figures and tables that they show."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HOME / "docs", folder)
    (folder / "reference.md").write_text(reference())
    documents = [*PAGES, *(path.relative_to(HOME).as_posix() for path in sorted((HOME / "docs").rglob("*.md")))]
    for document in documents:
        text = (HOME / document).read_text()
        page = folder / PAGES.get(document, document.removeprefix("docs/"))
        page.write_text(linked(notebook(text) if document.endswith(".ipynb") else text, document))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
