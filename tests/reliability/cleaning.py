"""Cleans and verifies a root again and again while commands work there; nothing that they need may go.

    python -m tests.reliability.cleaning [--cleans=N]

A command runs in a forked child; beside it ``clean --yes`` and ``verify`` run here until it has ended. What the command
leaves, checkpoints of finished trainings apart, is compared byte for byte with what an undisturbed one does, and
``verify`` may never find anything wrong. Exit code 1 if anything differs.
"""

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import torch

import cli
from foundations import files
from tests.reliability.conftest import computed
from tests.reliability.killing import Child, start
from tests.reliability.torture import SCENARIOS, undisturbed

NAMES = ("levels", "branch_shuffle", "stability", "train", "compact", "branch_stability", "branch_retrain")


@dataclass
class Tally:
    """What came of it."""

    cleans: int = 0
    commands: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.cleans} cleans beside {self.commands} commands: {len(self.wrong)} complaints"


def torture(cleans: int, folder: Path, names: Sequence[str] = NAMES) -> Tally:
    """Run the commands of some scenarios in turn, until so many cleans were done beside them."""
    tally, expected = Tally(), {}
    for name in names:
        (folder / name).mkdir()
        undisturbed(SCENARIOS[name].after, folder / name)
        ended = Path(shutil.copytree(folder / name, folder / f"{name}_ended"))
        expected[name] = kept(undisturbed([SCENARIOS[name].argv], ended))
    for number in count():
        name = names[number % len(names)]
        root = Path(shutil.copytree(folder / name, folder / "beside"))
        child = start([*SCENARIOS[name].argv, f"--root={root}"], folder / "log", seed=number)
        complaints = beside(child, root, tally)
        if (end := child.wait()).code:
            complaints.append(f"exit code {end.code}: {end.said[-1000:]}")
        left = kept(computed(root))
        complaints += [f"{one} differs" for one in expected[name] if left.get(one) != expected[name][one]]
        tally.wrong += [f"{name}, command {number}: {one}" for one in complaints]
        tally.commands += 1
        shutil.rmtree(root)
        if tally.cleans >= cleans:
            return tally


def kept(computed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what ``clean`` leaves of what was computed."""
    return {name: content for name, content in computed.items() if not name.endswith(files.CHECKPOINT)}


def beside(child: Child, root: Path, tally: Tally) -> list[str]:
    """Clean and verify until a child has ended; return what went wrong."""
    complaints = []
    while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        for argv in (["clean", "--yes"], ["verify"]):
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = cli.main([*argv, f"--root={root}"])
            if code and "no runs there" not in said.getvalue() and "no such directory" not in said.getvalue():
                complaints.append(f"{argv[0]}: {said.getvalue()[-1000:]}")
        tally.cleans += 1
    return complaints


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.cleaning", description=__doc__)
    parser.add_argument("--cleans", type=int, default=300, metavar="N")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        tally = torture(options.cleans, Path(folder))
    print(tally, *tally.wrong, sep="\n")
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
