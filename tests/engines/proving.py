"""What the proofs on real engines share: the command line, and the results that a run must come to."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

HOME = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "slow_net.py"
SMALL = ("--dataset=digits", "--model=mnist_lenet_4", "--training_steps=2ep")
SLOW = (f"--plugin={PLUGIN}", "--dataset=digits", "--model=slow_net_50", "--batch_size=128")
LOTTERY = ("lottery", *SMALL, "--k=1ep", "--levels=0-1", "--replicate=1-2")
PATIENCE = 900  # seconds


class Command:
    """``python main.py ...`` as a process of its own."""

    def __init__(self, root: Path, *argv: str, environment: Mapping[str, str] = os.environ) -> None:
        root.parent.mkdir(parents=True, exist_ok=True)
        self.out = (root.parent / f"said_{time.monotonic_ns()}").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "main.py", *argv, f"--root={root}", "--threads=1"], cwd=HOME, env=dict(environment),
            stdout=self.out, stderr=self.out, text=True,
        )  # fmt: skip

    def said(self) -> str:
        """What it has printed so far."""
        return Path(self.out.name).read_text()

    def end(self) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(PATIENCE)
        finally:
            print(self.said())


def run(root: Path, *argv: str, environment: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """A command to its end: its exit code, and what it has said."""
    command = Command(root, *argv, environment=environment)
    return command.end(), command.said()


def results(root: Path) -> dict[str, str]:
    """The networks and markers below a root, by path, as digests: what must not depend on where it was computed."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in ("model_*.safetensors", "mask.safetensors", "done.json") for path in sorted(root.rglob(pattern))
    }  # fmt: skip


def rows(root: Path) -> list[int]:
    """How many rows the metrics of each training have."""
    return [len(path.read_text().splitlines()) for path in sorted(root.rglob("metrics.jsonl"))]


def wait_until(happened: Callable[[], bool], command: Command) -> None:
    """Until something has happened, while a command runs."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        assert command.process.poll() is None, command.said()
        time.sleep(0.3)


def all_begun(root: Path, replicates: int) -> Callable[[], bool]:
    """Whether the trunks of so many replicates have rows of metrics."""
    return lambda: len([count for count in rows(root) if count >= 2]) == replicates


def trainers(root: Path, replicate: int) -> list[int]:
    """The processes that do tasks of a replicate, by the holder of its directory."""
    holders = (path.read_text() for path in root.glob(f"train_*/replicate_{replicate}/.lock.held_by"))
    return [int(text.split()[1]) for text in holders]


def kill(process: int) -> None:
    """At once, as the kernel does where memory runs out."""
    os.kill(process, signal.SIGKILL)
