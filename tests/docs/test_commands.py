"""docs/commands.md is the program's own help."""

from tests.docs.commands import FILE, text


def test_the_document_is_up_to_date() -> None:
    assert FILE.read_text() == text(), "python -m tests.docs.commands writes it anew"


def test_lines_of_help_fit_80_columns() -> None:
    assert max(len(line) - 4 for line in text().splitlines() if line.startswith("    ")) <= 80
