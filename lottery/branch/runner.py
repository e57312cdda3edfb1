"""Runs a branch of the levels of a lottery run."""

from foundations.files import DESC
from foundations.files import level as level_directory
from foundations.store import Store
from lottery.branch.registry import Branch
from lottery.runner import LotteryRunner


class BranchRunner:
    """Trains branches of levels that are trained already."""

    def __init__(self, lottery: LotteryRunner, branch: Branch) -> None:
        self.lottery, self.branch = lottery, branch
        branch.check(lottery.desc, lottery.trunk)

    def here(self, number: int) -> Store:
        """The directory of a level's branch."""
        return self.lottery.level(number).here.sub(self.branch.key)

    def done(self, number: int) -> bool:
        """Whether a level's branch is done."""
        return self.branch.done(self.here(number))

    def train(self, number: int) -> None:
        """Trains a level's branch that is not done yet."""
        with self.lottery.at_work(level_directory(number)):
            if self.done(number):  # by another process, meanwhile
                return
            here, ticket = self.here(number), self.branch.start(self.lottery.level(number).ticket())
            here.write_json(DESC, {"kind": self.branch.name, **self.branch.to_dict()})
            self.branch.run(here, ticket)
