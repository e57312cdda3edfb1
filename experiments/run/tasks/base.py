"""The parts of experiments: what each needs, whether it is done, and how it is done.

A task is a value. Two experiments that share a trunk have the same task for it, which a plan therefore holds once; as
JSON it can be sent to another process or machine and done there by ``python main.py task``.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.workspace import Workspace
from foundations.errors import UsageError
from foundations.methods import Method, MethodRegistry
from foundations.store import Store

Place = tuple[str, int]
"""A track, and how far along it."""


@dataclass(frozen=True, kw_only=True)
class Task(Method, ABC):
    """A part of an experiment that is computed as a whole; it goes on from its checkpoint when it is run again."""

    @property
    @abstractmethod
    def experiment(self) -> str:
        """What people call the experiment that it belongs to."""

    @property
    @abstractmethod
    def part(self) -> str:
        """What people call this part of it."""

    @property
    def label(self) -> str:
        """Experiment and part."""
        return f"{self.experiment}, {self.part}"

    def needs(self) -> "tuple[Task, ...]":
        """The tasks that must be done before."""
        return ()

    def place(self, session: Workspace) -> Place | None:
        """Tasks on one track are done one after the other, each from where the one before has ended."""
        return None

    def where(self, session: Workspace) -> Store | None:
        """The directory that it works in, which takes its status and its log."""
        return None

    @abstractmethod
    def done(self, session: Workspace) -> bool:
        """Whether its result lies on disk."""

    @abstractmethod
    def run(self, session: Workspace) -> None:
        """Computes what is not there yet."""

    def steps(self, session: Workspace, reached: int = 0) -> int:
        """The optimizer steps that it takes from its start to its end.

        Args:
            session: where it is computed.
            reached: how far along its track the task before it has come.
        """
        return 0

    def to_json(self, **options: Any) -> str:
        """The task as a line of JSON; the inverse of :func:`from_json`."""
        return json.dumps(self.entries(), **options)

    def entries(self) -> dict[str, Any]:
        """What :meth:`to_json` says, as plain values."""
        return {"task": self.name, **self.to_dict()}


task_kinds: MethodRegistry[Task] = MethodRegistry("task", are_flags=False)


def from_json(text: str | Mapping[str, Any]) -> Task:
    """The task that :meth:`Task.to_json` has described; ``UsageError`` if it does not describe one."""
    try:
        entries = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise UsageError(f"A task is a JSON object, not {str(text)[:60]!r} ({error})") from error
    if not isinstance(entries, Mapping) or not isinstance(entries.get("task"), str):
        raise UsageError(f'A task is a JSON object with an entry "task", one of {", ".join(task_kinds)}')
    rest = {name: value for name, value in entries.items() if name != "task"}
    return task_kinds.get(entries["task"]).from_dict(rest)
