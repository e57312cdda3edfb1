"""What every kind of run has in common: a descriptor, a directory, a beginning."""

from typing import TypeVar

from foundations import files
from foundations.context import Context
from foundations.desc import Desc
from foundations.environment import settle
from foundations.store import Store

D = TypeVar("D", bound=Desc)


def store_of(desc: Desc, replicate: int, context: Context) -> Store:
    """``<root>/<key>/replicate_<n>``."""
    return Store(context.root / desc.key / files.replicate(replicate))


def read_desc(store: Store, kind: type[D]) -> D:
    """What a run depends on; ``UsageError`` if its file is damaged, or names what no loaded plug-in has registered."""
    entries = store.read_json(files.DESC)
    return kind.from_dict({name: value for name, value in entries.items() if name != "kind"})


def begin(store: Store, desc: Desc, context: Context, data_fingerprint: str) -> None:
    """Writes ``desc.json`` and ``environment.json`` into a new run, or goes on with those of one begun earlier."""
    settle(store, desc.code(), context, data_fingerprint)
    if not store.has(files.DESC):
        store.write_json(files.DESC, {"kind": desc.kind, **desc.to_dict()})
