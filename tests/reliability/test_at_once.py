"""Several processes over one root: every step is trained once, the others wait, say for whom, and go on."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli import main
from tests.reliability.conftest import TINY, computed
from tests.reliability.killing import Ended, start
from tests.steps import Steps
from training.state import TrainState

HOME = Path(__file__).parents[2]
PAUSE = 0.02  # seconds before each step, so that they meet
TICKET = ("lottery", *TINY, "--k=1ep", "--density=0.2", "--allow_collapse")
SAME = [(*TICKET, "--pruning_strategy=synflow")] * 4
DIFFERENT = [
    ("train", *TINY),
    (*TICKET, "--pruning_strategy=synflow"),
    (*TICKET, "--pruning_strategy=random", "--levels=0-1"),
    ("stability", *TINY, "--pruning_strategy=none", "--k=1ep", "--alphas=2", "--report=false"),
]


def at_once(commands: Sequence[Sequence[str]], root: Path, folder: Path) -> tuple[list[Ended], list[list[Any]]]:
    """Runs command lines at once, in children of this process: how each ended, and whose steps were trained there."""

    def watch(number: int) -> Any:
        def prepare(steps: Steps) -> None:
            def note(state: TrainState) -> None:
                time.sleep(PAUSE)
                mask = None if state.mask is None else sum(int(kept.sum()) for kept in state.mask.values())
                with (folder / f"steps_{number}").open("a") as file:
                    file.write(json.dumps([mask, *state.noise.child, state.iteration]) + "\n")

            steps.before.append(note)

        return prepare

    children = [
        start([*argv, f"--root={root}"], folder / f"log_{number}", prepare=watch(number))
        for number, argv in enumerate(commands)
    ]
    ends = [child.wait() for child in children]
    assert [end.code for end in ends] == [0] * len(commands), ends
    return ends, [json.loads(line) for path in folder.glob("steps_*") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("commands", [SAME, DIFFERENT], ids=["same", "different"])
def test_four_at_once(commands: Sequence[Sequence[str]], tmp_path: Path) -> None:
    root, other = tmp_path / "runs", tmp_path / "other"
    assert [main([*argv, f"--root={other}"]) for argv in commands] == [0] * 4
    ends, steps = at_once(commands, root, tmp_path)
    trunk = sorted(step for step in steps if step[:-1] == [None])
    if commands is SAME:
        assert trunk == [[None, iteration] for iteration in range(5)]
        assert len(steps) == 5 + 10  # nor is one of the level trained twice
    else:
        assert trunk == [[None, iteration] for iteration in range(15)]
    assert computed(root) == computed(other)
    waited = [line for end in ends for line in end.said.splitlines() if line.startswith("Waiting")]
    assert waited
    for line in waited:
        who = re.escape(f" on {socket.gethostname()}, ")
        works_in = f"Waiting for another process that works in {re.escape(str(root))}"
        assert re.fullmatch(rf"{works_in}\S*(: pid \d+{who}.+)?", line)
    assert any(": pid" in line for line in waited)
    assert not list(root.rglob(".lock.*"))


SLOW = f"""
import sys, time, cli
from training import loop
real = loop.step
loop.step = lambda *rest: (time.sleep({PAUSE}), real(*rest))
sys.exit(cli.main(sys.argv[1:]))
"""


def test_two_with_different_threads_compute_with_those_of_the_first(tmp_path: Path) -> None:
    argv = ("stability", *TINY[:-1], "--pruning_strategy=synflow", "--k=7it", "--alphas=2", "--report=false")
    root = tmp_path / "runs"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SLOW, *argv, f"--threads={threads}", f"--root={root}"],
            cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for threads in (1, 2)
    ]  # fmt: skip
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    recorded = {
        path.parent.parent.name.partition("_")[0]: json.loads(path.read_text())["threads"]
        for path in root.rglob("environment.json")
    }
    assert set(recorded) == {"train", "stability"}
    if len(set(recorded.values())) == 1:  # one process was first in both
        assert main([*argv, f"--threads={recorded['train']}", f"--root={tmp_path / 'other'}"]) == 0
        assert computed(root) == computed(tmp_path / "other")
    assert "Going on with" in "".join(said)
