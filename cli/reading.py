"""The flags of the commands that only look at what is there: those of one dataclass, read without PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, TypeVar, get_type_hints

from cli.flags import make_parser, parse_value
from experiments.runs.directory import directories_from_environment
from foundations.errors import UsageError, near_misses
from foundations.hparams import Hparams, hp


@dataclass(frozen=True, kw_only=True)
class CommandOptions(Hparams):
    """What is done with the experiments that a command line asks for."""

    config: str | None = hp(None)
    """A TOML file of flags, also by command in tables, or the desc.json of a run; the command line wins."""
    display_output_location: bool = hp(False)
    """Print the run's directory and do nothing else."""
    dry_run: bool = hp(False)
    """Print the plan (what is done, what is shared, how many steps are left) and do nothing else."""


H = TypeVar("H", bound=Hparams)


@dataclass(frozen=True, kw_only=True)
class RootOptions(Hparams):
    """Where such a command looks."""

    root: str = hp("runs")
    """Directory of all runs; also $ADSYNFLOW_ROOT."""


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


def read_operands(
    command: str, arguments: str, summary: str, cls: type[H], argv: Sequence[str]
) -> tuple[list[str], H] | None:
    """The operands (run directories) and flags that ``argv`` has; None if it asks for help, which is printed.

    Args:
        command: its name.
        arguments: what may stand behind its name, for the line of usage: ``[RUN_DIR ...] --flag=value ...``.
        summary: what it does.
        cls: its flags.
        argv: what stands behind its name.

    Raises:
        UsageError: an unknown flag, or a value that does not fit its type.
    """
    known = [item.name for item in fields(cls)]
    defaults = {name: value for name, value in directories_from_environment().items() if name in known}
    section: Any = Flags("flags", cls, defaults)
    parser = make_parser(command, summary, [section])
    parser.usage = f"{parser.prog} {arguments}"
    given, rest = parser.parse_known_args(list(argv))
    texts = dict(vars(given))
    if texts.pop("help", False):
        print(parser.format_help())
        return None
    for token in rest:
        if token.startswith("-"):
            hint = near_misses(token.removeprefix("--").partition("=")[0], known, "--")
            raise UsageError(f"{token}: no flag of {command}{hint}; valid: --{', --'.join(known)}")
    hints = get_type_hints(cls)
    values = {
        name: tuple(text) if isinstance(text, list) else parse_value(name, text, hints[name])
        for name, text in texts.items()
    }
    return rest, cls(**{**defaults, **values})


def read_flags(command: str, summary: str, cls: type[H], argv: Sequence[str]) -> H | None:
    """The same for a command without operands; one that is there raises ``UsageError``."""
    line = read_operands(command, "--flag=value ...", summary, cls, argv)
    if line is None:
        return None
    operands, options = line
    if operands:
        raise UsageError(f"{operands[0]}: not a flag; flags are written --flag=value")
    return options
