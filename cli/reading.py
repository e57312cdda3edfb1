"""The flags of the commands that only look at what is there: those of one dataclass, read without PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, TypeVar, get_type_hints

from cli.flags import make_parser, parse_value
from foundations.errors import UsageError, near_misses
from foundations.hparams import Hparams

H = TypeVar("H", bound=Hparams)


@dataclass(frozen=True)
class Flags:
    """The fields of a class as a section of the help.

    Args:
        title: its heading.
        cls: the class.
        defaults: those that are not the class's own.
    """

    title: str
    cls: type[Hparams]
    defaults: Mapping[str, Any]

    def items(self) -> tuple["Field[Any]", ...]:
        """The fields."""
        return fields(self.cls)

    def values(self) -> dict[str, Any]:
        """Their defaults."""
        return {item.name: getattr(self.cls, item.name) for item in self.items()} | dict(self.defaults)


def read_flags(command: str, summary: str, cls: type[H], argv: Sequence[str], defaults: Mapping[str, Any]) -> H | None:
    """What ``argv`` says; None if it asks for help, which is printed.

    Raises:
        UsageError: an unknown flag, or a value that does not fit its type.
    """
    section: Any = Flags("flags", cls, defaults)
    parser = make_parser(f"python main.py {command}", summary, [section])
    given, unknown = parser.parse_known_args(list(argv))
    texts = dict(vars(given))
    if texts.pop("help", False):
        print(parser.format_help())
        return None
    known = [item.name for item in fields(cls)]
    for token in unknown:
        name = token.removeprefix("--").partition("=")[0]
        hint = near_misses(name, known, "--")
        raise UsageError(f"{token}: no flag of {command}{hint}; valid: --{', --'.join(known)}")
    hints = get_type_hints(cls)
    values = {
        name: tuple(text) if isinstance(text, list) else parse_value(name, text, hints[name])
        for name, text in texts.items()
    }
    return cls(**{**defaults, **values})
