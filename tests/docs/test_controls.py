"""The controls of docs/methods.md: its commands, and the optimizer steps that they take."""

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import Outcome

TEXT = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
SECTION = TEXT.partition("## Controls\n")[2].partition("\n## ")[0]
COMMANDS = [
    shlex.split(text.replace("\\\n", " "))
    for text in re.findall(r"^    python main\.py ((?:.*\\\n)*.*)$", SECTION, flags=re.MULTILINE)
]
EPOCH = 23  # steps


def named(*names: str) -> list[str]:
    [found] = [line for line in COMMANDS if line[: len(names)] == list(names)]
    return found


@pytest.fixture
def steps_of(tmp_path: Path, command: object, steps_taken: list[int]) -> object:
    """``steps_of("lottery_branch", "cyclic")`` runs the command and returns how many steps that took."""

    def steps_of(*names: str) -> int:
        steps_taken.clear()
        outcome: Outcome = command(*named(*names), f"--root={tmp_path}", "--threads=1", "--quiet")  # type: ignore[operator]
        assert outcome.code == 0, outcome.err
        return len(steps_taken)

    return steps_of


def test_small_dense_names_what_the_next_command_trains(tmp_path: Path, steps_of, command) -> None:  # type: ignore[no-untyped-def]
    steps_of("lottery")
    [run] = tmp_path.glob("lottery_*/replicate_1/level_1")
    assert named("small_dense") == ["small_dense", "RUN_DIR"]
    names = re.findall(r"mnist_lenet_\d+_\d+", command("small_dense", str(run)).out)
    assert f"--model={names[1]}" in named("train")  # the first is the subnetwork's own
    assert steps_of("train") == 3 * EPOCH


def test_the_ticket_from_scratch_takes_the_steps_of_the_whole_pipeline(steps_of) -> None:  # type: ignore[no-untyped-def]
    pipeline = steps_of("lottery")
    assert pipeline == 3 * EPOCH  # to k, and from k
    assert steps_of("lottery_branch", "rewind") == pipeline


def test_a_stretched_schedule_and_cycles_take_the_steps_of_all_levels(steps_of) -> None:  # type: ignore[no-untyped-def]
    """One level of iterative pruning: the trunk of 3 epochs, and 2 more; the level's own are in each control's run."""
    first = steps_of("lottery_branch", "cyclic")
    assert first == (3 + 2 + 2) * EPOCH  # what the level needs, and the second cycle
    assert steps_of("lottery_branch", "retrain") == 5 * EPOCH
