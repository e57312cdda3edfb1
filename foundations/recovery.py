"""What of a run is kept twice, and what to do about a file that is damaged or missing: by the file and its state.

This is the only place that gives such advice. A test follows each to the bits of a run that was never disturbed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundations import files, formats
from foundations.errors import UsageError

if TYPE_CHECKING:
    from foundations.store import Store

MISREAD = (UsageError, OSError, LookupError, TypeError, ValueError, AttributeError)
"""What comes of files that say something else than they should."""
METRICS_ENTRY = "metrics"
"""The entry of a checkpoint that holds the rows of metrics up to its step, as the text of their file."""
REWRITTEN = (files.DESC, files.NETWORK)
"""Files that follow from the command line."""


@dataclass(frozen=True)
class Advice:
    """What to do about a file, in words."""

    text: str
    replaceable: bool
    """Whether the file may be put aside, because the same command makes it again."""


def advise(store: "Store", name: str, command: str = "the same command") -> Advice:
    """Return what to do about a file that is missing, damaged, or a directory; ``command`` makes it again."""
    path = store / name
    if (files.identity(path) or "").startswith("import_"):  # what starts from it does not make it
        command = "the command import, with the same network,"
    comes_back = what_comes_back(store, name)
    if comes_back is None:
        again = f"rename the directory {store.path} and run {command} again: it is recomputed."
        return Advice(f"Nothing else holds it: {again}", replaceable=False)
    run = f"run {command} again: {comes_back}."
    if path.is_dir():
        return Advice(f"Rename it and {run}", replaceable=True)
    if path.exists():
        return Advice(f"Delete this file and {run}", replaceable=True)
    return Advice(run[0].upper() + run[1:], replaceable=False)


def what_comes_back(store: "Store", name: str) -> str | None:
    """Return what becomes of a file that is away, when the command that wrote it runs again; None if nothing does."""
    if name in REWRITTEN:
        return "it is written anew"
    if name in (files.ENVIRONMENT, files.ENVIRONMENT_COPY):
        (other,) = {files.ENVIRONMENT, files.ENVIRONMENT_COPY} - {name}
        return f"it is restored from {other}" if is_readable(store, other) else None
    if name == files.METRICS and store.has(files.DONE):
        return "it is restored from the checkpoint" if final_rows_are_kept(store) else None
    return "what it held is recomputed when it is needed"


def is_readable(store: "Store", name: str) -> bool:
    """Return whether a JSON file is there as it was written."""
    try:
        return bool(formats.decode_json(store / name, store.read_bytes(name)))
    except MISREAD:
        return False


def final_rows_are_kept(store: "Store") -> bool:
    """Return whether a checkpoint holds the metrics of a finished training: its own, or for level 0 the trunk's."""
    try:
        result = store.result()
        rows = rows_in_checkpoint(checkpoint_of(store, result))
    except (UsageError, OSError):
        return not is_readable(store, files.DONE)  # it is trained again then
    return bool(rows) and rows[-1]["step"] == result.get("step")


def checkpoint_of(store: "Store", result: Mapping[str, Any]) -> "Store":
    """Return the directory whose checkpoint belongs to a finished training: the one in which its network lies."""
    return type(store)((store / result.get("model", files.CHECKPOINT)).parent)


def rows_in_checkpoint(store: "Store") -> list[dict[str, Any]]:
    """Return the rows of metrics in a directory's checkpoint, as far as there is one.

    Raises:
        UsageError: the checkpoint is damaged.
    """
    if not store.has(files.CHECKPOINT):
        return []
    text = store.read_state(files.CHECKPOINT).get(METRICS_ENTRY, "")
    return formats.decode_rows(store / files.METRICS, text.encode())


def rows_in_header(path: Path) -> list[dict[str, Any]]:
    """Return the same from a checkpoint's header, without its tensors and PyTorch; none if that is damaged."""
    try:
        entries = formats.read_about(path)["state"]["dict"]
        text = next((value for key, value in entries if key == METRICS_ENTRY), "")
        return formats.decode_rows(path.with_name(files.METRICS), text.encode())
    except MISREAD:
        return []
