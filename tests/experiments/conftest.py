"""Tasks that do what a test says, and a finished run that tests share."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.run.tasks import Task, task_kinds
from experiments.session import Session
from foundations.reporting import Reporter
from tests.conftest import Listener

PLUGIN = Path(__file__).parent / "stub_tasks.py"
TINY: Mapping[str, Any] = {"dataset": "digits", "model": "mnist_lenet_4", "training_steps": "2ep"}


@pytest.fixture
def stub_plugin() -> Iterator[str]:
    """The plug-in's path; what it imports is gone after the test."""
    yield str(PLUGIN)
    sys.modules.pop("adsynflow_plugin_stub_tasks", None)


@pytest.fixture
def make_session(tmp_path: Path, stub_plugin: str, listener: Listener) -> Callable[..., Session]:
    """A session that knows the stubs and tells the listener."""

    def make_session(**options: Any) -> Session:
        reporter: Reporter = options.pop("reporter", listener)
        return Session(tmp_path / "runs", reporter=reporter, plugin=(stub_plugin,), threads=1, **options)

    return make_session


@pytest.fixture
def stubs(tmp_path: Path, make_session: Callable[..., Session]) -> Callable[..., list[Task]]:
    """``stubs(a="", b="a", c="a b: raise")``: tasks, what each waits for, and what it does."""
    make_session()  # registers them

    def stubs(**nodes: str) -> list[Task]:
        graph = {}
        for node, text in nodes.items():
            waits_for, _, does = text.partition(":")
            graph[node] = {"waits_for": waits_for.split(), "does": does.strip()}
        (tmp_path / "graph.json").write_text(json.dumps(graph))
        stub = task_kinds.get("stub")
        tasks: dict[str, Task] = {}
        for node in TopologicalSorter({node: entry["waits_for"] for node, entry in graph.items()}).static_order():
            after = tuple(tasks[other] for other in graph[node]["waits_for"])
            tasks[node] = stub(folder=str(tmp_path), node=node, after=after)  # type: ignore[call-arg]
        return [tasks[node] for node in nodes]

    return stubs


@pytest.fixture(scope="session")
def finished_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Level 1 of a lottery run with k = 1 epoch of 2, its shuffle, and an analysis, all done. Not to be changed."""
    root = tmp_path_factory.mktemp("experiments") / "runs"
    before = torch.get_num_threads()
    session = Session(root, threads=1, quiet=True)
    session.lottery(**TINY, k="1ep").run()
    session.lottery_branch("shuffle", **TINY, k="1ep").run()
    session.stability(**TINY, k="1ep", alphas=2).run()
    assert torch.get_num_threads() == before
    return root


@pytest.fixture
def root(finished_root: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    shutil.copytree(finished_root, tmp_path / "runs")
    return tmp_path / "runs"
