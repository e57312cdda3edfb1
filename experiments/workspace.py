"""Where and how tasks are computed, and what they share while they are: data sets, trunks, checkpoints."""

import contextlib
import copy
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from experiments.options import SessionOptions
from foundations.context import Context
from foundations.desc import Desc
from foundations.environment import verify
from foundations.errors import UsageError
from foundations.processes import keep_freed_memory, own_gpu, own_share
from foundations.reporting import Reporter, Several
from foundations.steps import Step
from foundations.store import Store
from lottery import Level, LotteryDesc, check_lottery
from stability import AnalysisAtK, AnalysisHparams, StabilityDesc
from training.data import DataHparams, TrainingData, open_data
from training.distributed import processes
from training.hparams import TrainDesc
from training.imported import read_checkpoint
from training.trunk import Trunk

T = TypeVar("T")


class Workspace:
    """What tasks share: directories, a device, threads, and data sets and trunks that were read once.

    Args:
        options: where and how.
        reporter: shows the progress.
        command: what was called, for ``environment.json``.

    Raises:
        UsageError: a device that is not there.
    """

    def __init__(self, options: SessionOptions, reporter: Reporter, command: Sequence[str] = ()) -> None:
        self.options = options
        self.reporters = reporter if isinstance(reporter, Several) else Several(reporter)
        self.context = Context(
            root=Path(options.root),
            data_dir=Path(options.data_dir),
            device=find_device(options.device),
            deterministic=options.deterministic,
            cuda_graphs=options.cuda_graphs == "auto",
            allow_divergence=options.allow_divergence,
            evaluate_every=options.evaluate_every,
            reporter=self.reporters,
            command=tuple(command),
        )
        self._data, self._runners = Once(), Once()
        self.workers: list[Any] = []
        """Processes that an engine has started; they live on from plan to plan until they are released."""

    def release(self) -> None:
        """End the worker processes."""
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            worker.wait()
        self.workers.clear()

    def with_context(self, **changes: Any) -> Self:
        """Return a copy with changes of its context and the same data."""
        other = copy.copy(self)
        other.context = replace(self.context, **changes)
        other._runners, other.workers = Once(), []
        return other

    def heard_by(self, reporters: Several) -> Self:
        """Return a copy with other reporters."""
        other = self.with_context(reporter=reporters)
        other.reporters = reporters
        return other

    @property
    def jobs(self) -> int:
        return self.options.jobs

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Inside, PyTorch has this session's number of threads and determinism, which are restored afterwards.

        Deterministic, it would also fill all memory that is not initialized, one more kernel for each tensor: nothing
        here reads such memory.
        """
        threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        settings: Any = torch.utils.deterministic
        filled = settings.fill_uninitialized_memory
        keep_freed_memory()
        processes().announce(self.entries())
        torch.set_num_threads(self.options.threads or threads)
        if self.context.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
            settings.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)
            settings.fill_uninitialized_memory = filled

    def has_data(self, hparams: DataHparams) -> bool:
        return ("data", str(hparams)) in self._data.entries

    def data(self, hparams: DataHparams) -> TrainingData:
        """Return the data set on the session's device, read once."""
        context = self.context
        return self._data.once(
            ("data", str(hparams)),
            lambda: open_data(
                hparams, context.data_dir, context.reporter, context.device,
                workers=self.options.workers, verify=self.options.verify_data,
            ),
        )

    def trunk(self, desc: TrainDesc, replicate: int) -> Trunk:
        return self._runners.once((desc, replicate), lambda: Trunk(desc, replicate, self.data(desc.data), self.context))

    def level(self, desc: LotteryDesc, replicate: int, number: int, allow_collapse: bool = False) -> Level:
        """Return a level of a lottery run; ``UsageError`` if the model or the data do not suit the experiment."""
        trunk = self.trunk(desc.train, replicate)
        self._runners.once(("checked", desc, replicate), lambda: check_lottery(desc, trunk))
        return Level(number, desc, trunk, allow_collapse)

    def analysis(
        self, desc: StabilityDesc, replicate: int, k: Step, settings: AnalysisHparams, checkpoint: str | None
    ) -> AnalysisAtK:
        """Return the instability analysis at ``k``; ``UsageError`` if the model or the data do not suit it."""
        trunk, tensors = self.trunk(desc.train, replicate), self.checkpoint(checkpoint)[0] if checkpoint else None
        return self._runners.once(
            (desc, replicate, k, settings, checkpoint), lambda: AnalysisAtK(desc, trunk, k, settings, tensors)
        )

    def checkpoint(self, file: str) -> tuple[Mapping[str, Tensor], str]:
        """Return the weights of a file and the first digits of its digest, read once."""
        return self._data.once(("checkpoint", file), lambda: read_checkpoint(Path(file)))

    def check(self, store: Store, desc: Desc) -> None:
        """Raise ``UsageError`` if a run was computed on other data, or with other versions of its plug-ins."""
        verify(store, desc.code(), self.context, self.data(train_of(desc).data).fingerprint)

    def entries(self) -> dict[str, Any]:
        """Return the options of a worker on this machine, which has a share of the threads."""
        threads = self.options.threads or max(1, torch.get_num_threads() // self.options.jobs)
        names = (
            "root", "data_dir", "device", "deterministic", "cuda_graphs", "allow_divergence", "evaluate_every",
            "workers", "verify_data",
        )  # fmt: skip
        return {
            **{name: getattr(self.options, name) for name in names},
            "threads": threads,
            "plugin": list(self.options.plugin),
            "track": list(self.options.track),
            "command": list(self.context.command),
        }


    def entries_elsewhere(self) -> dict[str, Any]:
        """Return the options of a worker on another machine that has the same files under the same paths."""
        plugins = [str(Path(name).absolute()) if Path(name).is_file() else name for name in self.options.plugin]
        return {
            **self.entries(), "plugin": plugins, "threads": self.options.threads or self.options.cpus_per_task,
            **{name: str(Path(getattr(self.options, name)).absolute()) for name in ("root", "data_dir")},
        }  # fmt: skip


@dataclass
class Once:
    """Values that are made once and then used again."""

    entries: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self.entries:
            self.entries[key] = make()
        entry: T = self.entries[key]
        return entry


def train_of(desc: Desc) -> TrainDesc:
    """Return the descriptor of the trunk of an experiment; a training is its own."""
    train: TrainDesc = desc if isinstance(desc, TrainDesc) else desc.train  # type: ignore[attr-defined]
    return train


def find_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is CUDA where there is one, then Apple's, then the CPU.

    Of several processes that train together each has a GPU of its own.
    """
    if own_share().of > 1 and name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device={name}: torchrun gives each process its own; valid with it: auto, cpu, cuda")
    if name == "cuda" and own_share().of > 1:
        name = f"cuda:{own_gpu()}"
    if name == "auto":
        if torch.cuda.is_available():
            return find_device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device={name}: not available here; valid: auto, cpu, cuda, cuda:<n>, mps") from error
    return device
