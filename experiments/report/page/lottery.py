"""The sections on lottery runs."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from experiments.report.comparisons import comparison_table, comparisons
from experiments.report.figures.drawing import how_many_replicates
from experiments.report.figures.lottery import accuracy, accuracy_against_cost, early_stopping
from experiments.report.figures.panels import accuracy_over_training, kept_by_layer, masks_over_training, of_line
from experiments.report.lines import Replicates, varied_names
from experiments.report.lottery import EARLY_STOPPING, LINE_COLUMNS, effective, lies_idle, line_cells, named
from experiments.report.page.material import Material, TableRow
from experiments.report.page.parts import PageFigure, PageSection, PageTable
from experiments.report.tables import CSV, Row, Table, as_table, grouped, percent

COMPARED = (
    "Differences of test accuracy, paired by replicate, with Student's interval over replicates (not over test "
    "images); the p-values count all comparisons of the table (Holm), * is below 5%."
)
NO_RESULT = "A hollow mark: not every replicate ended as it should; a cross: none has a result."


def lottery_sections(found: Material) -> list[PageSection]:
    """Accuracy, training, layers and cost; nothing without levels."""
    names, lines = varied_names(found.levels), found.lines
    if not lines:
        return []
    pruned = any(line.values for line in pruned_lines(lines))
    compared = comparisons(found.levels)
    comparison = PageTable("comparisons", COMPARED, comparison_table(compared))
    return [
        PageSection("accuracy", "Accuracy against density", figures=accuracy_figures(lines, names) if pruned else (),
                tables=[PageTable("subnetworks", "Mean and standard deviation of the test accuracy over replicates.",
                                  lottery_table(lines, names)), *([comparison] if compared else [])]),
        training_section(found, lines, names),
        *([layers_section(found, lines, names), cost_section(found, lines, names)] if pruned else []),
    ]  # fmt: skip


def lottery_table(lines: Sequence[Replicates], names: Sequence[str]) -> Table:
    """Return a line for each subnetwork."""
    stopping = [EARLY_STOPPING] if any(line.early_stopped for line in lines) else []
    headers = ["strategy", "k", *names, "level", "density", "effective density", "test accuracy", "replicates"]
    headers += stopping
    cells = [
        [*named(line, names), effective(line), line.plain, line.counted, *(line.early_stopping for _ in stopping)]
        for line in lines
    ]
    return Table(headers, cells)


def lines_csv(lines: Sequence[Replicates], names: Sequence[str]) -> CSV:
    cells = [[*line_cells(line, names), line.training_cost] for line in lines]
    return ["strategy", "k", *names, *LINE_COLUMNS, "training_cost"], cells


def accuracy_figures(lines: Sequence[Replicates], names: Sequence[str]) -> list[PageFigure]:
    """By the density, and by the effective one where that is known."""
    what = how_many_replicates(lines, "bands").partition("\n")[0]
    data = lines_csv(lines, names)
    figures = [
        PageFigure(
            "accuracy", f"Test accuracy against the density; {what}. Dashed: the full network. {NO_RESULT}",
            partial(accuracy, lines, names), data,
        )
    ]  # fmt: skip
    if any(map(lies_idle, lines)):
        caption = (
            "The same against the effective density: a kept weight counts only if it lies on a path of kept weights "
            "from input to output (Vysogorets and Kempe 2021, arXiv 2107.02306). "
            f"What has no path left has no place here.{exceptions(lines)}"
        )
        figures.append(PageFigure("accuracy_effective", caption, partial(accuracy, lines, names, effective=True), data))
    if any(line.early_stopped and not line.is_full for line in lines):
        caption = "Where the validation loss is smallest: the mean iteration, and the test accuracy there."
        figures.append(PageFigure("early_stopping", caption, partial(early_stopping, lines, names), data))
    return figures


def training_section(found: Material, lines: Sequence[Replicates], names: Sequence[str]) -> PageSection:
    """Accuracy over training."""
    caption = "Test accuracy over training, a panel for each density; lines: means, bands: lowest to highest replicate."
    caption += exceptions(lines)
    make = partial(accuracy_over_training, lines, names, found.training)
    figure = PageFigure("training", caption, make, as_table([flat(row) for row in found.training]))
    return PageSection(
        "training", "Accuracy over training", figures=[figure] if pruned_lines(lines) and found.training else ()
    )


def layers_section(found: Material, lines: Sequence[Replicates], names: Sequence[str]) -> PageSection:
    """Return what layers keep."""
    rows = [
        {**row, "layer": layer["name"], "total": layer["total"], "kept": layer["kept"]}
        for row in found.levels
        for layer in row["report"].get("layers", ())
    ]
    columns = ("strategy", "k", "level", "density", "replicate", "layer", "total", "kept")
    data = as_table([{name: row[name] for name in columns} for row in rows])
    caption = "Weights kept of each layer (log axis), means over replicates, collapsed ones included; a gap: none."
    return PageSection(
        "layers",
        "Kept weights by layer",
        figures=[PageFigure("layers", caption, partial(kept_by_layer, lines, names, rows), data)],
    )


def cost_section(found: Material, lines: Sequence[Replicates], names: Sequence[str]) -> PageSection:
    """Return what subnetworks cost to train and to use."""
    caption = (
        "Test accuracy against the multiply-adds of the whole training: before k, finding the mask by trainings, and "
        "the subnetwork's own, relative to one dense training. Bars: standard deviation over replicates."
    )
    data = lines_csv(lines, names)
    figure = PageFigure("cost", caption + exceptions(lines), partial(accuracy_against_cost, lines, names), data)
    by_path = {row["path"]: row["report"] for row in found.levels if row["level"]}
    headers = ["strategy", "k", *names, "level", "density", "multiply-adds", "of dense", "compact", "training of dense"]
    cells = []
    for line in lines:
        report = next((by_path[path] for path in line.paths if by_path.get(path)), None)
        if report:
            cells.append(
                [*named(line, names), *cost_cells(report), f"{line.training_cost:.2%}" if line.training_cost else "-"]
            )
    table = PageTable(
        "cost", "Multiply-adds of one image's forward pass (first replicate), and of training.", Table(headers, cells)
    )
    return PageSection("cost", "Cost", figures=[figure], tables=[table])


def cost_cells(report: dict[str, Any]) -> list[str]:
    """Multiply-adds kept, their share of the dense network's, and those of the compact network."""
    cost, compact = report["multiply_adds"], report.get("compact")
    share = f"{cost['kept'] / cost['dense']:.2%}" if cost["dense"] else "-"
    return [f"{cost['kept']}", share, f"{compact['multiply_adds']}" if compact else "-"]


