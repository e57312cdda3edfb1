"""The sections on instability analyses and criteria for k."""

from experiments.report.criteria import CAPTION, criteria_table
from experiments.report.figures.criteria import criteria_figures, curve_csv
from experiments.report.figures.drawing import how_many
from experiments.report.material import Material
from experiments.report.page.parts import PageFigure, PageSection, PageTable
from experiments.report.stability import all_figures, stability_table
from experiments.report.tables import as_csv
from experiments.runs.searches import search_rows, searches
from foundations import files


def stability_sections(found: Material) -> list[PageSection]:
    """Return barriers, and the lines between children; nothing without a finished analysis."""
    rows = found.stability
    if rows is None:
        return []
    analyses = [row for row in found.rows if row["key"] in found.networks and row["part"].startswith(files.ANALYSIS)]
    table, sentences = stability_table(analyses, found.networks)
    analysed = as_csv([*rows.analyses, *rows.missing])
    kinds = {
        "barrier_against_gap": ("Error barrier against the accuracy that children lack, and k beside it.", analysed),
        "barrier": (f"Error barrier between children against k. {how_many(rows)}.", as_csv(rows.pairs)),
        "interpolation": ("Error and cross entropy between two children; a line for each pair and replicate.",
                          as_csv(rows.lines)),
        "accuracy": ("Test accuracy of children over training; bands: lowest to highest child.", as_csv(rows.training)),
        "measurements": ("What was measured of analyses; bands: standard deviation over replicates.", analysed),
        "plane": ("Test error and training loss on the plane through the start and two children; of many analyses "
                  "those of the first replicate.", as_csv(rows.plane)),
    }  # fmt: skip
    drawn: dict[str, list[PageFigure]] = {kind: [] for kind in kinds}
    for name, make in all_figures(rows).items():
        kind = next(kind for kind in kinds if name.startswith(kind))
        drawn[kind].append(PageFigure(f"stability_{name}", kinds[kind][0], make, kinds[kind][1]))
    caption = "Error barriers in percentage points: means and standard deviations over replicates."
    return [
        PageSection("stability", "Stability to SGD noise", sentences=sentences,
                    figures=[*drawn["barrier"], *drawn["barrier_against_gap"]],
                    tables=[PageTable("stability", caption, table)]),
        PageSection("interpolation", "Error along the interpolation", figures=drawn["interpolation"]),
        PageSection("plane", "On the plane through the start and two children", figures=drawn["plane"]),
        PageSection("children", "Training of the children", figures=drawn["accuracy"]),
        PageSection("measured_analyses", "Measurements of the analyses", figures=drawn["measurements"]),
    ]  # fmt: skip


CURVE = "What the criterion saw along the dense training, the threshold, and a ring at k."
DISTANCES = " Shades: in what share of the weights the masks of two steps differ (first replicate)."


def criteria_sections(found: Material) -> list[PageSection]:
    """Return where each criterion puts k, at what cost, and what accuracy came of it; nothing without criteria."""
    runs = [run for run in found.runs if run.readable]
    known = searches(runs)
    if not known:
        return []
    drawn = []
    for name, (group, make) in criteria_figures(known).items():
        compares = any("masks" in point for point in group[0].curve["points"])
        drawn.append(PageFigure(f"criterion_{name}", CURVE + DISTANCES * compares, make, curve_csv(group)))
    table = PageTable("criteria", f"{CAPTION} Means over replicates.", criteria_table(search_rows(known, runs)))
    return [PageSection("criteria", "Criteria for k", figures=drawn, tables=[table])]
