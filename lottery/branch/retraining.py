"""Branches that train a level's subnetwork from elsewhere or in another way."""

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TypeVar, get_type_hints

from torch import nn

from foundations import files
from foundations.errors import UsageError
from foundations.hparams import field_docs, hp
from foundations.steps import Step
from foundations.store import Store
from lottery.branch.base import Branch, branches
from lottery.desc import LotteryDesc, state_of_the_end
from lottery.level import Ticket
from pruning import ChangingMask
from training.hparams import TrainingHparams
from training.optimizers import make_optimizer, with_hparams
from training.segments import load_network
from training.trunk import Trunk


@branches.register("rewind")
@dataclass(frozen=True, kw_only=True)
class Rewind(Branch):
    """Keeps the mask and starts from the full network at another step than k."""

    start_step: Step = hp(Step("0ep"))
    """Step whose weights, BatchNorm statistics and optimizer state the subnetwork starts with."""

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        trunk.check_step("start_step", self.start_step)

    def trunk_steps(self, desc: LotteryDesc) -> tuple[Step, ...]:
        return (self.start_step,)

    def start(self, ticket: Ticket) -> Ticket:
        return replace(ticket, state=ticket.level.state_at(self.start_step))


@branches.register("cyclic")
@dataclass(frozen=True, kw_only=True)
class Cyclic(Branch):
    """Trains the subnetwork from k to the end again and again, each time from the weights that it has come to.

    The schedule is repeated under one mask, with a fresh optimizer: as many steps as iterative pruning takes with a
    level for each cycle ("Cyclic Sparse Training: Is it Enough?", 2024, arXiv 2406.02773).
    """

    cycles: int = hp(3, within="[2, inf)")
    """How often it is trained in all; the level's own training is the first."""

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        if isinstance(desc.strategy, ChangingMask):
            raise UsageError(f"cyclic: the mask of --pruning_strategy={desc.strategy.name} changes in training")

    def start(self, ticket: Ticket) -> Ticket:
        return self.again(ticket, ticket.level.trained())

    def again(self, ticket: Ticket, trained: nn.Module) -> Ticket:
        level = ticket.level
        return replace(ticket, state=state_of_the_end(trained, level.trunk, level.desc.k))

    def run(self, here: Store, ticket: Ticket) -> None:
        """Train the last cycle in ``here``, and those between it and the first each in a directory within."""
        level = ticket.level
        for number in range(2, self.cycles):
            cycle, model = here.sub(files.cycle(number)), level.trunk.fresh().model
            if not cycle.done:
                level.train_ticket(cycle, ticket, self.name, number)
            load_network(cycle, cycle.result()["model"], model)
            ticket = self.again(ticket, model)
        level.train_ticket(here, ticket, self.name, self.cycles)


PREFIX = "retrain_"
NETWORKS_OWN = ("compile",)
"""Fields of the training that are not another way of training."""

B = TypeVar("B", bound=type[Branch])


def with_training_fields(branch: B) -> B:
    """Gives a branch the fields of ``TrainingHparams`` under ``PREFIX``: None, unless given, else as limited there.

    A field that was added to ``TrainingHparams`` after runs existed (it declares ``absent``) is left out of the key of
    a branch without it, too.
    """
    hints, docs = get_type_hints(TrainingHparams), field_docs(TrainingHparams)
    for item in fields(TrainingHparams):
        if item.name in NETWORKS_OWN:
            continue
        absent = MISSING if item.metadata["absent"] is MISSING else None
        metadata = {**item.metadata, "absent": absent, "doc": docs[item.name]}
        branch.__annotations__[PREFIX + item.name] = hints[item.name] | None
        setattr(branch, PREFIX + item.name, field(default=None, metadata=metadata))
    return branch


@branches.register("retrain")
@dataclass(frozen=True, kw_only=True)
@with_training_fields
class Retrain(Branch):
    """Trains the same subnetwork with other training hyperparameters; those not given are the level's.

    Steps count from the beginning of training, as k does. The optimizer's state at the start is kept, unless it is of
    another optimizer.
    """

    start_step: Step | None = hp(None, absent=None)
    """Step of the full network that the subnetwork starts from, with 0ep from scratch; default: k."""

    def changed(self, training: TrainingHparams) -> TrainingHparams:
        names = [item.name for item in fields(self) if item.name.startswith(PREFIX)]
        given = {name.removeprefix(PREFIX): getattr(self, name) for name in names}
        return replace(training, **{name: value for name, value in given.items() if value is not None})

    def trunk_steps(self, desc: LotteryDesc) -> tuple[Step, ...]:
        return () if self.start_step is None else (self.start_step,)

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        end = self.changed(desc.train.training).training_steps
        flag, start = ("k", desc.k) if self.start_step is None else ("start_step", self.start_step)
        trunk.check_step(flag, start)
        if trunk.iteration(start) > trunk.iteration(end):
            raise UsageError(f"--retrain_training_steps={end.short}: ends before --{flag}={start.short}")

    def start(self, ticket: Ticket) -> Ticket:
        training, level = self.changed(ticket.training), ticket.level
        state = ticket.state if self.start_step is None else level.state_at(self.start_step)
        if training.optimizer == ticket.training.optimizer:
            state.optimizer = with_hparams(state.optimizer, training, state.model)
        else:
            state.optimizer = make_optimizer(training, state.model)
        return replace(ticket, state=state, training=training)
