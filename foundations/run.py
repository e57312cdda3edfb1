"""What every kind of run has in common: a descriptor, a directory, a beginning."""

from collections.abc import Mapping
from typing import Any, TypeVar

from foundations import files, formats
from foundations.context import Context
from foundations.desc import Desc
from foundations.disk import where_writable
from foundations.environment import lost, restore_environment, settle
from foundations.errors import UsageError
from foundations.formats import NewerFormat
from foundations.store import UNREADABLE, Store

D = TypeVar("D", bound=Desc)


def store_of(desc: Desc, replicate: int, context: Context) -> Store:
    return Store(context.root / desc.key / files.replicate(replicate))


def read_desc(store: Store, kind: type[D]) -> D:
    """Read what a run depends on; raise ``UsageError`` if it is damaged, or no loaded plug-in has what it names."""
    entries = store.read_json(files.DESC)
    try:
        return kind.from_dict({name: value for name, value in entries.items() if name != "kind"})
    except UNREADABLE as error:
        raise store.damaged(files.DESC, error) from error


def begin(
    store: Store, desc: Desc, context: Context, data_fingerprint: str, network: Mapping[str, Any]
) -> None:
    """Write ``desc.json`` and ``environment.json`` into a new run, or goes on with those of one begun earlier.

    ``network.json`` with the entries of ``network`` comes with them; an older run that has none gets it, too.

    Raises:
        UsageError: the run was begun, but its environment is lost or does not answer what is asked now.
    """
    if store.has(files.DESC) and not (store.has(files.ENVIRONMENT) or store.has(files.ENVIRONMENT_COPY)):
        raise lost(store, f"{store / files.ENVIRONMENT} is missing from a run that was begun.")
    settle(store, desc.code(), context, data_fingerprint)
    if not store.has(files.DESC):
        store.write_json(files.DESC, entries(desc))
    restore_desc(store, entries(desc), context)
    restore_network(store, network)


def entries(desc: Desc) -> dict[str, Any]:
    return {"kind": desc.kind, **desc.to_dict()}


def restore_desc(store: Store, entries: Mapping[str, Any], context: Context) -> None:
    """Write ``desc.json`` anew, and says so, if it is damaged, or lost from a run that was begun.

    The environment is restored before, where one of its copies is left. A descriptor that can be read stays: an older
    program may have written it with fewer fields.
    """
    restore_environment(store)
    if not store.has(files.ENVIRONMENT):
        return
    try:
        if store.has(files.DESC):
            store.read_json(files.DESC)
            return
    except NewerFormat:
        raise
    except UsageError:
        pass
    context.reporter.warn(f"{store / files.DESC} is lost or damaged; it is rewritten")
    store.write_json(files.DESC, entries)


def restore_network(store: Store, network: Mapping[str, Any]) -> None:
    """Write ``network.json`` with the entries of ``network`` into a run that was begun, unless it has just these.

    A root that is read-only stays without: its results can be shown all the same.
    """
    if store.has(files.DESC):
        with where_writable():
            store.write_bytes(files.NETWORK, formats.encode_json(store / files.NETWORK, network))
