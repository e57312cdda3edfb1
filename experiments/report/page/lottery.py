"""The sections on lottery runs."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from experiments.report.comparisons import comparison_table, comparisons
from experiments.report.figures.drawing import how_many_replicates
from experiments.report.figures.lottery import (
    accuracy_against_cost,
    accuracy_of_branches,
    left_out,
    lottery_figures,
)
from experiments.report.figures.numbers import measured_figures
from experiments.report.figures.panels import accuracy_over_training, by_paths, kept_by_layer, masks_over_training
from experiments.report.lottery import about, lines_csv, lottery_table
from experiments.report.material import Material
from experiments.report.numbers import measured_numbers, numbers_table
from experiments.report.page.parts import PageFigure, PageSection, PageTable
from experiments.report.replicates import Replicates, not_whole, varied_names
from experiments.report.tables import as_csv, grouped, percent, table_of
from foundations.comparisons import CONFIDENCE
from foundations.formats import Row

SUBNETWORKS = (
    "Test accuracy of subnetworks: mean and, from two replicates on, standard deviation over the n replicates that "
    "have a result. Densities are those asked for; weights is the number that the mask keeps."
)
COMPARED = (
    "Differences of test accuracy, paired by replicate, with Student's interval over replicates (not over test "
    "images); the p-values count all comparisons of the table (Holm)."
)
INTERVAL = f"Student's {CONFIDENCE:.0%} interval over replicates"
NO_RESULT = "A hollow mark: not every replicate ended as it should; a cross: none has a result."


def lottery_sections(found: Material) -> list[PageSection]:
    """Return accuracy, training, layers and cost; nothing without levels."""
    names, lines = varied_names(found.levels), found.lines
    if not lines:
        return []
    pruned = any(line.values and not line.is_full for line in lines)
    compared = comparisons(found.levels)
    tables = [PageTable("subnetworks", SUBNETWORKS, lottery_table(lines, names, where=False))]
    if compared:
        tables.append(PageTable("comparisons", COMPARED, comparison_table(compared)))
    return [
        PageSection("accuracy", "Accuracy against density", figures=accuracy_figures(lines, names), tables=tables),
        training_section(found, lines, names),
        *([layers_section(found, lines, names), cost_section(found, lines, names)] if pruned else []),
        branches_section(found, lines, names),
    ]


def branches_section(found: Material, lines: Sequence[Replicates], names: Sequence[str]) -> PageSection:
    if not found.branches:
        return PageSection("branches", "Branches")
    columns = ("strategy", "k", "level", "branch", "density", "replicate", "test_accuracy", "path")
    caption = (
        "Test accuracy of levels, and of their branches, against the density; means over replicates, bands: standard "
        "deviation."
    )
    make = partial(accuracy_of_branches, lines, names, found.branches)
    figure = PageFigure("branches", caption, make, as_csv(found.branches, columns))
    return PageSection("branches", "Branches", figures=[figure])


def measurements_section(found: Material) -> PageSection:
    """Return what was measured of everything, and of subnetworks how it goes with the density and with each other."""
    groups = grouped((row for row in found.rows if measured_numbers([row])), "key", "part")
    columns = {
        heading: [str(group[0].get(name, "")) for group in groups]
        for heading, name in (("experiment", "key"), ("part", "part"), ("strategy", "strategy"), ("k", "k"))
    }
    columns["n"] = [str(len(group)) for group in groups]
    table = numbers_table(columns, [measured_numbers(group) for group in groups])
    names, lines = varied_names(found.levels), found.lines
    captions = {
        "measurements": f"Measurements of subnetworks against the density; bands: {INTERVAL}.",
        "measurements_pairs": f"Test accuracy and measurements of subnetworks against each other; bars: {INTERVAL}.",
    }
    figures = [
        PageFigure(name, captions[name], make, lines_csv(lines, names))
        for name, make in measured_figures(lines, names).items()
    ]
    tables = [PageTable("measurements", f"Means; in brackets: {INTERVAL}.", table)] if table.cells else ()
    return PageSection("measurements", "Measurements", figures=figures, tables=tables)


def accuracy_figures(lines: Sequence[Replicates], names: Sequence[str]) -> list[PageFigure]:
    what = how_many_replicates(lines, "bands").partition("\n")[0] + f". {left_out(lines, names)}".rstrip(". ")
    captions = {
        "accuracy": f"Test accuracy against the density; {what}. Dashed: the full network. {NO_RESULT}",
        "accuracy_effective": (
            "Test accuracy against the effective density: a kept weight counts only if it lies on a path of kept "
            "weights from input to output (Vysogorets and Kempe 2021, arXiv 2107.02306). Networks without any path "
            f"are left out.{exceptions(lines)}"
        ),
        "accuracy_map": "Mean test accuracy over the values of the hyperparameters that differ most.",
        "early_stopping": "Where the validation loss is smallest: the mean iteration, and the test accuracy there.",
    }
    data = lines_csv(lines, names, "training_cost")
    return [PageFigure(name, captions[name], make, data) for name, make in lottery_figures(lines, names).items()]


def training_section(found: Material, lines: Sequence[Replicates], names: Sequence[str]) -> PageSection:
    caption = "Test accuracy over training, a panel for each density; lines: means, bands: lowest to highest replicate."
    make = partial(accuracy_over_training, lines, names, found.training)
    figure = PageFigure("training", caption + exceptions(lines), make, as_csv([*map(spread, found.training)]))
    shown = found.training and not all(line.is_full for line in lines)
    return PageSection("training", "Accuracy over training", figures=[figure] if shown else ())


def layers_section(found: Material, lines: Sequence[Replicates], names: Sequence[str]) -> PageSection:
    rows = [
        {**row, "layer": layer["name"], "total": layer["total"], "kept": layer["kept"]}
        for row in found.levels
        for layer in row["report"].get("layers", ())
    ]
    data = as_csv(rows, ("strategy", "k", "level", "density", "replicate", "layer", "total", "kept"))
    caption = "Weights kept of each layer (log axis), means over replicates, collapsed ones included; a gap: none."
    figure = PageFigure("layers", caption, partial(kept_by_layer, lines, names, rows), data)
    return PageSection("layers", "Kept weights by layer", figures=[figure])


def cost_section(found: Material, lines: Sequence[Replicates], names: Sequence[str]) -> PageSection:
    """Return what subnetworks cost to train and to use."""
    caption = (
        "Test accuracy against the multiply-adds of the whole training: before k, finding the mask by trainings, and "
        "the subnetwork's own, relative to one dense training. Bars: standard deviation over replicates."
    )
    make = partial(accuracy_against_cost, lines, names)
    figure = PageFigure("cost", caption + exceptions(lines), make, lines_csv(lines, names, "training_cost"))
    reports = {row["path"]: row["report"] for row in found.levels if row["level"]}
    first = [next((reports[path] for path in line.paths if reports.get(path)), None) for line in lines]
    known = [(line, report, report["multiply_adds"]) for line, report in zip(lines, first, strict=True) if report]
    table = table_of({
        **about([line for line, *_ in known], names),
        "multiply-adds": [str(cost["kept"]) for *_, cost in known],
        "of dense": [f"{cost['kept'] / cost['dense']:.2%}" if cost["dense"] else "-" for *_, cost in known],
        "compact": [str((report.get("compact") or {"multiply_adds": "-"})["multiply_adds"]) for _, report, _ in known],
        "training of dense": [f"{line.training_cost:.2%}" if line.training_cost else "-" for line, *_ in known],
    })  # fmt: skip
    caption = "Multiply-adds of one image's forward pass (first replicate), and of training."
    return PageSection("cost", "Cost", figures=[figure], tables=[PageTable("cost", caption, table)])


def exceptions(lines: Sequence[Replicates]) -> str:
    """Return a sentence on what did not end as it should, for captions of figures that cannot show it."""
    lost = not_whole(lines)
    return f" Not all replicates ended as they should: {', '.join(lost)}." if lost else ""


def spread(row: Row) -> Row:
    """Return a row with its varied hyperparameters beside the others, without its path."""
    return {name: value for name, value in {**row, **row["varied"]}.items() if name not in ("varied", "path")}


def mask_section(found: Material) -> PageSection:
    """Return what masks keep over training, and how many weights were ever kept; empty where all masks stay."""
    changing = {update["path"] for update in found.updates}
    lines = [line for line in found.lines if changing.intersection(line.paths)]
    title = "Masks that change in training"
    if not lines:
        return PageSection("masks", title)
    names = varied_names(found.levels)
    caption = (
        "Weights that are kept over training and, dashed, those that were ever kept until then: the in-time "
        "over-parameterization (Liu et al. 2021, arXiv 2102.02887). Lines: means, bands: lowest to highest replicate."
    )
    make = partial(masks_over_training, lines, names, found.updates)
    figure = PageFigure("masks", caption, make, as_csv([*map(spread, found.updates)]))
    by_path = by_paths(found.updates)
    trainings = [[by_path[path] for path in line.paths if path in by_path] for line in lines]
    table = table_of({
        **about(lines, names),
        "at first": [percent([rows[0]["density"] for rows in own]) for own in trainings],
        "ever kept": [percent([rows[-1]["ever_active"] for rows in own]) for own in trainings],
        "updates": [f"{fmean(len(rows) - 1 for rows in own):g}" for own in trainings],
        **{name: [f"{fmean(sum(row[name] for row in rows) for rows in own):g}" for own in trainings]
           for name in ("dropped", "grown")},
    })  # fmt: skip
    caption = "Shares of the prunable weights, and numbers of weights; means over replicates."
    return PageSection("masks", title, figures=[figure], tables=[PageTable("masks", caption, table)])
