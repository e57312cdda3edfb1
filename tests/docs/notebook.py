"""``python -m tests.docs.notebook`` runs the cells of docs/notebook.ipynb and stores their outputs in it.

It is done without Jupyter: a cell's output is what it prints, the value of its last line, and the figures it draws.
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
Json = dict[str, Any]


def read() -> Json:
    """The notebook."""
    notebook: Json = json.loads(FILE.read_text())
    return notebook


def code_cells(notebook: Json) -> list[Json]:
    """Those that are run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run_cell(source: str, variables: dict[str, Any]) -> list[Json]:
    """Runs a cell as a notebook does; its outputs in the notebook's format."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "cell", "exec"), variables)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), variables) if last else None
    outputs: list[Json] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines(printed.getvalue())})
    if value is not None:
        outputs.append({"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": shown(value)})
    return outputs + figures()


def shown(value: Any) -> Json:
    """A value as text, and as HTML if it has such a form, as tables of pandas do."""
    data = {"text/plain": lines(repr(value))}
    if html := getattr(value, "_repr_html_", None):
        data["text/html"] = lines(html())
    return data


def figures() -> list[Json]:
    """Those that pyplot has open, which are then closed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    outputs: list[Json] = []
    for number in pyplot.get_fignums() if pyplot else []:
        image = io.BytesIO()
        pyplot.figure(number).savefig(image, format="png", dpi=80, metadata={"Software": None})
        png = base64.b64encode(image.getvalue()).decode()
        text = ["<Figure>"]
        outputs.append({"output_type": "display_data", "metadata": {}, "data": {"image/png": png, "text/plain": text}})
        pyplot.close(number)
    return outputs


def lines(text: str) -> list[str]:
    """A text as the format has it."""
    return text.splitlines(keepends=True)


def main() -> None:
    """Runs all cells in a directory of their own."""
    os.environ["MPLBACKEND"] = "agg"
    notebook, variables = read(), {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        for number, cell in enumerate(code_cells(notebook), 1):
            cell["outputs"] = run_cell("".join(cell["source"]), variables)
            cell["execution_count"] = number
            for output in cell["outputs"]:
                if "execution_count" in output:
                    output["execution_count"] = number
    FILE.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
