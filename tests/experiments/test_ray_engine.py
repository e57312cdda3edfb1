"""The engine for Ray on a cluster of this machine, where Ray is installed."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.run.engines import run_plan
from experiments.run.plan import make_plan
from experiments.run.ray import no_room
from experiments.run.tasks import Task
from experiments.session import Session
from foundations.errors import UsageError
from tests.conftest import Listener
from tests.experiments.stub_work import attempts
from tests.experiments.test_engines import done

Stubs = Callable[..., list[Task]]


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_tasks_are_done_as_on_one_machine(
    make_session: Callable[..., Session], stubs: Stubs, tmp_path: Path, listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One that is killed is tried once more; what stands on one that fails is skipped; nothing else is."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "")  # so that what the engine sets is gone after the test
        monkeypatch.delenv(name)
    session = make_session(engine="ray")
    tasks = stubs(a=": be killed once", bad="a: refuse", top="bad")
    [failure] = run_plan(make_plan(tasks, session), session)
    assert (failure.task, failure.refused, failure.reason) == (tasks[1], True, "--lr=1: unsuitable")
    assert [task.part for task in failure.skipped] == ["top"]
    assert attempts(tmp_path) == ["a", "a", "bad"]
    assert done(tmp_path) == {"a"}
    assert listener.warned == ["stubs, a: its process ended with exit code -9; trying once more"]


def test_a_task_that_no_node_has_room_for_is_said(make_session: Callable[..., Session]) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0}}, {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}},
             {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 8.0}}]  # fmt: skip
    cluster = SimpleNamespace(nodes=lambda: nodes)
    said = {
        asked: no_room(cluster, make_session(engine="ray", cpus_per_task=asked[0], gpus_per_task=asked[1]).options)
        for asked in [(8, 0.0), (2, 0.5), (4, 1.0)]
    }
    assert [asked for asked, text in said.items() if text] == [(4, 1.0)]
    assert said[4, 1.0].startswith("--cpus_per_task=4 --gpus_per_task=1: no node of the Ray cluster has as many")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "ray", "jobs": 2}, "--jobs=2: not with --engine=ray; valid: --engine=local"),
        ({"engine": "local", "slurm": "time=3"}, "--slurm=time=3: not with --engine=local; valid: --engine=slurm"),
        ({"engine": "ray", "detach": True}, "--detach=true: not with --engine=ray; valid: --engine=slurm"),
        ({"engine": "local", "cpus_per_task": 4}, "--cpus_per_task=4: not with --engine=local; valid: --engine=slurm"),
        ({"gpus_per_task": 1.0}, "--gpus_per_task=1.0: not with --engine=local; valid: --engine=slurm or --engine=ray"),
        ({"engine": "slurm", "gpus_per_task": 0.5}, "--gpus_per_task=0.5: Slurm gives whole GPUs only"),
    ],
)
def test_options_that_an_engine_would_ignore_are_refused(
    options: dict[str, object], words: str, make_session: Callable[..., Session]
) -> None:
    with pytest.raises(UsageError) as refusal:
        make_session(**options)
    assert str(refusal.value).startswith(words)


def test_a_search_for_k_cannot_be_detached(make_session: Callable[..., Session]) -> None:
    grid = make_session(engine="slurm", detach=True).stability(dataset="digits", model="mnist_lenet_4", k="auto")
    with pytest.raises(UsageError, match="--detach: not with --k=auto"):
        grid.run()
