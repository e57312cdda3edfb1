"""A page of the runs of an older version of this program, of which one is made to look collapsed."""

import json
import shutil
from pathlib import Path

import pytest

from experiments.report.page.build import write_page
from experiments.runs import stored
from tests.test_stored_runs import FORMAT_2, INTERRUPTED


def collapse(level: Path) -> None:
    """Makes a level look as one that was refused since no path was left."""
    report = json.loads((level / "sparsity_report.json").read_text())
    report |= {"has_path": False, "empty_layers": ["fc.weight"]}
    (level / "sparsity_report.json").write_text(json.dumps(report))


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
