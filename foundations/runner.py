"""What every kind of run has in common: a descriptor, a directory, a beginning."""

from typing import Protocol

from foundations.context import Context
from foundations.desc import Desc
from foundations.environment import settle
from foundations.store import Store


class Runner(Protocol):
    """Something that the command line can run: it leaves its result in a store."""

    desc: Desc

    def run(self, store: Store) -> None:
        """Computes what is not there yet."""


def store_of(desc: Desc, replicate: int, context: Context) -> Store:
    """``<root>/<key>/replicate_<n>``."""
    return Store(context.root / desc.key / f"replicate_{replicate}")


def begin(store: Store, desc: Desc, context: Context, data_fingerprint: str) -> None:
    """Writes ``desc.json`` and ``environment.json`` into a new run, or goes on with those of one begun earlier."""
    settle(store, context, data_fingerprint)
    if not store.has("desc.json"):
        store.write_json("desc.json", {"kind": desc.kind, **desc.to_dict()})
