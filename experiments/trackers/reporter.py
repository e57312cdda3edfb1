"""From what stands in run directories to trackers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.listing import flat, named
from experiments.trackers.registry import TrackedRun, Tracker, trackers
from foundations import files
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.store import Store


def check_trackers(names: Sequence[str]) -> None:
    """Raises ``UsageError`` for an unknown tracker, and for one whose package is not installed."""
    for name in names:
        tracker = trackers.get(name)
        if tracker.package and find_spec(tracker.package) is None:
            what = f"adsynflow[{tracker.extra}]" if tracker.extra else tracker.package
            raise UsageError(f"--track={name}: {tracker.package} is not installed; pip install '{what}'")


class TrackingReporter(Reporter):
    """Gives trackers the metrics of trainings as they are written, and the results of what has ended.

    A tracker that fails is given up with a warning: the run does not depend on it.

    Args:
        names: of the trackers.
        root: the directory of all runs.
        warning: takes that warning.
    """

    def __init__(self, names: Sequence[str], root: Path, warning: Callable[[str], None]) -> None:
        self.names, self.root, self.warning = list(names), root, warning
        self.open: dict[Path, list[Tracker]] = {}
        self.given: dict[Path, int] = {}

    def row(self, path: Path, row: Mapping[str, Any]) -> None:
        self.feed(path)

    def left(self, path: Path) -> None:
        store = Store(path)
        result = final(store)
        if result:
            self.feed(path)
        for tracker in self.open.pop(path, []):
            if result:
                self.attempt(tracker, tracker.finish, result)
            self.attempt(tracker, tracker.close)
        self.given.pop(path, None)

    def feed(self, path: Path) -> None:
        """Gives the trackers of a directory the rows that they have not had."""
        if path not in self.open:
            self.open[path] = []
            for name in self.names:
                self.attempt(name, self.add, path, name)
        rows = Store(path).read_rows(files.METRICS)
        for row in rows[self.given.get(path, 0) :]:
            for tracker in list(self.open[path]):
                self.attempt(tracker, tracker.row, row)
        self.given[path] = len(rows)

    def add(self, path: Path, name: str) -> None:
        """One more tracker of a directory."""
        self.open[path].append(trackers.get(name)(tracked_run(path, self.root)))

    def attempt(self, tracker: Tracker | str, work: Callable[..., None], *arguments: Any) -> None:
        """Lets a tracker do something."""
        try:
            work(*arguments)
        except Exception as error:  # of somebody else's package, or of a network
            name = tracker if isinstance(tracker, str) else type(tracker).__name__
            self.warning(f"The tracker {name} failed and is left out: {type(error).__name__}: {error}")
            for others in self.open.values():
                if tracker in others:
                    others.remove(tracker)


def tracked_run(path: Path, root: Path) -> TrackedRun:
    """What a directory says of itself, with the descriptors of those that it lies in."""
    name = path.relative_to(root)
    hyperparameters: dict[str, Any] = {}
    for folder in [*reversed(name.parents), name]:
        store = Store(root / folder)
        if store.has(files.DESC):
            entries = store.read_json(files.DESC)
            hyperparameters |= named(flat({key: value for key, value in entries.items() if key != "kind"}))
    replicate = next((part for part in name.parts if part.startswith(files.REPLICATE)), "")
    hyperparameters["replicate"] = int(replicate.removeprefix(files.REPLICATE) or 0)
    return TrackedRun(root=root, name=name.as_posix(), hyperparameters=hyperparameters)


def final(store: Store) -> dict[str, float]:
    """The figures of what has ended in a directory; none if nothing has."""
    for marker in (files.INSTABILITY, files.DONE):
        if store.has(marker):
            return dict(figures(store.read_json(marker)))
    return {}


def figures(entries: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """The numbers among nested entries, by the names that lead to them."""
    for name, value in entries.items():
        if isinstance(value, Mapping):
            yield from figures(value, f"{before}{name}/")
        elif isinstance(value, (bool, int, float)):
            yield f"{before}{name}", float(value)
