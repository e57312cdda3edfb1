"""Names for things that others may add to: strategies, models, data sets, recipes, branches."""

from collections.abc import Callable, Iterator, KeysView, Mapping
from contextlib import contextmanager
from typing import ClassVar, Generic, TypeVar

from foundations.errors import UsageError, near_misses

T = TypeVar("T")


class Registry(Generic[T]):
    """A dictionary from names to things, filled by a decorator.

    Args:
        what: what an entry is called in error messages, e.g. ``"pruning strategy"``.
        flag: the command-line flag that selects an entry, named in error messages.
        known_as: names that the field has for entries, each with what it is here, for the message of an unknown name.
    """

    registrations: ClassVar[int] = 0
    """How often anything was registered in any of them, by which a plug-in that registers nothing is found."""

    def __init__(self, what: str, flag: str = "", known_as: Mapping[str, str] | None = None) -> None:
        self.what = what
        self.flag = flag
        self.known_as = known_as or {}
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that enters its argument under ``name``; a name taken raises ``UsageError``.

        What was typed into a notebook or at a prompt takes the place of its own earlier version.
        """

        def enter(entry: T) -> T:
            if not isinstance(name, str) or not name.isprintable() or not name:
                raise UsageError(f"The name of a {self.what} is a text of characters that can be printed, not {name!r}")
            if name in self._entries and not typed_again(self._entries[name], entry):
                raise UsageError(f"The {self.what} {name!r} is already registered.")
            self._entries[name] = entry
            Registry.registrations += 1
            return entry

        return enter

    def get(self, name: str) -> T:
        """Return the entry called ``name``; an unknown name raises ``UsageError`` with near misses."""
        if not isinstance(name, str) or name not in self._entries:
            where = f"--{self.flag}={name}: unknown {self.what}" if self.flag else f"Unknown {self.what} {name!r}"
            meant = self.known_as.get(str(name).lower())
            hint = f" (here {meant})" if meant else near_misses(str(name), self._entries)
            raise UsageError(f"{where}{hint}; valid: {', '.join(self.names())}")
        return self._entries[name]

    def names(self) -> list[str]:
        return sorted(self._entries)

    def keys(self) -> KeysView[str]:
        """Return all names in the order of their registration: a view, which grows with the registry."""
        return self._entries.keys()

    @contextmanager
    def temporarily(self, without: str = "") -> Iterator[None]:
        """Forget at the end what was registered inside, where there is no entry ``without``: for tests."""
        before = dict(self._entries)
        self._entries.pop(without, None)
        try:
            yield
        finally:  # in place: there are views of this dictionary
            self._entries.clear()
            self._entries.update(before)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())


def typed_again(before: object, now: object) -> bool:
    """Return whether two classes or functions are versions of one that a notebook or a prompt defines."""
    names = [[getattr(thing, name, None) for name in ("__module__", "__qualname__")] for thing in (before, now)]
    return names[0] == names[1] and names[0][0] == "__main__"
