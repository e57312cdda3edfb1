"""What a measurement is, how its numbers are taken, and where they are kept."""

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from experiments.measurements.finished import Finished
from foundations import files
from foundations.averages import average
from foundations.errors import UsageError, summary_of
from foundations.methods import Method, MethodRegistry
from foundations.provenance import fingerprint, plugin_of
from foundations.reporting import Reporter
from foundations.store import Store
from training.arithmetic import arithmetic

Numbers = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Measurement(Method, ABC):
    """Numbers that describe what has been trained. Its fields are flags, and in no run's key.

    They are computed when all is trained, or of what was trained before, and never train anything themselves. Those of
    one that looks at a network are, for an analysis, the mean over its children.
    """

    of_children: ClassVar[bool] = False
    """Whether it looks at ``finished.children`` together, which only analyses have."""

    def check(self) -> None:
        """Raise ``UsageError`` if it cannot be taken, for want of a package; nothing has been trained yet."""

    @abstractmethod
    def measure(self, finished: Finished) -> Mapping[str, float]:
        """Return numbers by name.

        They are shown as ``<measurement>.<name>``. Those whose name has a dot in it, as that of a layer's weight has,
        are left out of tables on the terminal and of figures.

        Args:
            finished: the networks at k and at the end, the mask, the data, the trunk; see :class:`Finished`.
        """


measurements: MethodRegistry[Measurement] = MethodRegistry("measurement", "measure")


def source_of(measurement: Measurement) -> str | None:
    """Return the fingerprint of the file that defines it; None where there is no source to be found."""
    cls = type(measurement)
    plugin = plugin_of(cls)
    return fingerprint(sys.modules[cls.__module__]) if plugin is None else plugin.sha256


def identity(measurement: Measurement, finished: Finished) -> dict[str, Any]:
    """Return what its numbers depend on, beside the run that they describe."""
    return {
        "source": source_of(measurement), "fields": measurement.to_dict(), "children": len(finished.children)
    }  # fmt: skip


def stored(here: Store) -> dict[str, dict[str, Any]]:
    """Return what has been measured in a directory, by the name of the measurement."""
    return dict(here.read_json(files.MEASUREMENTS)["measured"]) if here.has(files.MEASUREMENTS) else {}


def is_taken(measurement: Measurement, finished: Finished, here: Store) -> bool:
    """Return whether its numbers lie in ``here``, taken by just this source with just these fields."""
    known = stored(here).get(measurement.name, {})
    return {name: known.get(name) for name in ("source", "fields", "children")} == identity(measurement, finished)


def take(measurement: Measurement, finished: Finished, here: Store, reporter: Reporter) -> None:
    """Measure, and write the numbers down, unless they are there."""
    if is_taken(measurement, finished, here):
        return
    known, now = stored(here).get(measurement.name), identity(measurement, finished)
    if known is not None:
        changed = [name for name in now if known[name] != now[name]]
        reporter.say(f"{here.path}: {measurement.name} is measured again ({' and '.join(changed)} changed)")
    numbers = numbers_of(measurement, finished)
    if lost := [name for name, value in numbers.items() if value is None]:
        reporter.warn(f"--measure={measurement.name}: {', '.join(lost)} is not finite in {here.path}; left empty")
    with here.lock(reporter):
        entry = {**now, "numbers": numbers}
        here.write_json(files.MEASUREMENTS, {"measured": {**stored(here), measurement.name: entry}})


def numbers_of(measurement: Measurement, finished: Finished) -> Numbers:
    """Return the numbers; None in the place of those that are not finite.

    Raises:
        UsageError: the measurement fails, or returns something else.
    """
    parts = finished.children if finished.children and not measurement.of_children else (finished,)
    device = finished.data.device
    with arithmetic(finished.training, device), torch.random.fork_rng([device] if device.type == "cuda" else []):
        found = [checked(measurement, one) for one in parts]
    return {name: average([one.get(name) for one in found]) for name in found[0]}


def checked(measurement: Measurement, finished: Finished) -> Numbers:
    what = f"--measure={measurement.name}"
    try:
        found = measurement.measure(finished)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise UsageError(f"{what}: {summary_of(error)}") from error
    if not isinstance(found, Mapping) or not found:
        raise UsageError(f"{what}: measure() returned {found!r}; expected numbers by name")
    return {str(name): number(what, name, value) for name, value in found.items()}


def number(what: str, name: object, value: Any) -> float | None:
    """Return a value as a number, also one of NumPy or a tensor's only entry; None if it is not finite."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"{what}: measure() returned {name}={str(value)[:50]}, a {type(value).__name__}, no number")
    return float(value) if math.isfinite(value) else None
