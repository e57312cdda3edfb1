"""A plug-in with a kind of task that does what a test says; see ``stub_work``."""

from dataclasses import dataclass
from pathlib import Path

from experiments.run.tasks import Task, Work, task_kinds
from experiments.session import Session
from foundations.errors import UsageError
from tests.experiments.stub_work import Refused, perform


@task_kinds.register("stub")
@dataclass(frozen=True, kw_only=True)
class Stub(Task):
    """A node of a graph."""

    folder: str
    node: str

    @property
    def experiment(self) -> str:
        return "stubs"

    @property
    def part(self) -> str:
        return self.node

    def work(self, session: Session) -> Work:
        def run() -> None:
            try:
                perform(Path(self.folder), self.node, session.context.reporter.warn)
            except Refused as error:
                raise UsageError(str(error)) from error

        return Work(None, (Path(self.folder) / f"{self.node}.done").exists, run)
