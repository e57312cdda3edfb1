"""The flags that only a command line has; commands whose flags are one dataclass, read without PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar, get_type_hints

from cli.flags import make_parser, parse_value
from experiments.runs.directory import directories_from_environment
from foundations.errors import UsageError, near_misses
from foundations.hparams import Hparams, Section, hp, repeatable

H = TypeVar("H", bound=Hparams)
ANY = "any"


@dataclass(frozen=True, kw_only=True)
class CommandOptions(Hparams):
    """What is done with the experiments that a command line asks for."""

    config: str | None = hp(None)
    """A TOML file of flags, also by command in tables, or the desc.json of a run; the command line wins."""
    display_output_location: bool = hp(False)
    """Print the run's directory and do nothing else."""
    dry_run: bool = hp(False)
    """Print the plan (what is done, what is shared, how many steps are left) and do nothing else."""


OF_COMMAND = {item.name for item in fields(CommandOptions)}


@dataclass(frozen=True, kw_only=True)
class RootOptions(Hparams):
    """Where a command looks that reads runs."""

    root: str = hp("runs")
    """Directory of all runs; also $ADSYNFLOW_ROOT."""


@dataclass(frozen=True, kw_only=True)
class PluginOptions(Hparams):
    """What a command loads."""

    plugin: tuple[str, ...] = repeatable()
    """A file or module that registers what the runs are made of; may be repeated."""


def read(
    command: str, summary: str, cls: type[H], argv: Sequence[str], operands: str = "", number: int | str = 0
) -> tuple[list[str], H] | None:
    """Read the operands and flags of a command, and load the plug-ins that they name.

    Args:
        command: its name.
        summary: what it does.
        cls: its flags.
        argv: what stands behind its name.
        operands: what may stand there beside flags, for the line of usage: ``[RUN_DIR ...]``.
        number: of operands, or ``ANY``.

    Returns:
        Operands and flags; None if help was asked for, which is printed.

    Raises:
        UsageError: an unknown flag, a value that does not fit its type, or another number of operands.
    """
    known = [item.name for item in fields(cls)]
    defaults = {name: value for name, value in directories_from_environment().items() if name in known}
    parser = make_parser(command, summary, [Section("flags", cls, defaults)])
    parser.usage = f"{parser.prog} {operands} --flag=value ...".replace("  ", " ")
    given, found = parser.parse_known_args(list(argv))
    texts = dict(vars(given))
    if texts.pop("help", False):
        print(parser.format_help())
        return None
    for token in found:
        if token.startswith("-"):
            hint = near_misses(token.removeprefix("--").partition("=")[0], known, "--")
            raise UsageError(f"{token}: no flag of {command}{hint}; valid: --{', --'.join(known)}")
    if number == 0 and found:
        raise UsageError(f"{found[0]}: not a flag; flags are written --flag=value")
    if number not in (ANY, len(found)):
        raise UsageError(f"{command} takes {operands}, not {len(found)} of them")
    hints = get_type_hints(cls)
    values = {
        name: tuple(text) if isinstance(text, list) else parse_value(name, text, hints[name])
        for name, text in texts.items()
    }
    options = cls(**{**defaults, **values})
    if "plugin" in known:
        load_plugins_of(options)
    return found, options


def load_plugins_of(options: Hparams) -> None:
    from experiments.plugins import load_plugins  # which needs PyTorch
    from experiments.run.progress import make_reporter

    load_plugins(getattr(options, "plugin", ()), make_reporter(quiet=False), OF_COMMAND)
