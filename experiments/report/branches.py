"""Reports of branches: what is drawn once all levels of a ``lottery_branch`` command are done."""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.report.collect import collect_levels
from experiments.report.places import directory_for
from experiments.report.stability import write_report
from foundations import files
from foundations.context import Context
from foundations.registry import Registry
from foundations.store import Store

BranchReport = Callable[[Sequence[Store], Any, Context], None]
"""Gets the directories of the lottery runs (one that failed may lack any file), the branch, where to and to whom."""

branch_reports: Registry[BranchReport] = Registry("report of a branch")
"""By the branch's name. A branch without an entry has its table alone."""


@branch_reports.register("stability")
def stability(runs: Sequence[Store], branch: Any, context: Context) -> None:
    """Tables and figures of all levels analysed, in ``report/stability`` of a single run."""
    if branch.report:
        place = directory_for(
            "stability", [run.path for run in runs], context.root, alone=f"{files.REPORT}/{branch.name}"
        )
        write_report(collect_levels(runs, branch.key), place, context.reporter)


def report_branch(runs: Sequence[Store], branch: Any, context: Context) -> None:
    """Writes the report of a branch that has one."""
    if branch.name in branch_reports:
        branch_reports.get(branch.name)(runs, branch, context)
