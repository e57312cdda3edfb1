"""What --dry_run says a plan will take: its time, its disk, and the jobs of a cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import main
from experiments.run import estimate as estimating
from experiments.run import slurm
from experiments.run.estimate import Estimate, estimate, names_of
from experiments.session import Session
from foundations import files
from foundations.store import Store

LENET = {
    "model": "mnist_lenet_300_100", "dataset": "digits", "training_steps": "2ep", "k": "1ep",
    "pruning_strategy": "magnitude",
}  # fmt: skip
STEPS = 23  # of an epoch


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(root=str(tmp_path / "runs"), threads=1, quiet=True)


def estimated(session: Session, timed: bool = False, **values: Any) -> tuple[Estimate, Any]:
    plan = session.lottery(**{**LENET, **values}).plan()
    return estimate(plan, plan.steps(session), session, timed=timed), plan


def say_it_took(store: Store, seconds: float, **changes: Any) -> None:
    store.write_json(files.STATUS, {**store.read_json(files.STATUS), "seconds": seconds, **changes})


@pytest.fixture
def trunk(session: Session) -> Store:
    """The directory of a trunk of two epochs that is known to have taken 4.6 seconds, a tenth of one a step."""
    training = session.train(model=LENET["model"], dataset="digits", training_steps="2ep")
    training.run()
    say_it_took(training[0].store, 4.6)
    return training[0].store


def test_steps_take_as_long_as_those_of_a_run_of_the_same_network(session: Session, trunk: Store) -> None:
    found, plan = estimated(session)
    assert [round(found.seconds[task], 6) for task in plan] == [0, 2.3]  # the mask; 23 steps of the level
    assert found.trainings == 1
    assert found.on_the_clock(plan, jobs=1) == pytest.approx(2.3)


def test_jobs_share_what_does_not_wait_for_each_other(session: Session, trunk: Store) -> None:
    found, plan = estimated(session, density=[0.5, 0.2])
    assert found.on_the_clock(plan, jobs=1) == pytest.approx(4.6)
    assert found.on_the_clock(plan, jobs=2) == pytest.approx(2.3)


@pytest.mark.parametrize("other", [{"batch_size": 32}, {"precision": "bf16"}, {"model": "mnist_lenet_4"}])
def test_a_run_says_nothing_about_other_steps(session: Session, trunk: Store, other: dict[str, Any]) -> None:
    found, plan = estimated(session, **other)
    assert found.on_the_clock(plan, jobs=1) is None


@pytest.mark.parametrize("entry", ["cpu", "device", "threads"])
def test_a_run_elsewhere_says_nothing_here(session: Session, trunk: Store, entry: str) -> None:
    trunk.write_json(files.ENVIRONMENT, {**trunk.read_json(files.ENVIRONMENT), entry: 7 if entry == "threads" else "x"})
    found, plan = estimated(session)
    assert found.on_the_clock(plan, jobs=1) is None


@pytest.mark.parametrize("changes", [{"attempts": 2}, {"state": "failed"}])
def test_a_training_with_several_attempts_says_nothing(session: Session, trunk: Store, changes: dict[str, Any]) -> None:
    say_it_took(trunk, 4.6, **changes)
    found, plan = estimated(session)
    assert found.on_the_clock(plan, jobs=1) is None


def test_timed_steps_take_the_place_of_a_run_and_write_nothing(
    session: Session, tmp_path: Path, steps_taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "emulates_bf16", lambda device: True)
    found, plan = estimated(session, timed=True)
    assert steps_taken == [*range(20)]  # ten of them warm up
    assert min(found.seconds[task] for task in plan if plan.steps(session)[task]) > 0
    assert (found.trainings, found.bf16) == (0, [])
    assert not (tmp_path / "runs").exists()


def test_bfloat16_is_spoken_of_where_it_was_timed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {"fp32": 0.4, "bf16": 0.1}
    monkeypatch.setattr(estimating, "emulates_bf16", lambda device: False)
    monkeypatch.setattr(estimating, "timed_step", lambda session, desc, threads: taken[desc.training.precision])
    assert estimated(session, timed=True)[0].bf16 == [0.25]
    assert estimated(session, timed=True, precision="bf16")[0].bf16 == []
    assert estimated(session)[0].bf16 == []  # never a guess


def test_the_disk_is_what_a_run_then_takes(session: Session, tmp_path: Path) -> None:
    found, _ = estimated(session, levels=1)
    session.lottery(**LENET).run()
    taken = sum(path.stat().st_size for path in (tmp_path / "runs").rglob("*.safetensors"))
    assert found.size == pytest.approx(taken, rel=0.1)


def test_tasks_that_would_look_alike_say_how_they_differ(session: Session) -> None:
    def named(**values: Any) -> list[str]:
        plan = session.lottery(**{**LENET, **values}).plan()
        return [name for name in names_of(list(plan)) if ", level 1" in name]

    label = "magnitude, k=1ep, replicate 1, level 1"
    assert named() == [label]
    assert named(density=[0.5, 0.1, 0.02]) == [f"{label}, 50%", f"{label}, 10%", f"{label}, 2%"]
    assert named(lr=[0.1, 0.05]) == [f"{label}, lr = 0.1", f"{label}, lr = 0.05"]


ARGV = ("lottery", "--model=mnist_lenet_4", "--dataset=digits", "--training_steps=2ep", "--k=1", "--threads=1")


@pytest.fixture
def do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def do(*argv: str, code: int = 0) -> Any:
        assert main([*ARGV, *argv, f"--root={tmp_path / 'runs'}"]) == code
        return capsys.readouterr()

    return do


def test_a_dry_run_for_slurm_shows_arrays_what_they_wait_for_and_hours(do: Callable[..., Any]) -> None:
    printed = do("--density=0.5,0.1", "--engine=slurm", "--slurm=time=30", "--dry_run").out.splitlines()
    first = next(place for place, line in enumerate(printed) if line.startswith("array"))
    assert [line.split() for line in printed[first + 1 : first + 4]] == [
        ["1", "1", "0.5"], ["2", "2", "1", "1"], ["3", "2", "1,", "2", "1"],
    ]  # fmt: skip  # the trunk, the masks, the levels
    assert max(map(len, printed)) <= 80


def test_a_name_that_sbatch_does_not_know_is_refused(do: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Said:
        stdout = "  -p, --partition=partition   partition requested\n      --mem-per-cpu=MB   memory"

    monkeypatch.setattr(slurm.subprocess, "run", lambda *argv, **options: Said())
    refused = do("--engine=slurm", "--slurm=partion=gpu", "--dry_run", code=2)
    assert refused.err.startswith("--slurm=partion=...: no option of sbatch (did you mean 'partition'?)")
    do("--engine=slurm", "--slurm=partition=gpu,mem_per_cpu=2,time=30", "--dry_run")


def test_estimate_belongs_to_dry_run(do: Callable[..., Any]) -> None:
    assert do("--estimate", code=2).err.startswith("--estimate: belongs to --dry_run")
