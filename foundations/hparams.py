"""Hyperparameters: one dataclass field is one command-line flag, one JSON entry and one part of a run's key.

This is the only module that knows dataclasses-json. What that library does loosely is tightened here: unknown
keys are refused, values are checked against their field's type and range, and a field that holds one of several
registered classes is decoded by its ``kind``.
"""

import ast
import inspect
import itertools
import math
import textwrap
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from dataclasses_json import DataClassJsonMixin, Undefined, config
from dataclasses_json.undefined import UndefinedParameterError

from foundations.errors import UsageError, near_misses
from foundations.registry import Registry
from foundations.steps import Step

H = TypeVar("H", bound="Hparams")


def hp(
    default: Any, *, choices: Collection[str] = (), within: str = "", absent: Any = MISSING, words: Iterable[str] = ()
) -> Any:
    """Return a dataclass field with what is needed to check it.

    Args:
        default: the default value.
        choices: the valid values, where they are few; ``registry.keys()`` counts those of plug-ins as well.
        within: the valid interval of a number, e.g. ``"(0, 1]"`` or ``"[0, inf)"``.
        absent: the value at which the field is left out of the canonical JSON, and which it has where an older
            JSON lacks it. Give it to a field that is added after runs exist: the value that means what was done
            before. Their keys then stay as they are.
        words: texts that are values beside those of the field's type, e.g. ``auto`` in the place of a step.
    """
    return field(default=default, metadata={"choices": choices, "within": within, "absent": absent, "words": words})


def repeatable() -> Any:
    """Return a field whose flag may be given several times."""
    return field(default=(), metadata={"repeatable": True})


def tagged(registry: "Registry[Any]", *, default: Any = MISSING, absent: Any = MISSING) -> Any:
    """Return a dataclass field that holds an instance of one of the registered ``Hparams`` classes, or None.

    In JSON the instance carries the name of its class under ``kind``.

    Args:
        registry: of the classes by name.
        default: the default value, if the field has one.
        absent: as in :func:`hp`.
    """

    def decode(entries: "Mapping[str, Any] | Hparams | None") -> Any:
        if entries is None or isinstance(entries, Hparams):  # an instance: the field was missing
            return entries
        rest = dict(entries)
        return registry.get(rest.pop("kind")).from_dict(rest)

    def encode(value: "Hparams | None") -> Any:
        return None if value is None else {"kind": value.name, **value.to_dict()}  # type: ignore[attr-defined]

    return field(default=default, metadata={"tagged": True, "absent": absent, **config(encoder=encode, decoder=decode)})


@dataclass(frozen=True, kw_only=True)
class Hparams(DataClassJsonMixin):
    """A bundle of hyperparameters. A docstring below a field is the field's help text."""

    # Read by dataclasses-json, here and in every subclass.
    dataclass_json_config = config(undefined=Undefined.RAISE)["dataclasses_json"]

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):
            value = getattr(self, item.name)
            words = item.metadata.get("words", ())
            if not (isinstance(value, str) and value in words):
                with or_one_of(words, value):
                    value = coerce(item.name, value, hints[item.name])
            check(item, value)
            object.__setattr__(self, item.name, value)

    @classmethod
    def from_dict(cls: type[H], kvs: Any, *, infer_missing: bool = False) -> H:
        """Invert ``to_dict``; an unknown key or an unsuitable value raises ``UsageError``.

        A field that is missing has its ``absent`` value, which means what was done before there was the field, or
        else its default; so have fields of bundles within this one.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # a null where there must be a value
                return super().from_dict(with_absent(cls, kvs), infer_missing=infer_missing)
        except (UndefinedParameterError, KeyError, TypeError, ValueError, AttributeError, RuntimeWarning) as error:
            raise UsageError(f"{cls.__name__} does not fit these hyperparameters: {error}") from error


@dataclass(frozen=True)
class Section:
    """Flags that belong together: the fields of a dataclass, with defaults that override the dataclass's own."""

    title: str
    cls: type[Hparams]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def values(self) -> dict[str, Any]:
        return {item.name: self.defaults.get(item.name, item.default) for item in self.items()}

    def items(self) -> "list[Field[Any]]":
        return [item for item in fields(self.cls) if item.name not in self.hidden]


