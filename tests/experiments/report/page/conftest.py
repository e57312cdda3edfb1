"""A page of stored runs, of which one is made to look collapsed."""

import shutil
from pathlib import Path

import pytest

from experiments.report.page.build import write_page
from experiments.runs import stored
from foundations.store import Store
from tests.test_stored_runs import FORMAT_2, INTERRUPTED


def collapse(level: Path) -> None:
    """Makes a level look as one that was refused since no path was left."""
    report = Store(level).read_json("sparsity_report.json")
    Store(level).write_json("sparsity_report.json", report | {"has_path": False, "empty_layers": ["fc.weight"]})


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib")
    root = tmp_path_factory.mktemp("page") / "runs"
    shutil.copytree(FORMAT_2, root)
    collapse(root / INTERRUPTED / "level_1")
    return root


@pytest.fixture(scope="session")
def page(root: Path) -> Path:
    """The HTML file. Not to be changed."""
    output = root.parent / "out" / "report.html"
    write_page(stored.runs(root), output)
    return output
