"""The lottery-ticket experiment, level by level."""

from collections.abc import Iterable
from typing import Any

from foundations.context import Context
from foundations.environment import verify_data
from foundations.errors import UsageError
from foundations.runner import begin
from foundations.store import Store
from lottery.desc import LotteryDesc
from lottery.level import Level
from pruning.compaction import channel_graph
from training.data import TrainingData
from training.trunk import Trunk


class LotteryRunner:
    """Level 0 is the full network, that is, the trunk; level n keeps ``(1 - pruning_fraction) ** n`` of it.

    A strategy that scores at k prunes the trunk at k to the density of each level by itself. One that scores at the
    end prunes what the level before has become, so that its levels need those before them.
    """

    def __init__(
        self,
        desc: LotteryDesc,
        replicate: int,
        levels: Iterable[int],
        data: TrainingData,
        context: Context,
        allow_collapse: bool = False,
    ) -> None:
        self.desc, self.replicate, self.data, self.context = desc, replicate, data, context
        self.allow_collapse = allow_collapse
        self.trunk = Trunk(desc.train, replicate, data, context)
        if self.trunk.iteration(desc.k) > self.trunk.end:
            raise UsageError(f"--k={desc.k.short}: beyond --training_steps={desc.train.training.training_steps.short}")
        if desc.compact:
            channel_graph(self.trunk.fresh().model)  # refuses what cannot be compacted before anything is trained
        self.asked_for = sorted(set(levels))
        needed = range(max(self.asked_for)) if desc.pruning.score_at == "end" else ()
        self.levels = sorted({*self.asked_for, *needed})

    def run(self, store: Store) -> None:
        """Trains the levels that are not done yet."""
        verify_data(store, self.data.fingerprint)
        if self.done(store):
            self.context.reporter.say(f"All done before: {store.path}. Nothing was trained.")
            return
        with store.lock(self.context.reporter):
            begin(store, self.desc, self.context, self.data.fingerprint)
            for number in self.levels:
                level = self.level(store, number)
                if not level.here.done:
                    level.train()

    def done(self, store: Store) -> bool:
        """Whether every level is trained."""
        return all(self.level(store, number).here.done for number in self.levels)

    def level(self, store: Store, number: int) -> Level:
        """One of the levels."""
        return Level(number, store, self.desc, self.trunk, self.allow_collapse)

    def results(self, store: Store) -> list[dict[str, Any]]:
        """A row for each level: level, density, accuracies and losses."""
        return [self.level(store, number).here.result() for number in self.levels]
