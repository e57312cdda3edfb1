"""The command line and Python are two ways to the same runs: equal keys, replicates and directories."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import torch
from safetensors.torch import save_file

from adsynflow import Grid, Session, Step, UsageError, branches, strategies
from cli import main
from cli.command_line import read_command
from experiments.define.defaults import FRAMEWORK, IN_NO_KEY, all_flags, holds_several
from experiments.define.experiment import experiments
from experiments.define.grid import Choice
from experiments.options import SessionOptions
from foundations.hparams import as_text
from foundations.registry import Registry

SMALL: dict[str, Any] = {"dataset": "digits", "model": "mnist_lenet_16", "training_steps": Step("3ep")}
OF_SESSION = {item.name for item in fields(SessionOptions)}

Places = Callable[..., list[str]]


@pytest.fixture
def by_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Places:
    """The directories that a command line with these flags shows."""

    def places(command: str, branch: str | None, flags: dict[str, str]) -> list[str]:
        words = [command, *([branch] if branch else []), *(f"--{name}={value}" for name, value in flags.items())]
        code = main([*words, f"--root={tmp_path}", "--display_output_location"])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out.splitlines()

    return places


@pytest.fixture
def by_python(tmp_path: Path) -> Places:
    """The directories of the experiments that keywords define."""
    session = Session(root=tmp_path)

    def places(command: str, branch: str | None, flags: dict[str, Any]) -> list[str]:
        define = getattr(session, command)
        grid: Grid = define(branch, **flags) if branch else define(**flags)
        return list(dict.fromkeys(str(place) for one in grid for place in one.places()))

    return places


# Commands, strategies and branches -------------------------------------------------------------------------------


def ours(registry: Registry[Any]) -> list[str]:
    """The names of what comes with the program; other tests register plug-ins."""
    return [name for name in registry if registry.get(name).__module__.partition(".")[0] != "tests"]


STRATEGIES, BRANCHES = [name for name in ours(strategies) if name != "imported"], ours(branches)
"""The strategy that is left out is that of a network on disk."""


def selections(command: str) -> Iterator[tuple[str, str | None, str | None]]:
    """Command, branch and strategy: every strategy, and every branch."""
    if command == "train":
        yield command, None, None
        return
    for strategy in ["none", *STRATEGIES] if command == "stability" else STRATEGIES:
        for branch in BRANCHES if command == "lottery_branch" and strategy == "adsynflow" else ["shuffle"]:
            yield command, branch if command == "lottery_branch" else None, strategy


ALL = [selection for command in experiments for selection in selections(command)]


def small(command: str, strategy: str | None) -> dict[str, Any]:
    """Values that select it."""
    k = {} if command == "train" else {"pruning_strategy": strategy, "k": Step("1ep")}
    return {**SMALL, **k}


def test_every_command_is_a_method() -> None:
    assert set(experiments) == {"train", "lottery", "lottery_branch", "stability"}
    assert all(callable(getattr(Session, command)) for command in experiments)


@pytest.mark.parametrize(("command", "branch", "strategy"), ALL)
def test_both_ways_lead_to_one_directory(
    command: str, branch: str | None, strategy: str | None, by_command_line: Places, by_python: Places
) -> None:
    given = {**small(command, strategy), "replicate": [2, 3]}
    written = {name: as_text(value) for name, value in given.items()}
    [first, second] = by_python(command, branch, given)
    assert by_command_line(command, branch, written) == [first, second]
    assert "replicate_2" in first
    assert second == first.replace("replicate_2", "replicate_3")


@pytest.mark.parametrize("command", ["train", "lottery", "stability"])
@pytest.mark.parametrize("model", ["cifar_resnet_20", "cifar_vgg_16", "mnist_lenet_300_100"])
def test_defaults_are_the_same_both_ways(command: str, model: str, by_command_line: Places, by_python: Places) -> None:
    k = {"k": 3} if command == "stability" else {}
    assert by_command_line(command, None, {"model": model, **k}) == by_python(command, None, {"model": model, **k})


# Every flag ------------------------------------------------------------------------------------------------------


TEXTS = {
    "model": ("mnist_lenet_8", "mnist_lenet_9"),
    "model_init": ("xavier_normal", "orthogonal"),
    "dataset": ("mnist", "cifar10"),
    "recipe": ("default", "open_lth"),
    "pruning_strategy": ("snip", "magnitude"),
    "layers_apart": ("fc", "fc*"),
    "layers_to_ignore": ("fc", "fc*"),
    "imported": ("import_0123456789ab", "import_123456789abc"),
    "layer_fractions": ("fc:0.1", "fc*:0.2"),
}
"""Values of flags that are texts without a list of choices, or whose default depends on the model."""

BESIDE: dict[str, dict[str, Any]] = {
    "retrain": {"score_at": "end"}, "align_by": {"align": True}, "align_to": {"align": True},
    "preset": {"pruning_strategy": "snip"},
}  # fmt: skip
"""Values that flags need beside them to have an effect."""

NEEDS_A_FILE = {"checkpoint"}
FOR_A_SEARCH = {"max_k"}
IN_NO_DIRECTORY = IN_NO_KEY | {"levels"}
"""Flags that choose a part of a run or how it is looked at, not where it lies; levels and k are directories within."""


def element_of(hint: Any) -> Any:
    """The type of one value: that of ``X | None`` and of the elements of a tuple."""
    if isinstance(hint, UnionType):
        return element_of(get_args(hint)[0])
    return element_of(get_args(hint)[0]) if get_origin(hint) is tuple else hint


def two_values(name: str, item: "Field[Any]", hint: Any, default: Any) -> tuple[Any, Any]:
    """Two typed values that fit the field, neither of them the default where there is a choice."""
    kind, within, choices = element_of(hint), item.metadata.get("within"), item.metadata.get("choices")
    if kind is bool:
        return not default, default
    if name in TEXTS:
        return TEXTS[name]  # type: ignore[return-value]
    if choices:
        others = [choice for choice in choices if choice != default]
        return others[0], [*others, default][1]
    if kind is Step:
        return Step("2it"), Step("1ep1it")
    low, high = (float(end) for end in (within or "[0, inf)")[1:-1].split(","))
    if kind is int:
        return int(low) + 3, int(low) + 4
    assert kind is float, f"a value of {name} for this test"
    high = min(high, low + 1)
    return tuple(low + (high - low) * part for part in (0.3, 0.7))  # type: ignore[return-value]


def contexts() -> Iterator[tuple[str, str, str | None, str | None]]:
    """For each flag and command the first branch and strategy that it applies to."""
    found: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    for command, branch, strategy in ALL:
        for name in Choice(experiments.get(command), small(command, strategy), branch).flags:
            found.setdefault((name, command), (branch, strategy))
    for (name, command), (branch, strategy) in sorted(found.items()):
        yield name, command, branch, strategy


CASES = [case for case in contexts() if case[0] not in NEEDS_A_FILE | FOR_A_SEARCH]


def test_every_flag_of_an_experiment_has_a_case() -> None:
    """Those of a search, and the file of weights, have tests of their own below."""
    methods = [*map(strategies.get, STRATEGIES), *map(branches.get, BRANCHES)]
    flags = {item.name for cls in (*FRAMEWORK, *methods) for item in fields(cls)}
    assert {case[0] for case in CASES} == flags - OF_SESSION - NEEDS_A_FILE - FOR_A_SEARCH


@pytest.mark.parametrize(("name", "command", "branch", "strategy"), CASES)
def test_a_flag_is_a_keyword_with_a_typed_value(
    name: str, command: str, branch: str | None, strategy: str | None, by_command_line: Places, by_python: Places
) -> None:
    base = {**small(command, strategy), **BESIDE.get(name, {})}
    chosen = Choice(experiments.get(command), base, branch)
    defaults = {key: value for section in chosen.sections for key, value in section.values().items()} | base
    item, hint = next(
        (item, get_type_hints(section.cls)[name]) for section in chosen.sections for item in section.items()
        if item.name == name
    )  # fmt: skip
    first, second = two_values(name, item, hint, defaults[name])
    if holds_several(hint):
        first, second = (first,), (first, second)

    one = by_python(command, branch, {**base, name: first})
    written = {key: as_text(value) for key, value in base.items()}
    assert by_command_line(command, branch, {**written, name: as_text(first)}) == one

    places = by_python(command, branch, base)
    moved = name not in IN_NO_DIRECTORY and (name, command) != ("k", "stability") and first != defaults[name]
    if command == "lottery_branch" and name == "levels":
        moved = True
    assert (one != places) == moved, f"--{name} is part of the directory: {moved}"

    if name not in IN_NO_KEY:
        both = by_python(command, branch, {**base, name: [first, second]})
        listed = ";" if holds_several(hint) else ","
        assert by_command_line(command, branch, {**written, name: f"{as_text(first)}{listed}{as_text(second)}"}) == both
        assert set(one) <= set(both)


def test_a_checkpoint_counts_by_its_content(tmp_path: Path, by_command_line: Places, by_python: Places) -> None:
    base, places = small("stability", "none"), []
    for number in (1, 2):
        file = str(tmp_path / f"weights_{number}.safetensors")
        save_file({"fc.weight": torch.full((2, 2), float(number))}, file)
        places += by_python("stability", None, {**base, "checkpoint": file})
        written = {name: as_text(value) for name, value in base.items()}
        assert by_command_line("stability", None, {**written, "checkpoint": file}) == places[-1:]
    assert len({*places, *by_python("stability", None, base)}) == 3


def test_flags_of_a_search_apply_where_k_is_left_to_a_criterion(tmp_path: Path) -> None:
    session = Session(root=tmp_path)
    for define in (session.lottery, session.stability):
        with pytest.raises(UsageError, match="max_k"):
            define(**SMALL, k=1, max_k=2)
        assert len(define(**SMALL, k="auto", max_k=2, alphas=3, threshold=0.1).searches) == 1


# The session -----------------------------------------------------------------------------------------------------


OPTIONS: dict[str, tuple[Any, str]] = {
    "root": ("elsewhere", "elsewhere"),
    "data_dir": ("elsewhere", "elsewhere"),
    "device": ("cpu", "cpu"),
    "threads": (2, "2"),
    "jobs": (3, "3"),
    "workers": (3, "3"),
    "verify_data": (True, "true"),
    "at_once": (3, "3"),
    "engine": ("in_process", "in_process"),
    "cpus_per_task": (4, "4"),
    "gpus_per_task": (0.5, "0.5"),
    "slurm": ("partition=gpu,time=240", "partition=gpu,time=240"),
    "detach": (True, "true"),
    "deterministic": (True, "true"),
    "recompute": (True, "true"),
    "cuda_graphs": ("off", "off"),
    "allow_divergence": (True, "true"),
    "evaluate_every": (Step("100it"), "100it"),
    "quiet": (True, "true"),
    "track": ("tensorboard", "tensorboard"),
    "plugin": ("json", "json"),
}


@pytest.mark.parametrize("name", sorted(OF_SESSION))
def test_an_option_of_the_session_is_a_keyword_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ADSYNFLOW_ROOT", "ADSYNFLOW_DATA"):
        monkeypatch.delenv(variable, raising=False)
    value, written = OPTIONS[name]
    in_a_cluster = {"cpus_per_task": "ray", "gpus_per_task": "ray", "slurm": "slurm", "detach": "slurm"}
    engine = {"engine": in_a_cluster[name]} if name in in_a_cluster else {}
    options = Session(**{name: value, **engine}).options
    line = read_command("train", [f"--{name}={written}", *(f"--engine={text}" for text in engine.values())])
    assert line is not None
    assert options == line.make_session().options
    assert options != SessionOptions()


def test_no_flag_lacks_a_default() -> None:
    """So that a call without keywords is the command without flags."""
    assert all(item.default is not MISSING for item, _ in all_flags().values())
