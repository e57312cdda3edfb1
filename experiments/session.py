"""The Python API: a session says where and how experiments are computed, and defines them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import IO, Any

from experiments.define.grid import Grid
from experiments.define.lottery import branch_tasks, level_tasks
from experiments.define.stability import analysis_tasks
from experiments.exchange.importing import import_network
from experiments.options import ImportOptions, SessionOptions
from experiments.plugins import load_plugins
from experiments.run.engines import Failure, check_engine
from experiments.run.follower import take_part
from experiments.run.measured import MeasurementTask
from experiments.run.progress import make_reporter
from experiments.run.tasks import BranchTask, LevelMaskTask, LevelTask, OfAnalysis, Task
from experiments.run.trackers import TrackingReporter
from experiments.run.worker import serve
from experiments.runs import stored
from experiments.runs.directory import directories_from_environment
from experiments.workspace import Workspace
from foundations.errors import UsageError, near_misses
from foundations.hparams import Hparams
from foundations.processes import own_share
from foundations.reporting import Reporter, Several
from lottery.branch import branches


class Session(Workspace):
    """Where and how experiments are computed; its methods define them.

    Every flag of a command is a keyword of the method of its name, with a typed value; a list of values gives an
    experiment for each (a flag that is a list itself takes a list of lists)::

        session = Session(root="runs", threads=2)
        tickets = session.lottery(dataset="digits", pruning_strategy=["synflow", "adsynflow"], replicate=range(1, 4))
        tickets.run()
        rows = tickets.rows()

    Nothing is computed, and nothing of PyTorch's is set, until ``run`` is called.

    In a script under ``torchrun`` the processes train together: the first one alone goes on after this, the others take
    part in its training steps and end with it.

    Args:
        root: directory of all runs; default ``$ADSYNFLOW_ROOT``, else ``runs``.
        data_dir: directory of the data sets; default ``$ADSYNFLOW_DATA``, else ``data``.
        reporter: shows the progress; by default lines or progress bars on standard error.
        command: what was called, for ``environment.json``; by default the call of the method.
        options: the other fields of ``SessionOptions``: device, threads, jobs, at_once, engine, cpus_per_task,
            gpus_per_task, slurm, detach, deterministic, recompute, quiet, track, plugin.

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
        refuse_unknown_options(options, SessionOptions)
        for name in ("plugin", "track"):
            if isinstance(options.get(name), str):
                options[name] = (options[name],)
        if isinstance(options.get("slurm"), str):
            options["slurm"] = tuple(options["slurm"].split(","))
        chosen = SessionOptions(**{**directories_from_environment(), **directories, **options})
        reporter = make_reporter(chosen.quiet) if reporter is None else reporter
        load_plugins(chosen.plugin, reporter)
        check_engine(chosen)
        if min(chosen.at_once, chosen.jobs) > 1:
            raise UsageError(f"--at_once={chosen.at_once}: not together with --jobs={chosen.jobs}; valid: one of them")
        alone = max(chosen.at_once, chosen.jobs) == 1 and chosen.engine in ("local", "in_process")
        if own_share().of > 1 and not alone:
            raise UsageError("torchrun runs one task at a time; leave out --jobs, --at_once and --engine")
        tracking = [TrackingReporter(chosen.track, Path(chosen.root), reporter.warn)] if chosen.track else []
        super().__init__(chosen, Several(reporter, *tracking), command or ())
        if own_share().of > 1:
            take_part(Session.from_entries)

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
        branches.get(branch)  # refuses what is none
        return self._define("lottery_branch", flags, branch)

    def stability(self, **flags: Any) -> Grid:
        """Instability analyses: from which step on is a network stable to SGD noise?

        Example::

            session.stability(dataset="digits", k=[0, 2, "500it"], pruning_strategy=["none", "adsynflow"]).run().rows()
        """
        return self._define("stability", flags)

    def import_network(self, place: str | Path, **options: Any) -> str:
        """Take in somebody else's network, as the command ``import`` does; return its key, for the flag ``imported``.

        Example::

            key = session.import_network("ticket", model="cifar_resnet_20", dataset="digits")
            session.lottery(imported=key, model="cifar_resnet_20", dataset="digits", k=0).run()

        Args:
            place: the file or directory.
            options: the fields of ``ImportOptions``: mask, model, dataset, step, match, names.

        Raises:
            UsageError: an unknown option, or the files cannot be read or do not fit.
        """
        refuse_unknown_options(options, ImportOptions)
        if not isinstance(place, str | Path):
            raise UsageError(f"import_network: expected the path of a file or directory, found {place!r}")
        call = ", ".join([repr(str(place)), *(f"{name}={value!r}" for name, value in options.items())])
        named = self if self.context.command else self.with_context(command=(f"session.import_network({call})",))
        with self.computing():
            return import_network(named, Path(place), ImportOptions(**options)).key

    def _define(self, command: str, flags: Mapping[str, Any], branch: str | None = None) -> Grid:
        if self.context.command:
            return Grid.of(self, command, flags, branch)
        arguments = [repr(branch)] * (branch is not None) + [f"{name}={value!r}" for name, value in flags.items()]
        named = self.with_context(command=(f"session.{command}({', '.join(arguments)})",))
        return Grid.of(named, command, flags, branch)

    def runs(self) -> list[stored.StoredRun]:
        """Return all runs below the root, whoever computed them."""
        return stored.runs(self.context.root)

    # Computing them ------------------------------------------------------------------------------------------

    def task_line(self, task: Task) -> str:
        """Return a line of JSON that ``python main.py task`` understands on any machine that has the same files.

        Raises:
            UsageError: this is no task.
        """
        if not isinstance(task, Task):
            raise UsageError(f"task_line: expected a task, such as grid.tasks has, found {task!r}")
        return json.dumps({"session": self.entries(), "task": task.entries()})

    @staticmethod
    def from_entries(entries: Mapping[str, Any], reporter: Reporter) -> "Session":
        """Return the session that :meth:`entries` has described."""
        repeated = {name: tuple(entries.get(name, ())) for name in ("plugin", "track")}
        return Session(**{**entries, **repeated}, reporter=reporter)


