"""Commands that are no experiments: a few operands (run directories) and flags of their own."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

from cli.flags import add_flag, make_parser, parse_value
from experiments.defaults import Section, refuse_unknown
from foundations.errors import UsageError
from foundations.hparams import Hparams

H = TypeVar("H", bound=Hparams)


def read_operands(
    command: str, operands: str, summary: str, argv: Sequence[str], options: type[H]
) -> tuple[list[str], H] | None:
    """The operands and flags of a command line; None if it asks for help, which is printed.

    Args:
        command: its name.
        operands: how the usage line shows them, e.g. ``RUN_DIR ...``.
        summary: what the command does, a sentence or two.
        argv: what follows the command.
        options: its flags.

    Raises:
        UsageError: a flag that does not exist, or a value that does not fit its type.
    """
    hints = get_type_hints(options)
    items = {item.name: item for item in fields(options)}
    parser = make_parser("", "", [])
    for name, item in items.items():
        add_flag(parser, name, hints[name], repeatable=bool(item.metadata.get("repeatable")))
    given, rest = parser.parse_known_args(list(argv))
    texts: dict[str, Any] = dict(vars(given))
    for token in rest:
        if token.startswith("-"):
            refuse_unknown(token.removeprefix("--").partition("=")[0], list(items), {})
    if texts.pop("help", False):
        usage = f"python main.py {command} {operands}".rstrip()
        print(make_parser(usage, summary, [Section("flags", options)]).format_help())
        return None
    values = {
        name: tuple(text) if isinstance(text, list) else parse_value(name, text, hints[name])
        for name, text in texts.items()
    }
    return rest, options(**values)


def one_operand(command: str, operands: Sequence[str]) -> str:
    """The only operand of a command; ``UsageError`` if there are none or several."""
    if len(operands) != 1:
        raise UsageError(f"{command}: expected one run directory, found {len(operands)}: {', '.join(operands)}")
    return operands[0]
