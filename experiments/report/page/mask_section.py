"""The section on masks that change in training."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from experiments.report.lines import full_network_once, summarize, varied_names
from experiments.report.lottery import named
from experiments.report.lottery_panels import masks_over_training, of_line
from experiments.report.page.lottery_sections import flat
from experiments.report.page.material import Material
from experiments.report.page.parts import PageFigure, PageTable, Section
from experiments.report.tables import Row, Table, grouped, percent
from experiments.report.writing import as_table


def mask_section(found: Material) -> Section:
    """What masks keep over training, and how many weights were ever kept; empty where all masks stay."""
    changing = {update["path"] for update in found.updates}
    lines = [line for line in summarize(full_network_once(found.levels)) if changing.intersection(line.paths)]
    if not lines:
        return Section("masks", "Masks that change in training")
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
    return Section("masks", "Masks that change in training", figures=[figure], tables=[table])


def changes(updates: Sequence[Row]) -> list[str]:
    """The first density, what was ever kept, and how often and how much the masks of some replicates have changed."""
    trainings = grouped(updates, "path")
    return [
        percent([rows[0]["density"] for rows in trainings]),
        percent([rows[-1]["ever_active"] for rows in trainings]),
        f"{fmean(len(rows) - 1 for rows in trainings):g}",
        *(f"{fmean(sum(row[name] for row in rows) for rows in trainings):g}" for name in ("dropped", "grown")),
    ]
