"""The commands of docs/tutorial.md, one after the other, on a network that takes a moment."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import main
from tests.conftest import Outcome

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "tutorial.md").read_text()
COMMANDS = re.findall(r"^    python main\.py ((?:.*\\\n)*.*)$", TEXT, flags=re.MULTILINE)
SMALL = ["--model=mnist_lenet_16", "--training_steps=9ep", "--threads=1"]


def words(command: str) -> list[str]:
    return shlex.split(command.replace("\\\n", " "))


def on_digits(command: list[str]) -> bool:
    return "--dataset=digits" in command


def test_the_commands_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Outcome]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [words(text) for text in COMMANDS]
    assert {line[0] for line in lines} == {"train", "lottery", "stability", "list", "report"}
    for line in lines:
        trains = line[0] in ("train", "lottery", "stability")
        if trains and not on_digits(line):
            continue
        line = [word for word in line if not word.startswith("--replicate")]
        alphas = ["--alphas=2"] * (line[0] == "stability")
        assert main([*line, *(SMALL + alphas if trains else [])]) == 0, line
    assert (tmp_path / "report.html").is_file()
    assert list(tmp_path.glob("runs/report/stability_*/barrier_by_k.svg"))


@pytest.mark.parametrize("text", [text for text in COMMANDS if words(text)[0] in ("lottery", "stability")])
def test_a_command_is_understood_as_it_stands(text: str, command: Callable[..., Outcome], tmp_path: Path) -> None:
    """With the digits in place of CIFAR-10, which is not there, for as long as the thesis trains."""
    digits = [] if on_digits(words(text)) else ["--dataset=digits", "--training_steps=160ep"]
    done = command(*words(text), *digits, "--dry_run", f"--root={tmp_path}")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].endswith("optimizer steps left")


def test_figures_are_small_and_fetch_nothing() -> None:
    for figure in DOCS.glob("*.svg"):
        drawing = figure.read_text()
        assert len(drawing) < 40_000
        assert set(re.findall(r'http[^"]*', drawing)) == {"http://www.w3.org/2000/svg"}
        assert "<text" in drawing
