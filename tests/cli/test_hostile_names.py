"""Control characters in what others have written reach neither the terminal nor the page."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundations.store import Store

ESCAPE = "\x1b]0;owned\x07"


@pytest.fixture
def hostile_root(finished: Any) -> Path:
    """A run whose descriptor, log and status say what a terminal would do."""
    run = Store(finished.one("lottery_*/replicate_1"))
    desc = run.read_json("desc.json")
    desc["train"]["model"]["model"] = f"net{ESCAPE}"
    desc["train"]["training"]["optimizer"] = "=HYPERLINK(1)"
    run.write_json("desc.json", desc)
    return Path(finished.root)


PLUGIN = f'''
from adsynflow import Strategy, strategies
from dataclasses import dataclass
@strategies.register("odd")
@dataclass(frozen=True, kw_only=True)
class Odd(Strategy):
    """Does{ESCAPE} this."""
    much: float = 1.0
    """How{ESCAPE} much."""
    def score(self, model, batches, generator): ...
'''


def test_lists_and_comparisons_show_no_control_characters(hostile_root: Path, command: Callable[..., Any]) -> None:
    [run] = hostile_root.glob("lottery_*/replicate_1")
    [trunk] = hostile_root.glob("train_*/replicate_1")
    for argv in (["list", f"--root={hostile_root}", "--wide"], ["diff", str(run), str(trunk)]):
        outcome = command(*argv)
        assert "\x1b" not in outcome.out + outcome.err
        assert "\x07" not in outcome.out + outcome.err


def test_a_path_with_control_characters_is_shown_without_them(
    finished: Any, tmp_path: Path, command: Callable[..., Any]
) -> None:
    root = tmp_path / f"ru{ESCAPE}ns"
    shutil.copytree(finished.root, root)
    (trunk,) = root.glob("train_*/replicate_1")
    (ticket,) = root.glob("lottery_*/replicate_1")
    (trunk / ".desc.json.abcd1234").touch()
    shutil.copytree(trunk, f"{trunk}.aside_1")
    (ticket / "network.json").write_text("{}")
    at = f"--root={root}"
    for argv in (
        ["verify", at], ["list", at], ["clean", at], ["report", at, f"--output={root / 'page.html'}"],
        ["report", at, "--checklist"], ["diff", str(trunk), str(ticket)], ["export", str(trunk), f"--output={trunk}"],
        ["verify", "--repair", at], ["clean", at, "--yes"], ["list", f"--root={root / 'none'}"],
        ["train", *finished.flags, at, "--dry_run"],
    ):  # fmt: skip
        outcome = command(*argv)
        assert not set(outcome.out + outcome.err) & {"\x1b", "\x07"}, argv
    assert r"\x1b]0;owned\x07" in command("verify", at).out


def test_a_traceback_shows_none(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"a defect{ESCAPE}")

    monkeypatch.setattr("cli.commands.list.selected", fail)
    outcome = command("list")
    assert outcome.code == 1
    assert r"a defect\x1b]0;owned" in outcome.err
    assert "\x1b" not in outcome.err


def test_cells_that_spreadsheets_would_compute_are_quoted(hostile_root: Path, command: Callable[..., Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(command("list", "--csv", f"--root={hostile_root}").out)))
    assert "'=HYPERLINK(1)" in {row.get("optimizer") for row in rows}


def test_help_and_names_of_a_plug_in_show_none(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(PLUGIN)
    plugin = f"--plugin={tmp_path / 'odd.py'}"
    for argv in (["available", plugin], ["lottery", plugin, "--pruning_strategy=odd", "--help"]):
        outcome = command(*argv)
        assert outcome.code == 0, outcome.err
        assert r"\x1b]0;owned\x07" in outcome.out
        assert "\x1b" not in outcome.out
