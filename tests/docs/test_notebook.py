"""The cells of docs/notebook.ipynb, run in order on less data; and that its stored outputs are those of its cells."""

from pathlib import Path
from typing import Any

import pytest

from tests.docs.notebook import code_cells, read, run_cell

NOTEBOOK = read()
SHORTER = {'"10ep"': '"3ep"', '"5ep"': '"3ep"', "[1, 2, 3]": "[1]", "[0.2, 0.1, 0.05, 0.02]": "[0.2, 0.05]"}


def kinds(outputs: list[dict[str, Any]]) -> list[str]:
    return [output["output_type"] for output in outputs]


def test_the_cells_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    variables: dict[str, Any] = {"__name__": "__main__"}
    for cell in code_cells(NOTEBOOK):
        source = "".join(cell["source"])
        for long, short in SHORTER.items():
            source = source.replace(long, short)
        assert kinds(run_cell(source, variables)) == kinds(cell["outputs"]), source
    accuracy = {(row["strategy"], row["density"]) for row in variables["rows"] + variables["own"].rows()}
    assert len(accuracy) == 6
    assert all(row["test_accuracy"] > 0.3 for row in variables["rows"])


def test_everything_that_is_shortened_stands_there() -> None:
    sources = "".join("".join(cell["source"]) for cell in code_cells(NOTEBOOK))
    assert all(long in sources for long in SHORTER)


def test_outputs_are_stored_and_small() -> None:
    counts = [cell["execution_count"] for cell in code_cells(NOTEBOOK)]
    assert counts == list(range(1, len(counts) + 1))
    assert len(str(NOTEBOOK)) < 100_000
    assert "/tmp" not in str(NOTEBOOK)
