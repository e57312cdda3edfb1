"""Kills runs at every write, rename, marker and optimizer step, and looks for anything that is lost.

    python -m tests.reliability.torture [--every=N] [scenario ...]

A *sequence* is a scenario that is killed, started again, killed again at random, and so on, until it ends; there is one
for every event of the undisturbed scenario (every N-th with ``--every=N``) at which it is killed first. Whatever it
leaves is compared byte for byte with what the undisturbed one does: weights, masks, metrics, tables, verdicts and
checkpoints; and no temporary file may be left of any of these. Exit code 1 if anything differs.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

import cli
from foundations import files
from tests.reliability.conftest import TINY, computed
from tests.reliability.killing import run

HOME = Path(__file__).parents[2]
STABILITY = ("stability", *TINY, "--alphas=2", "--k=7it")
LEVELS = ("--pruning_strategy=sparse_global", "--k=7it")
TICKET = ("--pruning_strategy=synflow", "--k=7it", "--density=0.2", "--allow_collapse")
BRANCHES = (
    ("shuffle",), ("randomly_prune",), ("randomly_reinitialize",), ("invert_scores",), ("rewind",),
    ("retrain", "--retrain_training_steps=4ep"), ("stability", "--alphas=2", "--report=false"),
)  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """A command line that is killed.

    Args:
        argv: it.
        after: command lines that have ended before.
    """

    argv: Sequence[str]
    after: Sequence[Sequence[str]] = ()


SCENARIOS: Mapping[str, Scenario] = {
    "train": Scenario(("train", *TINY, "--evaluate_every=3it")),
    "levels": Scenario(("lottery", *TINY, *LEVELS, "--levels=0-2")),
    "compact": Scenario(("lottery", *TINY, *LEVELS, "--levels=2", "--compact")),
    **{
        f"branch_{branch[0]}": Scenario(
            ("lottery_branch", *branch, *TINY, *TICKET), after=[("lottery", *TINY, *TICKET)]
        )
        for branch in BRANCHES
    },
    "stability": Scenario((*STABILITY, "--pruning_strategy=none,synflow", "--report=false")),
    "report": Scenario(
        (*STABILITY, "--pruning_strategy=none"), after=[(*STABILITY, "--pruning_strategy=none", "--report=false")]
    ),
}
JOBS = ("stability", *TINY, "--pruning_strategy=none,synflow", "--k=1,7it", "--alphas=2", "--report=false", "--jobs=2")
MOST_KILLS = 4  # of one sequence


@dataclass
class Tally:
    """What came of it."""

    sequences: int = 0
    kills: int = 0
    events: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.sequences} sequences ({self.events} events undisturbed): "
            f"{len(self.wrong)} with another result"
        )


def torture(name: str, folder: Path, every: int = 1, first: int = 1) -> Tally:
    """All sequences of a scenario whose first kill is at the events ``first``, ``first + every`` ..."""
    tally, scenario, log = Tally(), SCENARIOS[name], folder / "log"
    before = folder / "before"
    before.mkdir()
    undisturbed(scenario.after, before)

    def copy(name: str) -> Path:
        return Path(shutil.copytree(before, folder / name))

    expected = undisturbed([scenario.argv], copy("undisturbed"))
    tally.events = run([*scenario.argv, f"--root={copy('counted')}"], log).events
    for event in range(first, tally.events + 1, every):
        root = copy("killed")
        kills, complaint = sequence([*scenario.argv, f"--root={root}"], log, event, tally.events)
        tally.sequences += 1
        tally.kills += kills
        if complaint := complaint or differences(root, expected):
            tally.wrong.append(f"{name}, first killed at event {event}: {complaint}")
        shutil.rmtree(root)
    return tally


def undisturbed(commands: Sequence[Sequence[str]], root: Path) -> dict[str, bytes]:
    """What command lines leave. They run in this process, so that its children find everything imported."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        codes = [cli.main([*argv, f"--root={root}"]) for argv in commands]
    assert not any(codes), said.getvalue()
    return computed(root)


def sequence(argv: Sequence[str], log: Path, event: int, events: int) -> tuple[int, str]:
    """Runs a command line until it has ended: the number of kills, and what it said if it did not end well."""
    chance, at = random.Random(event), event
    for kills in range(MOST_KILLS + 1):
        end = run(argv, log, at, seed=event * MOST_KILLS + kills)
        if not end.killed:
            break
        at = chance.randint(1, max(1, events // 2)) if kills < MOST_KILLS - 1 else 0
    return kills, f"exit code {end.code}: {end.said[-2000:]}" if end.code else ""


def differences(root: Path, expected: Mapping[str, bytes]) -> str:
    """What of a root is not as it should be; empty if nothing is."""
    left = computed(root)
    differing = sorted(name for name in {*left, *expected} if left.get(name) != expected.get(name))
    temporary = [
        str(path.relative_to(root)) for path in root.rglob("*")
        if files.is_left_over(path) or (path.is_dir() and path.parent.name == files.PLANS)
    ]  # fmt: skip
    return "; ".join(
        f"{what}: {', '.join(names)}" for what, names in (("differ", differing), ("left over", temporary)) if names
    )


def torture_jobs(folder: Path, kills: int) -> Tally:
    """One sequence of real processes: parent and workers are killed together, ever later."""
    tally, root = Tally(sequences=1), folder / "jobs"
    argv = [sys.executable, "main.py", *JOBS, f"--root={root}"]
    for number in range(kills):
        process = subprocess.Popen(
            argv, cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_for_files(root, process, more=3 + number)
        if process.poll() is None:
            tally.kills += 1
        with_children(process)
    ended = subprocess.run(argv, cwd=HOME, capture_output=True, text=True)
    if ended.returncode:
        tally.wrong.append(f"jobs: exit code {ended.returncode}: {ended.stderr[-2000:]}")
    if complaint := differences(root, undisturbed([JOBS[:-1]], folder / "undisturbed")):
        tally.wrong.append(f"jobs: {complaint}")
    return tally


def wait_for_files(root: Path, process: "subprocess.Popen[bytes]", more: int) -> None:
    """Waits until a process has written so many files, or has ended."""
    before = len(computed(root))
    while process.poll() is None and len(computed(root)) < before + more:
        time.sleep(0.01)


def with_children(process: "subprocess.Popen[bytes]") -> None:
    """Kills a process and all that it has started."""
    with contextlib.suppress(ProcessLookupError):  # it may have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Tortures all scenarios, or those named; prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.torture", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("scenarios", nargs="*", default=[*SCENARIOS, "jobs"], metavar="scenario")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    total = Tally()
    for name in options.scenarios:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            if name == "jobs":
                tally = torture_jobs(Path(folder), kills=max(1, 10 // options.every))
            else:
                tally = torture(name, Path(folder), options.every)
        print(f"{name}: {tally}, {time.monotonic() - began:.0f} s", *tally.wrong, sep="\n", flush=True)
        total.sequences += tally.sequences
        total.kills += tally.kills
        total.events += tally.events
        total.wrong += tally.wrong
    print(f"in all: {total}")
    return int(bool(total.wrong))


if __name__ == "__main__":
    sys.exit(main())
