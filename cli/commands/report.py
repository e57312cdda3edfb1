"""``report``: one HTML page of runs, with figures and tables as files beside it."""

from dataclasses import dataclass
from pathlib import Path

from cli.reading import ANY, Given, PluginOptions, RootOptions, command
from cli.terminal import say
from experiments.report.checklist import checklist
from experiments.report.figures.palette import STYLES
from experiments.report.page.build import write_page
from experiments.runs.stored import runs_at
from foundations.hparams import hp


@dataclass(frozen=True, kw_only=True)
class ReportOptions(PluginOptions, RootOptions):
    """What the page looks like, and where it goes."""

    output: str = hp("report.html")
    """The page; figures (SVG, PNG, PDF) and tables (CSV, LaTeX) go into a directory beside it, report_files."""
    checklist: bool = hp(False)
    """Print, as Markdown, what the checklists of conferences ask for (seeds, intervals, compute, data, code), and
    write no page."""
    style: str = hp("screen", choices=STYLES)
    """Of the figures; paper: widths of columns, serif fonts, no headings."""


@command(ReportOptions, "[RUN_DIR ...]", ANY)
def run(given: Given[ReportOptions]) -> int:
    """Write one HTML page of runs, by default of all below the root."""
    options = given.options
    runs = runs_at(given.operands, options.root)
    if options.checklist:
        say(checklist(runs).rstrip("\n"))
        return 0
    beside = write_page(runs, Path(options.output), options.style, given.reporter)
    say(f"Report: {options.output}\nFigures and tables: {beside}")
    return 0
