"""Lists of values become experiments, each once; together they are planned and run."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, overload

from experiments.define.defaults import (
    FRAMEWORK,
    IN_NO_KEY,
    NONE,
    Section,
    Selection,
    Values,
    all_flags,
    flags_of,
    holds_several,
    inapplicable,
    refuse_unknown,
    select,
)
from experiments.define.experiment import Experiment, experiments, plain
from experiments.define.lottery import Lottery
from experiments.define.search import Search, make_search
from experiments.options import SessionOptions
from experiments.run.engine import Failed, run_plan
from experiments.run.plan import Plan, make_plan
from experiments.run.tasks import Task
from experiments.runs.searches import Found, search_rows, searches
from experiments.runs.stored import known_runs
from experiments.workspace import Workspace
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.hparams import as_text
from stability.criteria import criteria

LAST = ("pruning_strategy", "density", "k", "replicate")  # these vary fastest, the last of them fastest of all
SHOWN = {*LAST, "levels"}  # every table has columns for these

MOST_EXPERIMENTS = 10_000  # more is a mistyped range
DEEPEST = 4  # lists of lists are the deepest that mean something


class Grid(Sequence[Experiment]):
    """Experiments that are defined together: every combination of the lists that were given, each once."""

    def __init__(
        self, session: Workspace, command: str, items: Iterable[Experiment | Search], flags: Iterable[str] = ()
    ) -> None:
        self.session, self.command, self.flags = session, command, list(flags)
        self.items = list(items)

    @classmethod
    def of(cls, session: Workspace, command: str, flags: Mapping[str, Any], branch: str | None = None) -> "Grid":
        """Return the experiments that flags describe; a list of values stands for one experiment each.

        A value that does not apply to one of them (SynFlow's input, to the full network) counts for the others.

        Raises:
            UsageError: a flag that does not exist or applies to none of them, or a value that does not fit.
        """
        kind = experiments.get(command)
        chosen = [Choice(kind, given, branch) for given in combinations(flags)]
        applies = {flag for choice in chosen for flag in choice.flags}
        for name in flags:
            if name not in applies:
                chosen[0].refuse(name)
        varied = [name for name in flags if name not in SHOWN and len({str(one.given.get(name)) for one in chosen}) > 1]
        found: dict[Any, Experiment | Search] = {}
        for choice in chosen:
            item = choice.make(session)
            if isinstance(item, Experiment):
                item = replace(item, varied={name: choice.given[name] for name in varied if name in choice.flags})
                if isinstance(same := found.get(item.identity), Experiment):
                    item = same.joined(item)
            found[item.identity] = item
        return cls(session, command, found.values(), flags)

    @property
    def experiments(self) -> list[Experiment]:
        """All of them, each once; refused while the k of one is still to be found."""
        flat = [one for item in self.items for one in (item.experiments if isinstance(item, Search) else [item])]
        found: dict[Any, Experiment] = {}
        for one in flat:
            found[one.identity] = found[one.identity].joined(one) if one.identity in found else one
        return list(found.values())

    @property
    def searches(self) -> list[Search]:
        return [item for item in self.items if isinstance(item, Search)]

    @property
    def unanswered(self) -> list[Search]:
        return [search for search in self.searches if search.answer is None]

    def __len__(self) -> int:
        return len(self.items if self.unanswered else self.experiments)

    def __repr__(self) -> str:
        done = sum(one.known_done for one in ([] if self.unanswered else self.experiments))
        count = f"{len(self)} {self.command} experiment{'' if len(self) == 1 else 's'}"
        found = f", k to be found for {len(self.unanswered)}" if self.unanswered else ""
        return f"<Grid of {count}{found}{f', {done} done' if done else ''}>"

    @overload
    def __getitem__(self, index: int) -> Experiment: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Experiment]: ...
    def __getitem__(self, index: int | slice) -> Experiment | Sequence[Experiment]:
        return self.experiments[index]

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self.experiments)

    def run(self) -> "Grid":
        """Compute what is left of all of them, and nothing twice; return the grid.

        Raises:
            UsageError: one of them cannot be computed; found before anything is.
            Failed: tasks that could not be done, at the end of all that could.
        """
        if self.session.options.detach and self.searches:
            k = self.searches[0].criterion.name
            raise UsageError(f"--detach: not with --k={k}, whose next analyses depend on what comes of the ones before")
        self.prepare()
        try:
            failures = [failure for search in self.searches for failure in search.run()]
            looked_at = {one.identity for search in self.searches for one in search.analyses}
            for experiment in self.experiments:
                experiment.check()  # all of them before anything is said of one
            for experiment in self.experiments:
                if "milestone_steps" in self.flags:
                    experiment.say_unreached_milestones()
                experiment.restore()
                if experiment.identity not in looked_at and (opening := experiment.opening()):
                    self.session.context.reporter.say(opening)
            if warning := different_densities(self.experiments):
                self.session.context.reporter.warn(warning)
            failures += run_plan(self.plan(), self.session)
        finally:
            self.session.release()
        if failures:
            raise Failed(failures)
        return self

    def prepare(self, *, dry: bool = False) -> None:
        """Read the data and refuse what cannot be computed; with ``recompute``, put aside what is there.

        Args:
            dry: only say what would be put aside.
        """
        ready = [item for item in self.items if isinstance(item, Experiment)]
        old = [store for one in ready for store in one.to_put_aside()] if self.session.options.recompute else []
        for path, store in {store.path: store for store in old}.items():
            if path.exists():
                what = "would be put aside and recomputed" if dry else f"is put aside: it is now {store.put_aside()}"
                self.session.context.reporter.say(f"{path} {what}")
        for experiment in ready:
            experiment.check()
        for search in self.unanswered:
            search.check()

    def plan(self) -> Plan:
        """Return the tasks that are left, each once, however many experiments share them."""
        return make_plan((task for one in self.experiments for task in one.tasks()), self.session)

    def owners(self) -> Counter[Task]:
        """Count for how many of the experiments each task is, whether it is done or not."""
        owners: Counter[Task] = Counter()
        for experiment in self.experiments:
            needed: dict[Task, None] = {}
            waiting = list(experiment.tasks())
            while waiting:
                task = waiting.pop()
                if task not in needed:
                    needed[task] = None
                    waiting += task.after
            owners.update(list(needed))
        return owners

    @property
    def done(self) -> bool:
        return all(one.done for one in self.experiments)

    def rows(self) -> list[Row]:
        """Return the results so far, a plain dictionary each: ``pandas.DataFrame(grid.rows())``."""
        return [plain(row, one.varied) for one in self.experiments for row in one.rows()]

    @property
    def found(self) -> list[Found]:
        stores = [search.network.store for search in self.searches]
        return searches(known_runs(stores), {search.criterion.key for search in self.searches})

    def criteria(self) -> list[Row]:
        """Return where each criterion puts k, and each k that was given; its multiply-adds and its accuracy.

        A row for each network, criterion and replicate; see ``experiments.runs.searches.search_rows``.
        """
        given = {one.desc.k.short for one in self.items if isinstance(one, Lottery)}
        return search_rows(self.found, known_runs([one.store for one in self.experiments]), given)


def different_densities(experiments: Iterable[Experiment]) -> str:
    """Return a warning if strategies are compared at different densities, else an empty text."""
    found: dict[str, set[str]] = {}
    for one in experiments:
        for strategy, density in one.densities():
            found.setdefault(strategy, set()).add(f"{density:.4g}")
    if len(set(map(frozenset, found.values()))) < 2:
        return ""
    each = "; ".join(f"{strategy} {', '.join(sorted(densities))}" for strategy, densities in found.items())
    return f"The strategies are compared at different densities ({each}); --density gives them one"


class Choice:
    """One combination of values: what it selects, and which of the values apply to it."""

    def __init__(self, kind: type[Experiment], given: Mapping[str, Any], branch: str | None) -> None:
        self.kind, self.given = kind, given
        self.selection: Selection = select(given, prunes=kind.prunes, branch=branch)
        self.sections: list[Section] = kind.sections(self.selection, given)
        self.flags = set(flags_of(self.sections))

    def make(self, session: Workspace) -> Experiment | Search:
        """Return the experiment, or the search for its k."""
        own = {name: value for name, value in self.given.items() if name in self.flags}
        values = Values(self.selection, self.sections, own)
        k = own.get("k")
        if isinstance(k, str) and k in criteria:
            return make_search(self.kind, session, values)
        return self.kind.define(session, values)

    def refuse(self, name: str) -> None:
        """Raise ``UsageError`` for a flag that applies to none of the experiments."""
        if name in flags_of([Section("session", SessionOptions)]):
            raise UsageError(f"--{name}: belongs to the session: Session({name}=...)")
        if name in all_flags() and self.kind.prunes and self.selection.strategy is None:
            what = f"--{name}={as_text(self.given[name])}"
            raise UsageError(f"{what}: does not apply to --pruning_strategy={NONE}, which is the full network")
        refuse_unknown(name, self.flags, inapplicable([self.selection], FRAMEWORK))


def combinations(flags: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one mapping of single values for each combination of the lists among ``flags``."""
    known = all_flags()
    choices = {
        name: alternatives(name, native(name, value), name in known and holds_several(known[name][1]))
        for name, value in flags.items()
    }
    for name, values in choices.items():
        if name in IN_NO_KEY and len(values) > 1:
            raise UsageError(f"--{name}={as_text(values)}: expected one value, since it is in no run's key")
    if (number := math.prod(map(len, choices.values()))) > MOST_EXPERIMENTS:
        raise UsageError(f"The lists of values come to {number:,} experiments; at most {MOST_EXPERIMENTS:,} at once")
    order = [*(name for name in choices if name not in LAST), *(name for name in LAST if name in choices)]
    return [
        dict(zip(order, combination, strict=True))
        for combination in itertools.product(*(choices[name] for name in order))
    ]


def alternatives(name: str, value: Any, is_list: bool) -> list[Any]:
    """Return the values that a flag was given, each once: one, or those of a list.

    Of a flag that is a list itself, a list of lists gives the alternatives, and a single value is a list of one.
    """
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    found = list(itertools.islice(value, MOST_EXPERIMENTS + 1)) if several else [value]
    if len(found) > MOST_EXPERIMENTS:
        raise UsageError(f"--{name}: more than {MOST_EXPERIMENTS:,} values; at most {MOST_EXPERIMENTS:,} at once")
    expected, singles = "single values", found
    if is_list:
        lists = [isinstance(one, (list, tuple, range)) for one in found]
        found = [tuple(one) for one in found] if any(lists) and all(lists) else [tuple(found)]
        expected, singles = "a list of single values, or a list of such lists", [one for part in found for one in part]
    if any(isinstance(one, (list, tuple, range, dict, set)) for one in singles):
        raise UsageError(f"--{name}={as_text(value)}: expected {expected}")
    if not found:
        raise UsageError(f"--{name}=: a value is missing")
    return list(dict.fromkeys(found))


def native(name: str, value: Any, inside: int = 0) -> Any:
    """Return a value in Python's own types: numpy's numbers and arrays, and paths, become such."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (list, tuple)):
        if inside > DEEPEST:
            raise UsageError(f"--{name}: lists of lists are nested too deeply")
        return [native(name, element, inside + 1) for element in value]
    return value.tolist() if hasattr(value, "tolist") else value
