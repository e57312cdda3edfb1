"""The section on criteria for k."""

from experiments.report.criteria import CAPTION, criteria_table, rows_of, searches
from experiments.report.criteria_figure import curve_csv, figures
from experiments.report.page.material import Material
from experiments.report.page.parts import PageFigure, PageTable, Section

CURVE = "What the criterion saw along the dense training, the threshold, and a ring at k."
DISTANCES = " Shades: in what share of the weights the masks of two steps differ (first replicate)."


def criteria_sections(found: Material) -> list[Section]:
    """Where each criterion puts k, at what cost, and what accuracy came of it; nothing without criteria."""
    runs = [run for run in found.runs if run.readable]
    known = searches(runs)
    if not known:
        return []
    drawn = [
        PageFigure(f"criterion_{name}", caption(group[0].curve["points"]), make, curve_csv(group))
        for name, (group, make) in figures(known).items()
    ]
    table = PageTable("criteria", f"{CAPTION} Means over replicates.", criteria_table(rows_of(known, runs)))
    return [Section("criteria", "Criteria for k", figures=drawn, tables=[table])]


def caption(points: list[dict[str, object]]) -> str:
    """What a figure shows."""
    return CURVE + (DISTANCES if any("masks" in point for point in points) else "")
