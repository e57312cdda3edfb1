"""The one error that a user's mistake raises, and the search for what was meant."""

import difflib
import importlib
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from foundations.text import printable

S = TypeVar("S", str, list[str])


LONGEST_WORD, LONGEST_LINE, MOST_LINES = 300, 900, 12


class UsageError(Exception):
    """Something the user can correct: its text is the one or two lines that the command line prints."""

    def __init__(self, text: object = "") -> None:
        super().__init__(shorten(str(text)))

    exit_code = 2
    """The command line's."""


def needed(package: str, what: str, install: str) -> Any:
    """Import a package that comes with an extra.

    Args:
        package: its name.
        what: needs it, such as ``--engine=ray``.
        install: what is to be installed, such as ``adsynflow[ray]``.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UsageError(f"{what} needs the package {package}: pip install '{install}'") from error


def shorten(text: str) -> str:
    """Return ``text`` without the middle of what is too long to be read, such as a value of 5,000 characters.

    What cannot be shown (null bytes, escape sequences, half of a surrogate pair) is written as Python does.
    """
    lines = []
    for line in text.splitlines():
        words = [cut(word, LONGEST_WORD, "...") for word in printable(line).split(" ")]
        lines.append(cut(" ".join(words), LONGEST_LINE, " ... "))
    return "\n".join(cut(lines, MOST_LINES, ["..."]))


def cut(whole: S, length: int, mark: S) -> S:
    """Return the beginning and the end of what is longer than ``length``, with ``mark`` between them."""
    return whole if len(whole) <= length else whole[: length // 3] + mark + whole[-length // 2 :]


def summary_of(error: BaseException) -> str:
    """Return an exception as one line: its type, its first line, and where outside libraries it was raised."""
    text = str(error).strip().partition("\n")[0]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename and not frame.filename.startswith("<")]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{where}"


def first_line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:160]


def near_misses(name: str, choices: Iterable[str], prefix: str = "") -> str:
    """Return ``" (did you mean 'a' or 'b'?)"`` for the choices that resemble ``name``, else an empty string.

    They are shown with ``prefix``; comparing with it would make everything alike.
    """
    close = difflib.get_close_matches(name, list(choices), n=3, cutoff=0.6)
    if not close:
        return ""
    return f" (did you mean {' or '.join(repr(prefix + choice) for choice in close)}?)"
