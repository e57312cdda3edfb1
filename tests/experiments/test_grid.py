"""Lists of values become experiments."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cli.command_line import read_command
from experiments.define.defaults import IN_NO_KEY
from experiments.define.grid import Grid, combinations, different_densities
from experiments.session import Session
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from tests.experiments.conftest import TINY


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Describes only: no test here computes."""
    return Session(tmp_path / "runs", reporter=Reporter())


def by_flags(command: str, *flags: str, branch: str | None = None) -> Grid:
    """The grid of a command line."""
    line = read_command(command, ["--dataset=digits", "--model=mnist_lenet_4", "--training_steps=2ep", *flags], branch)
    assert line is not None
    return line.grid(branch)


def identities(grid: Grid) -> list[Any]:
    return [one.identity for one in grid]


# Which ---------------------------------------------------------------------------------------------------------------


def test_every_combination_the_replicate_fastest() -> None:
    assert combinations({"replicate": [1, 2], "lr": 0.1, "k": ["0ep", "5it"], "gamma": [0.5, 0.1]}) == [
        {"lr": 0.1, "gamma": gamma, "k": k, "replicate": replicate}
        for gamma in (0.5, 0.1)
        for k in ("0ep", "5it")
        for replicate in (1, 2)
    ]


def test_the_order_of_what_varies_fastest_is_fixed_and_the_rest_is_as_given() -> None:
    [one] = combinations({"k": 1, "replicate": 1, "density": 0.5, "lr": 1, "pruning_strategy": "snip", "batch_size": 8})
    assert list(one) == ["lr", "batch_size", "pruning_strategy", "density", "k", "replicate"]


def test_a_value_twice_is_one_experiment(session: Session) -> None:
    assert len(session.lottery(**TINY, k=[1, 1])) == 1
    assert len(session.lottery(**TINY, k=["1ep", 1, Step("1ep"), "23it"])) == 2  # 23it is another key
    assert len(session.lottery(**TINY, k=1, pruning_strategy=["random", "random"])) == 1


@pytest.mark.parametrize(
    ("flag", "keyword"),
    [
        ("--replicate=1-3", {"replicate": range(1, 4)}),
        ("--lr=0.1,0.2", {"lr": [0.1, 0.2]}),
        ("--optimizer=sgd,adam", {"optimizer": ("sgd", "adam")}),
        ("--batch_size=32,64-65", {"batch_size": [32, 64, 65]}),
        ("--k=0-1,5it", {"k": [0, 1, "5it"]}),
        ("--reset_optimizer=true,false", {"reset_optimizer": [True, False]}),
        ("--model=mnist_lenet_4,mnist_lenet_8", {"model": ["mnist_lenet_4", "mnist_lenet_8"]}),
        ("--levels=0;1-2", {"levels": [[0], [1, 2]]}),
        ("--milestone_steps=1ep;5it,1ep", {"milestone_steps": [["1ep"], ["5it", "1ep"]]}),
        ("--layers_to_ignore=fc.weight;", {"layers_to_ignore": [["fc.weight"], []]}),
        ("--synflow_input=ones,mean", {"synflow_input": ["ones", "mean"]}),
        ("--pruning_fraction=0.5,0.9", {"pruning_fraction": [0.5, 0.9]}),
    ],
)
def test_lists_of_every_kind_of_flag_by_both_ways(flag: str, keyword: dict[str, Any], session: Session) -> None:
    given = {**TINY, "k": 1, **keyword}
    flags = [flag] if "k" in keyword else ["--k=1", flag]
    ours, theirs = session.lottery(**given), by_flags("lottery", *flags)
    assert identities(ours) == identities(theirs)
    [values] = keyword.values()
    assert len(theirs.items) == (1 if "levels" in keyword else len(values))


def test_lists_of_levels_of_one_run_are_put_together(session: Session) -> None:
    """Levels are in no key; with --density they decide the fraction, and so the run."""
    [one] = session.lottery(**TINY, k=1, levels=[[0], [2, 1]])
    assert one.levels == (0, 1, 2)  # type: ignore[attr-defined]
    [one] = session.lottery_branch("shuffle", **TINY, k=1, levels=[[1], [2]])
    assert one.levels == (1, 2)  # type: ignore[attr-defined]
    assert len(session.lottery(**TINY, k=1, levels=[[1], [2]], density=0.25)) == 2


