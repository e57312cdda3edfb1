"""The sections on instability analyses."""

from experiments.report.drawing import how_many
from experiments.report.page.material import Material
from experiments.report.page.parts import PageFigure, PageTable, Section
from experiments.report.stability import stability_table
from experiments.report.stability_figures import figures
from experiments.report.writing import as_table


def stability_sections(found: Material) -> list[Section]:
    """Barriers, and the lines between children; nothing without a finished analysis."""
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
        Section("stability", "Stability to SGD noise", sentences=verdicts, figures=drawn["barrier"],
                tables=[PageTable("stability", "Means and standard deviations over replicates.", table)]),
        Section("interpolation", "Error along the interpolation", figures=drawn["interpolation"]),
        Section("plane", "On the plane through the start and two children", figures=drawn["plane"]),
        Section("children", "Training of the children", figures=drawn["accuracy"]),
    ]  # fmt: skip
