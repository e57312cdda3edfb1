"""Other people's strategies, models, data sets, branches and recipes: files, modules, or installed packages."""

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from experiments.define.defaults import OF_STABILITY, SHARED, Section, flags_of
from experiments.measurements import measurements
from foundations import files
from foundations.errors import UsageError, summary_of
from foundations.provenance import fingerprint_of_file
from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.store import Store
from lottery.branch import branches
from pruning import strategies
from stability.criteria import criteria

GROUP = "adsynflow.plugins"


def load_plugins(asked_for: Iterable[str], reporter: Reporter, reserved: Iterable[str] = ()) -> None:
    """Import the plug-ins asked for, and the installed ones that announce themselves by an entry point.

    One that was asked for and fails raises ``UsageError`` with its name and error; an installed one that fails is
    only warned of, since the command may not need it.

    Args:
        asked_for: files and modules.
        reporter: is warned.
        reserved: names of flags, beside the framework's, that no field of theirs may have.
    """
    shared, of_stability = (flags_of(Section("", cls) for cls in some) for some in (SHARED, OF_STABILITY))
    strategies.reserve([*shared, *of_stability, *reserved])
    branches.reserve([*shared, *reserved])
    criteria.reserve([*shared, *of_stability, *reserved])
    measurements.reserve([*shared, *of_stability, *reserved])
    for plugin in asked_for:
        try:
            import_plugin(plugin)
        except UsageError as error:
            raise UsageError(f"--plugin={plugin}: {error}") from error
        except (Exception, SystemExit) as error:
            raise UsageError(f"--plugin={plugin}: {what_failed(error)}") from error
    failures = load_installed(tuple(importlib.metadata.entry_points(group=GROUP)))
    while failures:
        reporter.warn(failures.pop())


def load_recorded(store: Store, reporter: Reporter) -> None:
    """Import the plug-ins with which a run was computed, unless they have changed since.

    Those that have, or are not found, are named in a warning: whatever needs them will say that it lacks them.
    """
    recorded = store.read_json(files.ENVIRONMENT).get("plugins") or {} if store.has(files.ENVIRONMENT) else {}
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for name, entry in recorded.items():
        path = Path(entry["file"] or "").resolve()
        if entry["file"] is None or str(path) in loaded:
            continue
        if path.is_file() and fingerprint_of_file(path) == entry["sha256"]:
            import_plugin(str(path))
            reporter.say(f"Plug-in {entry['file']}, with which the run was computed")
        else:
            what = "or a module that it imports has changed since" if path.is_file() else "is not there"
            reporter.warn(
                f"The run was computed with the plug-in {name}; {entry['file']} {what}. --plugin=FILE loads it as it "
                "is now"
            )


@cache
def load_installed(entry_points: tuple[importlib.metadata.EntryPoint, ...]) -> list[str]:
    """Import installed plug-ins, once in a process; return what is still to be said of those that failed."""
    failures = []
    for entry_point in entry_points:
        try:
            entry_point.load()
        except (Exception, SystemExit) as error:
            failures.append(f"The plug-in {entry_point.name} ({entry_point.value}) failed: {what_failed(error)}")
    return failures


def what_failed(error: BaseException) -> str:
    return f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else summary_of(error)


def import_plugin(plugin: str) -> None:
    """Import a ``.py`` file, once, or a module by name."""
    if not plugin.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        importlib.import_module(plugin)
        return
    path = Path(plugin).resolve()
    if not path.is_file():
        raise UsageError("no such file" + ("; give --plugin once for each file" if "," in plugin else ""))
    name = f"adsynflow_plugin_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    before = Registry.registrations
    try:
        spec.loader.exec_module(module)
        if Registry.registrations == before:
            raise UsageError(
                "it registers nothing; decorate its class or function, for example with "
                "@strategies.register(\"my_method\")"
            )
    except BaseException:
        del sys.modules[name]
        raise