def exceptions(lines: Sequence[Replicates]) -> str:
    """Return a sentence on what did not end as it should, for captions of figures that cannot show it."""
    lost = [f"{line.strategy} at {100 * line.density:.3g}% ({line.counted})" for line in lines if not line.whole]
    return f" Not all replicates ended as they should: {', '.join(lost)}." if lost else ""


def pruned_lines(lines: Sequence[Replicates]) -> list[Replicates]:
    return [line for line in lines if not line.is_full]


def flat(row: TableRow) -> TableRow:
    """Return a row with its varied hyperparameters beside the others, without its path."""
    return {name: value for name, value in {**row, **row["varied"]}.items() if name not in ("varied", "path")}


def mask_section(found: Material) -> PageSection:
    """Return what masks keep over training, and how many weights were ever kept; empty where all masks stay."""
    changing = {update["path"] for update in found.updates}
    lines = [line for line in found.lines if changing.intersection(line.paths)]
    if not lines:
        return PageSection("masks", "Masks that change in training")
    names = varied_names(found.levels)
    caption = (
        "Weights that are kept over training and, dashed, those that were ever kept until then: the in-time "
        "over-parameterization (Liu et al. 2021, arXiv 2102.02887). Lines: means, bands: lowest to highest replicate."
    )
    make = partial(masks_over_training, lines, names, found.updates)
    figure = PageFigure("masks", caption, make, as_table([*map(flat, found.updates)]))
    headers = ["strategy", "k", *names, "level", "density", "at first", "ever kept", "updates", "dropped", "grown"]
    cells = [[*named(line, names), *changes(of_line(found.updates, line))] for line in lines]
    table = PageTable("masks", "Shares of the prunable weights, and numbers of weights; means over replicates.",
                      Table(headers, cells))  # fmt: skip
    return PageSection("masks", "Masks that change in training", figures=[figure], tables=[table])


def changes(updates: Sequence[Row]) -> list[str]:
    """The first density, what was ever kept, and how often and how much the masks of some replicates have changed."""
    trainings = grouped(updates, "path")
    return [
        percent([rows[0]["density"] for rows in trainings]),
        percent([rows[-1]["ever_active"] for rows in trainings]),
        f"{fmean(len(rows) - 1 for rows in trainings):g}",
        *(f"{fmean(sum(row[name] for row in rows) for rows in trainings):g}" for name in ("dropped", "grown")),
    ]
