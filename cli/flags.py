"""The bridge between dataclasses and argparse: a field is a flag, its docstring the help, its type the parser."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from foundations.errors import UsageError, near_misses
from foundations.hparams import TYPE_NAMES, Hparams, field_docs
from foundations.steps import Step

LONGEST_RANGE = 1000  # more is a mistyped number


@dataclass(frozen=True)
class Section:
    """Flags that belong together: the fields of a dataclass, with defaults that override the dataclass's own."""

    title: str
    cls: type[Hparams]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def values(self) -> dict[str, Any]:
        """The default of each flag."""
        return {item.name: self.defaults.get(item.name, item.default) for item in self.items()}

    def items(self) -> list[Any]:
        """The dataclass fields that are flags."""
        return [item for item in fields(self.cls) if item.name not in self.hidden]


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting, and takes no abbreviations."""

    def __init__(self, prog: str, summary: str) -> None:
        super().__init__(
            prog=prog, description=summary, allow_abbrev=False, add_help=False, usage=f"{prog} --flag=value ...",
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=112),
        )  # fmt: skip

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


def make_parser(prog: str, summary: str, sections: Iterable[Section]) -> Parser:
    """A parser with one group for each section. Values stay text: :func:`parse_value` gives them their types."""
    parser = Parser(prog, summary)
    parser.add_argument("-h", "--help", action="store_true", default=argparse.SUPPRESS, help="show this list")
    for section in sections:
        group = parser.add_argument_group(section.title)
        hints, docs = get_type_hints(section.cls), field_docs(section.cls)
        for item in section.items():
            default = section.values()[item.name]
            more: dict[str, Any] = {"nargs": "?", "const": "true"} if hints[item.name] is bool else {}
            if item.metadata.get("repeatable"):
                more["action"] = "append"
            group.add_argument(
                f"--{item.name}",
                default=argparse.SUPPRESS,
                metavar=metavar(item, hints[item.name]),
                help=help_text(docs.get(item.name, ""), default, item.metadata).replace("%", "%%"),
                **more,
            )
    return parser


def metavar(item: Any, hint: Any) -> str:
    """What stands for the value in the help."""
    if item.metadata.get("choices"):
        return "{" + ",".join(item.metadata["choices"]) + "}"
    plain = get_args(hint)[0] if get_origin(hint) in (UnionType, tuple) else hint
    name = {bool: "true|false", int: "N", float: "X", Step: "STEP"}.get(plain, "TEXT")
    return f"{name},..." if get_origin(hint) is tuple else name


def help_text(doc: str, default: Any, metadata: Mapping[str, Any]) -> str:
    """The docstring, then the valid interval and the default in brackets."""
    facts = [f"in {metadata['within']}"] if metadata.get("within") else []
    facts += [f"default {show(default)}"] if show(default) else []
    return f"{doc} [{'; '.join(facts)}]" if facts else doc


def show(value: Any) -> str:
    """A value as one would write it on the command line."""
    if isinstance(value, Step):
        return value.short
    if isinstance(value, tuple):
        return ",".join(show(element) for element in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def parse_value(name: str, text: str, hint: Any) -> Any:
    """The value that ``--name=text`` gives a field of type ``hint``; ``UsageError`` if it does not fit."""
    try:
        if get_origin(hint) is UnionType:
            return parse_value(name, text, get_args(hint)[0])
        if get_origin(hint) is tuple:
            element = get_args(hint)[0]
            texts = expand_range(text) if element is int else [part for part in text.split(",") if part]
            return tuple(parse_value(name, part.strip(), element) for part in texts)
        if hint is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if hint is str and not text:
            raise UsageError("a value is missing")
        return hint(text)
    except UsageError as error:
        message = str(error)
        raise UsageError(message if message.startswith("--") else f"--{name}={text}: {message}") from error
    except (ValueError, KeyError) as error:
        raise UsageError(f"--{name}={text}: expected {TYPE_NAMES[hint]}") from error


def expand_range(text: str) -> list[str]:
    """``"0,2-4"`` as ``["0", "2", "3", "4"]``; what is not a range of whole numbers stays as it is."""
    parts: list[str] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if dash and low.isdecimal() and high.isdecimal():
            if int(low) > int(high):
                raise UsageError(f"the range {part} is empty")
            if int(high) - int(low) >= LONGEST_RANGE:
                raise UsageError(f"the range {part} has more than {LONGEST_RANGE} numbers")
            parts += [str(number) for number in range(int(low), int(high) + 1)]
        elif part:
            parts.append(part)
    return parts


def parse(
    parser: Parser, sections: Sequence[Section], argv: Sequence[str], others: Mapping[str, str]
) -> dict[str, Any]:
    """The typed values of the flags given in ``argv``.

    Args:
        others: flags that exist but do not apply here, each with the reason, for the error message.
    """
    given, unknown = parser.parse_known_args(list(argv))
    flags = {item.name: get_type_hints(section.cls)[item.name] for section in sections for item in section.items()}
    for token in unknown:
        refuse(token, flags, others)
    values = {}
    for name, text in vars(given).items():
        if name != "help":
            values[name] = tuple(text) if isinstance(text, list) else parse_value(name, text, flags[name])
    return values


def refuse(token: str, flags: Iterable[str], others: Mapping[str, str]) -> NoReturn:
    """Says why ``token`` is no flag here."""
    name = token.removeprefix("--").partition("=")[0]
    if not token.startswith("--"):
        raise UsageError(f"{token}: not a flag; flags are written --flag=value")
    if name in others:
        raise UsageError(f"--{name} {others[name]}")
    hint = near_misses(name, flags, prefix="--")
    raise UsageError(f"--{name}: unknown flag{hint}; --help lists the valid ones")


def build(section: Section, values: Mapping[str, Any]) -> Any:
    """An instance of the section's dataclass from the flags given and the defaults."""
    return section.cls(**{name: values.get(name, default) for name, default in section.values().items()})