def with_needs(task: Task) -> Task:
    """Return the task with the tasks that it waits for, which its JSON lacks."""
    graph: list[Task] = []
    match task:
        case MeasurementTask():
            return replace(task, after=(with_needs(task.of),))
        case LevelMaskTask() | LevelTask():
            graph += level_tasks(task.desc, task.replicate, [task.level], task.allow_collapse)
        case BranchTask():
            graph += branch_tasks(task.desc, task.replicate, [task.level], task.allow_collapse, task.branch)
        case OfAnalysis():
            comparison, children = analysis_tasks(task.desc, task.replicate, task.k, task.settings, task.checkpoint)
            graph += [comparison, *children]
    seen = set(graph)
    while graph:
        one = graph.pop()
        if one == task:
            return one
        graph += [other for other in one.after if other not in seen]
        seen.update(one.after)
    return task


def do_tasks(lines: Iterable[str], out: IO[str], session: Session | None = None) -> list[Failure]:
    """Do tasks, a line each as :meth:`Session.task_line` writes it; return those that failed."""
    return serve(lines, out, Session.from_entries, with_needs, session)


def refuse_unknown_options(options: Mapping[str, Any], cls: type[Hparams]) -> None:
    """Raise ``UsageError`` with near misses for a keyword that is no field of a class of options."""
    known = [item.name for item in fields(cls)]
    what = cls.__name__.removesuffix("Options")
    for name in options:
        if name not in known:
            raise UsageError(f"{what}: unknown option {name!r}{near_misses(name, known)}; valid: {', '.join(known)}")
