"""environment.json: what a run was computed with, and what may not change under it: the data and the plug-ins.

Its entries are the environment in which the run was begun. Where it went on in another one that may give other bits,
the list ``later`` holds that one as well, with the step that each part had reached by then.
"""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from foundations import files, formats
from foundations.context import Context
from foundations.disk import where_writable
from foundations.errors import UsageError
from foundations.processes import own_share
from foundations.provenance import Plugin, commit, plugins_of
from foundations.recovery import advise
from foundations.store import Store


@cache
def cpu() -> str:
    """Return the processor's name and the vector instructions that PyTorch uses on it: ``AMD EPYC 7B13, AVX2``."""
    return f"{processor()}, {torch.backends.cpu.get_cpu_capability()}"


def processor() -> str:
    try:
        if sys.platform == "darwin":
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, subprocess.CalledProcessError, StopIteration):
        return platform.processor() or platform.machine()


LATER, REACHED, ASKED = "later", "reached", "asked_for"
"""Entries of environment.json: environments that a run went on in, how far it was then, and the command ``train`` that
asked for a trunk which another command had begun."""

Code = Iterable[object]
"""Classes and functions that a result depends on by name: see ``Desc.code``."""


def describe(code: Code, context: Context, data_fingerprint: str) -> dict[str, Any]:
    """Versions, device, processor, threads, processes that train together (``torchrun``), command line, commit,
    plug-ins and the fingerprint of the decoded data.

    Those of CUDA and cuDNN are the ones that PyTorch runs with, null in a PyTorch for CPUs.
    """
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages()},
        "platform": platform.platform(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "device": device_name(context.device),
        "cpu": cpu(),
        "threads": torch.get_num_threads(),
        "processes": own_share().of,
        "deterministic": context.deterministic,
        "command": list(context.command),
        "commit": commit(),
        "plugins": {plugin.name: plugin.record() for plugin in plugins_of(code)},
        "data_fingerprint": data_fingerprint,
    }


def packages() -> list[str]:
    """Return the libraries that results may depend on: those that always do, and those of networks in use."""
    return ["torch", "numpy", "safetensors", *(name for name in ("torchvision", "timm") if name in sys.modules)]


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def verify(store: Store, code: Code, context: Context, data_fingerprint: str) -> None:
    """Check that what lies in ``store`` answers what is asked now; a directory without environment does.

    If a version of this program computed it that was changed and not committed, that is said, once.

    Raises:
        UsageError: it was computed on other data of the same name, or with another version of a plug-in that
            defines something in ``code``.
    """
    recorded = recall(store, context)
    if recorded is None:
        return
    if not same_data(before := recorded["data_fingerprint"], data_fingerprint):
        raise UsageError(
            f"{store.path} was computed on other data: its fingerprint is {before[:12]}, that of the data found now "
            f"{data_fingerprint[:12]}.\nRestore the data, or choose another --root."
        )
    for plugin in plugins_of(code):
        refuse_changed(store, recorded.get("plugins") or {}, plugin)
    then, now = recorded.get("commit"), commit()
    if then != now and "+" in f"{then}{now}" and (then, now) not in context.reported:
        context.reported.add((then, now))
        context.reporter.say(
            f"{store.path} was computed by commit {brief(then)} of this program, which is now {brief(now)}; "
            "+ stands for changes that are not committed. It is used all the same, and so are others of that commit."
        )


def same_data(before: str, now: str) -> bool:
    """Return whether two fingerprints are of the same data.

    Those of image files are of names, sizes and times; with ``+`` and one of the contents where that was asked for.
    Contents decide where both are known: a copy of the files has other times.
    """
    (before, _, contents_before), (now, _, contents_now) = before.partition("+"), now.partition("+")
    return contents_before == contents_now if contents_before and contents_now else before == now


def recall(store: Store, context: Context) -> dict[str, Any] | None:
    """Return what ``environment.json`` says, or its copy where that is lost or damaged; None where there is neither.

    Raises:
        UsageError: neither can be read.
    """
    source = intact(store)
    if source == files.ENVIRONMENT_COPY and store.path not in context.reported:
        context.reporter.warn(f"{store / files.ENVIRONMENT} is lost or damaged; its copy takes its place")
        context.reported.add(store.path)
    return None if source is None else store.read_json(source)


def intact(store: Store) -> str | None:
    """Return the name of ``environment.json`` or of its copy, whichever can be read; raise like :func:`recall`."""
    damage = ""
    for name in filter(store.has, (files.ENVIRONMENT, files.ENVIRONMENT_COPY)):
        try:
            store.read_json(name)
            return name
        except formats.NewerFormat:
            raise
        except UsageError as error:
            damage = str(error).splitlines()[0]
    if damage:
        raise lost(store, damage)
    return None


def lost(store: Store, damage: str) -> UsageError:
    return UsageError(
        f"{damage}\nIt said with how many threads the run was begun, and on which data.\n"
        f"{advise(store, files.ENVIRONMENT).text}"
    )


def write_twice(store: Store, content: bytes) -> None:
    """Write ``environment.json`` and its copy, where they are not there already."""
    for name in (files.ENVIRONMENT, files.ENVIRONMENT_COPY):
        store.write_bytes(name, content)


