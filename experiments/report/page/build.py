"""From sections to a page and the files beside it."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.report.figures.palette import images
from experiments.report.material import Material, gather, those_that
from experiments.report.page import parts as theme
from experiments.report.page.lottery import lottery_sections, mask_section, measurements_section
from experiments.report.page.parts import PageFigure, PageSection, PageTable
from experiments.report.page.runs import compute, hyperparameters, reproduce, runs_section, summary
from experiments.report.page.stability import criteria_sections, stability_sections
from experiments.runs.rows import strategy_of
from foundations import formats
from foundations.errors import UsageError, near_misses
from foundations.reporting import Reporter
from foundations.store import Store
from foundations.text import printable_text, spreadsheet_cell

if TYPE_CHECKING:
    from experiments.runs.stored import StoredRun

NUMERIC = re.compile(r"[+-]?\d|-?$")
ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def latex(one: PageTable) -> str:
    """Return a ``table`` with a caption, notes at its end, and the rules of the package booktabs.

    Columns of numbers are flush right.
    """
    table = one.table
    columns = list(zip(*table.cells, strict=True)) or [()] * len(table.headers)
    alignment = "".join("r" if column and all(NUMERIC.match(cell) for cell in column) else "l" for column in columns)
    body = [" & ".join(map(escaped, row)) + r" \\" for row in table.cells]
    return "\n".join([
        r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering",
        rf"\caption{{{escaped(caption_of(one))}}}", rf"\label{{tab:{one.name}}}",
        rf"\begin{{tabular}}{{{alignment}}}", r"\toprule",
        " & ".join(map(escaped, table.headers)) + r" \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}",
        r"\end{table}", "",
    ])  # fmt: skip


def caption_of(one: PageTable) -> str:
    return " ".join([one.caption, *(["; ".join(one.table.notes) + "."] if one.table.notes else [])])


def escaped(cell: str) -> str:
    return "".join(ESCAPED.get(character, character) for character in cell).replace("+-", r"$\pm$")


@dataclass(frozen=True)
class Look:
    """What is shown of runs, and how.

    Args:
        style: of the figures, ``screen`` or ``paper`` (widths of columns, serif fonts, no headings).
        forms: of the files beside the page, any of svg, png, pdf and pgf.
        figures: the names of those that are drawn; by default all.
        labels: what strategies are called, where it is not their name.
        only: conditions as ``list --where`` has them, which what is shown fulfils.
    """

    style: str = "screen"
    forms: Sequence[str] = ("svg",)
    figures: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()


ALL = Look()


def write_page(
    runs: "Sequence[StoredRun]", output: Path, look: Look = ALL, reporter: Reporter | None = None
) -> Path:
    """Write ``output`` and, into ``<its stem>_files`` beside it, each figure (SVG) and table (CSV, LaTeX).

    The page needs none of these files, only the links to download them do. The same runs give the same bytes.

    Args:
        runs: what is shown.
        output: the HTML file.
        look: which figures are drawn, how, and into which other files.
        reporter: is warned of what is left out, and why.

    Returns:
        The directory of the other files.

    Raises:
        UsageError: matplotlib or jinja2 are not installed, or there is no figure of a name, or nothing to show.
    """
    beside = Store(output.with_name(f"{output.stem}_files"))
    runs, only = those_that(look.only, runs) if look.only else (runs, None)
    page = Page(beside.path.name, look)
    found = gather(runs, look.labels, only)
    refuse_unknown_labels(look.labels, found)
    shown = chosen_figures(sections(found), look.figures)
    for text in found.unread:
        (reporter or Reporter()).warn(text)
    html = page.render(shown)
    for name, content in page.files.items():
        beside.write_bytes(name, content)
    Store(output.parent).write_bytes(output.name, html.encode())
    return beside.path


def refuse_unknown_labels(labels: Mapping[str, str], found: Material) -> None:
    """Raise ``UsageError`` for a label of a strategy that no run has."""
    known = {strategy_of(run.hyperparameters) for run in found.runs if run.readable} - {"none"}
    for name in labels:
        if name not in known:
            valid = ", ".join(sorted(known))
            raise UsageError(f"--labels={name}={labels[name]}: no run has the strategy {name}; valid: {valid}")


def chosen_figures(every: Sequence[PageSection], names: Sequence[str]) -> list[PageSection]:
    """Return the sections with those of their figures that have one of these names; with all without names."""
    if not names:
        return list(every)
    known = [figure.name for one in every for figure in one.figures]
    for name in names:
        if name not in known:
            hint = near_misses(name, known)
            raise UsageError(f"--figures={name}: no such figure of these runs{hint}; valid: {', '.join(known)}")
    found = [replace(one, figures=[figure for figure in one.figures if figure.name in names]) for one in every]
    return [one for one in found if not one.empty]


def sections(found: Material) -> list[PageSection]:
    """Return the sections that have something to show, the summary first."""
    stability = stability_sections(found)
    verdicts = list(stability[0].sentences) if stability else []
    every = [
        summary(found, verdicts), *lottery_sections(found), mask_section(found), *criteria_sections(found), *stability,
        measurements_section(found), runs_section(found),
        hyperparameters(found), reproduce(found), compute(found),
    ]  # fmt: skip
    return [one for one in every if not one.empty]


class Page:
    """A page as it is put together: its files, and what its figures share."""

    def __init__(self, directory: str, look: Look) -> None:
        self.directory, self.look = directory, look
        self.files: dict[str, bytes] = {}
        self.inliner = theme.Inliner()

    def render(self, content: Sequence[PageSection]) -> str:
        """Return the HTML."""
        try:
            from jinja2 import Environment, StrictUndefined
        except ModuleNotFoundError as error:
            raise UsageError("report: jinja2 is not installed; pip install 'adsynflow[plot]'") from error
        shown = [self.section(one) for one in content]  # first, since it finds the colours
        template = Environment(
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown_text
        )  # fmt: skip
        colours = self.inliner.colours
        return template.from_string(part("page.html")).render(
            sections=shown, directory=self.directory, style=part("page.css"), script=part("page.js"),
            light=theme.variables(colours, dark=False), dark=theme.variables(colours, dark=True),
        )  # fmt: skip

    def section(self, one: PageSection) -> Mapping[str, Any]:
        return {
            "name": one.name, "title": one.title, "sentences": one.sentences, "commands": one.commands,
            "figures": [self.figure(figure) for figure in one.figures],
            "tables": [self.table(table) for table in one.tables],
            "details": [self.table(table) for table in one.details],
        }  # fmt: skip

    def figure(self, one: PageFigure) -> Mapping[str, Any]:
        """Draw a figure into files; return it as an element with their names."""
        from markupsafe import Markup

        try:
            drawn = images(one.make, self.look.style, list(dict.fromkeys(["svg", *self.look.forms])))
        except ModuleNotFoundError as error:
            raise UsageError("report: matplotlib is not installed; pip install 'adsynflow[plot]'") from error
        self.files |= {f"{one.name}.{form}": drawn[form] for form in self.look.forms}
        self.files[f"{one.name}.csv"] = formats.encode_table(Path(f"{one.name}.csv"), *one.data)
        svg = self.inliner.element(drawn["svg"].decode(), one.name)
        forms = [f"{one.name}.{form}" for form in (*self.look.forms, "csv")]
        return {"name": one.name, "caption": one.caption, "svg": Markup(svg), "files": forms,
                "wide": theme.is_wide(svg)}  # fmt: skip

    def table(self, one: PageTable) -> Mapping[str, Any]:
        """Write a table into files; return its cells with their names. Notes stand at the end of the caption."""
        name = f"table_{one.name}"
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(
            [spreadsheet_cell(cell) for cell in row] for row in (one.table.headers, *one.table.cells)
        )  # fmt: skip
        self.files[f"{name}.csv"] = text.getvalue().encode()
        self.files[f"{name}.tex"] = latex(one).encode()
        return {"name": name, "caption": caption_of(one), "headers": one.table.headers, "cells": one.table.cells,
                "links": one.links, "files": [f"{name}.csv", f"{name}.tex"]}  # fmt: skip


def shown_text(value: Any) -> Any:
    """Return a value of the template, its control characters escaped unless it is markup of ours."""
    return printable_text(value) if type(value) is str else value


def part(name: str) -> str:
    return resources.files("experiments.report.page").joinpath(name).read_text(encoding="utf-8")
