"""The one error that a user's mistake raises, and the search for what was meant."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Something the user can correct: its text is the one or two lines that the command line prints."""

    exit_code = 2
    """The command line's."""


def near_misses(name: str, choices: Iterable[str], prefix: str = "") -> str:
    """``" (did you mean 'a' or 'b'?)"`` for the choices that resemble ``name``, else an empty string.

    They are shown with ``prefix``; comparing with it would make everything alike.
    """
    close = difflib.get_close_matches(name, list(choices), n=3, cutoff=0.6)
    if not close:
        return ""
    return f" (did you mean {' or '.join(repr(prefix + choice) for choice in close)}?)"
