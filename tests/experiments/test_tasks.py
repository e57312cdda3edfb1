"""Parts of experiments: what they need, their JSON, and how one of them is done alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.measurements.after_pruning import AfterPruning
from experiments.run.measured import MeasurementTask
from experiments.run.tasks import (
    AnalysisMaskTask,
    BranchTask,
    ChildTask,
    ComparisonTask,
    CurveTask,
    FullNetworkTask,
    LevelMaskTask,
    LevelTask,
    OfLevel,
    Task,
    TrunkTask,
    from_json,
    task_kinds,
    trunk_end,
)
from experiments.session import Session, with_needs
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from lottery.branch import branches
from stability import AnalysisHparams
from stability.criteria.early import EarlyBird
from tests.experiments.conftest import TINY
from training.hparams import TrainDesc


@pytest.fixture(scope="module")
def session() -> Session:
    """Only describes; nothing is computed with it."""
    return Session("nowhere", reporter=Reporter())


def level_task(session: Session, level: int, strategy: str = "adsynflow", **flags: Any) -> LevelTask:
    """A level of a run with k = 1 epoch."""
    [experiment] = session.lottery(**TINY, k=1, pruning_strategy=strategy, levels=[level], **flags)
    [*_, task] = experiment.tasks()
    assert isinstance(task, LevelTask)
    return task


def mask_of(task: LevelTask) -> LevelMaskTask:
    return LevelMaskTask(desc=task.desc, replicate=task.replicate, level=task.level, allow_collapse=task.allow_collapse)


def below(task: OfLevel, level: int) -> LevelTask:
    """Another level of the same run, or that of a branch."""
    return LevelTask(desc=task.desc, replicate=task.replicate, level=level, allow_collapse=task.allow_collapse)


def trunk_to(task: OfLevel, step: Step) -> TrunkTask:
    return TrunkTask(desc=task.desc.train, replicate=task.replicate, to=step)


def branch_task(session: Session, name: str, **flags: Any) -> Task:
    [experiment] = session.lottery_branch(name, **TINY, k=1, **flags)
    *_, task = experiment.tasks()  # after its level
    return task


def comparison(session: Session, **flags: Any) -> ComparisonTask:
    """The one task of an analysis at k = 1 epoch."""
    [experiment] = session.stability(**TINY, k=1, **flags)
    [task] = experiment.tasks()
    assert isinstance(task, ComparisonTask)
    return task


def weights(session: Session, path: Path) -> str:
    """A file with weights of the network."""
    [experiment] = session.train(**TINY)
    assert isinstance(experiment.desc, TrainDesc)
    torch.save(session.trunk(experiment.desc, 1).fresh().model.state_dict(), path)
    return str(path)


def about(task: ComparisonTask) -> dict[str, Any]:
    return {name: getattr(task, name) for name in ("desc", "replicate", "k", "settings", "checkpoint")}


def parts(tasks: Sequence[Task]) -> list[str]:
    return [task.part for task in tasks]


# JSON ----------------------------------------------------------------------------------------------------------------


def one_of_each(session: Session) -> dict[str, Task]:
    level, compare = level_task(session, 2, "sparse_global"), comparison(session, pruning_strategy="synflow")
    return {
        "trunk": TrunkTask(desc=level.desc.train, replicate=3, to=Step("1ep5it")),
        "level_mask": mask_of(level),
        "level": level_task(session, 1, replicate=2, allow_collapse=True),
        "branch": branch_task(session, "retrain", retrain_lr=0.5),
        "full_network": FullNetworkTask(**about(compare)),
        "analysis_mask": AnalysisMaskTask(**about(compare)),
        "child": ChildTask(**about(compare), number=2),
        "comparison": comparison(session, pruning_strategy="none", children=3),
        "curve": CurveTask(desc=compare.desc, replicate=2, criterion=EarlyBird(patience=3), limit=7),
        "measurement": MeasurementTask(of=level, measurement=AfterPruning(after_pruning_examples=9)),
    }


@pytest.mark.parametrize("kind", task_kinds.names())
def test_a_task_is_the_same_after_its_journey_as_json(kind: str, session: Session) -> None:
    task = one_of_each(session)[kind]
    text = task.to_json()
    again = from_json(text)
    assert (again, hash(again), type(again)) == (task, hash(task), type(task))
    assert again.to_json() == text
    assert "\n" not in text
    assert from_json(json.loads(text)) == task
    assert json.loads(session.task_line(task))["task"] == json.loads(text)


def test_a_checkpoint_travels_with_its_analysis(session: Session, tmp_path: Path) -> None:
    task = comparison(session, checkpoint=weights(session, tmp_path / "weights.pt"))
    assert from_json(task.to_json()) == task


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "A task is a JSON object, not '{'"),
        ("[1]", 'A task is a JSON object with an entry "task"'),
        ('{"task": 1}', 'A task is a JSON object with an entry "task"'),
        ('{"task": "levle"}', r"Unknown task 'levle' \(did you mean 'level'"),
        ('{"task": "trunk", "replicate": 1}', "does not fit"),
        ('{"task": "trunk", "lr": 1}', "does not fit"),
    ],
)
def test_what_is_no_task_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_json(text)


# What each needs -----------------------------------------------------------------------------------------------------


def test_a_trunk_needs_nothing(session: Session) -> None:
    desc = level_task(session, 1).desc.train
    assert with_needs(TrunkTask(desc=desc, replicate=1, to=Step("1ep"))).after == ()
    assert trunk_end(desc, 1).part == "to 2ep"


def test_a_level_needs_its_mask_and_the_trunk_at_k(session: Session) -> None:
    task = level_task(session, 1)
    assert task.after == (mask_of(task), TrunkTask(desc=task.desc.train, replicate=1, to=Step("1ep")))


def test_level_0_is_the_trunk(session: Session) -> None:
    task = level_task(session, 0)
    assert task.after == (mask_of(task), trunk_end(task.desc.train, 1))
    assert with_needs(mask_of(task)).after == ()


def test_a_mask_scored_at_k_needs_the_trunk_there_and_no_other_level(session: Session) -> None:
    task = level_task(session, 3)
    assert with_needs(mask_of(task)).after == (trunk_to(task, Step("1ep")),)


def test_a_mask_scored_at_the_end_needs_the_end_and_all_levels_before(session: Session) -> None:
    task = level_task(session, 2, "sparse_global")
    assert with_needs(mask_of(task)).after == (trunk_end(task.desc.train, 1), below(task, 0), below(task, 1))


def test_of_many_levels_each_is_looked_at_once(session: Session) -> None:
    task = with_needs(level_task(session, 40, "sparse_global", pruning_fraction=0.05))
    assert task.after[0].after == (trunk_end(task.desc.train, 1), *(below(task, level) for level in range(40)))
    assert with_needs(mask_of(below(task, 0))).after == ()


def test_a_branch_needs_its_level_the_trunk_at_k_and_where_it_starts(session: Session) -> None:
    task = branch_task(session, "shuffle")
    assert isinstance(task, BranchTask)
    assert task.after == (below(task, 1), trunk_to(task, Step("1ep")))
    assert parts(branch_task(session, "rewind", start_step="5it").after) == ["level 1", "to 1ep", "to 5it"]


def test_a_child_needs_the_trunk_at_k_and_its_mask(session: Session) -> None:
    pruned, full = comparison(session), comparison(session, pruning_strategy="none")
    trunk = TrunkTask(desc=pruned.desc.train, replicate=1, to=pruned.k)
    assert with_needs(ChildTask(**about(pruned))).after == (trunk, AnalysisMaskTask(**about(pruned)))
    assert with_needs(AnalysisMaskTask(**about(pruned))).after == (trunk,)
    assert with_needs(ChildTask(**about(full))).after == (trunk,)


def test_a_comparison_needs_the_full_network_and_every_child(session: Session) -> None:
    task = comparison(session, children=3)
    assert task.after == (
        trunk_end(task.desc.train, 1),
        *(ChildTask(**about(task), number=number) for number in (1, 2, 3)),
    )


def test_an_analysis_scored_at_the_end_needs_the_end(session: Session) -> None:
    task = comparison(session, pruning_strategy="sparse_global")
    assert with_needs(AnalysisMaskTask(**about(task))).after == (trunk_end(task.desc.train, 1),)


def test_from_a_checkpoint_no_trunk_is_needed(session: Session, tmp_path: Path) -> None:
    task = comparison(session, checkpoint=weights(session, tmp_path / "weights.pt"))
    assert parts(task.after) == ["full network", "child 1", "child 2"]
    assert with_needs(FullNetworkTask(**about(task))).after == ()
    assert with_needs(AnalysisMaskTask(**about(task))).after == ()
    assert with_needs(ChildTask(**about(task))).after == (AnalysisMaskTask(**about(task)),)
    at_the_end = comparison(session, checkpoint=task.checkpoint, pruning_strategy="sparse_global")
    assert with_needs(AnalysisMaskTask(**about(at_the_end))).after == (FullNetworkTask(**about(at_the_end)),)


def test_one_child_alone_is_a_task(session: Session) -> None:
    [experiment] = session.stability(**TINY, k=1, child=3)
    [task] = experiment.tasks()
    assert isinstance(task, ChildTask)
    assert task.number == 3
    assert task.settings == AnalysisHparams(children=3)


def test_every_branch_has_a_task(session: Session) -> None:
    for name in branches:
        task = branch_task(session, name)
        assert from_json(task.to_json()) == task
        assert name in task.label


def test_what_is_no_task_has_no_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"task_line: expected a task, .* found None"):
        Session(root=tmp_path, quiet=True).task_line(None)  # type: ignore[arg-type]
