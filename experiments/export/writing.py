"""A subnetwork as a directory of files, in one of several formats, with a model card."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.export.card import model_card
from experiments.export.subnetwork import Subnetwork
from foundations.errors import UsageError
from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.store import Store

Write = Callable[[Subnetwork, Path], list[str]]
"""Writes a subnetwork's files into a directory; what it found out is returned, a line each, for the model card."""

export_formats: Registry[Write] = Registry("format", flag="format")
"""Ways to write a subnetwork. A function's docstring is the part of the model card that says how to load it."""

CARD, NETWORK = "README.md", "network.json"


def export(subnetwork: Subnetwork, format: str, output: Path, reporter: Reporter) -> None:
    """Writes ``output``, a new directory: the network in a format, ``network.json`` and a model card.

    Raises:
        UsageError: unknown format, or ``output`` exists.
    """
    write = export_formats.get(format)
    with new_directory(output) as folder:
        found = write(subnetwork, folder)
        about = {**subnetwork.network, "compact": subnetwork.is_compact}
        Store(folder).write_bytes(NETWORK, (json.dumps(about, indent=2) + "\n").encode())
        Store(folder).write_bytes(CARD, model_card(subnetwork, write.__doc__ or "", found).encode())
    for line in [*found, f"Written to {output}"]:
        reporter.say(line)


@contextlib.contextmanager
def new_directory(output: Path) -> Iterator[Path]:
    """A directory beside ``output`` that takes its name when all is written, or is gone."""
    if output.exists():
        raise UsageError(f"--output={output}: exists already; name a directory that does not")
    temporary = output.with_name(f".{output.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
