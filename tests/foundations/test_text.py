"""What others have written is shown as text, and does nothing."""

from typing import Any

import pytest

from foundations.text import printable, printable_text, spreadsheet_cell


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"), ("a\nb", r"a\nb"), ("a\tb", "a\tb"), ("\u202egnp", r"\u202egnp"),
        ("\udcff", r"\udcff"), ("Übung - 10 %", "Übung - 10 %"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_escaped(given: str, shown: str) -> None:
    assert printable(given) == shown


def test_lines_stay_lines() -> None:
    assert printable_text("a\x1b\n\x07b\n") == "a\\x1b\n\\x07b\n"


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"), ("+x", "'+x"),
        ("-0.5", "-0.5"), ("+1e-05", "+1e-05"), (-0.5, -0.5), (None, None), ("-", "-"), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_what_a_spreadsheet_would_compute_is_quoted(given: Any, cell: Any) -> None:
    assert spreadsheet_cell(given) == cell
