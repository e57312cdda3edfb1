"""``report``: one HTML page of runs, with figures and tables as files beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.reading import ANY, PluginOptions, RootOptions, read
from experiments.report.checklist import checklist
from experiments.report.figures.palette import STYLES
from experiments.report.page.build import write_page
from experiments.run.progress import make_reporter
from experiments.runs.stored import runs_at
from foundations.hparams import hp

SUMMARY = "Writes one HTML page of runs, by default of all below the root."


@dataclass(frozen=True, kw_only=True)
class ReportOptions(PluginOptions, RootOptions):
    """Of which runs, and what the page is like."""

    output: str = hp("report.html")
    """The page; figures and tables go into a directory of the same name beside it."""
    checklist: bool = hp(False)
    """Print, as Markdown, what the checklists of conferences ask for (seeds, intervals, compute, data, code), and
    write no page."""
    style: str = hp("screen", choices=STYLES)
    """Of the figures; paper: widths of columns, serif fonts, no headings."""


def run(argv: Sequence[str]) -> int:
    line = read("report", SUMMARY, ReportOptions, argv, "[RUN_DIR ...]", ANY)
    if line is None:
        return 0
    operands, options = line
    runs = runs_at(operands, options.root)
    if options.checklist:
        print(checklist(runs), end="")
        return 0
    beside = write_page(runs, Path(options.output), options.style, make_reporter(quiet=False))
    print(f"Report: {options.output}\nFigures and tables: {beside}")
    return 0
