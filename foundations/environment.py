"""environment.json: what a run was computed with, and the two things that may not change under it."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from foundations.context import Context
from foundations.errors import UsageError
from foundations.store import Store

FILE = "environment.json"


def describe(context: Context, data_fingerprint: str) -> dict[str, Any]:
    """Versions, device, threads, command line, commit and the fingerprint of the decoded data."""
    device = context.device
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in ("torch", "numpy", "safetensors")},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "deterministic": context.deterministic,
        "command": list(context.command),
        "commit": commit(),
        "data_fingerprint": data_fingerprint,
    }


def commit() -> str | None:
    """The commit of the checkout that runs, with ``+`` if it has changes; None outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def verify_data(store: Store, data_fingerprint: str) -> None:
    """Raises ``UsageError`` if the run in ``store`` was computed on other data of the same name."""
    recorded = store.read_json(FILE)["data_fingerprint"] if store.has(FILE) else data_fingerprint
    if recorded != data_fingerprint:
        raise UsageError(
            f"{store.path} was computed on other data: its fingerprint is {recorded[:12]}, that of the data found now "
            f"{data_fingerprint[:12]}.\nRestore the data, or choose another --root."
        )


def settle(store: Store, context: Context, data_fingerprint: str) -> None:
    """Records the environment of a new run; goes on with the recorded one in a run begun earlier.

    Convolutions give other bits with another number of threads, so a run that goes on takes the number it began
    with.

    Raises:
        UsageError: if the run was computed on other data of the same name.
    """
    if not store.has(FILE):
        store.write_json(FILE, describe(context, data_fingerprint))
        return
    verify_data(store, data_fingerprint)
    threads = store.read_json(FILE)["threads"]
    if threads != torch.get_num_threads():
        context.reporter.say(f"Going on with {threads} threads, as this run began.")
        torch.set_num_threads(threads)
