"""Files that a user names on the command line or to a function."""

from pathlib import Path

from foundations.errors import UsageError


def read_given(path: Path, named: str) -> bytes:
    """Return the content of a regular file, which the user ``named`` as in ``--config=<path>``.

    Raises:
        UsageError: it is missing or cannot be read, or is a pipe or device, which may have no end.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UsageError(f"{named}: not a regular file but a pipe or a device; give a file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"{named}: {getattr(error, 'strerror', None) or error}") from error


def read_given_text(path: Path, named: str) -> str:
    """Return the text of such a file; one that is not UTF-8 raises ``UsageError``, too."""
    try:
        return read_given(path, named).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{named}: it is not text in UTF-8") from error
