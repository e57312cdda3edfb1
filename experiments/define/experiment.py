"""Experiments: each is defined by values, and has tasks that compute it and rows of results."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from experiments.define.defaults import Section, Selection, Values
from experiments.measurements import Measurement
from experiments.options import TrainOptions
from experiments.run.engine import Failure, run_plan
from experiments.run.measured import with_measurements
from experiments.run.plan import make_plan
from experiments.run.tasks import Task, TrunkTask
from experiments.runs.directory import RunDirectory
from experiments.runs.rows import result_rows
from experiments.workspace import Workspace, train_of
from foundations import files
from foundations.desc import Desc
from foundations.disk import tidy
from foundations.environment import record_request
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.hparams import as_text
from foundations.registry import Registry
from foundations.run import entries, restore_desc, restore_network, store_of
from foundations.steps import Step
from foundations.store import Store
from training.hparams import TrainDesc
from training.metrics import restore as restore_metrics
from training.trunk import describe_network


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Experiment(ABC):
    """One experiment of one replicate.

    Args:
        session: where and how it is computed.
        replicate: the number that all its random numbers depend on.
        desc: what its result depends on.
        varied: the values in which it differs from the others of its grid, beside those that every table
            shows.
        measure: what is measured of it.
    """

    summary: ClassVar[str]
    prunes: ClassVar[bool] = True
    """Whether it has a pruning strategy."""

    session: Workspace
    replicate: int
    desc: Desc
    varied: Mapping[str, Any] = field(default_factory=dict)
    measure: tuple[Measurement, ...] = ()

    @classmethod
    @abstractmethod
    def sections(cls, selection: Selection, given: Mapping[str, Any]) -> list[Section]:
        """Return the flags that apply to what is selected."""

    @classmethod
    @abstractmethod
    def define(cls, session: Workspace, values: Values) -> "Experiment":
        """Return the experiment that values describe; ``UsageError`` if they do not fit each other."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.label}, {self.desc.key}{', done' if self.known_done else ''}>"

    @property
    def known_done(self) -> bool:
        """Whether it is done, as far as that can be told without reading a data set, for ``repr``."""
        try:
            return self.session.has_data(train_of(self.desc).data) and self.done
        except UsageError:  # it cannot be computed, which `run` says
            return False

    @property
    def identity(self) -> Hashable:
        return self.desc.key, self.replicate

    def joined(self, other: "Experiment") -> "Experiment":
        """Return this experiment with the parts (levels) of ``other``, which has the same identity."""
        return self

    @property
    def shown(self) -> dict[str, str]:
        return {name: as_text(value) for name, value in self.varied.items()}

    @property
    def store(self) -> Store:
        return store_of(self.desc, self.replicate, self.session.context)

    def densities(self) -> Sequence[tuple[str, float]]:
        """Return strategy and density of each of its subnetworks."""
        return ()

    def places(self) -> list[Path]:
        """Return the directories that its results lie in."""
        return [self.store.path]

    def say_unreached_milestones(self) -> None:
        """Say, once in a session, which milestones lie past the end of training."""
        training, context = train_of(self.desc).training, self.session.context
        end = training.training_steps
        late = [step for step in training.milestone_steps if step == end or step.certainly_after(end)]
        if training.lr_schedule != "step" or not late or (end, *late) in context.reported:
            return
        context.reported.add((end, *late))
        missed = ", ".join(step.short for step in late)
        context.reporter.say(
            f"--milestone_steps: {missed} is not reached, since --training_steps={end.short}; the learning rate stays"
        )

    @property
    @abstractmethod
    def label(self) -> str:
        """A name that tells it from others."""

    @abstractmethod
    def tasks(self) -> Sequence[Task]:
        """Return the tasks that are asked for; each holds those that it waits for."""

    @property
    def done(self) -> bool:
        return all(task.done(self.session) for task in self.tasks())

    def missing(self) -> list[Row]:
        """Return rows, with a ``state``, for what was asked for and has no result yet."""
        return []

    @abstractmethod
    def done_before(self) -> str:
        """Return the message when nothing is left to do."""

    def opening(self) -> str:
        """Return the message before it is run, if there is one."""
        return self.done_before() if self.done else ""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Return the results so far, a row for each training, level, branch or analysis that has one."""

    def stored_rows(self, parts: Sequence[str]) -> list[Row]:
        """Return the rows of parts of its run, done or not, with the values in which it differs from others."""
        run = RunDirectory(self.store.path, self.desc.kind, self.replicate)
        return [{**row, "varied": self.shown} for row in result_rows(run, parts, entries(self.desc))]

    def check(self) -> None:
        """Raise ``UsageError`` if it cannot be computed. Its data are read here, and nothing is computed."""
        self.session.check(self.store, self.desc)

    def stands_on(self) -> Sequence[Desc]:
        """Return the descriptors of the runs that it is computed from: its trunk."""
        return (train_of(self.desc),)

    def restore(self) -> None:
        """Rewrite files that its run, or a run that it stands on, has lost and that follow from other files; say so.

        Descriptors and ``network.json`` follow from the values and the data; metrics are in the checkpoint, too.
        """
        context, train = self.session.context, train_of(self.desc)
        network = describe_network(train.model, self.session.data(train.data))
        for desc in (self.desc, *self.stands_on()):
            store = store_of(desc, self.replicate, context)
            tidy(store.path)
            restore_desc(store, entries(desc), context)
            restore_network(store, network)
            for done in store.path.rglob(files.DONE):
                if not any(map(files.is_aside, done.relative_to(store.path).parts)):
                    restore_metrics(Store(done.parent), context.reporter)

    def to_put_aside(self) -> list[Store]:
        """Return the directories that ``--recompute`` renames: its own, and its trunk's if that is unusable."""
        train = train_of(self.desc)
        trunk = store_of(train, self.replicate, self.session.context)
        try:
            self.session.check(trunk, train)
        except UsageError:
            return [self.store, trunk]
        return [self.store]

    def run(self) -> list[Failure]:
        """Compute what is left; return the tasks that failed."""
        self.check()
        return run_plan(make_plan(self.tasks(), self.session), self.session)


