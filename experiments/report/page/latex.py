"""Tables for LaTeX."""

from experiments.report.tables import Table

ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def tabular(table: Table) -> str:
    """A ``tabular`` with the rules of the package booktabs; columns of numbers are flush right."""
    columns = list(zip(*table.cells, strict=True)) or [()] * len(table.headers)
    alignment = "".join("r" if column and all(cell[:1].isdigit() for cell in column) else "l" for column in columns)
    body = [" & ".join(map(escaped, row)) + r" \\" for row in table.cells]
    return "\n".join([
        "% needs \\usepackage{booktabs}", rf"\begin{{tabular}}{{{alignment}}}", r"\toprule",
        " & ".join(map(escaped, table.headers)) + r" \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}", "",
    ])  # fmt: skip


def escaped(cell: str) -> str:
    """A cell's text as LaTeX sets it."""
    return "".join(ESCAPED.get(character, character) for character in cell).replace("+-", r"$\pm$")
