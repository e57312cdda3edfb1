"""Runs a branch of the levels of a lottery run."""

from typing import Any

from foundations import files
from foundations.environment import settle, verify
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

    @property
    def code(self) -> tuple[object, ...]:
        """What the branch's own result depends on, beside the level."""
        return (type(self.branch),)

    @property
    def entries(self) -> dict[str, Any]:
        """The content of the branch's ``desc.json``."""
        return {"kind": self.branch.name, **self.branch.to_dict()}

    def verify(self, number: int) -> None:
        """Raises ``UsageError`` if a level's branch was computed with another version of its plug-in."""
        lottery = self.lottery
        verify(self.here(number), self.code, lottery.context, lottery.data.fingerprint)

    def done(self, number: int) -> bool:
        """Whether a level's branch is done."""
        return self.branch.done(self.here(number))

    def train(self, number: int) -> None:
        """Trains a level's branch that is not done yet."""
        with self.lottery.at_work(files.level(number)):
            if self.done(number):  # by another process, meanwhile
                return
            here, lottery = self.here(number), self.lottery
            settle(here, self.code, lottery.context, lottery.data.fingerprint)
            ticket = self.branch.start(lottery.level(number).ticket())
            here.write_json(files.DESC, self.entries)
            self.branch.run(here, ticket)
