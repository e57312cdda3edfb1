"""In this process: one task after the other, or several side by side."""

from dataclasses import replace

from experiments.engines import side_by_side
from experiments.engines.registry import Failure, attempt, engines
from experiments.plan import Plan
from experiments.tasks import Task
from experiments.workspace import Workspace


@engines.register("in_process")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """Does the tasks in the order of the plan, or ``session.options.at_once`` of them at once."""
    at_once = min(session.options.at_once, len(plan))
    return side_by_side.run(plan, session) if at_once > 1 else one_by_one(plan, session)


def one_by_one(plan: Plan, session: Workspace, tries: int = 2) -> list[Failure]:
    """Does the tasks in the order of the plan; one that fails is tried once more, unless ``tries`` is 1."""
    reporter = session.context.reporter
    failures: list[Failure] = []
    skipped: set[Task] = set()
    for task in plan:
        if task in skipped:
            continue
        reporter.begun(task)
        failure = attempt(task, session)
        if failure is not None and not failure.refused and tries > 1:
            reporter.warn(f"{task.label}: {failure.reason}; trying once more")
            failure = attempt(task, session)
        standing: tuple[Task, ...] = ()
        if failure is not None:
            standing = tuple(other for other in plan.standing_on(task) if other not in skipped)
            skipped.update(standing)
            failures.append(replace(failure, skipped=standing))
        reporter.ended(task, failure is not None, standing)
    return failures
