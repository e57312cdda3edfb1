"""Branches of other people's, and installed plug-ins that fail."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

BRANCH = """
from dataclasses import dataclass
from lottery.branch import Branch, branches

@branches.register("as_it_is")
@dataclass(frozen=True, kw_only=True)
class AsItIs(Branch):
    \"\"\"Changes nothing.\"\"\"
    {field}: float = 0.5
    \"\"\"What it does not do.\"\"\"

    def start(self, ticket):
        return ticket
"""


@pytest.fixture(autouse=True)
def own_plugins() -> Iterator[None]:
    """What a test's plug-in imports is gone after it."""
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith(("adsynflow_plugin_", "site_")):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], str]:
    """Writes a plug-in with the branch and returns the flag that loads it."""

    def plugin(field: str) -> str:
        path = tmp_path / "own_branch.py"
        path.write_text(BRANCH.format(field=field))
        return f"--plugin={path}"

    return plugin


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes a module look like an installed package's plug-in."""

    def install(name: str, code: str) -> None:
        info = tmp_path / "site" / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[adsynflow.plugins]\n{name} = {name}\n")
        (info.parent / f"{name}.py").write_text(code)
        monkeypatch.setattr(sys, "path", [str(info.parent), *sys.path])

    return install


def test_it_is_listed_and_its_fields_are_flags(command: Command, plugin: Callable[[str], str]) -> None:
    flag = plugin("strength")
    assert "as_it_is  " in command("lottery_branch", flag).out
    shown = command("lottery_branch", "as_it_is", flag, "--help").out
    assert "branch as_it_is: Changes nothing:" in shown
    assert "--strength X" in shown
    assert "What it does not do. [default 0.5]" in shown


def test_its_fields_name_its_directory_within_the_level(
    command: Command, plugin: Callable[[str], str], small: tuple[str, ...]
) -> None:
    argv = ("lottery_branch", "as_it_is", plugin("strength"), *small, "--k=1", "--display_output_location")
    same, given, other = (Path(command(*argv, *more).out) for more in ([], ["--strength=0.5"], ["--strength=1"]))
    assert same == given
    assert same.parent == other.parent
    assert same != other


def test_a_field_with_the_name_of_a_flag_is_refused(command: Command, plugin: Callable[[str], str]) -> None:
    flag = plugin("density")
    outcome = command("lottery_branch", flag)
    assert (outcome.code, outcome.err.strip()) == (
        2, f"{flag}: Branch 'as_it_is': its field 'density' is a flag of the framework; rename it",
    )  # fmt: skip


def test_an_installed_one_is_there_unasked(command: Command, install: Callable[[str, str], None]) -> None:
    install("site_branch", BRANCH.format(field="strength"))
    assert "as_it_is  " in command("lottery_branch").out


@pytest.mark.parametrize("code", ["1 / 0", BRANCH.format(field="lr")], ids=["error", "clash"])
def test_an_installed_one_that_fails_is_said_once_and_the_command_goes_on(
    code: str, command: Command, install: Callable[[str, str], None], small: tuple[str, ...], request: Any
) -> None:
    name = f"site_{request.node.callspec.id}"
    install(name, code)
    outcome = command("lottery", *small, "--k=1", "--replicate=1-3", "--display_output_location")
    assert outcome.code == 0
    assert outcome.err.count(f"The plug-in {name} ({name}) failed: ") == 1
    assert len(outcome.out.splitlines()) == 3


def test_a_branch_whose_result_lacks_its_outcome_is_told_so_in_a_line(
    command: Command, plugin: Callable[[str], str], small: tuple[str, ...], tmp_path: Path
) -> None:
    flag = plugin("strength")
    path = Path(flag.removeprefix("--plugin="))
    path.write_text(f"{path.read_text()}\n    def run(self, here, ticket):\n        here.finish({{'accuracy': 0.5}})\n")
    outcome = command("lottery_branch", "as_it_is", flag, *small, "--k=1")
    assert outcome.code == 0
    assert "as_it_is: its results have no 'test_accuracy', its outcome" in outcome.err
