"""Runs that are damaged or stopped, and what the same command makes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from cli import main

TINY = ("--dataset=digits", "--subsample_fraction=0.2", "--model=mnist_lenet_16", "--training_steps=3ep", "--threads=1")
"""Flags of a training of 15 steps, 5 an epoch."""


@dataclass
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def restored_threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``command("train", "--lr=0.1")`` runs the command line in this process."""

    def run(*argv: str) -> Outcome:
        capsys.readouterr()
        code = main(argv)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def computed(root: Path) -> dict[str, bytes]:
    """The bytes of every file below a root that holds what was computed; nothing that was put aside."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith((".", "environment.")) and ".aside" not in str(path)
    }
