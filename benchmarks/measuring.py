"""What the benchmarks share: repetitions, child processes, synthetic data, the machine."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

CHECKOUT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure.

    Args:
        threads: of each measured process.
        quick: everything tiny, to see that it runs; the numbers mean nothing.
    """

    threads: int
    quick: bool = False

    def pick(self, thorough: Any, quick: Any) -> Any:
        """One of two settings."""
        return quick if self.quick else thorough


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, the result, and what it should be."""

    what: str
    result: str
    aim: str = ""


def alternate(functions: Mapping[str, Callable[[], object]], repetitions: int, warm_up: int = 1) -> dict[str, float]:
    """The median of the seconds that each function takes; they take turns, so that all meet the same conditions."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repetition in range(warm_up + repetitions):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if repetition >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def in_child(module: str, *arguments: object, settings: Settings) -> Any:
    """What ``python -m benchmarks.<module> <arguments>`` prints, decoded from JSON."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings.threads)}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def alternate_in_children(
    cases: Mapping[str, Sequence[object]], repetitions: int, settings: Settings
) -> dict[str, Any]:
    """The results of child processes that take turns: for each case the one with the median of its first number.

    Args:
        cases: module and arguments of each.
    """
    results: dict[str, list[Any]] = {name: [] for name in cases}
    for _ in range(repetitions):
        for name, (module, *arguments) in cases.items():
            results[name].append(in_child(str(module), *arguments, settings=settings))
    return {name: sorted(values)[len(values) // 2] for name, values in results.items()}


def peak_memory() -> int:
    """The most memory that this process has had so far, in bytes.

    Linux counts it afresh for a new program in /proc; ``getrusage`` there begins with the parent's.
    """
    for line in lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    unit = 1 if platform.system() == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def ratio(slow: float, fast: float) -> str:
    """``1.57x``."""
    return f"{slow / fast:.2f}x"


def synthetic_data(images: int, batch_size: int = 128, device: Any = "cpu") -> Any:
    """CIFAR-shaped noise, augmented like CIFAR-10: (32, 32, 3) pixels, 10 classes."""
    import torch

    from training.data import DataHparams, Dataset, DeviceData

    generator = torch.Generator().manual_seed(0)

    def split(size: int) -> tuple[Any, Any]:
        pixels = torch.randint(256, (size, 32, 32, 3), generator=generator, dtype=torch.uint8)
        return pixels, torch.randint(10, (size,), generator=generator)

    dataset = Dataset.from_arrays(*split(images), *split(batch_size), [str(label) for label in range(10)])
    return DeviceData(dataset, DataHparams(dataset="synthetic", batch_size=batch_size), torch.device(device))


def make_state(model: str, data: Any, recipe: str | None = None, **training: Any) -> tuple[Any, Any]:
    """A fresh training state of a shipped model, and its hyperparameters: by default its recipe on CIFAR-10."""
    from foundations.seeds import Seeds
    from models import ModelHparams, build
    from training.hparams import TrainingHparams
    from training.recipes import find_recipe
    from training.state import Noise, TrainState

    known = TrainingHparams()
    values = {name: value for name, value in find_recipe(model, "cifar10", recipe).items() if hasattr(known, name)}
    hparams = replace(known, **{**values, **training})
    network = build(ModelHparams(model=model, batchnorm_init="ones"), data.shape, Seeds(1).generator("initialization"))
    return TrainState.fresh(network, hparams, Noise(Seeds(1)), data.device), hparams


def machine(settings: Settings) -> str:
    """Processor, threads and versions."""
    import torch

    names = [line.partition(":")[2].strip() for line in lines("/proc/cpuinfo") if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{processor}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}{gpu}; "
        f"{settings.threads} threads; load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    )


def lines(path: str) -> list[str]:
    """The lines of a text file; none if there is no such file."""
    return Path(path).read_text().splitlines() if Path(path).exists() else []