def with_absent(cls: type, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``entries`` of an older JSON, with the ``absent`` values of the fields that it lacks."""
    filled, hints = dict(entries), get_type_hints(cls)
    for item in fields(cls):
        absent, hint = item.metadata.get("absent", MISSING), hints[item.name]
        bundle = next((part for part in (hint, *get_args(hint)) if is_dataclass(part)), None)
        if item.name not in filled:
            if absent is not MISSING:
                filled[item.name] = absent
        elif bundle and isinstance(filled[item.name], Mapping) and not item.metadata.get("tagged"):
            filled[item.name] = with_absent(bundle, filled[item.name])  # type: ignore[arg-type]
    return filled


@contextmanager
def or_one_of(words: Iterable[str], value: Any) -> Iterator[None]:
    """Inside, the refusal of a value also says which ``words`` would do in its place."""
    try:
        yield
    except UsageError as error:
        if not (there := list(words)):
            raise
        raise UsageError(f"{error}, or {', '.join(there)}{near_misses(str(value), there)}") from error


def coerce(name: str, value: Any, hint: Any) -> Any:
    """Return ``value`` as the field's type where that loses nothing (1 as 1.0, a list as a tuple, text as a Step)."""
    if get_origin(hint) is UnionType:  # X | None
        return None if value is None else coerce(name, value, get_args(hint)[0])
    try:
        if hint is Step and isinstance(value, (str, int)) and not isinstance(value, bool):
            return Step(value)
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
            return tuple(coerce(name, element, get_args(hint)[0]) for element in value)
    except (UsageError, OverflowError) as error:
        raise UsageError(f"--{name}={value}: {error}") from error
    if get_origin(hint) is tuple:
        raise UsageError(f"--{name}={value}: expected a list, each element {TYPE_NAMES[get_args(hint)[0]]}")
    if hint in TYPE_NAMES and type(value) is not hint:
        raise UsageError(f"--{name}={value}: expected {TYPE_NAMES[hint]}")
    if isinstance(value, str) and "\0" in value:
        raise UsageError(f"--{name}={value}: expected a text without null characters, which no path can hold")
    return value


TYPE_NAMES: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Step: "a step such as 30ep or 2000it",
}


def check(item: "Field[Any]", value: Any) -> None:
    """Raise ``UsageError`` if ``value`` is there but not finite, or outside the field's choices or interval.

    Of a tuple every element is checked.
    """
    if value is None:
        return
    if isinstance(value, tuple):
        for element in value:
            check(item, element)
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"--{item.name}={value}: expected a finite number")
    choices = item.metadata.get("choices")
    if choices and value not in choices:
        meant = near_misses(str(value), choices)
        raise UsageError(f"--{item.name}={value}: expected one of {', '.join(choices)}{meant}")
    within = item.metadata.get("within")
    if within and not inside(value, within):
        raise UsageError(f"--{item.name}={value}: expected a number in {within}")


def inside(value: float, interval: str) -> bool:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value > low or (interval[0] == "[" and value == low)
    below = value < high or (interval[-1] == "]" and value == high)
    return above and below


def as_text(value: Any) -> str:
    """Return a value as one would write it on the command line."""
    if isinstance(value, Step):
        return value.short
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(as_text, value)) if isinstance(value, (list, tuple)) else str(value)


def canonical(value: Any) -> Any:
    """Return plain JSON values that are equal exactly when the hyperparameters mean the same.

    Leaves out a field at its ``absent`` value; numbers are already normal, since fields coerce them.
    """
    if is_dataclass(value) and not isinstance(value, type):
        entries = {}
        for item in fields(value):
            entry = getattr(value, item.name)
            absent = item.metadata.get("absent", MISSING)
            if absent is not MISSING and entry == absent:
                continue
            entries[item.name] = canonical(entry)
            if item.metadata.get("tagged") and entry is not None:
                entries[item.name]["kind"] = entry.name
        return entries
    if isinstance(value, (tuple, list)):
        return [canonical(element) for element in value]
    return value


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass, by field name; those of its bases included.

    A field that is in no source text carries it in its metadata, under ``doc``.
    """
    docs = {item.name: item.metadata["doc"] for item in fields(cls) if "doc" in item.metadata}
    for base in reversed(cls.__mro__):
        if base in (object, Hparams, DataClassJsonMixin) or not is_dataclass(base):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):  # a class typed at a prompt has no source, so no help texts
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for statement, following in itertools.pairwise(body):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs
