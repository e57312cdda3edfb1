"""Where and how experiments are computed; and from here they are defined: the Python API."""

import contextlib
import copy
import json
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from experiments import stored
from experiments.engines import engines
from experiments.grid import Grid
from experiments.options import SessionOptions
from experiments.plugins import load_plugins
from experiments.progress import make_reporter
from foundations.context import Context
from foundations.desc import Desc
from foundations.environment import verify
from foundations.errors import UsageError, near_misses
from foundations.memory import keep_freed_memory
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc, LotteryRunner
from stability import AnalysisHparams, StabilityDesc, StabilityRunner
from stability.start import read_checkpoint
from training.data import DataHparams, DeviceData, TrainingData, load
from training.desc import TrainDesc
from training.trunk import Trunk

if TYPE_CHECKING:
    from experiments.engines import Failure
    from experiments.engines.local import Worker
    from experiments.plan import Plan
    from experiments.tasks import Task

T = TypeVar("T")
ENVIRONMENT: Mapping[str, str] = {"root": "ADSYNFLOW_ROOT", "data_dir": "ADSYNFLOW_DATA"}


def directories_from_environment() -> dict[str, str]:
    """The directories that ``$ADSYNFLOW_ROOT`` and ``$ADSYNFLOW_DATA`` name, where they are set."""
    return {name: os.environ[variable] for name, variable in ENVIRONMENT.items() if os.environ.get(variable)}


class Session:
    """Where and how experiments are computed, and what they share while they are: data sets and trunks.

    Every flag of a command is a keyword of the method of its name, with a typed value; a list of values gives an
    experiment for each (a flag that is a list itself takes a list of lists)::

        session = Session(root="runs", threads=2)
        tickets = session.lottery(dataset="digits", pruning_strategy=["synflow", "adsynflow"], replicate=range(1, 4))
        tickets.run()
        rows = tickets.rows()

    Nothing is computed, and nothing of PyTorch's is set, until ``run`` is called.

    Args:
        root: directory of all runs; default ``$ADSYNFLOW_ROOT``, else ``runs``.
        data_dir: directory of the data sets; default ``$ADSYNFLOW_DATA``, else ``data``.
        reporter: hears how it goes; by default lines or progress bars on standard error.
        command: what was called, for ``environment.json``; by default the call of the method.
        options: the other fields of ``SessionOptions``: device, threads, jobs, engine, deterministic, recompute, quiet,
            plugin.

    Raises:
        UsageError: an unknown option, an unsuitable value, a device that is not there, a plug-in that fails.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        data_dir: str | Path | None = None,
        *,
        reporter: Reporter | None = None,
        command: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        directories = {name: str(path) for name, path in (("root", root), ("data_dir", data_dir)) if path is not None}
        refuse_unknown_options(options)
        if isinstance(options.get("plugin"), str):
            options["plugin"] = (options["plugin"],)
        self.options = SessionOptions(**{**directories_from_environment(), **directories, **options})
        reporter = make_reporter(self.options.quiet) if reporter is None else reporter
        load_plugins(self.options.plugin, reporter)
        self.engine = engines.get(self.options.engine)
        self.context = Context(
            root=Path(self.options.root),
            data_dir=Path(self.options.data_dir),
            device=find_device(self.options.device),
            deterministic=self.options.deterministic,
            reporter=reporter,
            command=tuple(command or ()),
        )
        self._shared = Shared()
        self._runners = Shared()
        self.workers: list[Worker] = []
        """Processes that an engine has started; they live on from plan to plan until they are released."""

    def __repr__(self) -> str:
        return f"<Session: root={self.context.root}, data_dir={self.context.data_dir}, device={self.context.device}>"

    # Experiments ---------------------------------------------------------------------------------------------

    def train(self, **flags: Any) -> Grid:
        """Dense trainings: the trunks of all other experiments.

        Example::

            session.train(model="cifar_resnet_20", dataset="digits", lr=[0.05, 0.1]).run().rows()
        """
        return self._define("train", flags)

    def lottery(self, **flags: Any) -> Grid:
        """Lottery-ticket experiments: train to k, prune, train the subnetwork on; level by level.

        Example::

            tickets = session.lottery(dataset="digits", pruning_strategy=["synflow", "adsynflow"], levels=[0, 1])
            model, mask = tickets.run()[0].ticket(level=1)
        """
        return self._define("lottery", flags)

    def lottery_branch(self, branch: str, **flags: Any) -> Grid:
        """Levels of lottery runs again, with one thing changed.

        Example::

            session.lottery_branch("shuffle", dataset="digits", pruning_strategy="adsynflow", levels=1).run().rows()
        """
        return self._define("lottery_branch", flags, branch)

    def stability(self, **flags: Any) -> Grid:
        """Instability analyses: from which step on is a network stable to SGD noise?

        Example::

            session.stability(dataset="digits", k=[0, 2, "500it"], pruning_strategy=["none", "adsynflow"]).run().rows()
        """
        return self._define("stability", flags)

    def _define(self, command: str, flags: Mapping[str, Any], branch: str | None = None) -> Grid:
        if self.context.command:
            return Grid.of(self, command, flags, branch)
        arguments = [repr(branch)] * (branch is not None) + [f"{name}={value!r}" for name, value in flags.items()]
        named = copy.copy(self)
        named.context = replace(self.context, command=(f"session.{command}({', '.join(arguments)})",))
        named._runners, named.workers = Shared(), []
        return Grid.of(named, command, flags, branch)

    def runs(self) -> list[stored.StoredRun]:
        """All runs below the root, whoever computed them."""
        return stored.runs(self.context.root)

    # What they are computed with -----------------------------------------------------------------------------

    @property
    def jobs(self) -> int:
        """The number of tasks that are done at once."""
        return self.options.jobs

    def run(self, plan: "Plan") -> "list[Failure]":
        """Has the engine do the tasks of a plan."""
        return self.engine(plan, self) if len(plan) else []

    def release(self) -> None:
        """Ends the processes that wait for work."""
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            worker.wait()
        self.workers.clear()

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Inside, PyTorch has this session's number of threads and determinism; afterwards what it had before."""
        threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        keep_freed_memory()
        torch.set_num_threads(self.options.threads or threads)
        if self.context.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)

    def has_data(self, hparams: DataHparams) -> bool:
        """Whether the data set has been read."""
        return ("data", str(hparams)) in self._shared.entries

    def data(self, hparams: DataHparams) -> TrainingData:
        """The data set on the session's device, read once."""
        context = self.context
        return self._shared.once(
            ("data", str(hparams)),
            lambda: DeviceData(load(hparams, context.data_dir, context.reporter), hparams, context.device),
        )

    def trunk(self, desc: TrainDesc, replicate: int) -> Trunk:
        """The dense training of a replicate."""
        return self._runners.once((desc, replicate), lambda: Trunk(desc, replicate, self.data(desc.data), self.context))

    def lottery_runner(self, desc: LotteryDesc, replicate: int, allow_collapse: bool) -> LotteryRunner:
        """What finds masks and trains levels of a replicate."""
        return self._runners.once(
            (desc, replicate, allow_collapse),
            lambda: LotteryRunner(desc, replicate, self.data(desc.train.data), self.context, allow_collapse),
        )

    def stability_runner(
        self, desc: StabilityDesc, replicate: int, k: Step, settings: AnalysisHparams, checkpoint: str | None
    ) -> StabilityRunner:
        """What trains and compares the children from ``k`` on."""
        tensors = None if checkpoint is None else self.checkpoint(checkpoint)[0]
        return self._runners.once(
            (desc, replicate, k, settings, checkpoint),
            lambda: StabilityRunner(desc, replicate, k, self.data(desc.train.data), self.context, settings, tensors),
        )

    def checkpoint(self, file: str) -> tuple[Mapping[str, Tensor], str]:
        """Weights of a file and the first digits of its digest, read once."""
        return self._shared.once(("checkpoint", file), lambda: read_checkpoint(Path(file)))

    def check(self, store: Store, desc: Desc) -> None:
        """Raises ``UsageError`` if a run was computed on other data, or with other versions of its plug-ins."""
        train: TrainDesc = desc if isinstance(desc, TrainDesc) else desc.train  # type: ignore[attr-defined]
        verify(store, desc.code(), self.context, self.data(train.data).fingerprint)

    # For other processes -------------------------------------------------------------------------------------

    def entries(self) -> dict[str, Any]:
        """What a worker on the same files needs to know; it has a share of this machine's threads."""
        threads = self.options.threads or max(1, torch.get_num_threads() // self.options.jobs)
        names = ("root", "data_dir", "device", "deterministic")
        return {
            **{name: getattr(self.options, name) for name in names},
            "threads": threads,
            "plugin": list(self.options.plugin),
            "command": list(self.context.command),
        }

    def task_line(self, task: "Task") -> str:
        """A line of JSON that ``python main.py task`` understands, on any machine that has the same files."""
        return json.dumps({"session": self.entries(), "task": task.entries()})

    @staticmethod
    def from_entries(entries: Mapping[str, Any], reporter: Reporter) -> "Session":
        """The session that :meth:`entries` has described."""
        return Session(**{**entries, "plugin": tuple(entries.get("plugin", ()))}, reporter=reporter)


@dataclass
class Shared:
    """What is made once and then used again."""

    entries: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The entry, made at the first call."""
        if key not in self.entries:
            self.entries[key] = make()
        entry: T = self.entries[key]
        return entry


def refuse_unknown_options(options: Mapping[str, Any]) -> None:
    """Raises ``UsageError`` with near misses for a keyword that is no option of a session."""
    known = [item.name for item in fields(SessionOptions)]
    for name in options:
        if name not in known:
            raise UsageError(f"Session: unknown option {name!r}{near_misses(name, known)}; valid: {', '.join(known)}")


def find_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is CUDA where there is one, then Apple's, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device={name}: not available here; valid: auto, cpu, cuda, cuda:<n>, mps") from error
    return device
