"""The lottery-ticket experiment of one replicate, level by level."""

import contextlib
from collections.abc import Iterable, Iterator

from torch import nn

from foundations import files
from foundations.context import Context
from foundations.errors import UsageError
from foundations.runner import store_of
from foundations.steps import Step
from foundations.store import Store
from lottery.changing import check_changing
from lottery.desc import LotteryDesc
from lottery.level import Level
from pruning import ChangingMask
from pruning.graph import channel_graph
from pruning.shares import check_layers
from training.data import TrainingData
from training.trunk import Trunk


class LotteryRunner:
    """Level 0 is the full network, that is, the trunk; level n keeps ``(1 - pruning_fraction) ** n`` of it.

    A strategy that scores at k prunes the trunk at k to the density of each level by itself. One that scores at the
    end prunes what the level before has become, so that its levels need those before them; see :func:`with_needed`.
    """

    def __init__(
        self, desc: LotteryDesc, replicate: int, data: TrainingData, context: Context, allow_collapse: bool = False
    ) -> None:
        self.desc, self.replicate, self.data, self.context = desc, replicate, data, context
        self.allow_collapse = allow_collapse
        self.trunk = Trunk(desc.train, replicate, data, context)
        self.trunk.check_step("k", desc.k)
        check_layers(self.trunk.fresh().model, desc.pruning)
        check_changing(desc.strategy, desc.pruning, self.trunk, desc.k)
        if desc.compact:
            if isinstance(desc.strategy, ChangingMask):
                name = desc.strategy.name
                raise UsageError(f"--compact: the mask of --pruning_strategy={name} changes in training; leave it out")
            check_compactable(self.trunk.fresh().model, context)
        self.store = store_of(desc, replicate, context)

    def level(self, number: int) -> Level:
        """One of the levels."""
        return Level(number, self.store, self.desc, self.trunk, self.allow_collapse)

    def has_mask(self, number: int) -> bool:
        """Whether a level's mask lies on disk."""
        return self.level(number).has_mask

    def find_mask(self, number: int) -> None:
        """Finds a level's mask if it is not there yet."""
        with self.at_work(files.level(number)):
            self.level(number).mask()

    def done(self, number: int) -> bool:
        """Whether a level is trained and its network is there; that of level 0 is the trunk's."""
        here, end = self.level(number).here, Step.at(self.trunk.end, self.trunk.per_epoch)
        return here.done and (number == 0 or here.has(files.model(end)))

    def train(self, number: int) -> None:
        """Trains a level that is not trained yet, from its mask on."""
        with self.at_work(files.level(number)):
            if not self.done(number):  # by another process, meanwhile
                self.level(number).train()

    @contextlib.contextmanager
    def at_work(self, part: str) -> Iterator[Store]:
        """Begins the run, or goes on with it, and holds one of its parts for this process."""
        with self.store.lock(self.context.reporter):
            self.trunk.begin(self.store, self.desc)
        here = self.store.sub(part)
        with here.lock(self.context.reporter):
            yield here


def with_needed(desc: LotteryDesc, levels: Iterable[int]) -> list[int]:
    """``levels`` in order, with those that must be trained before them."""
    asked_for = set(levels)
    below = range(max(asked_for)) if desc.pruning.score_at == "end" else ()
    return sorted({*asked_for, *below})


def check_compactable(model: nn.Module, context: Context) -> None:
    """Raises ``UsageError`` if ``model`` cannot be traced for ``--compact``; says, once, where it has no effect."""
    try:
        graph = channel_graph(model)
    except UsageError as error:
        raise UsageError(f"--compact: {error}; leave the flag out") from error
    name = type(model).__name__
    if graph.sizes.keys() <= graph.pinned and (check_compactable, name) not in context.reported:
        context.reported.add((check_compactable, name))
        context.reporter.warn(
            f"--compact has no effect: all channels of {name} meet operations that are not known to treat each by "
            "itself, such as concatenation, grouped convolution, attention and layer norm"
        )