experiments: Registry[type[Experiment]] = Registry("experiment")
"""The kinds of experiment, by the names of their commands."""


@experiments.register("train")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Training(Experiment):
    """The dense training of a network, or the first part of it."""

    summary = "Train the full network. Other commands share this training: it is the trunk of their branches."
    prunes = False

    desc: TrainDesc
    to: Step

    @classmethod
    def sections(cls, selection: Selection, given: Mapping[str, Any]) -> list[Section]:
        return [*selection.shared_sections(), selection.section("trunk", TrainOptions)]

    @classmethod
    def define(cls, session: Workspace, values: Values) -> "Training":
        desc = values.train_desc()
        to = values.build(TrainOptions).to or desc.training.training_steps
        refuse_after_end("to", to, desc)
        measure = values.measurements()
        if measure and to != desc.training.training_steps:
            raise UsageError(f"--measure: looks at the end of training; leave out --to={to.short}")
        return cls(session=session, replicate=values.replicate, desc=desc, to=to, measure=measure)

    @property
    def label(self) -> str:
        return f"replicate {self.replicate}"

    def tasks(self) -> Sequence[Task]:
        return with_measurements([TrunkTask(desc=self.desc, replicate=self.replicate, to=self.to)], self.measure)

    def check(self) -> None:
        super().check()
        self.session.trunk(self.desc, self.replicate).check_step("to", self.to)

    def restore(self) -> None:
        super().restore()
        record_request(self.store, self.session.context)

    def done_before(self) -> str:
        return f"Done before: {self.store.path}. Nothing was trained."

    def rows(self) -> list[Row]:
        """Return one row with the losses and accuracies at the end; before it, the last epoch's."""
        return [row for row in self.stored_rows([""]) if "step" in row]


def refuse_after_end(flag: str, step: Step, desc: TrainDesc) -> None:
    """Raise ``UsageError`` if a step is beyond the end of training, however many iterations an epoch has."""
    if step.certainly_after(desc.training.training_steps):
        raise after_end(flag, step, desc)


def after_end(flag: str, step: Step, desc: TrainDesc, hint: str = "") -> UsageError:
    return UsageError(f"--{flag}={step.short}: beyond --training_steps={desc.training.training_steps.short}{hint}")


def plain(row: Row, varied: Mapping[str, Any]) -> Row:
    """Return a row with a column for each varied value, and with paths, steps and lists as text."""
    own = {name: value for name, value in row.items() if name != "varied"}
    return {
        name: as_text(value) if isinstance(value, (Path, Step, tuple)) else value
        for name, value in (own | dict(varied)).items()
    }
