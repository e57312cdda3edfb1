"""The bridge between dataclasses and argparse: a field is a flag, its docstring the help, its type the parser."""

import argparse
import textwrap
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from cli import EXIT_CODES, program
from foundations.errors import UsageError
from foundations.hparams import TYPE_NAMES, Section, as_text, field_docs, or_one_of
from foundations.methods import Method
from foundations.steps import Step
from foundations.text import printable_text

WIDTH = 80
LONGEST_RANGE = 1000  # more is a mistyped number
TRUTHS = {"true": True, "false": False, "1": True, "0": False}


COMMON, ALL = "common", "all"
"""What ``--help`` shows: the flags that are often needed, or with ``--help=all`` every one."""
OFTEN_NEEDED = frozenset({
    "recipe", "replicate", "model", "dataset", "batch_size", "lr", "training_steps", "to", "pruning_strategy", "levels",
    "density", "k", "children", "threshold", "root", "data_dir", "device", "threads", "jobs", "plugin", "quiet",
    "config", "dry_run", "estimate", "display_output_location",
})  # fmt: skip
"""Flags of the framework that ``--help`` shows; those of the chosen strategy and branch it always does."""


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting, and takes no abbreviations."""

    def __init__(self, command: str, summary: str) -> None:
        prog = f"{program()} {command}".strip()
        super().__init__(
            prog=prog, description=textwrap.fill(summary, WIDTH), usage=f"{prog} --flag=value ...",
            allow_abbrev=False, add_help=False, formatter_class=Formatter,
        )  # fmt: skip
        self.add_argument(
            "-h", "--help", nargs="?", const=COMMON, default=argparse.SUPPRESS, help=argparse.SUPPRESS,
        )  # fmt: skip

    def format_help(self) -> str:
        return printable_text(super().format_help())

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument ").replace("expected one argument", "a value is missing"))


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that fits 80 columns; descriptions are wrapped, epilogs stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=WIDTH)

    def start_section(self, heading: str | None) -> None:
        super().start_section(None if heading is None else textwrap.fill(heading, WIDTH - 1))


def make_parser(command: str, summary: str, sections: Iterable[Section], shown: str = ALL) -> Parser:
    """Return a parser with one group for each section. Values stay text: :func:`parse_flag` gives them their types.

    Args:
        command: its name.
        summary: what it does.
        sections: its flags.
        shown: whether ``COMMON`` or ``ALL`` of them are listed.
    """
    hidden = 0
    parser = Parser(command, summary)
    listed: set[str] = set()  # a measurement may share a flag with the strategy or another one: it is that of both
    for section in sections:
        own = [item for item in section.items() if item.name not in listed]
        items = [item for item in own if shown == ALL or is_common(section, item.name)]
        listed.update(item.name for item in own)
        hidden += len(own) - len(items)
        if not items:
            continue
        group = parser.add_argument_group(section.title)
        hints, docs = get_type_hints(section.cls), field_docs(section.cls)
        for item in items:
            default = section.values()[item.name]
            add_flag(
                group, item.name, hints[item.name], repeatable=bool(item.metadata.get("repeatable")),
                metavar=metavar(item, hints[item.name]),
                help=help_text(docs.get(item.name, ""), default, item.metadata).replace("%", "%%"),
            )  # fmt: skip
    more = f"--help={ALL} lists {hidden} more flags.\n\n" if hidden else ""
    parser.epilog = more + EXIT_CODES
    return parser


def is_common(section: Section, name: str) -> bool:
    return name in OFTEN_NEEDED or issubclass(section.cls, Method)


def add_flag(group: Any, name: str, hint: Any, *, repeatable: bool, **more: Any) -> None:
    """Add a flag whose value stays text; one of type bool needs none."""
    if hint is bool:
        more |= {"nargs": "?", "const": "true"}
    if repeatable:
        more["action"] = "append"
    group.add_argument(f"--{name}", default=argparse.SUPPRESS, **more)


def metavar(item: Any, hint: Any) -> str:
    if choices := item.metadata.get("choices"):
        return "NAME" if too_long(choices) else "{" + ",".join(choices) + "}"
    plain = get_args(hint)[0] if get_origin(hint) in (UnionType, tuple) else hint
    name = {bool: "true|false", int: "N", float: "X", Step: "STEP"}.get(plain, "TEXT")
    return f"{name},..." if get_origin(hint) is tuple and not item.metadata.get("repeatable") else name


def too_long(choices: Iterable[str]) -> bool:
    """Return whether choices are too many to stand beside the flag in a line of the help."""
    return len(",".join(choices)) > WIDTH // 2


def help_text(doc: str, default: Any, metadata: Mapping[str, Any]) -> str:
    """Return the docstring, then in brackets the valid interval, texts that are values as well, and the default."""
    facts = [f"in {metadata['within']}"] if metadata.get("within") else []
    if too_long(metadata.get("choices", ())):
        facts.append(f"one of {', '.join(metadata['choices'])}")
    if words := metadata.get("words", ()):
        facts.append(f"or {', '.join(words)}")
    shown = "" if default is None else as_text(default)
    facts += [f"default {shown}"] if shown else []
    return f"{doc} [{'; '.join(facts)}]" if facts else doc


# Values --------------------------------------------------------------------------------------------------------------


def parse_flag(name: str, given: str, hint: Any, words: Iterable[str] = ()) -> list[Any]:
    """Return the values that ``--name=given`` lists.

    Alternatives are separated by commas (of a flag that is a list itself by semicolons); whole numbers and steps may be
    ranges, ``1-3``.

    Args:
        name: the flag.
        given: its text.
        hint: the type of its field.
        words: texts that are values beside those of the type.

    Raises:
        UsageError: a text does not fit the type.
    """
    from experiments.define.defaults import holds_several

    if holds_several(hint):
        return [parse_value(name, part, hint) for part in given.split(";")]
    try:
        ranged = element_type(hint) in (int, Step)
        parts = expand_range(given) if ranged else [part for part in given.split(",") if part]
    except UsageError as error:
        raise UsageError(f"--{name}={given}: {error}") from error
    return [word_or_value(name, part, hint, words) for part in parts or [given]]


def word_or_value(name: str, given: str, hint: Any, words: Iterable[str]) -> Any:
    if given in words:
        return given
    with or_one_of(words, given):
        return parse_value(name, given, hint)


def element_type(hint: Any) -> Any:
    return get_args(hint)[0] if isinstance(hint, UnionType) else hint


def parse_value(name: str, given: str, hint: Any) -> Any:
    """Return the value that ``--name=given`` gives a field of type ``hint``; raise ``UsageError`` if none."""
    try:
        if isinstance(hint, UnionType):
            return parse_value(name, given, element_type(hint))
        if get_origin(hint) is tuple:
            element = get_args(hint)[0]
            texts = expand_range(given) if element is int else [part for part in given.split(",") if part]
            return tuple(parse_value(name, part.strip(), element) for part in texts)
        if hint is bool:
            return TRUTHS[given.lower()]
        if not given and hint in (str, Step):
            raise UsageError("a value is missing")
        return float(Decimal(given.removesuffix("%")) / 100) if hint is float and given.endswith("%") else hint(given)
    except UsageError as error:
        message = str(error)
        raise UsageError(message if message.startswith("--") else f"--{name}={given}: {message}") from error
    except (ValueError, KeyError, ArithmeticError) as error:
        raise UsageError(f"--{name}={given}: expected {TYPE_NAMES[hint]}") from error


def expand_range(given: str) -> list[str]:
    """Return ``"0,2-4"`` as ``["0", "2", "3", "4"]``; what is not a range of whole numbers stays as it is."""
    parts: list[str] = []
    for part in given.split(","):
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