def restore_environment(store: Store) -> None:
    """Write ``environment.json`` or its copy anew where one is lost or damaged and the other is not."""
    if (source := intact(store)) is not None:
        write_twice(store, store.read_bytes(source))


def refuse_changed(store: Store, recorded: Mapping[str, Any], plugin: Plugin) -> None:
    """Raise ``UsageError`` if plug-ins are recorded, but not this one as it is now."""
    known = {entry["sha256"] for entry in recorded.values()}
    if not recorded or plugin.sha256 is None or plugin.sha256 in known or None in known:
        return
    if plugin.name in recorded:
        before = recorded[plugin.name]["sha256"]
        what = f"another version of the plug-in {plugin.label} (its sha256 began with {before[:8]}, now with "
        what += f"{plugin.sha256[:8]})"
    else:
        what = f"the plug-in {', '.join(recorded)}, not with {plugin.label}"
    raise UsageError(
        f"{store.path} was computed with {what}.\n"
        "--recompute puts that directory aside and recomputes; or choose another --root."
    )


def brief(name: str | None) -> str:
    """Return a commit's first digits, and what tells its changes apart."""
    head, plus, changes = (name or "unknown").partition("+")
    return f"{head[:8]}{plus}{changes}"


def settle(store: Store, code: Code, context: Context, data_fingerprint: str) -> None:
    """Record the environment of a new run, or of a new part of one; goes on with the recorded one otherwise.

    Convolutions give other bits with another number of threads, so a run that goes on takes the number it began
    with. They do so on another device, too, which is said.

    Raises:
        UsageError: like :func:`verify`.
    """
    recorded = recall(store, context)
    if recorded is None:
        write_twice(store, formats.encode_json(store / files.ENVIRONMENT, describe(code, context, data_fingerprint)))
        return
    verify(store, code, context, data_fingerprint)
    recorded = with_request(recorded, context)
    threads = recorded["threads"]
    if threads != torch.get_num_threads():
        context.reporter.say(f"Going on with {threads} thread{'s' * (threads != 1)}, as this run began.")
        torch.set_num_threads(threads)
    now = describe(code, context, data_fingerprint)
    if changes := changes_between(environments(recorded)[-1], now):
        context.reporter.warn(
            f"{store.path} goes on in another environment, which may give other bits: {'; '.join(changes)}"
        )
        later = {REACHED: reached(store), **{name: value for name, value in now.items() if name not in OF_THE_RUN}}
        recorded = {**recorded, LATER: [*recorded.get(LATER, []), later]}
    write_twice(store, formats.encode_json(store / files.ENVIRONMENT, recorded))


def record_request(store: Store, context: Context) -> None:
    """Record that ``train`` asks for a trunk that is there, begun by another command: ``clean`` keeps it then."""
    source = intact(store)
    recorded = None if source is None else store.read_json(source)
    if recorded is not None and (now := with_request(recorded, context)) != recorded:
        with where_writable():
            write_twice(store, formats.encode_json(store / files.ENVIRONMENT, now))


def with_request(recorded: dict[str, Any], context: Context) -> dict[str, Any]:
    """Return what is recorded of a trunk, with the command ``train`` that asks for it if no other has."""
    asked = any(map(asks_for_trunk, (recorded.get("command", ()), recorded.get(ASKED, ()))))
    return recorded if asked or not asks_for_trunk(context.command) else {**recorded, ASKED: list(context.command)}


def asks_for_trunk(command: Sequence[str]) -> bool:
    """Return whether a command line, or a call in Python, is ``train``, rather than one that needs a trunk."""
    return bool(command) and (command[0] == "train" or command[0].startswith("session.train("))


OF_THE_RUN = ("plugins", "data_fingerprint")
"""What is refused if it changes, and so is the same in all environments of a run."""


def environments(recorded: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return every environment that a run was computed in, in this order."""
    first = {name: value for name, value in recorded.items() if name not in (LATER, ASKED)}
    return [first, *recorded.get(LATER, [])]


def changes_between(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs of all that bits depend on, as ``name: before -> now``; what was not recorded is left out."""

    def of(environment: Mapping[str, Any]) -> dict[str, Any]:
        packages = environment.get("packages", {})
        known = {**environment, **{name: packages.get(name) for name in ("torch", "numpy")}}
        names = ("torch", "numpy", "cuda", "cudnn", "device", "cpu", "processes")
        return {name: known[name] for name in names if name in known}

    old, new = of(before), of(now)
    return [f"{name}: {old[name]} -> {new[name]}" for name in new if name in old and old[name] != new[name]]


def reached(store: Store) -> dict[str, str]:
    """Return the last step measured of each training in a run's directory, by its path within (``.``: the run's)."""
    found = {}
    for path in sorted(store.path.rglob(files.METRICS)):
        inside = path.parent.relative_to(store.path)
        rows = [] if any(map(files.is_aside, inside.parts)) else Store(path.parent).read_rows(files.METRICS)
        if rows:
            found[str(inside)] = str(rows[-1]["step"])
    return found
