"""``report``: one HTML page of runs, with figures and tables as files beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.reading import ANY, Given, PluginOptions, RootOptions, command
from cli.terminal import say
from experiments.report.checklist import checklist
from experiments.report.figures.palette import ALL_FORMS, FOR_PAPER, STYLES
from experiments.report.page.build import Look, write_page
from experiments.runs.stored import runs_at
from foundations.errors import UsageError
from foundations.hparams import hp, repeatable


@dataclass(frozen=True, kw_only=True)
class ReportOptions(PluginOptions, RootOptions):
    """What the page looks like, and where it goes."""

    output: str = hp("report.html")
    """The page; figures and tables (CSV, LaTeX) go into a directory beside it, report_files."""
    checklist: bool = hp(False)
    """Print, as Markdown, what the checklists of conferences ask for (seeds, intervals, compute, data, code), and
    write no page."""
    style: str = hp("screen", choices=STYLES)
    """Of the figures; paper: widths of columns, serif fonts, no headings."""
    format: tuple[str, ...] = hp((), choices=ALL_FORMS)
    """Of the files of figures beside the page: svg, and with --style=paper pdf, too, unless given. pgf is for LaTeX,
    which sets the texts in its own fonts."""
    figures: tuple[str, ...] = hp(())
    """Only these figures, by the names of their files: accuracy,cost."""
    labels: tuple[str, ...] = hp(())
    """What strategies are called, in figures, tables and text: sparse_global=IMP,synflow=SynFlow."""
    only: tuple[str, ...] = repeatable()
    """Only what fulfils a condition of 'list --where': 'pruning_strategy=adsynflow', 'density<0.1'; with it the full
    networks that it is compared with. May be repeated: all must be true."""


@command(ReportOptions, "[RUN_DIR ...]", ANY)
def run(given: Given[ReportOptions]) -> int:
    """Write one HTML page of runs, by default of all below the root."""
    options = given.options
    runs = runs_at(given.operands, options.root)
    if options.checklist:
        say(checklist(runs).rstrip("\n"))
        return 0
    forms = options.format or (("svg", "pdf") if options.style == FOR_PAPER else ("svg",))
    look = Look(options.style, forms, options.figures, named(options.labels), options.only)
    beside = write_page(runs, Path(options.output), look, given.reporter)
    say(f"Report: {options.output}\nFigures and tables: {beside}")
    return 0


def named(labels: Sequence[str]) -> dict[str, str]:
    """Return what ``NAME=LABEL`` says of each name."""
    found = {}
    for text in labels:
        name, sign, label = text.partition("=")
        if not (name and sign and label.strip()):
            raise UsageError(f"--labels={text}: expected STRATEGY=LABEL, e.g. sparse_global=IMP")
        found[name.strip()] = label.strip()
    if len(set(found.values())) < len(found):
        raise UsageError(f"--labels={','.join(labels)}: two strategies would have one name")
    return found
