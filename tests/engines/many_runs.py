"""Many small runs, with one to four workers: what they take, and what they ask of the file system.

    python -m tests.engines.many_runs [runs]

A run is one epoch of a small network on the digits. Printed are times with the load of the machine, then how often one
run opens, flushes and renames a file: on a shared file system each of these is a message to a server and back.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from experiments.session import Session
from foundations.reporting import Reporter
from tests.engines.proving import run

SMALL = ("--dataset=digits", "--model=mnist_lenet_4", "--training_steps=1ep")


def timed(root: Path, runs: int, workers: int) -> None:
    """Does so many runs, and says what they took."""
    before, begun = os.getloadavg()[0], time.monotonic()
    with contextlib.redirect_stdout(None):
        code, said = run(root, "train", *SMALL, f"--replicate=1-{runs}", f"--jobs={workers}", "--quiet")
    seconds = time.monotonic() - begun
    assert code == 0, said
    done = len(list(root.rglob("done.json")))
    print(
        f"{runs} runs, {workers} workers: {seconds:.0f} s, {seconds / runs:.2f} s a run, {done} done, load average "
        f"{before:.1f} to {os.getloadavg()[0]:.1f}", flush=True,
    )  # fmt: skip


class Calls:
    """Counts what this process asks of the file system below a directory: by Python's audit hook, and os.fsync."""

    EVENTS: ClassVar[Mapping[str, str]] = {
        "open": "open", "os.mkdir": "mkdir", "os.rename": "rename", "os.remove": "unlink", "os.scandir": "scandir",
        "os.listdir": "scandir",
    }  # fmt: skip

    def __init__(self, below: Path) -> None:
        self.below, self.counts = str(below), Counter[str]()
        self.fsync = os.fsync
        sys.addaudithook(self.hear)  # it cannot be taken off again

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An event of the interpreter."""
        if event in self.EVENTS and str(arguments[0]).startswith(self.below):
            self.counts[self.EVENTS[event]] += 1

    def counting_fsync(self, handle: int) -> None:
        """Takes the place of os.fsync."""
        self.counts["fsync"] += 1
        self.fsync(handle)


def main(runs: int) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2, 4) if runs else ():
            timed(Path(folder) / f"workers_{workers}" / "runs", runs, workers)
        session = Session(Path(folder) / "counted", reporter=Reporter(), threads=1)
        experiment = {"dataset": "digits", "model": "mnist_lenet_4", "training_steps": "1ep"}
        session.train(**experiment, replicate=1).run()  # reads the data, and imports what is needed
        place = Path(folder) / "counted"
        calls = Calls(place)
        with mock.patch.object(os, "fsync", calls.counting_fsync):
            session.train(**experiment, replicate=2).run()
        counts = dict(calls.counts)
        written = [path for path in place.rglob("*") if path.is_file() and "replicate_2" in path.parts]
        size = sum(path.stat().st_size for path in written)
        print(f"one run: {len(written)} files, {size / 1000:.0f} kB; calls: {counts}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 120)
