"""Runs a branch of the levels of a lottery run."""

from foundations import files
from foundations.runner import begin
from foundations.store import Store
from lottery.branch.registry import Branch
from lottery.level import Level
from lottery.runner import LotteryRunner


class BranchRunner:
    """Trains the levels asked for that are not trained yet, then their branches."""

    def __init__(self, lottery: LotteryRunner, branch: Branch) -> None:
        self.lottery, self.branch = lottery, branch
        self.desc = lottery.desc
        branch.check(lottery.desc, lottery.trunk)

    def run(self, store: Store) -> None:
        """Trains what is not done yet; ``store`` is that of the lottery run."""
        lottery, say = self.lottery, self.lottery.context.reporter.say
        if not lottery.done(store):
            say(f"The levels come before their branches: {store.path}")
            lottery.run(store)
        levels = self.levels(store)
        if all(self.branch.done(self.here(level)) for level in levels):
            say(f"All done before: {self.branch.key} in {store.path}. Nothing was trained.")
            return
        with store.lock(lottery.context.reporter):
            begin(store, lottery.desc, lottery.context, lottery.data.fingerprint)
            for level in levels:
                if not self.branch.done(self.here(level)):
                    self._train(level)

    def levels(self, store: Store) -> list[Level]:
        """The levels that are branched from."""
        return [self.lottery.level(store, number) for number in self.lottery.asked_for]

    def here(self, level: Level) -> Store:
        """The directory of the level's branch."""
        return level.here.sub(self.branch.key)

    def _train(self, level: Level) -> None:
        here = self.here(level)
        ticket = self.branch.start(level.ticket())
        here.write_json(files.DESC, {"kind": self.branch.name, **self.branch.to_dict()})
        self.branch.run(here, ticket)
