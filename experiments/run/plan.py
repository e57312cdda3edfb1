"""A plan: the tasks that are left of some experiments, each once, and what each of them waits for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from experiments.run.tasks import Task
from experiments.workspace import Workspace

Edges = dict[Task, tuple[Task, ...]]


@dataclass(frozen=True, eq=False)
class Plan:
    """What an engine runs.

    Args:
        tasks: each after those it waits for; in this order one process does them all.
        before: for each, those of them that it waits for.
        done: tasks that are done already, whether they are needed or not.
    """

    tasks: Sequence[Task]
    before: Mapping[Task, Sequence[Task]]
    done: Sequence[Task] = ()

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def steps(self, session: Workspace) -> dict[Task, int]:
        """The optimizer steps that each task will take; a trunk goes on from where the task before it has ended."""
        places = {task: place for task in self.tasks if (place := task.place(session)) is not None}

        def reached(task: Task) -> int:
            return max((places[other][1] for other in self.before[task] if other in places), default=0)

        return {task: task.steps(session, reached(task) if task in places else 0) for task in self.tasks}

    def standing_on(self, task: Task) -> list[Task]:
        """The tasks that wait for ``task``, directly or not."""
        above = {task}
        for other in self.tasks:  # those that it waits for come first
            if above.intersection(self.before[other]):
                above.add(other)
        return [other for other in self.tasks if other in above and other != task]


def make_plan(wanted: Iterable[Task], session: Workspace) -> Plan:
    """What is left to do for ``wanted``.

    A task that is done needs nothing more, so what it needed is left out unless another still needs it. Tasks on one
    track (the trunk to k, the trunk to its end) wait for each other in the order of their places, whichever experiment
    they belong to: no lock has to order them.
    """
    edges: Edges = {}
    done: dict[Task, None] = {}

    def visit(task: Task) -> None:
        if task in edges or task in done:
            return
        if task.done(session):
            done[task] = None
            return
        needs = task.needs()
        for need in needs:
            visit(need)
        edges[task] = tuple(need for need in dict.fromkeys(needs) if need in edges)

    for task in wanted:
        visit(task)
    chain(edges, session)
    return Plan(list(in_order(edges)), edges, list(done))


def chain(edges: Edges, session: Workspace) -> None:
    """Lets each task on a track wait for the one before it."""
    tracks: dict[str, list[tuple[int, Task]]] = {}
    for task in edges:
        if (place := task.place(session)) is not None:
            tracks.setdefault(place[0], []).append((place[1], task))
    for tasks in tracks.values():
        for (_, earlier), (_, later) in pairwise(sorted(tasks, key=lambda item: item[0])):
            edges[later] = (*edges[later], earlier)


def in_order(edges: Edges) -> Iterator[Task]:
    """Each task after those it waits for, otherwise in the order of ``edges``."""
    yielded: set[Task] = set()

    def visit(task: Task) -> Iterator[Task]:
        if task not in yielded:
            for earlier in edges[task]:
                yield from visit(earlier)
            yielded.add(task)
            yield task

    for task in edges:
        yield from visit(task)