def test_searches_for_k_are_apart_if_what_they_are_for_is(session: Session) -> None:
    assert len(session.lottery(**TINY, k="auto", compact=[True, False], replicate=[1, 2]).searches) == 4
    assert len(session.lottery(**TINY, k=["auto", "auto"]).searches) == 1
    assert len(session.stability(**TINY, k="auto", pruning_strategy=["none", "none", "adsynflow"]).searches) == 2


def test_a_single_list_of_a_flag_that_is_a_list_is_one_value(session: Session) -> None:
    [one] = session.lottery(**TINY, k=1, levels=[0, 2])
    assert one.levels == (0, 2)  # type: ignore[attr-defined]
    [one] = session.lottery(**TINY, k=1, levels=2)
    assert one.levels == (2,)  # type: ignore[attr-defined]
    [one] = session.lottery(**TINY, k=1, levels=range(3))
    assert one.levels == (0, 1, 2)  # type: ignore[attr-defined]


def test_an_empty_list_is_refused(session: Session) -> None:
    with pytest.raises(UsageError, match="--lr=: a value is missing"):
        session.lottery(**TINY, k=1, lr=[])


# What applies --------------------------------------------------------------------------------------------------------


def test_what_a_strategy_brings_stays_its_own(session: Session) -> None:
    flow, imp = session.lottery(dataset="digits", pruning_strategy=["adsynflow", "sparse_global"])
    assert flow.desc.k != imp.desc.k == Step("0ep")  # type: ignore[attr-defined]
    assert imp.desc.pruning.score_at == "end"  # type: ignore[attr-defined]


def test_strategies_that_are_compared_at_different_densities_are_named(session: Session) -> None:
    names = ["synflow", "adsynflow", "snip", "magnitude", "random"]
    assert different_densities(session.lottery(**TINY, k=0, pruning_strategy=names)) == ""
    by_default = session.lottery(**TINY, k=0, pruning_strategy=["snip", "sparse_global"])
    assert different_densities(by_default) == (
        "The strategies are compared at different densities (snip 0.1; sparse_global 0.8); --density gives them one"
    )
    at_one = session.lottery(**TINY, k=0, pruning_strategy=["snip", "sparse_global"], density=0.3)
    assert different_densities(at_one) == ""
    assert different_densities(session.stability(**TINY, k=0, pruning_strategy=["none", "snip", "sparse_global"]))
    assert different_densities(session.stability(**TINY, k=0, pruning_strategy=["none", "snip"])) == ""


def test_a_value_counts_for_those_to_which_it_applies(session: Session) -> None:
    grid = session.stability(**TINY, k=1, pruning_strategy=["none", "adsynflow", "random"], density=[0.3, 0.2])
    assert [one.desc.strategy_name for one in grid] == [  # type: ignore[attr-defined]
        "none", "adsynflow", "adsynflow", "random", "random",
    ]  # fmt: skip
    inputs = session.lottery(**TINY, k=1, pruning_strategy=["adsynflow", "random"], synflow_input=["ones", "mean"])
    assert [one.label.partition(",")[0] for one in inputs] == ["adsynflow", "random", "adsynflow"]


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("lottery", {"pruning_strategy": "random", "synflow_input": "ones"}, "--synflow_input belongs to .*synflow"),
        ("lottery", {"pruning_strategy": ["random", "snip"], "synflow_input": ["ones"]}, "--synflow_input belongs to"),
        ("stability", {"pruning_strategy": "none", "density": 0.5}, "--density=0.5: does not apply to .*none"),
        ("train", {"k": 1}, "--k is no flag of this command"),
        ("train", {"density": [0.1, 0.2]}, "--density is no flag of this command"),
        ("lottery", {"k": 1, "max_k": 0}, "--max_k is no flag of this command"),
        ("lottery", {"k": 1, "threshold": 0.1}, "--threshold belongs to lottery_branch stability"),
        ("lottery", {"retrain_lr": 1}, "--retrain_lr belongs to lottery_branch retrain, which is not selected"),
        ("train", {"learning_rate": 1}, "--learning_rate: unknown flag"),
        ("train", {"optimiser": "sgd"}, r"--optimiser: unknown flag \(did you mean '--optimizer'"),
        ("train", {"lr": "fast"}, "--lr=fast: expected a number"),
        ("train", {"lr": [0.1, "fast"]}, "--lr=fast: expected a number"),
        ("train", {"replicate": 0}, r"--replicate=0: expected a number in \[1, inf\)"),
        ("train", {"training_steps": "soon"}, "--training_steps=soon"),
        ("train", {"optimizer": ["sgd", "sdg"]}, r"--optimizer=sdg: .*"),
    ],
)
def test_what_applies_to_none_or_does_not_fit_is_refused(
    command: str, flags: dict[str, Any], message: str, session: Session
) -> None:
    with pytest.raises(UsageError, match=message):
        getattr(session, command)(**{**TINY, **flags})


