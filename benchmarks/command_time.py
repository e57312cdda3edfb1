"""Where the time of a whole command goes: start, data, steps, evaluation, scoring, files, locks, reporting.

``ADSYNFLOW_DATA`` names a directory with MNIST; without it images like MNIST's are made of noise.
"""

import functools
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import Row, Settings, in_child
from benchmarks.open_lth.images import write_mnist

PARTS: dict[str, tuple[str, ...]] = {
    "data": ("training.data.loading:open_data", "training.trunk:describe_network"),
    "steps": ("training.loop:train",),
    "evaluation": ("training.loop:evaluate",),
    "scoring and masks": ("lottery.masks:find_mask", "lottery.masks:record_mask", "pruning.graph:channel_graph"),
    "files": (
        "foundations.store:Store._write", "foundations.store:Store.append_rows", "foundations.store:Store.append_line",
        "foundations.store:Store.read_bytes", "foundations.tensors:encode_state", "foundations.tensors:encode_tensors",
    ),
    "locks": ("foundations.disk:acquired", "foundations.disk:signed", "foundations.disk:tidy"),
    "reporting": ("foundations.reporting:Several.hear", "foundations.reporting:Several.say"),
}  # fmt: skip
"""The functions whose time is a part's, as far as it is not that of another part's function that they call."""
PYTORCH, OURS, REST = "start of PyTorch", "start of this program", "the rest"
LENET = "--model=mnist_lenet_300_100 --pruning_strategy=sparse_global --k=0"


def commands(settings: Settings, data: str) -> dict[str, str]:
    """Return what is measured, without root and threads."""
    epochs, curve = settings.pick((2, "0,1,2,4,6"), (1, "0,1"))
    digits = "--dataset=digits --model=mnist_lenet_300_100"
    return {
        f"LeNet on MNIST, 3 levels of {epochs} epochs":
            f"lottery {LENET} --recipe=open_lth --dataset=mnist --levels=0-2 --training_steps={epochs}ep "
            f"--layers_to_ignore=fc.weight --data_dir={data}",
        "digits, as in the first example": "lottery --dataset=digits",
        "digits, a stability curve of 5 k's": f"stability {digits} --k={curve} --training_steps=8ep --alphas=5",
        "ResNet-20 on the digits, 20 epochs": "train --dataset=digits --model=cifar_resnet_20 --training_steps=20ep",
    }  # fmt: skip


def measure(settings: Settings) -> list[Row]:
    """Processor seconds, since other processes of the machine do not count in them; of each command the median run."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = os.environ.get("ADSYNFLOW_DATA", folder)
        if data == folder:
            write_mnist(Path(folder), *settings.pick((60_000, 10_000), (1000, 200)))
        for name, command in commands(settings, data).items():
            runs = [in_child("command_time", *command.split(), settings=settings) for _ in range(settings.pick(5, 1))]
            rows += table(name, runs)
    return rows


def table(name: str, runs: list[dict[str, list[float]]]) -> list[Row]:
    """Return a line for the whole command, and one for each part: processor seconds, wall seconds, share."""
    totals = [sum(processor for processor, _ in run.values()) for run in runs]
    excess = [total / (run["steps"][0] + run[PYTORCH][0]) for total, run in zip(totals, runs, strict=True)]
    rows = [
        Row(f"{name}, processor s", spread(totals)),
        Row("  over the steps and a start of PyTorch", spread(excess), "at most 1.25"),
    ]
    for part in sorted(runs[0], key=lambda part: -runs[0][part][0]):
        processor, wall = (median(run[part][clock] for run in runs) for clock in (0, 1))
        rows.append(Row(f"  {part}", f"{processor:.2f} s, {processor / median(totals):.1%} (wall {wall:.2f} s)"))
    return rows


def spread(values: list[float]) -> str:
    """``1.21 (1.18 to 1.30)``: the median, and the least and the most."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


class Clock:
    """Adds up processor and wall seconds by part; inside one part another may begin, whose time it is then."""

    def __init__(self) -> None:
        self.seconds = {part: [0.0, 0.0] for part in (PYTORCH, OURS, *PARTS, REST)}
        self._inside = [REST]
        self._last = (0.0, time.perf_counter())  # of the processor from the start of the process on

    def _charge(self) -> None:
        now = time.process_time(), time.perf_counter()
        for clock in (0, 1):
            self.seconds[self._inside[-1]][clock] += now[clock] - self._last[clock]
        self._last = now

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        self._charge()
        self._inside.append(part)
        try:
            yield
        finally:
            self._charge()
            self._inside.pop()

    def watch(self, part: str, place: str) -> None:
        """Replace a function, wherever it has been imported to, by one whose time is added up."""
        module, _, name = place.partition(":")
        owner: Any = importlib.import_module(module)
        *classes, name = name.split(".")
        owner = functools.reduce(getattr, classes, owner)
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def watched(*args: Any, **options: Any) -> Any:
            with self.within(part):
                return function(*args, **options)

        for holder in [owner] if classes else list(sys.modules.values()):
            if getattr(holder, name, None) is function:
                setattr(holder, name, watched)


def parts_of(command: list[str]) -> dict[str, list[float]]:
    """Run a command in this process, in a root of its own; return processor and wall seconds of its parts."""
    clock = Clock()
    with clock.within(PYTORCH):
        import torch

        torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)  # the first optimizer imports PyTorch's compiler
    with clock.within(OURS):
        import cli

        importlib.import_module(f"cli.commands.{command[0]}")
    for part, places in PARTS.items():
        for place in places:
            clock.watch(part, place)
    threads = os.environ["OMP_NUM_THREADS"]
    with tempfile.TemporaryDirectory() as root, clock.within(REST), redirect_stdout(sys.stderr):
        if code := cli.main([*command, f"--root={root}", f"--threads={threads}"]):
            raise SystemExit(code)
    return clock.seconds


if __name__ == "__main__":
    print(json.dumps(parts_of(sys.argv[1:])))
