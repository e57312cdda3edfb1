"""A plan: the tasks that are left of some experiments, each once, and what each of them waits for."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from itertools import pairwise

from experiments.run.tasks import Task, TrunkTask
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
        """Return the optimizer steps of each task; a trunk goes on from where the task before it has ended."""
        def steps(task: Task) -> int:
            if not isinstance(task, TrunkTask):
                return task.work(session).steps
            trunk = session.trunk(task.desc, task.replicate)
            before = (other for other in self.before[task] if isinstance(other, TrunkTask))
            return task.steps_after(session, max((trunk.iteration(other.to) for other in before), default=0))

        return {task: steps(task) for task in self.tasks}

    def standing_on(self, task: Task) -> list[Task]:
        """Return the tasks that wait for ``task``, directly or not, in the order of the plan."""
        above, looked_at = {task}, [task]
        while looked_at:
            for other in self._behind[looked_at.pop()]:
                if other not in above:
                    above.add(other)
                    looked_at.append(other)
        return [other for other in self.tasks if other in above and other != task]

    @cached_property
    def _behind(self) -> Mapping[Task, Sequence[Task]]:
        behind: dict[Task, list[Task]] = {task: [] for task in self.tasks}
        for task in self.tasks:
            for other in self.before[task]:
                behind[other].append(task)
        return behind


def make_plan(wanted: Iterable[Task], session: Workspace) -> Plan:
    """Return the tasks that are left to do for ``wanted``.

    A task that is done needs nothing more, so what it needed is left out unless another still needs it. The tasks of
    one trunk (to k, to its end) wait for each other, whichever experiments they belong to: no lock has to order them.
    """
    edges: Edges = {}
    done: dict[Task, None] = {}
    waiting = list(wanted)[::-1]
    while waiting:
        task = waiting.pop()
        if task in edges or task in done:
            continue
        if task.done(session):
            done[task] = None
        else:
            edges[task] = tuple(dict.fromkeys(task.after))
            waiting += edges[task][::-1]
    for task, needs in edges.items():
        edges[task] = tuple(need for need in needs if need in edges)
    chain(edges, session)
    return Plan(in_order(edges), edges, list(done))


def chain(edges: Edges, session: Workspace) -> None:
    """Let the tasks of one trunk wait for each other, those of earlier steps first."""
    trunks: dict[str, list[tuple[int, TrunkTask]]] = {}
    for task in edges:
        if isinstance(task, TrunkTask):
            trunk = session.trunk(task.desc, task.replicate)
            trunks.setdefault(str(trunk.store.path), []).append((trunk.iteration(task.to), task))
    for tasks in trunks.values():
        for (_, earlier), (_, later) in pairwise(sorted(tasks, key=lambda item: item[0])):
            edges[later] = (*edges[later], earlier)


def in_order(edges: Edges) -> list[Task]:
    """Sort tasks topologically; of those that are ready, the one that was asked for first comes first."""
    places = {task: place for place, task in enumerate(edges)}
    sorter = TopologicalSorter(edges)
    sorter.prepare()
    ready: list[tuple[int, Task]] = []
    ordered: list[Task] = []
    while sorter.is_active():
        for task in sorter.get_ready():
            heapq.heappush(ready, (places[task], task))
        ordered.append(heapq.heappop(ready)[1])
        sorter.done(ordered[-1])
    return ordered
