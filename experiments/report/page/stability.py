"""The sections on instability analyses and criteria for k."""

from experiments.report.criteria import CAPTION, criteria_table, rows_of, searches
from experiments.report.figures.criteria import criteria_figures, curve_csv
from experiments.report.figures.drawing import how_many
from experiments.report.figures.stability import figures
from experiments.report.page.material import Material
from experiments.report.page.parts import PageFigure, PageSection, PageTable
from experiments.report.stability import stability_table
from experiments.report.tables import as_table


def stability_sections(found: Material) -> list[PageSection]:
    """Return barriers, and the lines between children; nothing without a finished analysis."""
    rows = found.stability
    if rows is None:
        return []
    table, verdicts = stability_table(found.analysed)
    data = {
        "barrier": as_table(rows.pairs), "barrier_against_gap": as_table([*rows.analyses, *rows.missing]),
        "interpolation": as_table(rows.lines), "accuracy": as_table(rows.training),
        "plane": as_table(rows.plane),
    }  # fmt: skip
    captions = {
        "barrier": f"Error barrier between children against k. {how_many(rows)}.",
        "barrier_against_gap": "Error barrier against the accuracy that children lack; beside a point its k.",
        "interpolation": "Error and cross entropy between two children; a line for each pair and replicate.",
        "accuracy": "Test accuracy of children over training; bands: lowest to highest child.",
        "plane": "Test error and training loss on the plane through the start and two children.",
    }  # fmt: skip
    drawn: dict[str, list[PageFigure]] = {"barrier": [], "interpolation": [], "plane": [], "accuracy": []}
    for name, make in figures(rows).items():
        kind = max((known for known in captions if name.startswith(known)), key=len)
        place = drawn["barrier" if kind.startswith("barrier") else kind]
        place.append(PageFigure(f"stability_{name}", captions[kind], make, data[kind]))
    return [
        PageSection("stability", "Stability to SGD noise", sentences=verdicts, figures=drawn["barrier"],
                tables=[PageTable("stability", "Means and standard deviations over replicates.", table)]),
        PageSection("interpolation", "Error along the interpolation", figures=drawn["interpolation"]),
        PageSection("plane", "On the plane through the start and two children", figures=drawn["plane"]),
        PageSection("children", "Training of the children", figures=drawn["accuracy"]),
    ]  # fmt: skip


CURVE = "What the criterion saw along the dense training, the threshold, and a ring at k."
DISTANCES = " Shades: in what share of the weights the masks of two steps differ (first replicate)."


def criteria_sections(found: Material) -> list[PageSection]:
    """Return where each criterion puts k, at what cost, and what accuracy came of it; nothing without criteria."""
    runs = [run for run in found.runs if run.readable]
    known = searches(runs)
    if not known:
        return []
    drawn = [
        PageFigure(f"criterion_{name}", caption(group[0].curve["points"]), make, curve_csv(group))
        for name, (group, make) in criteria_figures(known).items()
    ]
    table = PageTable("criteria", f"{CAPTION} Means over replicates.", criteria_table(rows_of(known, runs)))
    return [PageSection("criteria", "Criteria for k", figures=drawn, tables=[table])]


def caption(points: list[dict[str, object]]) -> str:
    return CURVE + (DISTANCES if any("masks" in point for point in points) else "")