def test_a_branch_s_flags_are_those_of_the_branch(session: Session) -> None:
    assert len(session.lottery_branch("retrain", **TINY, k=1, retrain_lr=[0.1, 0.2])) == 2
    with pytest.raises(UsageError, match="--retrain_lr belongs to lottery_branch retrain"):
        session.lottery_branch("shuffle", **TINY, k=1, retrain_lr=0.1)
    with pytest.raises(UsageError, match=r"'shufle' \(did you mean 'shuffle'\?\)"):
        session.lottery_branch("shufle", **TINY, k=1)


@pytest.mark.parametrize("name", sorted(IN_NO_KEY))
def test_what_is_in_no_key_takes_one_value(name: str, session: Session) -> None:
    values: dict[str, list[Any]] = {"to": ["1ep", "2ep"], "max_k": ["0ep", "1ep"], "measure": [["signs"], []]}
    with pytest.raises(UsageError, match=f"--{name}=.*: expected one value, since it is in no run's key"):
        session.stability(**TINY, k=1, **{name: values.get(name, [1, 2])})


def test_options_of_the_session_are_no_keywords_of_an_experiment(session: Session) -> None:
    with pytest.raises(UsageError, match=r"--jobs: belongs to the session: Session\(jobs=...\)"):
        session.train(**TINY, jobs=2)
    with pytest.raises(UsageError, match=r"Session: unknown option 'job' \(did you mean 'jobs'\?\)"):
        Session(job=2)


# What tables show ----------------------------------------------------------------------------------------------------


def test_varied_are_the_values_that_differ_beside_those_that_every_table_has(session: Session) -> None:
    grid = session.lottery(
        **TINY, k=[0, 1], lr=[0.1, 0.2], momentum=0.5, reset_optimizer=[True, False], replicate=[1, 2]
    )
    assert len(grid) == 16
    assert {tuple(one.varied) for one in grid} == {("lr", "reset_optimizer")}
    assert grid[0].varied == {"lr": 0.1, "reset_optimizer": True}
    assert grid[-1].varied == {"lr": 0.2, "reset_optimizer": False}
    assert [one.varied for one in session.lottery(**TINY, k=1, lr=[0.1])] == [{}]


def test_a_varied_value_is_shown_where_it_applies(session: Session) -> None:
    grid = session.lottery(**TINY, k=1, pruning_strategy=["adsynflow", "random"], synflow_input=["ones", "mean"])
    assert [dict(one.varied) for one in grid] == [{"synflow_input": "ones"}, {}, {"synflow_input": "mean"}]


def test_rows_are_plain_values_with_the_varied_ones_as_columns(root: Path) -> None:
    session = Session(root, reporter=Reporter())
    [row] = session.lottery(**TINY, k=1, batch_size=[64, 32], pruning_strategy=["adsynflow", "random"]).rows()
    assert (row["strategy"], row["k"], row["level"], row["batch_size"]) == ("adsynflow", "1ep", 1, 64)
    assert isinstance(row["path"], str)
    assert "varied" not in row


def test_describing_writes_and_sets_nothing(session: Session) -> None:
    threads = torch.get_num_threads()
    grid = Session(session.context.root, threads=threads + 1, deterministic=True).lottery(**TINY, k=1)
    _ = grid.plan(), grid.rows(), grid.done, grid[0].places()
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert not session.context.root.exists()
