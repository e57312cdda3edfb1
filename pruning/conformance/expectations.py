"""How a broken law is reported: one line, whatever went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from foundations.errors import UsageError


def expect(holds: bool, otherwise: str) -> None:
    """Raises ``AssertionError`` with the text ``otherwise`` unless something holds, under ``python -O`` too."""
    if not holds:
        raise AssertionError(otherwise)


@contextmanager
def about(what: str) -> Iterator[None]:
    """Turns any error within it, since a strategy may fail in any way, into an ``AssertionError`` about ``what``."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{what}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """An error in one line, with its type where that is not ours."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, (AssertionError, UsageError)) else f"{type(error).__name__}: {text}"
