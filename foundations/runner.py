"""What every kind of run has in common: a descriptor, a directory, a beginning."""

from foundations import files
from foundations.context import Context
from foundations.desc import Desc
from foundations.environment import settle
from foundations.store import Store


def store_of(desc: Desc, replicate: int, context: Context) -> Store:
    """``<root>/<key>/replicate_<n>``."""
    return Store(context.root / desc.key / files.replicate(replicate))


def begin(store: Store, desc: Desc, context: Context, data_fingerprint: str) -> None:
    """Writes ``desc.json`` and ``environment.json`` into a new run, or goes on with those of one begun earlier."""
    settle(store, context, data_fingerprint)
    if not store.has(files.DESC):
        store.write_json(files.DESC, {"kind": desc.kind, **desc.to_dict()})
